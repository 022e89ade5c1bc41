//! One connection.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use machinery::admission::UserInfo;
use machinery::status::Status;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::ending::ending;
use super::{Answer, Limits};
use crate::{Body, auth, body};

/// Serves a connection until the client is done or the server shuts down.
pub(super) async fn serve(
    server: impl Answer,
    stream: TcpStream,
    acceptor: TlsAcceptor,
    limits: Limits,
    shutdown: CancellationToken,
) {
    // Small answers and watch events must not wait for more to send.
    let _ = stream.set_nodelay(true);
    let handshake = async {
        tokio::select! {
            stream = acceptor.accept(stream) => stream.map_err(|error| error.to_string()),
            () = server.clock().sleep(limits.header_time) => Err("it took too long".to_owned()),
        }
    };
    let stream = match handshake.await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            return;
        }
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let peer =
        certificates.and_then(|chain| chain.first()).and_then(|leaf| auth::certificate::identity(leaf));
    let peer = Arc::new(peer);
    let service = service_fn(|request: Request<Incoming>| {
        let (server, peer, shutdown) = (server.clone(), Arc::clone(&peer), shutdown.clone());
        async move { Ok::<_, Infallible>(answer(server, peer, request, limits, shutdown).await) }
    });
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
        .keep_alive_interval(std::time::Duration::from_secs(30))
        .keep_alive_timeout(std::time::Duration::from_secs(20));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = %error, "a connection ended early");
    }
}

async fn answer(
    server: impl Answer,
    peer: Arc<Option<UserInfo>>,
    request: Request<Incoming>,
    limits: Limits,
    shutdown: CancellationToken,
) -> Response<Body> {
    let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
    let answered = tokio::select! {
        response = server.answer(peer.as_ref().as_ref(), request) => response,
        () = server.clock().sleep(limits.request_time) => {
            let seconds = limits.request_time.as_secs();
            body::refusal(&Status::timeout(format!("the request was not answered within {seconds} seconds"), 0))
        }
    };
    answered.map(|body| ending(body, shutdown))
}
