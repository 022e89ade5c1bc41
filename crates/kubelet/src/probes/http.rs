//! A look at a web server: one request, of whose answer only the status counts.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ask::Answer;
use crate::runtime::Unreached;

/// How often a server may send elsewhere.
const REDIRECTIONS: usize = 10;

/// What is fetched.
pub(super) struct Page<'a> {
    pub(super) tls: bool,
    /// Host and port, as the request names them.
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) headers: &'a [(String, String)],
}

/// Fetches a page over connections that `dial` opens; follows redirections on the same host. One that leads elsewhere is
/// an answer like any other.
pub(super) async fn get<'a>(
    mut page: Page<'_>,
    dial: impl Fn() -> BoxFuture<'a, Result<TcpStream, Unreached>>,
) -> Answer {
    for _ in 0..=REDIRECTIONS {
        let stream = match dial().await {
            Ok(stream) => stream,
            Err(why) => return why.into(),
        };
        let (status, location) = match fetch(&page, stream).await {
            Ok(answered) => answered,
            Err(why) => return Answer::Bad(why),
        };
        if status.is_redirection()
            && let Some(path) = location.and_then(|location| same_host(&page, &location))
        {
            page.path = path;
        } else if status.is_success() || status.is_redirection() {
            return Answer::Good;
        } else {
            return Answer::Bad(format!("HTTP probe failed with statuscode: {}", status.as_u16()));
        }
    }
    Answer::Bad(format!("the server sends elsewhere more than {REDIRECTIONS} times"))
}

/// Returns the path that a redirection leads to, when it stays where it is.
fn same_host(page: &Page<'_>, location: &str) -> Option<String> {
    let to: Uri = location.parse().ok()?;
    let stays = to.authority().is_none_or(|authority| {
        let scheme = if page.tls { "https" } else { "http" };
        authority.as_str() == page.authority && to.scheme_str().is_none_or(|named| named == scheme)
    });
    let path = to.path_and_query().map_or("/", |path| path.as_str());
    stays.then(|| if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

async fn fetch(page: &Page<'_>, stream: TcpStream) -> Result<(StatusCode, Option<String>), String> {
    if !page.tls {
        return exchange(page, stream).await;
    }
    let host = page.authority.rsplit_once(':').map_or(page.authority.as_str(), |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| format!("{host:?} is no host name"))?;
    let connector = TlsConnector::from(Arc::clone(&TRUSTING));
    let stream = connector.connect(name, stream).await.map_err(|error| format!("tls: {error}"))?;
    exchange(page, stream).await
}

async fn exchange(
    page: &Page<'_>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<(StatusCode, Option<String>), String> {
    let broken = |error: hyper::Error| format!("no HTTP answer: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Both end with this future: whoever stops waiting also stops asking.
    let answer = async {
        let response = sender.send_request(request(page)?).await.map_err(broken)?;
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok((response.status(), location))
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // An answer that came before the end counts.
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(broken(error)),
        },
    }
}

fn request(page: &Page<'_>) -> Result<Request<Empty<Bytes>>, String> {
    let mut request = Request::get(&page.path)
        .header(header::HOST, &page.authority)
        .header(header::USER_AGENT, "kube-probe/1.35")
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| format!("{:?} cannot be asked for: {error}", page.path))?;
    let mut replaced = Vec::new();
    for (name, value) in page.headers {
        let wrong = |error: String| format!("the header {name} cannot be sent: {error}");
        let name = HeaderName::try_from(name.as_str()).map_err(|error| wrong(error.to_string()))?;
        let value = HeaderValue::try_from(value).map_err(|error| wrong(error.to_string()))?;
        let headers = request.headers_mut();
        // The first of a name takes the place of ours; the others come beside it.
        if replaced.contains(&name) {
            headers.append(name, value);
        } else {
            headers.insert(name.clone(), value);
            replaced.push(name);
        }
    }
    Ok(request)
}

/// Takes any certificate: a probe asks whether somebody answers, not who.
static TRUSTING: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let provider = certs::provider();
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has every version that is safe")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(schemes)))
        .with_no_client_auth();
    Arc::new(config)
});

#[derive(Debug)]
struct Anybody(Vec<SignatureScheme>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Looks at a server that answers each request by its path; returns what came of it, and the last request.
    async fn look(path: &str, headers: &[(String, String)], answers: &[(&str, &str)]) -> (Answer, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers: Vec<(String, String)> =
            answers.iter().map(|(path, answer)| ((*path).to_owned(), (*answer).to_owned())).collect();
        let (hear, heard) = tokio::sync::watch::channel(String::new());
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).await.unwrap();
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                let answer = answers.iter().find(|(path, _)| text.starts_with(&format!("GET {path} ")));
                let answer = answer.map_or("", |(_, answer)| answer);
                hear.send_replace(text);
                stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.unwrap();
            }
        });
        let page = Page { tls: false, authority: address.to_string(), path: path.to_owned(), headers };
        let dial = || -> BoxFuture<'static, _> {
            Box::pin(async move {
                TcpStream::connect(address).await.map_err(|error| Unreached::Failed(error.to_string()))
            })
        };
        let answer = get(page, dial).await;
        server.abort();
        let heard = heard.borrow().to_lowercase();
        (answer, heard)
    }

    #[tokio::test]
    async fn a_header_takes_the_place_of_ours() {
        let headers = [("Host", "web.test"), ("X-A", "1"), ("x-a", "2")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (answer, heard) = look("/", &headers, &[("/", "200 OK")]).await;
        assert_eq!(answer, Answer::Good);
        for line in ["host: web.test\r\n", "x-a: 1\r\n", "x-a: 2\r\n", "user-agent: kube-probe/"] {
            assert_eq!(heard.matches(line).count(), 1, "{heard}");
        }
        assert_eq!(heard.matches("\r\nhost:").count(), 1, "{heard}");
    }

    #[tokio::test]
    async fn the_status_decides() {
        for (status, good) in
            [("200 OK", true), ("204 No Content", true), ("404 No", false), ("503 No", false)]
        {
            let (answer, _) = look("/", &[], &[("/", status)]).await;
            assert_eq!(answer == Answer::Good, good, "{status}: {answer:?}");
        }
        let (answer, _) = look("/", &[], &[("/", "500 No")]).await;
        assert_eq!(answer, Answer::Bad("HTTP probe failed with statuscode: 500".into()));
    }

    #[tokio::test]
    async fn redirections_are_followed_at_home_only() {
        let home = [("/a", "302 Found\r\nLocation: /b?c"), ("/b?c", "500 No")];
        let (answer, _) = look("/a", &[], &home).await;
        assert_eq!(answer, Answer::Bad("HTTP probe failed with statuscode: 500".into()));
        let (answer, _) = look("/a", &[], &[("/a", "302 Found\r\nLocation: http://192.0.2.1/b")]).await;
        assert_eq!(answer, Answer::Good);
        let (answer, _) = look("/a", &[], &[("/a", "302 Found\r\nLocation: /a")]).await;
        assert!(matches!(answer, Answer::Bad(why) if why.contains("more than 10")));
    }
}
