//! A client that costs little: what it takes of the processors, the server does not have.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use certs::{Authority, Profile};
use effects::{Clock as _, SystemClock};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kit::Installation;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Name that the server's certificate is for.
pub(super) const NAME: &str = "localhost";

/// The API server of an installation, and an administrator's certificate for it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Server {
    /// Finds the server of an installation that runs.
    pub(super) fn of(installation: &Installation) -> Result<Self> {
        let path = installation.data_dir().join("kubeconfig");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let address = text.lines().find_map(|line| line.trim().split_once("https://"));
        let (_, address) = address.with_context(|| format!("{} names no server", path.display()))?;
        let address = address.trim_end_matches(['"', '\'', '/']);
        let address = address.parse().with_context(|| format!("reading the address {address}"))?;
        Self::at(address, &authority(installation)?)
    }

    /// A server at an address, of an authority that its clients' certificates come from, too.
    pub(super) fn at(address: SocketAddr, authority: &Authority) -> Result<Self> {
        let administrator =
            authority.issue(&Profile::client("bench", "system:masters"), SystemClock.now())?;
        Ok(Self { address, tls: certs::client_config(authority, Some(&administrator))? })
    }

    async fn dial(&self, protocol: &str) -> Result<TokioIo<TlsStream<TcpStream>>> {
        let stream = TcpStream::connect(self.address).await.context("connecting to the API server")?;
        stream.set_nodelay(true)?;
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = vec![protocol.into()];
        let name = ServerName::try_from(NAME)?;
        Ok(TokioIo::new(TlsConnector::from(Arc::new(tls)).connect(name, stream).await?))
    }

    /// Opens a connection of a client that asks one thing after the other.
    pub(super) async fn connect(&self) -> Result<Connection> {
        let (sender, connection) = http1::handshake(self.dial("http/1.1").await?).await?;
        tokio::spawn(connection);
        Ok(Connection(sender))
    }

    /// Opens a connection for many streams at a time.
    pub(super) async fn connect_for_streams(&self) -> Result<Streams> {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), self.dial("h2").await?).await?;
        tokio::spawn(connection);
        Ok(Streams(sender))
    }
}

/// The authority of an installation.
pub(super) fn authority(installation: &Installation) -> Result<Authority> {
    let folder = installation.data_dir().join("pki");
    Ok(Authority::load_or_create(&folder, "ca", SystemClock.now())?)
}

/// One HTTP/1.1 connection.
#[derive(Debug)]
pub(super) struct Connection(http1::SendRequest<Full<Bytes>>);

impl Connection {
    /// Sends a request and returns the whole answer, which must be a success.
    pub(super) async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        let mut request = Request::builder().method(method).uri(path).body(Full::new(body))?;
        request.headers_mut().insert(HOST, HeaderValue::from_static(NAME));
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }
}

/// One HTTP/2 connection.
#[derive(Clone, Debug)]
pub(super) struct Streams(http2::SendRequest<Full<Bytes>>);

impl Streams {
    /// Opens a stream; its answer has begun.
    pub(super) async fn open(&mut self, path: &str) -> Result<Response<Incoming>> {
        let uri = format!("https://{NAME}{path}");
        self.0.ready().await?;
        let response = self.0.send_request(Request::get(uri).body(Full::default())?).await?;
        if !response.status().is_success() {
            bail!("{path}: {}", response.status());
        }
        Ok(response)
    }
}
