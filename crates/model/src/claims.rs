//! What a claim means for the disk in it.

use std::collections::{BTreeMap, BTreeSet};

use api::kubevirt::v1::{VirtualMachineInstance, Volume};
use api::quantity::Quantity as ApiQuantity;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use machinery::quantity::Quantity;
use serde_json::{Value, json};

/// Disks in claims have sizes that are multiples of this, in bytes.
pub const ALIGNMENT: u64 = 1 << 20;

/// A claim as far as its disk depends on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Bytes that the volume has; 0 before it has one.
    pub capacity: u64,
    /// Bytes that were asked for.
    pub request: u64,
    /// What `status.volumeStatus` shows of it, in the shape of the object.
    pub shown: Value,
}

impl Claim {
    /// Reads a claim.
    pub fn of(claim: &PersistentVolumeClaim) -> Self {
        let spec = claim.spec.clone().unwrap_or_default();
        let status = claim.status.clone().unwrap_or_default();
        let list =
            |list: Option<BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>| {
                let list = list.unwrap_or_default().into_iter();
                list.map(|(name, amount)| (name, ApiQuantity(amount.0))).collect::<BTreeMap<_, _>>()
            };
        let capacity = list(status.capacity);
        let requests = list(spec.resources.and_then(|resources| resources.requests));
        let modes = status.access_modes.filter(|modes| !modes.is_empty()).or(spec.access_modes);
        let modes = modes.unwrap_or_default();
        let bytes = |list: &BTreeMap<String, ApiQuantity>| {
            let storage = list.get("storage").and_then(|amount| Quantity::parse(&amount.0).ok());
            storage.map(|amount| amount.bytes()).unwrap_or_default()
        };
        Self {
            capacity: bytes(&capacity),
            request: bytes(&requests),
            shown: json!({
                "claimName": claim.metadata.name.clone().unwrap_or_default(),
                "accessModes": modes,
                "volumeMode": spec.volume_mode.unwrap_or_else(|| "Filesystem".to_owned()),
                "capacity": capacity,
                "requests": requests,
                "filesystemOverhead": FILESYSTEM_OVERHEAD,
            }),
        }
    }

    /// Tells whether the claim is accessed in the way `mode`, as `ReadWriteMany`.
    pub fn is_accessed(&self, mode: &str) -> bool {
        self.shown["accessModes"].as_array().is_some_and(|modes| modes.iter().any(|known| known == mode))
    }

    /// Returns the size of a new disk in the claim: what was asked for, never more than there is.
    pub fn disk_size(&self) -> u64 {
        let size = match (self.request, self.capacity) {
            (0, capacity) => capacity,
            (request, 0) => request,
            (request, capacity) => request.min(capacity),
        };
        size - size % ALIGNMENT
    }
}

/// Share of a file system that is kept for its own structures, as the API reports it where nothing else says.
const FILESYSTEM_OVERHEAD: &str = "0.055";

/// Returns the name of the claim that a volume's disk is in, and whether the volume only reads it.
pub fn of_volume(volume: &Volume) -> Option<(&str, bool)> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some((&source.claim_name, source.read_only == Some(true)));
    }
    let source = volume.ephemeral.as_ref()?.persistent_volume_claim.as_ref()?;
    Some((&source.claim_name, true))
}

/// Returns the names of the claims that an instance uses.
pub fn wanted(vmi: &VirtualMachineInstance) -> BTreeSet<String> {
    vmi.spec.volumes.iter().filter_map(of_volume).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(request: Option<&str>, capacity: Option<&str>) -> Claim {
        let amount = |text: Option<&str>| text.map(|text| json!({"storage": text}));
        Claim::of(
            &serde_json::from_value(json!({
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": amount(request)}},
                "status": {"capacity": amount(capacity)},
            }))
            .unwrap(),
        )
    }

    #[test]
    fn a_disk_has_the_size_that_was_asked_for_and_never_more_than_there_is() {
        const MIB: u64 = 1 << 20;
        for (request, capacity, size) in [
            (Some("64Mi"), Some("1Gi"), 64 * MIB),
            (Some("1Gi"), Some("64Mi"), 64 * MIB),
            (Some("64Mi"), None, 64 * MIB),
            (None, Some("64Mi"), 64 * MIB),
            (Some("100M"), Some("100M"), 95 * MIB),
            (Some("1000000"), Some("1000000"), 0),
        ] {
            assert_eq!(claim(request, capacity).disk_size(), size, "{request:?} of {capacity:?}");
        }
    }

    #[test]
    fn only_volumes_of_claims_have_one() {
        let of = |source: Value| {
            let volume: Volume = serde_json::from_value(source).unwrap();
            of_volume(&volume).map(|(name, reads)| (name.to_owned(), reads))
        };
        let claim = json!({"claimName": "c"});
        assert_eq!(of(json!({"name": "v", "persistentVolumeClaim": claim})), Some(("c".to_owned(), false)));
        let ephemeral = json!({"name": "v", "ephemeral": {"persistentVolumeClaim": claim}});
        assert_eq!(of(ephemeral), Some(("c".to_owned(), true)));
        assert_eq!(of(json!({"name": "v", "emptyDisk": {"capacity": "1Gi"}})), None);
    }
}
