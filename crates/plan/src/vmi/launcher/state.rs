//! The claim for what of a machine outlives its instance beside its disks: UEFI variables, a TPM's memory.

use std::collections::BTreeMap;

use api::kubevirt::v1::VirtualMachineInstance;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Volume, VolumeMount,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use model::persistence;

use super::{Config, instance_reference, volumes};

/// Returns the label that leads to the claim of a machine, and its value; nothing for one that keeps nothing.
pub fn state_label(vmi: &VirtualMachineInstance) -> Option<(&'static str, String)> {
    let name = vmi.metadata.name.clone().unwrap_or_default();
    persistence::is_needed(vmi).then(|| (persistence::CLAIM, model::identity::label(&name)))
}

/// Renders the claim of a machine that has none yet. It goes with the machine; that of an instance without one goes with
/// the instance.
pub fn state_claim(vmi: &VirtualMachineInstance, config: &Config) -> Option<PersistentVolumeClaim> {
    let (label, value) = state_label(vmi)?;
    let name = vmi.metadata.name.clone().unwrap_or_default();
    let owners: Vec<OwnerReference> = vmi.metadata.owner_references.clone().unwrap_or_default();
    let owners = if owners.is_empty() { vec![instance_reference(vmi)] } else { owners };
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-{name}-", persistence::CLAIM)),
            namespace: vmi.metadata.namespace.clone(),
            labels: Some(BTreeMap::from([(label.to_owned(), value)])),
            owner_references: Some(owners),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([(
                    "storage".to_owned(),
                    Quantity(persistence::SIZE.to_owned()),
                )])),
                limits: None,
            }),
            storage_class_name: config.state_storage_class.clone(),
            volume_mode: Some("Filesystem".to_owned()),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}

/// Returns the volume of the Pod that shows the claim `name`, and the launcher's mount of it.
pub(super) fn volume(name: &str) -> (Volume, VolumeMount) {
    let volume = Volume {
        name: persistence::VOLUME.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: name.to_owned(),
            read_only: None,
        }),
        ..Volume::default()
    };
    let path = format!("{}/{}", volumes::PRIVATE_DIR, persistence::VOLUME);
    (volume, volumes::mount(persistence::VOLUME, path, false))
}
