//! One connection.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use machinery::admission::UserInfo;
use machinery::status::Status;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::clients::{Client, Clients, Newcomers};
use super::ending::ending;
use super::exchanges::Exchanges;
use super::websocket::{Carriage, Handshake};
use super::{Answer, Limits};
use crate::audit::ClientAddress;
use crate::{Body, auth, body};

/// Clients that have too many connections, and are being told so.
const TOLD: usize = 64;
/// Time to tell them.
const TELLING: Duration = Duration::from_secs(5);

/// What the connections of a listener share.
pub(super) struct Front<S> {
    server: S,
    acceptor: TlsAcceptor,
    limits: Limits,
    clients: Arc<Clients>,
    newcomers: Arc<Newcomers>,
    told: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl<S: Answer> Front<S> {
    pub(super) fn new(
        server: S,
        tls: Arc<ServerConfig>,
        limits: Limits,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            server,
            acceptor: TlsAcceptor::from(tls),
            limits,
            clients: Clients::new(limits.connections_of_client),
            newcomers: Newcomers::new(limits.handshakes),
            told: Arc::new(Semaphore::new(TOLD)),
            shutdown,
        }
    }

    /// Serves a connection, which holds `slot`, until the client is done or the server shuts down.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        address: IpAddr,
        slot: Option<OwnedSemaphorePermit>,
    ) {
        // Small answers and watch events must not wait for more to send.
        let _ = stream.set_nodelay(true);
        let stream = match self.handshake(stream).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "a TLS handshake failed");
                return;
            }
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let peer =
            certificates.and_then(|chain| chain.first()).and_then(|leaf| auth::certificate::identity(leaf));
        let client = Client::of(peer.as_ref(), address);
        let Some(_seat) = self.clients.enter(client.clone()) else {
            drop(slot);
            self.turn_away(stream, &client).await;
            return;
        };
        let peer = Arc::new(peer);
        let exchanges = Arc::new(Exchanges::default());
        // What the connection becomes when it changes its protocol; it keeps its slot and its seat.
        let carriage: Arc<Mutex<Option<Carriage>>> = Arc::default();
        let service = service_fn(|request: Request<Incoming>| {
            let (front, peer, becomes) = (Arc::clone(&self), Arc::clone(&peer), Arc::clone(&carriage));
            let exchange = exchanges.begin();
            async move {
                let Self { server, limits, shutdown, .. } = &*front;
                let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
                request.extensions_mut().insert(ClientAddress(address));
                let (answered, carriage) = answer(server, peer, request, *limits, shutdown.clone()).await;
                if let Some(carriage) = carriage {
                    *becomes.lock() = Some(carriage);
                }
                Ok::<_, Infallible>(exchange.send(answered, server.clock()))
            }
        });
        let clock = self.server.clock();
        let builder = self.builder();
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = exchanges.stalled(clock, self.limits.request_time) => {
                tracing::debug!(?client, "a client does not take its answers: its connection is closed");
                return;
            }
            () = exchanges.idle(clock, self.limits.idle_time) => {
                connection.as_mut().graceful_shutdown();
                // Who has not even begun to speak does not hear of it.
                tokio::select! {
                    result = connection => result,
                    () = clock.sleep(TELLING) => return,
                }
            }
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(error = %error, "a connection ended early");
        }
        let carriage = carriage.lock().take();
        if let Some(carriage) = carriage {
            carriage.run().await;
        }
    }

    async fn handshake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let newcomer = self.newcomers.begin();
        tokio::select! {
            stream = self.acceptor.accept(stream) => stream.map_err(|error| error.to_string()),
            () = self.server.clock().sleep(self.limits.header_time) => Err("it took too long".to_owned()),
            () = newcomer.sent_away() => Err("too many others began one meanwhile".to_owned()),
        }
    }

    /// Tells a client that it has too many connections already, if it asks soon enough.
    async fn turn_away(&self, stream: TlsStream<TcpStream>, client: &Client) {
        let Ok(_told) = self.told.try_acquire() else { return };
        tracing::debug!(?client, "a client has too many connections");
        let most = self.limits.connections_of_client;
        let service = service_fn(|_: Request<Incoming>| async move {
            let message = format!("{most} connections of this client are open already; close some");
            let mut refusal = body::refusal(&Status::too_many_requests(message, 1));
            refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            Ok::<_, Infallible>(refusal)
        });
        let builder = self.builder();
        tokio::select! {
            told = builder.serve_connection(TokioIo::new(stream), service) => {
                if let Err(error) = told {
                    tracing::debug!(error = %error, "a client was not told why it is turned away");
                }
            }
            () = self.server.clock().sleep(TELLING) => {}
            () = self.shutdown.cancelled() => {}
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let limits = &self.limits;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .max_buf_size(limits.header_bytes.max(8 << 10));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        builder
    }
}

async fn answer(
    server: &impl Answer,
    peer: Arc<Option<UserInfo>>,
    request: Request<Body>,
    limits: Limits,
    shutdown: CancellationToken,
) -> (Response<Body>, Option<Carriage>) {
    let handshake = Handshake::of(&request);
    let answered = tokio::select! {
        response = server.answer(peer.as_ref().as_ref(), request) => response,
        () = server.clock().sleep(limits.request_time) => {
            let seconds = limits.request_time.as_secs();
            body::refusal(&Status::timeout(format!("the request was not answered within {seconds} seconds"), 0))
        }
    };
    let answer = answered.map(|body| ending(body, shutdown));
    match handshake {
        Some(handshake) => handshake.carry(answer),
        None => (answer, None),
    }
}
