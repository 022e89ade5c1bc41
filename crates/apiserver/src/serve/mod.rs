//! Taking requests from the network: TLS, HTTP/1.1 and HTTP/2, limits, and an orderly end.
//!
//! A connection's client certificate is read once, when it is made; each request is then handed to an [`Answer`]: the API
//! server, or another one that is to be reached the same way. When the server shuts down, connections finish the requests they are at, and streams (watches,
//! followed logs) end so that their clients resume elsewhere.

mod clients;
pub(crate) mod compress;
mod connection;
mod ending;
mod exchanges;
pub(crate) mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use effects::Clock;
use http::{HeaderValue, Request, Response};
use machinery::admission::UserInfo;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Front;
use crate::request::query::Query;
use crate::{ApiServer, Body, audit, auth, encoding};

/// What answers the requests that come by a listener.
#[async_trait::async_trait]
pub trait Answer: Clone + Send + Sync + 'static {
    /// Answers a request that came by a connection whose client showed the certificate of `peer`. The certificate is
    /// verified against the authorities that the listener's TLS configuration trusts.
    async fn answer(&self, peer: Option<&UserInfo>, request: Request<Body>) -> Response<Body>;

    /// The time by which limits are kept.
    fn clock(&self) -> &dyn Clock;
}

#[async_trait::async_trait]
impl Answer for ApiServer {
    async fn answer(&self, peer: Option<&UserInfo>, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let id = HeaderValue::from_str(&audit::id(self, &parts.headers)).ok();
        if let Some(id) = &id {
            parts.headers.insert(audit::ID, id.clone());
        }
        auth::websocket::settle(&mut parts.headers);
        let mut response = match auth::authenticate(self, &parts.headers, peer) {
            Ok(user) => {
                parts.extensions.insert(user);
                let compress = compress::wanted(&parts.headers);
                let response = self.handle(Request::from_parts(parts, body)).await;
                if compress { compress::compressed(response).await } else { response }
            }
            Err(status) => {
                if let Some(audit) = self.audit() {
                    audit.refuse(self, &parts, &status);
                }
                let query = Query::parse(parts.uri.query().unwrap_or_default());
                encoding::refusal(&parts.headers, &query, &status).await
            }
        };
        if let Some(id) = id {
            response.headers_mut().insert(audit::ID, id);
        }
        response
    }

    fn clock(&self) -> &dyn Clock {
        &**Self::clock(self)
    }
}

/// Bounds on what clients may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time; more wait to be accepted.
    pub connections: usize,
    /// Connections of one client at the same time; more are refused. A client is the user of a certificate, or an
    /// address. A connection that was upgraded to a stream does not count any more.
    pub connections_of_client: usize,
    /// Connections at their TLS handshake at the same time; for more, the oldest are closed.
    pub handshakes: usize,
    /// Streams at the same time on one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of all headers of a request.
    pub header_bytes: usize,
    /// Time for the TLS handshake, and for the headers of a request to arrive; so long may an HTTP/1.1 connection idle.
    pub header_time: Duration,
    /// Time for a request to be answered, and for its client to take the answer; streams count until they begin.
    pub request_time: Duration,
    /// Time that a connection stays on which nothing is asked.
    pub idle_time: Duration,
    /// Time for connections to finish when the server shuts down.
    pub shutdown_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_of_client: 256,
            handshakes: 256,
            streams: 250,
            header_bytes: 64 << 10,
            header_time: Duration::from_secs(30),
            request_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(90),
            shutdown_time: Duration::from_secs(5),
        }
    }
}

/// What to do about an address that cannot be bound.
fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "is another server running there? Port 0 takes a free one",
        std::io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        std::io::ErrorKind::PermissionDenied => "ports below 1024 are for root",
        _ => "choose another address",
    }
}

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}; {}", remedy(.source))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The address is reached from outside this machine, and that was not asked for.
    #[error("{address} is reached from other machines; listen on 127.0.0.1, or allow it explicitly")]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
}

/// Binds `address`, which must be a loopback address unless `exposed` allows others.
///
/// # Errors
/// Fails when the address is in use or not allowed.
pub async fn listen(address: SocketAddr, exposed: bool) -> Result<TcpListener, ListenError> {
    if !exposed && !address.ip().is_loopback() {
        return Err(ListenError::Exposed { address });
    }
    TcpListener::bind(address).await.map_err(|source| ListenError::Bind { address, source })
}

impl ApiServer {
    /// Serves `listener` until `shutdown` is cancelled and connections have ended or run out of time.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<ServerConfig>,
        limits: Limits,
        shutdown: CancellationToken,
    ) {
        serve(self.clone(), listener, tls, limits, shutdown).await;
    }
}

/// Has `server` answer what comes by `listener` until `shutdown` is cancelled and connections have ended or run out of
/// time.
pub async fn serve(
    server: impl Answer,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let front = Arc::new(Front::new(server.clone(), tls, limits, shutdown.clone()));
    let slots = Arc::new(Semaphore::new(limits.connections));
    let tasks = TaskTracker::new();
    // Cancelled when the time for an orderly end is over.
    let abort = CancellationToken::new();
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, stream) = tokio::select! {
            () = shutdown.cancelled() => break,
            (slot, stream) = accepted => (slot, stream),
        };
        match stream {
            Ok((stream, address)) => {
                let serving = Arc::clone(&front).serve(stream, address.ip(), slot);
                let abort = abort.clone();
                tasks.spawn(async move {
                    tokio::select! {
                        () = abort.cancelled() => {}
                        () = serving => {}
                    }
                });
            }
            Err(error) => {
                // Mostly a lack of descriptors: it passes when connections close.
                tracing::warn!(%error, "a connection cannot be accepted");
                server.clock().sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tokio::select! {
        () = tasks.wait() => {}
        () = server.clock().sleep(limits.shutdown_time) => {
            abort.cancel();
            tasks.wait().await;
        }
    }
}
