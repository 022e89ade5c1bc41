//! Volumes of the launcher Pod: its own directories, container disks as image volumes, claims.
//!
//! Secrets and cloud-init data are not among them: the node's agent reads those itself and hands over finished
//! images, so that a launcher never sees a credential it could leak.

use api::kubevirt::v1::VirtualMachineInstance;
use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, ImageVolumeSource, LocalObjectReference, PersistentVolumeClaimVolumeSource, Volume,
    VolumeMount,
};
use model::claims;

/// Run directory of the shim.
pub(super) const PRIVATE_DIR: &str = "/var/run/kubevirt-private";
/// Where the launcher's sockets are.
pub(super) const SOCKET_DIR: &str = "/var/run/kubevirt/sockets";
/// Where disks that end with the Pod are.
const EPHEMERAL_DIR: &str = "/var/run/kubevirt-ephemeral-disks";
/// Where container disks and boot containers are.
const CONTAINER_DISK_DIR: &str = "/var/run/kubevirt/container-disks";
/// Where claims with a file system are.
const CLAIM_DIR: &str = "/var/run/kubevirt-private/vmi-disks";

/// Returns the Pod's volumes and the launcher's mounts.
pub(super) fn all(vmi: &VirtualMachineInstance) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut volumes = Vec::new();
    let mut mounts = Vec::new();
    for (name, path) in
        [("private", PRIVATE_DIR), ("sockets", SOCKET_DIR), ("ephemeral-disks", EPHEMERAL_DIR)]
    {
        volumes.push(Volume {
            name: name.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        });
        mounts.push(mount(name, path.to_owned(), false));
    }
    for volume in &vmi.spec.volumes {
        if let Some(disk) = &volume.container_disk {
            let name = format!("container-disk-{}", volume.name);
            volumes.push(image(&name, &disk.image, disk.image_pull_policy.as_ref()));
            mounts.push(mount(&name, format!("{CONTAINER_DISK_DIR}/{}", volume.name), true));
        }
        let claim = claims::of_volume(volume).map(|(name, reads)| (name, reads.then_some(true)));
        let claim = claim.or_else(|| volume.data_volume.as_ref().map(|data| (data.name.as_str(), None)));
        if let Some((claim_name, read_only)) = claim {
            volumes.push(Volume {
                name: volume.name.clone(),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: claim_name.to_owned(),
                    read_only,
                }),
                ..Volume::default()
            });
            mounts.push(mount(&volume.name, format!("{CLAIM_DIR}/{}", volume.name), read_only == Some(true)));
        }
    }
    if let Some(boot) = kernel_boot(vmi) {
        volumes.push(image("kernel-boot", &boot.image, boot.image_pull_policy.as_ref()));
        mounts.push(mount("kernel-boot", format!("{CONTAINER_DISK_DIR}/kernel-boot"), true));
    }
    (volumes, mounts)
}

/// Returns the mounts of the container that shows the console's log.
pub(super) fn console_mounts() -> Vec<VolumeMount> {
    vec![mount("private", PRIVATE_DIR.to_owned(), true)]
}

/// Returns the Secrets that images are pulled with, each once.
pub(super) fn pull_secrets(vmi: &VirtualMachineInstance) -> Option<Vec<LocalObjectReference>> {
    let disks = vmi.spec.volumes.iter().filter_map(|volume| volume.container_disk.as_ref());
    let secrets = disks.filter_map(|disk| disk.image_pull_secret.as_ref());
    let boot = kernel_boot(vmi).and_then(|boot| boot.image_pull_secret.as_ref());
    let mut names: Vec<&String> = secrets.chain(boot).filter(|name| !name.is_empty()).collect();
    names.sort();
    names.dedup();
    let secrets: Vec<_> = names.into_iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    (!secrets.is_empty()).then_some(secrets)
}

/// Returns the service account that a volume of the instance shows to the guest.
pub(super) fn service_account(vmi: &VirtualMachineInstance) -> Option<String> {
    let mut accounts = vmi.spec.volumes.iter().filter_map(|volume| volume.service_account.as_ref());
    accounts.find_map(|account| account.service_account_name.clone())
}

fn kernel_boot(vmi: &VirtualMachineInstance) -> Option<&api::kubevirt::v1::KernelBootContainer> {
    vmi.spec.domain.firmware.as_ref()?.kernel_boot.as_ref()?.container.as_ref()
}

fn image(name: &str, reference: &str, pull_policy: Option<&String>) -> Volume {
    Volume {
        name: name.to_owned(),
        image: Some(ImageVolumeSource {
            reference: Some(reference.to_owned()),
            pull_policy: pull_policy.filter(|policy| !policy.is_empty()).cloned(),
        }),
        ..Volume::default()
    }
}

pub(super) fn mount(name: &str, path: String, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path,
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}
