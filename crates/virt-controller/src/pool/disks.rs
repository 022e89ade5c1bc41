//! Disks that outlast their machine: it is taken off their owners, so that a machine of the same name finds them again.

use kube_ext::{Api, ApiError, Client, PartialObject, Patch, Select, resources};
use serde_json::json;

/// Takes the machine `uid` off the owners of all claims and DataVolumes in a namespace.
pub(super) async fn keep(client: &Client, namespace: &str, uid: &str) -> Result<(), ApiError> {
    // What fills a claim goes first: it would hand the claim over to whoever owns it.
    for resource in [resources::DATA_VOLUME, resources::PERSISTENT_VOLUME_CLAIM] {
        let api = Api::<PartialObject>::of(client, resource);
        let all = match api.list(&Select::default().within(namespace)).await {
            // DataVolumes are known where something fills them.
            Err(error) if error.is_not_found() => continue,
            all => all?,
        };
        let own = |disk: &PartialObject| disk.metadata.owner_references.iter().any(|owner| owner.uid == uid);
        for disk in all.into_iter().filter(own) {
            let key = kube_ext::Key::new(namespace, disk.metadata.name);
            let owners = super::without(disk.metadata.owner_references, uid);
            let revision = disk.metadata.resource_version;
            let patch = json!({"metadata": {"resourceVersion": revision, "ownerReferences": owners}});
            match api.patch(&key, &Patch::Merge(patch)).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
