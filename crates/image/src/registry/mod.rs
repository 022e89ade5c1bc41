//! Images from registries.

mod challenge;
mod client;
mod download;
mod flight;
mod pace;
mod problem;

use std::time::Duration;

use crate::credentials::Credentials;
use crate::digest::Digest;
use crate::error::Error;
use crate::reference::Reference;
use crate::store::{Image, Store};
use download::Download;

pub(crate) use flight::Flight;
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
    /// How long a connection may take to come about, where that is not as usual.
    pub connect_patience: Option<Duration>,
}

impl Access {
    /// Returns a fingerprint of what there is to log in with.
    fn login(&self, reference: &Reference) -> Option<Digest> {
        let registry = reference.registry();
        self.credentials.get(registry).map(|own| own.fingerprint(registry))
    }
}

/// How long a connection may take when there is something to go on with.
const HASTE: Duration = Duration::from_secs(5);

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
        let login = access.login(&reference);
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
        let flight = self.0.flights.of(&reference.to_string());
        let turn = flight.turn(login).await?;
        if (turn.waited || policy == PullPolicy::IfNotPresent)
            && let Some(image) = own()?
        {
            return Ok(image);
        }
        let pulled = match Download::new(self, &reference, access) {
            Ok(download) => download.run().await,
            Err(error) => Err(error),
        };
        pulled.map_err(|error| turn.failed(login, error))
    }

    /// Tells whether [`Store::pull`] would give the image without asking its registry.
    ///
    /// # Errors
    /// When the reference is invalid, or what is here cannot be read.
    pub fn is_here(&self, reference: &str, policy: PullPolicy, access: &Access) -> Result<bool, Error> {
        let reference: Reference = reference.parse()?;
        if policy == PullPolicy::Always && !reference.is_local() {
            return Ok(false);
        }
        let login = access.login(&reference);
        Ok(self.find_for(&reference, login.as_ref())?.is_some())
    }

    /// Does what [`Store::pull`] does; where the registry cannot be reached or does not give the image, one that somebody
    /// loaded here under this name by hand is given, with the reason.
    ///
    /// # Errors
    /// Those of [`Store::pull`].
    pub async fn pull_or_loaded(
        &self,
        reference: &str,
        policy: PullPolicy,
        access: &Access,
    ) -> Result<(Image, Option<Problem>), Error> {
        let loaded = self.resolve(reference)?.filter(|image| image.pinned);
        // There is something to go on with, so that a network which swallows everything keeps nobody waiting.
        let haste = loaded.is_some().then_some(HASTE);
        let access = Access { connect_patience: haste, ..access.clone() };
        match (self.pull(reference, policy, &access).await, loaded) {
            (Err(error), Some(loaded)) => match error.own() {
                Error::Registry { problem, .. } => Ok((loaded, Some(problem.clone()))),
                _ => Err(error),
            },
            (pulled, _) => pulled.map(|image| (image, None)),
        }
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
