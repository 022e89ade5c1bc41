//! Makes one of several equal processes the one at work, by a Lease.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Api, ApiError, Context, Key, Meta, resources};

/// How an election is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionConfig {
    /// Namespace and name of the Lease.
    pub lease: Key,
    /// Name of this candidate, unlike any other's.
    pub identity: String,
    /// How long a leader counts after its last sign of life.
    pub duration: Duration,
    /// How often a leader gives one, and a candidate looks.
    pub interval: Duration,
}

impl ElectionConfig {
    /// Holds an election with the usual times: 15 s to live, 4 s between signs of life.
    pub fn new(lease: Key, identity: impl Into<String>) -> Self {
        Self {
            lease,
            identity: identity.into(),
            duration: Duration::from_secs(15),
            interval: Duration::from_secs(4),
        }
    }
}

/// A candidate.
#[derive(Debug)]
pub struct Election {
    context: Context,
    api: Api<LeaseView>,
    config: ElectionConfig,
}

/// The fields of a Lease that an election needs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct LeaseView {
    metadata: Meta,
    #[serde(default)]
    spec: LeaseSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaseSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_duration_seconds: Option<i32>,
    // Always with six digits of a second: Kubernetes refuses a Lease whose times have fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    acquire_time: Option<MicroTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_time: Option<MicroTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_transitions: Option<i32>,
}

crate::view!(LeaseView => resources::LEASE);

/// What another holder's Lease looked like, and since when by [`effects::Clock::elapsed`]. Clocks of others are not trusted, nor
/// is our own on the wall, which somebody may set.
#[derive(Default)]
struct Sighting {
    revision: String,
    since: Option<Duration>,
}

impl Election {
    /// Creates a candidate.
    pub fn new(context: &Context, config: ElectionConfig) -> Self {
        Self { context: context.clone(), api: Api::new(&context.client), config }
    }

    /// Waits to be elected, then runs `work` until it ends or the office is lost. Losing it drops `work`.
    ///
    /// The office counts as lost one interval before others may take it, so that two leaders never overlap while
    /// clocks run at about the same speed.
    pub async fn lead<T>(&self, work: impl Future<Output = T> + Send) -> Option<T> {
        self.elected().await;
        tracing::info!(lease = %self.config.lease, identity = self.config.identity, "elected");
        match select(pin!(work), pin!(self.hold())).await {
            Either::Left((outcome, _)) => Some(outcome),
            Either::Right(((), _)) => {
                tracing::warn!(lease = %self.config.lease, "no longer elected");
                None
            }
        }
    }

    async fn elected(&self) {
        let mut sighting = Sighting::default();
        let mut told = false;
        loop {
            match self.attempt(&mut sighting).await {
                Ok(true) => return,
                Ok(false) => told = false,
                // Once for each time that it begins: a missing right would keep this candidate idle for ever.
                Err(error) if !told => {
                    told = true;
                    tracing::warn!(lease = %self.config.lease, %error, "cannot stand for election");
                }
                Err(error) => tracing::debug!(%error, "still cannot stand for election"),
            }
            self.context.clock.sleep(self.config.interval).await;
        }
    }

    /// Renews until that fails for too long.
    async fn hold(&self) {
        let mut renewed = self.context.clock.elapsed();
        let limit = self.config.duration.saturating_sub(self.config.interval);
        loop {
            self.context.clock.sleep(self.config.interval).await;
            let asked = self.context.clock.elapsed();
            match self.attempt(&mut Sighting::default()).await {
                Ok(true) => renewed = asked,
                Ok(false) => return,
                Err(error) => tracing::debug!(%error, "cannot renew the lease"),
            }
            let silent = self.context.clock.elapsed().saturating_sub(renewed);
            if silent >= limit {
                return;
            }
        }
    }

    /// Takes or renews the Lease if that is allowed now.
    async fn attempt(&self, sighting: &mut Sighting) -> Result<bool, ApiError> {
        let key = &self.config.lease;
        let now = self.context.now();
        let Some(mut lease) = self.api.find(key).await? else {
            let spec = self.claim(&LeaseSpec::default(), now);
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": key.name, "namespace": key.namespace},
                "spec": spec,
            });
            return won(self.api.create(&key.namespace, &lease).await);
        };
        let holder = lease.spec.holder_identity.as_deref().unwrap_or_default();
        if !holder.is_empty() && holder != self.config.identity {
            let seen = self.context.clock.elapsed();
            if sighting.revision != lease.metadata.resource_version {
                *sighting = Sighting { revision: lease.metadata.resource_version, since: Some(seen) };
                return Ok(false);
            }
            let seconds = lease.spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let since = sighting.since.unwrap_or(seen);
            if seen.saturating_sub(since) < Duration::from_secs(seconds.unwrap_or(15)) {
                return Ok(false);
            }
        }
        lease.spec = self.claim(&lease.spec, now);
        let mut object = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"});
        object["metadata"] = json!(lease.metadata);
        object["spec"] = json!(lease.spec);
        won(self.api.replace(key, &object).await)
    }

    fn claim(&self, before: &LeaseSpec, now: Timestamp) -> LeaseSpec {
        let mine = before.holder_identity.as_deref() == Some(&self.config.identity);
        let transitions = before.lease_transitions.unwrap_or(0);
        let now = MicroTime(now);
        LeaseSpec {
            holder_identity: Some(self.config.identity.clone()),
            lease_duration_seconds: Some(self.config.duration.as_secs() as i32),
            acquire_time: if mine { before.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if mine { transitions } else { transitions.saturating_add(1) }),
        }
    }
}

/// Losing a race is no failure.
fn won(result: Result<LeaseView, ApiError>) -> Result<bool, ApiError> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.is_conflict() || error.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_digits_of_a_second_whatever_they_are() {
        for (time, written) in [
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.000000Z"),
            ("2027-01-01T00:00:00.12Z", "2027-01-01T00:00:00.120000Z"),
            ("2027-01-01T00:00:00.123456789Z", "2027-01-01T00:00:00.123456Z"),
        ] {
            let spec =
                LeaseSpec { renew_time: Some(MicroTime(time.parse().unwrap())), ..LeaseSpec::default() };
            assert_eq!(json!(spec), json!({"renewTime": written}));
        }
    }
}
