//! Finds the directory that fills a claim.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube_ext::{Api, ApiError, Client, Key, Kind};

use crate::plan::Claimed;

/// Looks for the directory of a claim. `None`: there is no such claim. The inner error says why it cannot be used yet,
/// or not here.
pub(crate) async fn find(
    client: &Client,
    key: &Key,
    own: &Path,
) -> Result<Option<Result<Claimed, String>>, ApiError> {
    let Some(claim) = Api::<PersistentVolumeClaim>::new(client).find(key).await? else { return Ok(None) };
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|name| !name.is_empty());
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let Some(name) = name.filter(|_| phase == "Bound") else {
        return Ok(Some(Err(format!("PersistentVolumeClaim {} is not bound", key.name))));
    };
    let volume = Api::<PersistentVolume>::new(client).find(&Key::cluster(&name)).await?;
    Ok(Some(match volume {
        Some(volume) => directory(&claim, &volume, own),
        None => Err(format!("PersistentVolume {name} does not exist")),
    }))
}

/// Reads where a volume is, if it is the claim's.
fn directory(
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
    own: &Path,
) -> Result<Claimed, String> {
    let name = volume.name();
    let spec = volume.spec.clone().unwrap_or_default();
    let owner = spec.claim_ref.and_then(|owner| owner.uid).unwrap_or_default();
    if owner != claim.uid() || owner.is_empty() {
        return Err(format!("PersistentVolume {name} belongs to another claim than {}", claim.name()));
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err(format!("PersistentVolume {name} is a device; embedded nodes have directories only"));
    }
    let path = spec.local.map(|local| local.path).or_else(|| spec.host_path.map(|host| host.path));
    let path = path.map(PathBuf::from).filter(|path| path.is_absolute()).ok_or_else(|| {
        format!("PersistentVolume {name} is of a type that is not available on embedded nodes; use local")
    })?;
    let make = path == own.join(name);
    if !make && !path.is_dir() {
        return Err(format!("PersistentVolume {name}: {} is no directory of this node", path.display()));
    }
    Ok(Claimed { path, make })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_volume_fills_the_claim_that_it_names() {
        let claim: PersistentVolumeClaim =
            serde_json::from_value(json!({"metadata": {"name": "c", "uid": "u"}})).expect("a claim");
        let look = |spec: serde_json::Value| {
            let volume = serde_json::from_value(json!({"metadata": {"name": "v"}, "spec": spec}));
            directory(&claim, &volume.expect("a volume"), Path::new("/own"))
        };
        let own = look(json!({"claimRef": {"uid": "u"}, "local": {"path": "/own/v"}}));
        assert_eq!(own, Ok(Claimed { path: "/own/v".into(), make: true }));
        let by_hand = look(json!({"claimRef": {"uid": "u"}, "hostPath": {"path": "/tmp"}}));
        assert_eq!(by_hand, Ok(Claimed { path: "/tmp".into(), make: false }));
        for (spec, why) in [
            (json!({"claimRef": {"uid": "x"}, "local": {"path": "/own/v"}}), "another claim"),
            (json!({"local": {"path": "/own/v"}}), "another claim"),
            (json!({"claimRef": {"uid": "u"}, "nfs": {"path": "/", "server": "s"}}), "type"),
            (json!({"claimRef": {"uid": "u"}, "local": {"path": "own/v"}}), "type"),
            (json!({"claimRef": {"uid": "u"}, "local": {"path": "/no/such"}}), "no directory"),
            (json!({"claimRef": {"uid": "u"}, "volumeMode": "Block", "local": {"path": "/own/v"}}), "device"),
        ] {
            assert!(look(spec).unwrap_err().contains(why), "{why}");
        }
    }
}
