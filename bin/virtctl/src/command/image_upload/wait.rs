//! Waiting for the cluster: until it takes the upload, and until it has worked on it.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::objects::{PHASE, Wanted};
use crate::api::Api;
use crate::request::{Kind, Request};
use crate::say::say;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// How long the cluster may work on what was uploaded.
const PROCESSING: Duration = Duration::from_secs(24 * 3600);

/// Tells that the Pod which takes the upload is ready.
const READY: &str = "cdi.kubevirt.io/storage.pod.ready";
/// Says that a volume is filled by way of another claim.
const POPULATOR: &str = "cdi.kubevirt.io/storage.usePopulator";
/// Names that other claim.
const PRIME: &str = "cdi.kubevirt.io/storage.populator.pvcPrime";
/// Says that a DataVolume goes when it is filled.
const COLLECTED: &str = "cdi.kubevirt.io/storage.deleteAfterCompletion";

/// Part of an Event's message that tells of nothing but a second try.
const AGAIN: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// The cluster did not come to an end in time.
#[derive(Debug, thiserror::Error)]
#[error("timed out waiting for the condition")]
pub(super) struct TimedOut;

async fn find(api: &Api, kind: Kind, name: &str) -> Result<Option<Value>> {
    match api.read(&Request::object(&api.namespace, kind, name)?).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.code() == Some(404) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Finds the claim that an upload into a DataVolume goes to.
pub(super) async fn filled(api: &Api, name: &str, claim: Value) -> Result<Value> {
    let namespace = &api.namespace;
    let annotations = &claim["metadata"]["annotations"];
    let Some(data) = find(api, Kind::DataVolume, name).await? else {
        if annotations[COLLECTED] == "true" && annotations[PHASE] == "Succeeded" {
            bail!(
                "DataVolume already garbage-collected: Assuming PVC {namespace}/{name} is successfully populated"
            );
        }
        bail!("No DataVolume is associated with the existing PVC {namespace}/{name}");
    };
    if data["metadata"]["annotations"][POPULATOR] != "true" {
        return Ok(claim);
    }
    if claim["status"]["phase"] == "Bound" {
        bail!("PVC {name} already successfully populated");
    }
    let prime = annotations[PRIME].as_str();
    let prime = prime.ok_or_else(|| anyhow!("Unable to get PVC Prime name from PVC {namespace}/{name}"))?;
    let found = find(api, Kind::Claim, prime).await?;
    found.ok_or_else(|| anyhow!("Unable to get PVC Prime {namespace}/{name}"))
}

/// Waits until the cluster takes the upload.
pub(super) async fn ready(api: &Api, wanted: &Wanted, patience: Duration) -> Result<()> {
    let name = &wanted.name;
    let end = Instant::now() + patience;
    let mut told = false;
    loop {
        let kind = if wanted.claim { Kind::Claim } else { Kind::DataVolume };
        let found = find(api, kind, name).await?;
        if let Some(found) = &found {
            let phase = found["status"]["phase"].as_str().unwrap_or_default();
            if !wanted.claim && matches!(phase, "WaitForFirstConsumer" | "PendingPopulation") && !wanted.bind
            {
                bail!(
                    "cannot upload to DataVolume in {phase} phase, make sure the PVC is Bound, or use force-bind flag"
                );
            }
            let ready = if wanted.claim {
                found["metadata"]["annotations"][READY] == "true"
            } else {
                phase == "UploadReady"
            };
            if ready {
                if told {
                    say!("Pod now ready");
                }
                return Ok(());
            }
            failure(api, found).await?;
        }
        if !told {
            say!("Waiting for PVC {name} upload pod to be ready...");
            told = true;
        }
        if Instant::now() >= end {
            bail!(
                "the upload pod of {name} is not ready after {} s; `kubectl describe dv,pvc {name}` says more, --wait-secs \
                 waits longer",
                patience.as_secs()
            );
        }
        sleep(PAUSE).await;
    }
}

/// Looks whether Events say that it will never be ready.
async fn failure(api: &Api, object: &Value) -> Result<()> {
    let request = Request::list(Some(&api.namespace), Kind::Event)?.with_parameter(
        "fieldSelector",
        format!("involvedObject.name={}", object["metadata"]["name"].as_str().unwrap_or_default()),
    );
    let Ok(events) = api.read(&request).await else { return Ok(()) };
    for event in events["items"].as_array().into_iter().flatten() {
        if let Some(why) = fatal(event) {
            bail!(why);
        }
    }
    Ok(())
}

fn fatal(event: &Value) -> Option<String> {
    let message = event["message"].as_str().unwrap_or_default();
    match (event["involvedObject"]["kind"].as_str()?, event["reason"].as_str()?) {
        ("PersistentVolumeClaim", "ProvisioningFailed") if !message.contains(AGAIN) => {
            Some(format!("Provisioning failed: {message}"))
        }
        ("DataVolume", "ErrClaimNotValid") => Some(format!("Claim not valid: {message}")),
        _ => None,
    }
}

/// Waits until the cluster has worked on what was uploaded.
pub(super) async fn processed(api: &Api, name: &str) -> Result<()> {
    let end = Instant::now() + PROCESSING;
    loop {
        let claim = api.read(&Request::object(&api.namespace, Kind::Claim, name)?).await?;
        match claim["metadata"]["annotations"][PHASE].as_str() {
            Some("Succeeded") => {
                say!("Processing completed successfully");
                return Ok(());
            }
            Some("Failed") => {
                bail!("the upload could not be worked on: `kubectl describe pvc {name}` says why")
            }
            _ if Instant::now() >= end => return Err(TimedOut.into()),
            _ => sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_tell_what_will_never_be_ready() {
        let event = |kind: &str, reason: &str, message: &str| json!({"involvedObject": {"kind": kind}, "reason": reason, "message": message});
        assert_eq!(
            fatal(&event("PersistentVolumeClaim", "ProvisioningFailed", "no class")).as_deref(),
            Some("Provisioning failed: no class")
        );
        assert_eq!(fatal(&event("PersistentVolumeClaim", "ProvisioningFailed", AGAIN)), None);
        assert_eq!(
            fatal(&event("DataVolume", "ErrClaimNotValid", "no size")).as_deref(),
            Some("Claim not valid: no size")
        );
        assert_eq!(fatal(&event("Pod", "Failed", "x")), None);
    }
}
