//! The peer of requests: a server that reads them, sends back what it got, and does nothing else. What it reaches is what
//! HTTP, TLS and this program's own clients leave of the processors.

use std::convert::Infallible;

use anyhow::Result;
use bytes::Bytes;
use certs::{Authority, Profile, Rotating};
use effects::{Clock as _, SystemClock};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::client::{NAME, Server};

/// The server, until dropped.
#[derive(Debug)]
pub(super) struct Mute {
    /// How to reach it.
    pub(super) server: Server,
    task: JoinHandle<()>,
}

impl Mute {
    /// Starts it on a free port, with a certificate of `authority`, which its clients have to have one of as well.
    pub(super) async fn start(authority: &Authority) -> Result<Self> {
        let own = authority.issue(&Profile::server("mute", [NAME.to_owned()]), SystemClock.now())?;
        let acceptor = TlsAcceptor::from(certs::server_config(Rotating::new(own)?, Some(authority))?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = Server::at(listener.local_addr()?, authority)?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // What breaks off is told by the client that it was for.
                    let _ = stream.set_nodelay(true);
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service_fn(echo))
                            .await;
                    }
                });
            }
        });
        Ok(Self { server, task })
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(request: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let mut response = Response::new(Full::new(body.unwrap_or_default()));
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
