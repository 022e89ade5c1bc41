//! Carries out what is planned for claims and volumes. Each write is on the condition that nothing changed since.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube_ext::{Api, ApiError, Client, Delete, Key, Kind, Patch};
use plan::storage::claim::NewVolume;
use plan::storage::{Claim, PROVISIONER, Volume, annotation, claim, finalizer, volume};
use serde_json::{Value, json};

/// Label that says which node a thing is on.
const HOSTNAME: &str = "kubernetes.io/hostname";

pub(super) struct Writer {
    claims: Api<PersistentVolumeClaim>,
    volumes: Api<PersistentVolume>,
}

impl Writer {
    pub(super) fn new(client: &Client) -> Self {
        Self { claims: Api::new(client), volumes: Api::new(client) }
    }

    pub(super) async fn claim(
        &self,
        claim: &Claim,
        revision: &str,
        action: &claim::Action,
    ) -> Result<(), ApiError> {
        let patch = match action {
            claim::Action::SetClass { class } => json!({"spec": {"storageClassName": class}}),
            claim::Action::AskProvisioner { provisioner } => {
                json!({"metadata": {"annotations": {annotation::PROVISIONER: provisioner}}})
            }
            claim::Action::BindClaim { volume } => json!({
                "metadata": {"annotations": {
                    annotation::BIND_COMPLETED: "yes", annotation::BOUND_BY_CONTROLLER: "yes",
                }},
                "spec": {"volumeName": volume},
            }),
            claim::Action::RemoveProtection => {
                json!({"metadata": {"finalizers": without(&claim.finalizers, finalizer::CLAIM_PROTECTION)}})
            }
            claim::Action::Status { phase, of } => {
                let status = match of {
                    Some((capacity, modes)) => {
                        json!({"phase": phase, "accessModes": modes, "capacity": {"storage": capacity}})
                    }
                    None => json!({"phase": phase}),
                };
                let patch = conditional(json!({"status": status}), &claim.uid, revision);
                return done(self.claims.patch_status(&key(claim), &patch).await);
            }
            claim::Action::Provision(new) => {
                return match self.volumes.create("", &object(new, claim)).await {
                    // Made by an attempt whose answer got lost.
                    Err(error) if error.is_already_exists() => Ok(()),
                    other => other.map(drop),
                };
            }
            claim::Action::BindVolume { volume } => return self.reserve(volume, claim).await,
            claim::Action::Grow { volume, capacity } => {
                let patch = json!({"spec": {"capacity": {"storage": capacity}}});
                return done(self.volumes.patch(&Key::cluster(volume), &Patch::Merge(patch)).await);
            }
            claim::Action::Tell(_) => return Ok(()),
        };
        done(self.claims.patch(&key(claim), &conditional(patch, &claim.uid, revision)).await)
    }

    pub(super) async fn volume(
        &self,
        volume: &Volume,
        revision: &str,
        action: &volume::Action,
    ) -> Result<(), ApiError> {
        let key = Key::cluster(&volume.name);
        match action {
            volume::Action::Phase { phase } => {
                let patch = conditional(json!({"status": {"phase": phase}}), &volume.uid, revision);
                done(self.volumes.patch_status(&key, &patch).await)
            }
            volume::Action::RemoveProtection => {
                let left = without(&volume.finalizers, finalizer::VOLUME_PROTECTION);
                let patch = conditional(json!({"metadata": {"finalizers": left}}), &volume.uid, revision);
                done(self.volumes.patch(&key, &patch).await)
            }
            volume::Action::Delete => {
                let how = Delete { resource_version: Some(revision.to_owned()), ..Delete::only(&volume.uid) };
                done(self.volumes.delete(&key, &how).await)
            }
        }
    }

    /// Tells whether the claim that a volume names is there after all.
    pub(super) async fn has_claim(&self, volume: &Volume) -> Result<bool, ApiError> {
        let Some(owner) = &volume.claim else { return Ok(false) };
        let found = self.claims.find(&Key::new(&owner.namespace, &owner.name)).await?;
        Ok(found.is_some_and(|claim| claim.uid() == owner.uid))
    }

    /// Has a volume name the claim, unless it names another meanwhile.
    async fn reserve(&self, name: &str, claim: &Claim) -> Result<(), ApiError> {
        let key = Key::cluster(name);
        let Some(volume) = self.volumes.find(&key).await? else { return Ok(()) };
        let owner = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        let mine = owner.is_none_or(|owner| {
            owner.namespace.as_deref() == Some(&claim.namespace)
                && owner.name.as_deref() == Some(&claim.name)
                && owner.uid.as_deref().is_none_or(|uid| uid.is_empty() || uid == claim.uid)
        });
        if !mine {
            return Ok(());
        }
        let patch = json!({
            "metadata": {"annotations": {annotation::BOUND_BY_CONTROLLER: "yes"}},
            "spec": {"claimRef": claim_ref(claim)},
        });
        done(self.volumes.patch(&key, &conditional(patch, volume.uid(), volume.resource_version())).await)
    }
}

fn key(claim: &Claim) -> Key {
    Key::new(&claim.namespace, &claim.name)
}

fn claim_ref(claim: &Claim) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "namespace": claim.namespace, "name": claim.name, "uid": claim.uid,
    })
}

fn without(finalizers: &[String], name: &str) -> Vec<String> {
    finalizers.iter().filter(|finalizer| *finalizer != name).cloned().collect()
}

fn conditional(mut patch: Value, uid: &str, revision: &str) -> Patch {
    patch["metadata"]["uid"] = json!(uid);
    patch["metadata"]["resourceVersion"] = json!(revision);
    Patch::Merge(patch)
}

/// That an object went meanwhile is fine.
fn done<T>(result: Result<T, ApiError>) -> Result<(), ApiError> {
    match result {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Writes down a directory of a node as a volume of the claim.
fn object(new: &NewVolume, claim: &Claim) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": new.name,
            "annotations": {annotation::PROVISIONED_BY: PROVISIONER},
            "finalizers": [finalizer::LOCAL_VOLUME],
        },
        "spec": {
            "capacity": {"storage": new.capacity},
            "accessModes": new.modes,
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": new.reclaim,
            "storageClassName": new.class,
            "claimRef": claim_ref(claim),
            "local": {"path": new.path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [new.node]}]},
            ]}},
        },
    })
}
