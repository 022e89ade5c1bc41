//! Images from registries.

use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt as _;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;

use crate::credentials::{Credential, Credentials};
use crate::digest::Digest;
use crate::error::Error;
use crate::lock;
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::reference::Reference;
use crate::store::{Image, Origin, Store};

/// How long a connection may take, and how long a registry may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pieces of a download that wait for the disk.
const BUFFERED: usize = 8;

/// When to ask the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time; what is here already is not downloaded again.
    Always,
    /// When the image is not here.
    IfNotPresent,
    /// Never.
    Never,
}

impl PullPolicy {
    /// Returns the policy of a Pod that names none: a moving tag is asked for each time.
    pub fn usual(reference: &Reference) -> Self {
        if reference.is_latest() && !reference.is_local() { Self::Always } else { Self::IfNotPresent }
    }
}

/// How to reach registries.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What they ask for.
    pub credentials: Credentials,
    /// Registries (host, with its port) that are spoken to without TLS. Loopback addresses are, too.
    pub insecure: Vec<String>,
    /// Registries that are spoken to by TLS although they are on this machine.
    pub secure: Vec<String>,
    /// Further certificate authorities, as PEM.
    pub authorities: Vec<Vec<u8>>,
}

impl Store {
    /// Returns the image `reference`, from here or from its registry as `policy` says. Pulls of one image at the
    /// same time share one download.
    ///
    /// # Errors
    /// When the image cannot be had; the error names the registry's answer. Nothing of a broken download stays.
    pub async fn pull(&self, reference: &str, policy: PullPolicy, access: &Access) -> Result<Image, Error> {
        let reference: Reference = reference.parse()?;
        let absent = |remedy| Error::Absent { reference: reference.to_string(), remedy };
        if reference.is_local() {
            return self.find(&reference)?.ok_or_else(|| absent("; load it with `ironclad image load`"));
        }
        if policy != PullPolicy::Always
            && let Some(image) = self.find(&reference)?
        {
            return Ok(image);
        }
        if policy == PullPolicy::Never {
            return Err(absent(", and its pull policy is Never; load it or allow pulling"));
        }
        let lock = self.0.pulling.of(&reference.to_string());
        let waited = lock.try_lock().is_err();
        let _once = lock.lock().await;
        if (waited || policy == PullPolicy::IfNotPresent)
            && let Some(image) = self.find(&reference)?
        {
            return Ok(image);
        }
        let root = self.0.root.clone();
        let _guard = tokio::task::spawn_blocking(move || lock::shared(&root))
            .await
            .map_err(|error| interrupted(&reference, &error))??;
        Download::new(self, &reference, access).run().await
    }
}

fn interrupted(reference: &Reference, error: &tokio::task::JoinError) -> Error {
    registry_error(reference, OciDistributionError::GenericError(Some(error.to_string())))
}

fn registry_error(reference: &Reference, source: OciDistributionError) -> Error {
    Error::Registry { reference: reference.to_string(), source: Box::new(source) }
}

/// One image on its way.
struct Download<'a> {
    store: &'a Store,
    reference: &'a Reference,
    client: oci_client::Client,
    auth: RegistryAuth,
}

impl<'a> Download<'a> {
    fn new(store: &'a Store, reference: &'a Reference, access: &Access) -> Self {
        let registry = reference.inner().resolve_registry();
        let secure = access.secure.iter().any(|host| host == registry);
        let plain = (is_loopback(registry) && !secure) || access.insecure.iter().any(|host| host == registry);
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            extra_root_certificates: access
                .authorities
                .iter()
                .map(|data| Certificate { encoding: CertificateEncoding::Pem, data: data.clone() })
                .collect(),
            platform_resolver: None,
            connect_timeout: Some(PATIENCE),
            read_timeout: Some(PATIENCE),
            user_agent: concat!("ironclad/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let auth = match access.credentials.get(reference.registry()) {
            None => RegistryAuth::Anonymous,
            Some(Credential::Basic { username, password }) => {
                RegistryAuth::Basic(username.clone(), password.clone())
            }
            Some(Credential::Bearer(token)) => RegistryAuth::Bearer(token.clone()),
        };
        Self { store, reference, client: oci_client::Client::new(config), auth }
    }

    async fn run(&self) -> Result<Image, Error> {
        let (digest, manifest) = self.manifest().await?;
        self.store.check(&manifest, &self.reference.to_string())?;
        for blob in [&manifest.config].into_iter().chain(&manifest.layers) {
            self.blob(blob).await?;
        }
        self.store.publish(self.reference, digest, Origin::Registry)
    }

    /// Fetches the manifest for this machine's processor.
    async fn manifest(&self) -> Result<(Digest, Manifest), Error> {
        let (digest, bytes) = self.document(self.reference.inner(), self.reference.digest()).await?;
        let what = format!("the manifest of image {}", self.reference);
        match manifest::document(&bytes, &what)? {
            Document::Manifest(manifest) => Ok((digest, manifest)),
            Document::Index(index) => {
                let chosen = manifest::choose(&index, manifest::architecture(), &self.reference.to_string())?;
                let name = self.reference.with_digest(&chosen.digest.to_string());
                let (digest, bytes) = self.document(&name, Some(&chosen.digest.to_string())).await?;
                match manifest::document(&bytes, &what)? {
                    Document::Manifest(manifest) => Ok((digest, manifest)),
                    Document::Index(_) => {
                        Err(Error::Document { what, reason: "an index inside an index".to_owned() })
                    }
                }
            }
        }
    }

    /// Fetches and keeps a manifest or index, verified when its digest is known.
    async fn document(
        &self,
        name: &oci_client::Reference,
        digest: Option<&str>,
    ) -> Result<(Digest, Vec<u8>), Error> {
        let answer = self.client.pull_manifest_raw(name, &self.auth, manifest::ACCEPTED).await;
        let (bytes, _) = answer.map_err(|error| registry_error(self.reference, error))?;
        let what = format!("the manifest of image {}", self.reference);
        self.store.0.blobs.check_document(&bytes, &what)?;
        let found = Digest::of(&bytes);
        if let Some(text) = digest {
            let expected: Digest = text.parse().map_err(|error: crate::digest::ParseError| {
                Error::Reference { reference: self.reference.to_string(), reason: error.to_string() }
            })?;
            if expected != found {
                return Err(Error::Mismatch { what, expected, found });
            }
        }
        self.store.0.blobs.put(&bytes, &what)?;
        Ok((found, bytes.to_vec()))
    }

    /// Downloads a blob that is not here, verifying it as it comes. The disk's work is done on a thread of its own.
    async fn blob(&self, descriptor: &Descriptor) -> Result<(), Error> {
        // Images that share a layer share its download too.
        let lock = self.store.0.pulling.of(&descriptor.digest.to_string());
        let _once = lock.lock().await;
        if self.store.0.blobs.has(descriptor) {
            return Ok(());
        }
        let digest = descriptor.digest.to_string();
        let answer = self.client.pull_blob_stream(self.reference.inner(), digest.as_str()).await;
        let mut stream = answer.map_err(|error| registry_error(self.reference, error))?.stream;
        let what = format!("{digest} of image {}", self.reference);
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(BUFFERED);
        let blobs = self.store.0.blobs.clone();
        let expected = (descriptor.digest, descriptor.size);
        let reference = self.reference.to_string();
        let writer = tokio::task::spawn_blocking(move || {
            let mut staged = blobs.begin(&what)?;
            while let Some(piece) = receiver.blocking_recv() {
                let piece = piece.map_err(|source| Error::Download {
                    reference: reference.clone(),
                    digest: expected.0,
                    source,
                })?;
                staged.write(&piece, Some(expected.1))?;
            }
            staged.finish(blobs.directory(), Some(expected))
        });
        while let Some(piece) = stream.next().await {
            let failed = piece.is_err();
            // The writer ends early when it finds the blob bad; it then says why.
            if sender.send(piece.map(|bytes| bytes.to_vec())).await.is_err() || failed {
                break;
            }
        }
        drop(sender);
        writer.await.map_err(|error| interrupted(self.reference, &error))?.map(drop)
    }
}

/// Returns whether a registry is on this machine: `localhost`, `127.0.0.0/8`, `::1`, with or without a port.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_spoken_to_without_tls() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "example:5000", "10.0.0.1", "docker.io", "127.0.0.1.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn moving_tags_are_asked_for_each_time() {
        let usual = |name: &str| PullPolicy::usual(&name.parse().unwrap());
        assert_eq!(usual("docker.io/x/y"), PullPolicy::Always);
        assert_eq!(usual("docker.io/x/y:1"), PullPolicy::IfNotPresent);
        assert_eq!(usual("ironclad.local/guest"), PullPolicy::IfNotPresent);
    }
}
