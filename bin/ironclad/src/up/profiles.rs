//! A `StorageProfile` for each class of storage: what claims of the class may ask for, where that is known.

use std::time::Duration;

use k8s_openapi::api::storage::v1::StorageClass;
use kube_ext::{Api, ApiError, Client, Document, Key, Kind as _, Patch, Resource, Select};
use plan::storage;
use serde_json::{Value, json};

/// How often profiles are looked at, beside each change of a class: somebody may have changed or deleted one.
const LOOK: Duration = Duration::from_secs(30);

const PROFILE: Resource =
    Resource::cluster("cdi.kubevirt.io", "v1beta1", "StorageProfile", "storageprofiles");

/// Makes the profiles that are missing, and brings what they say up to date. Those of classes that go are collected with them.
/// Returns when to look again.
pub(super) async fn keep(client: &Client) -> Result<Option<Duration>, ApiError> {
    let profiles = Api::<Document>::of(client, PROFILE);
    let there = match profiles.list(&Select::default()).await {
        // Somebody has removed the kind.
        Err(error) if error.is_not_found() => return Ok(Some(LOOK)),
        there => there?,
    };
    for class in Api::<StorageClass>::new(client).list(&Select::default()).await? {
        let found = there.iter().find(|profile| profile.metadata.name == class.name());
        let made = match found {
            Some(_) => None,
            None => match profiles.create("", &profile(&class)).await {
                Err(error) if error.is_already_exists() => return Ok(Some(Duration::ZERO)),
                made => Some(made?),
            },
        };
        let Some(present) = found.or(made.as_ref()) else { continue };
        let part = |name: &str| present.fields.get(name).unwrap_or(&Value::Null);
        let wanted = status(&class, part("spec"));
        if *part("status") != wanted {
            // A field that is no longer said goes by null.
            let mut patch = wanted;
            for gone in part("status").as_object().into_iter().flatten().map(|(name, _)| name) {
                if patch.get(gone).is_none() {
                    patch[gone] = Value::Null;
                }
            }
            let patch = Patch::Merge(json!({"status": patch}));
            match profiles.patch_status(&Key::cluster(class.name()), &patch).await {
                // Deleted meanwhile.
                Err(error) if error.is_not_found() => {}
                written => drop(written?),
            }
        }
    }
    Ok(Some(LOOK))
}

fn profile(class: &StorageClass) -> Value {
    json!({
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "StorageProfile",
        "metadata": {
            "name": class.name(),
            "labels": {"cdi.kubevirt.io": ""},
            "ownerReferences": [{
                "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "name": class.name(), "uid": class.uid(),
            }],
        },
        "spec": {},
    })
}

/// What holds for a class: what its administrator says (`spec`), or what is known of the provisioner.
fn status(class: &StorageClass, spec: &Value) -> Value {
    let mut status = json!({"storageClass": class.name(), "provisioner": class.provisioner});
    if class.provisioner == storage::PROVISIONER {
        let set = |mode: &&str| json!({"accessModes": [mode], "volumeMode": "Filesystem"});
        status["claimPropertySets"] = storage::claim::MODES.iter().map(set).collect();
    }
    for (name, said) in spec.as_object().into_iter().flatten().filter(|(_, said)| !said.is_null()) {
        status[name] = said.clone();
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_administers_a_class_knows_better() {
        let mut class =
            StorageClass { provisioner: storage::PROVISIONER.to_owned(), ..StorageClass::default() };
        class.metadata.name = Some("local".to_owned());
        let known = status(&class, &json!({}));
        assert_eq!(known["claimPropertySets"][0]["accessModes"], json!(["ReadWriteOnce"]));
        let sets = json!([{"accessModes": ["ReadWriteMany"], "volumeMode": "Block"}]);
        let said = status(&class, &json!({"claimPropertySets": sets, "cloneStrategy": "copy"}));
        assert_eq!((&said["claimPropertySets"], &said["cloneStrategy"]), (&sets, &json!("copy")));
        class.provisioner = "csi.example".to_owned();
        assert_eq!(
            status(&class, &json!({})),
            json!({"storageClass": "local", "provisioner": "csi.example"})
        );
    }
}
