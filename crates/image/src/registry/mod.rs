//! Images from registries.

mod challenge;
mod client;
mod download;
mod problem;

use crate::credentials::Credentials;
use crate::error::Error;
use crate::lock;
use crate::reference::Reference;
use crate::store::{Image, Store};
use download::Download;

pub use problem::Problem;

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
    /// Registries whose certificate is not checked, and which may be without one.
    pub unverified: Vec<String>,
    /// Further certificate authorities, as PEM.
    pub authorities: Vec<Vec<u8>>,
}

impl Store {
    /// Returns the image `reference`, from here or from its registry as `policy` says. Pulls of one image at the
    /// same time share one download.
    ///
    /// An image that was pulled with a login is given without asking the registry only to those who bring the same
    /// login; for others the registry is asked with what they bring.
    ///
    /// # Errors
    /// When the image cannot be had; the error says what to do. Nothing of a broken download stays.
    pub async fn pull(&self, reference: &str, policy: PullPolicy, access: &Access) -> Result<Image, Error> {
        let reference: Reference = reference.parse()?;
        let absent = |remedy| Error::Absent { reference: reference.to_string(), remedy };
        if reference.is_local() {
            return self.find(&reference)?.ok_or_else(|| absent("; load it with `ironclad image load`"));
        }
        let login =
            access.credentials.get(reference.registry()).map(|own| own.fingerprint(reference.registry()));
        let own = || self.find_for(&reference, login.as_ref());
        if policy != PullPolicy::Always
            && let Some(image) = own()?
        {
            return Ok(image);
        }
        if policy == PullPolicy::Never {
            let stranger = self.find(&reference)?.is_some();
            return Err(absent(if stranger {
                " for everybody: it was pulled with a login; name a Secret with the same one, or allow pulling"
            } else {
                ", and its pull policy is Never; load it or allow pulling"
            }));
        }
        let lock = self.0.pulling.of(&reference.to_string());
        let waited = lock.try_lock().is_err();
        let _once = lock.lock().await;
        if (waited || policy == PullPolicy::IfNotPresent)
            && let Some(image) = own()?
        {
            return Ok(image);
        }
        let root = self.0.root.clone();
        let _guard = tokio::task::spawn_blocking(move || lock::shared(&root))
            .await
            .map_err(|error| interrupted(&reference, &error))??;
        Download::new(self, &reference, access)?.run().await
    }
}

fn interrupted(reference: &Reference, error: &tokio::task::JoinError) -> Error {
    refused(reference, Problem::Interrupted(error.to_string()))
}

fn refused(reference: &Reference, problem: Problem) -> Error {
    Error::Registry { reference: reference.to_string(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_tags_are_asked_for_each_time() {
        let usual = |name: &str| PullPolicy::usual(&name.parse().unwrap());
        assert_eq!(usual("docker.io/x/y"), PullPolicy::Always);
        assert_eq!(usual("docker.io/x/y:1"), PullPolicy::IfNotPresent);
        assert_eq!(usual("ironclad.local/guest"), PullPolicy::IfNotPresent);
    }
}
