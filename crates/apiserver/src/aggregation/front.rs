//! How this server shows other programs that it is the one which may name users: a certificate of an authority that issues
//! nothing else. Both are published, with the names of the headers.

use certs::Issued;
use parking_lot::RwLock;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

/// Where it is published.
pub(super) const NAMESPACE: &str = "kube-system";
/// The ConfigMap that publishes it.
pub(super) const NAME: &str = "extension-apiserver-authentication";

/// Certificate and authorities.
#[derive(Debug)]
pub struct Front {
    /// Common name of the certificate.
    name: String,
    /// The authority of the certificate, PEM.
    authority: String,
    /// The authority of users' certificates, PEM.
    client_authority: String,
    issued: RwLock<Issued>,
}

impl Front {
    /// Shows the certificate `issued` for `name` by `authority`. Users' certificates are of `client_authority`. Both are
    /// PEM.
    pub fn new(name: &str, authority: &str, client_authority: &str, issued: Issued) -> Self {
        Self {
            name: name.to_owned(),
            authority: authority.to_owned(),
            client_authority: client_authority.to_owned(),
            issued: RwLock::new(issued),
        }
    }

    /// Shows another certificate from now on.
    pub fn replace(&self, issued: Issued) {
        *self.issued.write() = issued;
    }

    /// The certificate as TLS shows it, with its key.
    pub(super) fn identity(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), certs::Error> {
        let issued = self.issued.read();
        Ok((issued.certificate()?, issued.key()?))
    }

    /// What other programs have to know.
    pub(super) fn published(&self) -> Value {
        let list = |item: &str| json!([item]).to_string();
        json!({
            "client-ca-file": self.client_authority,
            "requestheader-allowed-names": list(&self.name),
            "requestheader-client-ca-file": self.authority,
            "requestheader-extra-headers-prefix": list("X-Remote-Extra-"),
            "requestheader-group-headers": list("X-Remote-Group"),
            "requestheader-uid-headers": list("X-Remote-Uid"),
            "requestheader-username-headers": list("X-Remote-User"),
        })
    }
}
