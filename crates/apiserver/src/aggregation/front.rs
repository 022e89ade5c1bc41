//! How this server shows other programs that it is the one which may name users: a certificate of an authority that issues
//! nothing else. Both are published, with the names of the headers.

use certs::Issued;
use machinery::status::Status;
use parking_lot::RwLock;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::cache::ObjectKey;
use crate::registry::Collection;
use crate::resource::bootstrap;
use crate::resource::storage::{self, Intent};
use crate::{ApiServer, Result};

/// Namespace of the ConfigMap that publishes it.
const NAMESPACE: &str = "kube-system";
/// Name of that ConfigMap.
const NAME: &str = "extension-apiserver-authentication";

/// Certificate and authorities.
#[derive(Debug)]
pub struct Front {
    /// Common name of the certificate.
    name: String,
    /// The authority of the certificate, PEM.
    authority: String,
    /// The authority of users' certificates, PEM.
    client_authority: String,
    /// The certificate, and how many there were before it.
    issued: RwLock<(u64, Issued)>,
}

/// A certificate as TLS shows it, with its key.
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Front {
    /// Shows the certificate `issued` for `name` by `authority`. Users' certificates are of `client_authority`. Both are
    /// PEM.
    pub fn new(name: &str, authority: &str, client_authority: &str, issued: Issued) -> Self {
        Self {
            name: name.to_owned(),
            authority: authority.to_owned(),
            client_authority: client_authority.to_owned(),
            issued: RwLock::new((0, issued)),
        }
    }

    /// Shows another certificate from now on.
    pub fn replace(&self, issued: Issued) {
        let mut shown = self.issued.write();
        *shown = (shown.0 + 1, issued);
    }

    /// The certificate that is shown now, and its number: with another certificate, another number.
    pub(super) fn identity(&self) -> (u64, Result<Identity, certs::Error>) {
        let shown = self.issued.read();
        let (number, issued) = &*shown;
        (*number, issued.certificate().and_then(|certificate| Ok((certificate, issued.key()?))))
    }

    /// What other programs have to know.
    fn published(&self) -> Value {
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

    /// Writes the ConfigMap that other programs read, where it is not as it should be.
    pub(super) async fn publish(&self, server: &ApiServer) -> Result<()> {
        let (maps, key) = place();
        let wanted = self.published();
        let Some(entry) = server.object(&maps, &key) else {
            let content = json!({"data": wanted});
            let made = bootstrap::ensure(server, "", "configmaps", NAMESPACE, NAME, content).await;
            return made.map_err(|error| Status::internal(error.to_string()).into());
        };
        let Ok(mut object) = entry.parse() else { return Ok(()) };
        let mut data = object["data"].clone();
        for (field, value) in wanted.as_object().into_iter().flatten() {
            data[field.as_str()] = value.clone();
        }
        if data != object["data"] {
            object["data"] = data;
            let written = storage::commit(server, &maps, &key, Some(entry.revision), Intent::Put(&object));
            super::watch::unless_somebody_else_wrote(written.await)?;
        }
        Ok(())
    }
}

/// Where it is published.
pub(super) fn place() -> (Collection, ObjectKey) {
    (Collection::new("", "configmaps"), ObjectKey::new(NAMESPACE, NAME))
}
