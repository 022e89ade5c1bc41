//! One question over HTTPS: connect, send, read, within bounds.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::target::{Address, Target};

/// Most bytes of an answer.
const ANSWER_MAX: usize = 4 << 20;
/// Time that an address has for itself, before another one is tried beside it.
const PACE: Duration = Duration::from_secs(1);
/// Time for a connection.
const DIAL: Duration = Duration::from_secs(5);
/// Time for TLS on it.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Addresses whose failure is told.
const TOLD: usize = 3;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Error {
    /// It could not be reached.
    Connection(String),
    /// It answered something else.
    Answer(String),
}

/// Whom to believe that they are who they are called.
#[derive(Debug)]
pub(crate) enum Trust {
    /// Who has a certificate of the authorities in this bundle (PEM in base64).
    Bundle(String),
    /// Who has one of the system's authorities.
    System,
    /// Everybody.
    Anybody,
}

impl Trust {
    /// A bundle, or else the system's authorities.
    pub(crate) fn of(bundle: Option<&str>) -> Self {
        bundle.map_or(Self::System, |bundle| Self::Bundle(bundle.to_owned()))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::Anybody => {}
            Self::Bundle(bundle) => {
                let pem =
                    STANDARD.decode(bundle).map_err(|error| format!("caBundle is not base64: {error}"))?;
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    let certificate = certificate.map_err(|error| format!("caBundle is not PEM: {error}"))?;
                    roots.add(certificate).map_err(|error| format!("caBundle: {error}"))?;
                }
                if roots.is_empty() {
                    return Err("unable to load root certificates: caBundle has none".to_owned());
                }
            }
            Self::System => {
                for certificate in rustls_native_certs::load_native_certs().certs {
                    // The system may keep some that cannot be used.
                    drop(roots.add(certificate));
                }
            }
        }
        Ok(roots)
    }
}

/// Makes a TLS configuration that believes as `trust` says, and shows the certificate of `identity`.
pub(crate) fn configure(
    trust: &Trust,
    identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if matches!(trust, Trust::Anybody) {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous))
    } else {
        builder.with_root_certificates(trust.roots()?)
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            builder.with_client_auth_cert(vec![certificate], key).map_err(|error| error.to_string())?
        }
    };
    // Connections of their own spread over what stands behind one name.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Believes every certificate, as `insecureSkipTLSVerify` asks for; who shows one must hold its key all the same.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &certs::provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &certs::provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        certs::provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Sends `body` to the first address that takes it; returns the body of the answer.
pub(crate) async fn post(
    target: &Target,
    addresses: &[Address],
    tls: Arc<ClientConfig>,
    timeout: u64,
    body: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let stream = open(target, addresses, &tls).await.map_err(Error::Connection)?;
    exchange(target, stream, timeout, body).await
}

/// Connects to the first address of a target that takes the connection: another one is tried when one fails, and beside
/// one that takes its time, so that a host which is gone costs a moment.
///
/// # Errors
/// Says why no address can be connected to, in words that are the same whichever was tried first.
pub(crate) async fn open(
    target: &Target,
    addresses: &[Address],
    tls: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, String> {
    let mut untried = addresses.iter();
    let mut tried = FuturesUnordered::new();
    let mut failures = BTreeSet::new();
    loop {
        match untried.next() {
            Some(address) => tried.push(connect(target, address, tls)),
            None if tried.is_empty() => break,
            None => {}
        }
        let last = untried.len() == 0;
        tokio::select! {
            Some(outcome) = tried.next() => match outcome {
                Ok(stream) => return Ok(stream),
                Err(why) => drop(failures.insert(why)),
            },
            () = tokio::time::sleep(PACE), if !last => {}
        }
    }
    if failures.is_empty() {
        return Err("no address to connect to".to_owned());
    }
    let told: Vec<String> = failures.into_iter().take(TOLD).collect();
    Err(told.join("; "))
}

/// Connects to one address of a target.
///
/// # Errors
/// Says why that cannot be done.
async fn connect(
    target: &Target,
    (host, port): &Address,
    tls: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, String> {
    let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let dialled = tokio::time::timeout(DIAL, TcpStream::connect((host.as_str(), *port))).await;
    let dialled = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = dialled.map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
            io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
            _ => error.to_string(),
        };
        format!("dial tcp {shown}: {why}")
    })?;
    // A question is one small packet behind another.
    drop(stream.set_nodelay(true));
    let host = target.host();
    let name = ServerName::try_from(host.clone()).map_err(|_| format!("{host:?} is no host name"))?;
    let connector = TlsConnector::from(Arc::clone(tls));
    match tokio::time::timeout(HANDSHAKE, connector.connect(name, stream)).await {
        Ok(shaken) => shaken.map_err(|error| mistrust(&error)),
        Err(_) => Err("net/http: TLS handshake timeout".to_owned()),
    }
}

/// Says why TLS does not come about. The words stand in conditions, which are written when they change: no time of day.
fn mistrust(error: &io::Error) -> String {
    let Some(inner) = error.get_ref() else { return error.to_string() };
    let fault = match inner.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(fault)) => fault_of(fault),
        _ => None,
    };
    let why = fault.unwrap_or_else(|| inner.to_string());
    if why.contains("certificate") {
        format!("tls: failed to verify certificate: {why}")
    } else {
        format!("tls: {why}")
    }
}

/// The words that Go's clients have for what is wrong with a certificate, which people look for; none for what is rare.
fn fault_of(fault: &CertificateError) -> Option<String> {
    Some(match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "x509: certificate has expired or is not yet valid: it has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "x509: certificate has expired or is not yet valid: it is not yet valid".to_owned()
        }
        CertificateError::UnknownIssuer => "x509: certificate signed by unknown authority".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            // Names come with the word for what they are: `DnsName("a.test")`.
            let bare = |name: &String| {
                let within = name.split_once('(').map_or(name.as_str(), |(_, within)| within);
                within.trim_end_matches(')').trim_matches('"').to_owned()
            };
            let names: Vec<String> = presented.iter().map(bare).collect();
            let expected = expected.to_str();
            if names.is_empty() {
                format!("x509: certificate is not valid for any names, but wanted to match {expected}")
            } else {
                format!("x509: certificate is valid for {}, not {expected}", names.join(", "))
            }
        }
        _ => return None,
    })
}

async fn exchange(
    target: &Target,
    stream: TlsStream<TcpStream>,
    timeout: u64,
    body: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let broken = |error: hyper::Error| Error::Connection(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let _driven = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::post(format!("{}?timeout={timeout}s", target.path()))
        .header(header::HOST, target.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, */*")
        .header(header::USER_AGENT, "kube-apiserver-admission")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Error::Connection(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let read = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    let bytes =
        read.map_err(|error| Error::Answer(format!("its answer cannot be read: {error}")))?.to_bytes();
    if status != StatusCode::OK {
        let text = String::from_utf8_lossy(&bytes);
        let text: String = text.trim().chars().take(512).collect();
        return Err(Error::Answer(match status.as_u16() {
            404 => "the server could not find the requested resource".to_owned(),
            500.. => {
                format!("an error on the server ({text:?}) has prevented the request from succeeding")
            }
            _ => format!("the server answered {status}: {text:?}"),
        }));
    }
    Ok(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_faulted_in_the_words_that_people_know() {
        let named = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("b.test").expect("a name"),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (fault, words) in [
            (CertificateError::UnknownIssuer, "signed by unknown authority"),
            (CertificateError::Expired, "it has expired"),
            (
                named(&["DnsName(\"a.test\")", "IpAddress(127.0.0.1)"]),
                "valid for a.test, 127.0.0.1, not b.test",
            ),
            (named(&[]), "not valid for any names, but wanted to match b.test"),
        ] {
            let told = fault_of(&fault).expect("words");
            assert!(told.starts_with("x509: certificate") && told.ends_with(words), "{told}");
        }
        assert_eq!(fault_of(&CertificateError::Revoked), None);
    }
}
