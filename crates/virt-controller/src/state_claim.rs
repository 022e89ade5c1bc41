//! The claim for what of a machine outlives its instance beside its disks: found by its label, or made.

use api::kubevirt::v1::VirtualMachineInstance;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube_ext::{Api, ApiError, Client, Kind as _, Select};
use plan::vmi::launcher;

/// Returns the name of the claim that `vmi` needs, which is made if it is not there; nothing for one that needs none.
pub(crate) async fn ensure(
    client: &Client,
    vmi: &VirtualMachineInstance,
    config: &launcher::Config,
) -> Result<Option<String>, ApiError> {
    let Some((label, value)) = launcher::state_label(vmi) else { return Ok(None) };
    let claims = Api::<PersistentVolumeClaim>::new(client);
    let namespace = vmi.metadata.namespace.as_deref().unwrap_or_default();
    // Asked of the server, not of a cache: one that lags would have a second claim made.
    let mut found = claims.list(&Select::labels(format!("{label}={value}")).within(namespace)).await?;
    found.retain(|claim| is_of(claim, vmi));
    // Of several, each start takes the same.
    let created = |claim: &PersistentVolumeClaim| {
        let time = claim.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (time, claim.metadata.name.clone())
    };
    found.sort_by_key(created);
    if let Some(first) = found.into_iter().next() {
        return Ok(Some(first.name().to_owned()));
    }
    let Some(claim) = launcher::state_claim(vmi, config) else { return Ok(None) };
    let made = claims.create(namespace, &claim).await?;
    Ok(Some(made.name().to_owned()))
}

/// Whether a claim that has the machine's name on it is the machine's: that of an earlier machine of the same name goes
/// with its owner.
fn is_of(claim: &PersistentVolumeClaim, vmi: &VirtualMachineInstance) -> bool {
    if claim.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let owners = |list: &Option<Vec<_>>| -> Vec<String> {
        let list: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference] =
            list.as_deref().unwrap_or_default();
        list.iter().map(|owner| owner.uid.clone()).collect()
    };
    let theirs = owners(&claim.metadata.owner_references);
    let mut ours = owners(&vmi.metadata.owner_references);
    ours.extend(vmi.metadata.uid.clone());
    theirs.is_empty() || theirs.iter().any(|owner| ours.contains(owner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_claim_of_an_earlier_machine_is_another() {
        let instance: VirtualMachineInstance = serde_json::from_value(json!({
            "metadata": {"name": "web", "uid": "i-2", "ownerReferences": [
                {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "web", "uid": "m-2"}]},
            "spec": {"domain": {"devices": {}}},
        }))
        .unwrap();
        let owned = |uid: &str| {
            json!({"ownerReferences": [
                {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "web", "uid": uid}]})
        };
        let mut leaving = owned("m-2");
        leaving["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        for (metadata, ours) in
            [(owned("m-2"), true), (owned("m-1"), false), (leaving, false), (json!({"name": "kept"}), true)]
        {
            let claim: PersistentVolumeClaim = serde_json::from_value::<Value>(json!({"metadata": metadata}))
                .and_then(serde_json::from_value)
                .unwrap();
            assert_eq!(is_of(&claim, &instance), ours, "{claim:?}");
        }
    }
}
