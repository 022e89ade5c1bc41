//! TLS configurations.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::authority::unreadable;
use crate::{Authority, Error, Issued, Result};

/// Returns the one provider of cryptography that is used everywhere.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Configures a server that speaks HTTP/2 and HTTP/1.1.
///
/// With `clients`, a client may show a certificate of that authority; a wrong one ends the connection, none is
/// accepted, so that other ways to authenticate stay open.
///
/// # Errors
/// Fails when the authority's certificate cannot be used.
pub fn server_config(
    certificate: Arc<dyn ResolvesServerCert>,
    clients: Option<&Authority>,
) -> Result<Arc<ServerConfig>> {
    server(certificate, clients.map(roots).transpose()?)
}

/// Configures a server as [`server_config`] does, whose clients' certificates come from authorities that somebody else
/// keeps: `clients` is their bundle in PEM.
///
/// # Errors
/// Fails when the bundle has no certificate, or one that cannot be used.
pub fn server_config_with_bundle(
    certificate: Arc<dyn ResolvesServerCert>,
    clients: &str,
) -> Result<Arc<ServerConfig>> {
    let unreadable = |error| unreadable("the bundle of the clients' authorities", error);
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(clients.as_bytes()) {
        roots.add(authority.map_err(|error| unreadable(error.to_string()))?).map_err(Error::Tls)?;
    }
    if roots.is_empty() {
        return Err(unreadable("it has no certificate".to_owned()));
    }
    server(certificate, Some(roots))
}

fn server(
    certificate: Arc<dyn ResolvesServerCert>,
    clients: Option<RootCertStore>,
) -> Result<Arc<ServerConfig>> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| Error::Tls(rustls::Error::General(error.to_string())))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Configures a client that trusts `authority`, and shows `certificate` if it has one.
///
/// # Errors
/// Fails when the certificates cannot be used.
pub fn client_config(authority: &Authority, certificate: Option<&Issued>) -> Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_root_certificates(roots(authority)?);
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            builder.with_client_auth_cert(vec![issued.certificate()?], issued.key()?).map_err(Error::Tls)?
        }
    };
    Ok(Arc::new(config))
}

fn roots(authority: &Authority) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).map_err(Error::Tls)?;
    Ok(roots)
}
