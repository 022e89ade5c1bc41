//! Rules of volumes.

use std::collections::BTreeMap;

use api::kubevirt::v1::{VirtualMachineInstanceSpec, Volume};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::LocalObjectReference;
use machinery::field::{Path, Problem};

use super::{Errors, Scope, firmware};
use crate::amount;

/// Most bytes of cloud-init data inside an object.
const MAX_INLINE: usize = 2048;
/// Folders of a launcher that no volume may show.
const RESERVED_PATHS: [&str; 2] = ["/var/run/kubevirt", "/var/run/libvirt"];

pub(super) fn check(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, volume) in spec.volumes.iter().enumerate() {
        let at = scope.at("volumes").index(index);
        if let Some(first) = seen.insert(&volume.name, index) {
            errors.invalid(
                at.child("name"),
                volume.name.as_str(),
                format!("volumes[{first}] has the same name; volumes need names of their own"),
            );
        }
        let sources = count_sources(volume);
        if sources != 1 {
            errors.invalid(
                at.clone(),
                volume.name.as_str(),
                format!("a volume has one source; this one has {sources}"),
            );
        }
        source(scope, volume, &at, errors);
    }
    for (name, count) in [
        ("serviceAccount", spec.volumes.iter().filter(|volume| volume.service_account.is_some()).count()),
        ("downwardMetrics", spec.volumes.iter().filter(|volume| volume.downward_metrics.is_some()).count()),
        ("memoryDump", spec.volumes.iter().filter(|volume| volume.memory_dump.is_some()).count()),
    ] {
        if count > 1 {
            errors.invalid(scope.at("volumes"), count, format!("a machine has at most one {name} volume"));
        }
    }
    if !spec.utility_volumes.is_empty() {
        errors.invalid(
            scope.at("utilityVolumes"),
            spec.utility_volumes.len(),
            "utility volumes are attached while a machine runs; remove them here",
        );
    }
    for (index, volume) in spec.volumes.iter().enumerate() {
        if volume.container_path.as_ref().is_some_and(|source| source.read_only == Some(false)) {
            errors.invalid(
                scope.at("volumes").index(index).child("containerPath").child("readOnly"),
                false,
                "a folder of the launcher is shared for reading only",
            );
        }
    }
    if scope.instance {
        container_paths(scope, spec, errors);
    }
}

fn count_sources(volume: &Volume) -> usize {
    [
        volume.cloud_init_config_drive.is_some(),
        volume.cloud_init_no_cloud.is_some(),
        volume.config_map.is_some(),
        volume.container_disk.is_some(),
        volume.container_path.is_some(),
        volume.data_volume.is_some(),
        volume.downward_api.is_some(),
        volume.downward_metrics.is_some(),
        volume.empty_disk.is_some(),
        volume.ephemeral.is_some(),
        volume.host_disk.is_some(),
        volume.memory_dump.is_some(),
        volume.persistent_volume_claim.is_some(),
        volume.secret.is_some(),
        volume.service_account.is_some(),
        volume.sysprep.is_some(),
    ]
    .into_iter()
    .filter(|set| *set)
    .count()
}

fn source(scope: &Scope<'_>, volume: &Volume, at: &Path, errors: &mut Errors) {
    if let Some(disk) = &volume.host_disk {
        host_disk(scope, disk, at, errors);
    }
    if let Some(data_volume) = &volume.data_volume
        && data_volume.name.is_empty()
    {
        errors.add(Problem::Required, at.child("name"), (), "name the DataVolume");
    }
    if let Some(map) = &volume.config_map
        && map.name.as_deref().is_none_or(str::is_empty)
    {
        errors.invalid(at.child("configMap").child("name"), "", "name the ConfigMap");
    }
    if let Some(secret) = &volume.secret
        && secret.secret_name.as_deref().is_none_or(str::is_empty)
    {
        errors.invalid(at.child("secret").child("secretName"), "", "name the Secret");
    }
    if let Some(account) = &volume.service_account
        && account.service_account_name.as_deref().is_none_or(str::is_empty)
    {
        errors.invalid(at.child("serviceAccount").child("serviceAccountName"), "", "name the ServiceAccount");
    }
    if let Some(disk) = &volume.container_disk
        && let Some(path) = disk.path.as_deref().filter(|path| !path.is_empty())
        && !firmware::is_clean_path(path)
    {
        errors.invalid(
            at.child("containerDisk"),
            path,
            "write an absolute path to a file without . or .. in it",
        );
    }
    if volume.downward_metrics.is_some() && !scope.config.gate("DownwardMetrics") {
        errors.gate(at.clone(), "downwardMetrics", "DownwardMetrics");
    }
    if let Some(source) = &volume.cloud_init_no_cloud {
        cloud_init(
            &at.child("cloudInitNoCloud"),
            [source.secret_ref.as_ref(), source.network_data_secret_ref.as_ref()],
            [source.user_data_base64.as_deref(), source.network_data_base64.as_deref()],
            [source.user_data.as_deref(), source.network_data.as_deref()],
            errors,
        );
    }
    if let Some(source) = &volume.cloud_init_config_drive {
        cloud_init(
            &at.child("cloudInitConfigDrive"),
            [source.secret_ref.as_ref(), source.network_data_secret_ref.as_ref()],
            [source.user_data_base64.as_deref(), source.network_data_base64.as_deref()],
            [source.user_data.as_deref(), source.network_data.as_deref()],
            errors,
        );
    }
}

fn host_disk(scope: &Scope<'_>, disk: &api::kubevirt::v1::HostDisk, at: &Path, errors: &mut Errors) {
    if !scope.config.gate("HostDisk") {
        errors.gate(at.clone(), "hostDisk", "HostDisk");
    }
    let at = at.child("hostDisk");
    if disk.path.is_empty() {
        errors.add(Problem::NotFound, at.child("path"), "", "name the file on the node");
    }
    if !["Disk", "DiskOrCreate"].contains(&disk.type_.as_str()) {
        errors.invalid(at.child("type"), disk.type_.as_str(), "write Disk or DiskOrCreate");
    } else if disk.capacity.as_ref().and_then(amount::bytes).is_some_and(|bytes| bytes > 0)
        && disk.type_ != "DiskOrCreate"
    {
        errors.invalid(
            at.child("capacity"),
            disk.type_.as_str(),
            "a capacity belongs to the type DiskOrCreate",
        );
    }
}

/// Checks user data (first of each pair) and network data (second).
fn cloud_init(
    at: &Path,
    secrets: [Option<&LocalObjectReference>; 2],
    encoded: [Option<&str>; 2],
    plain: [Option<&str>; 2],
    errors: &mut Errors,
) {
    let set = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    let mut any = false;
    for (index, what) in ["user data", "network data"].into_iter().enumerate() {
        let secret = secrets[index].is_some_and(|reference| !reference.name.is_empty());
        let sources = [secret, set(encoded[index]), set(plain[index])].into_iter().filter(|set| *set).count();
        any |= sources > 0;
        if sources > 1 {
            errors.invalid(at.clone(), sources, format!("{what} has one source; remove all but one"));
        }
        let length = match (encoded[index], plain[index]) {
            (Some(text), _) if !text.is_empty() => {
                if let Ok(bytes) = STANDARD.decode(text.trim()) {
                    bytes.len()
                } else {
                    let field = ["userDataBase64", "networkDataBase64"][index];
                    errors.invalid(at.child(field), "", "this is no base64");
                    0
                }
            }
            (_, Some(text)) => text.len(),
            _ => 0,
        };
        if length > MAX_INLINE {
            errors.invalid(
                at.clone(),
                length,
                format!("{what} inside an object has at most {MAX_INLINE} bytes; put it into a Secret and name that"),
            );
        }
    }
    if !any {
        errors.invalid(at.clone(), (), "give user data or network data");
    }
}

fn container_paths(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    for (index, volume) in spec.volumes.iter().enumerate() {
        let Some(source) = &volume.container_path else {
            continue;
        };
        let at = scope.at("domain.volumes").index(index).child("containerPath").child("path");
        let below = |root: &str| source.path == root || source.path.starts_with(&format!("{root}/"));
        if RESERVED_PATHS.into_iter().any(below) {
            errors.invalid(at, source.path.as_str(), "this folder belongs to the launcher; share another");
        }
    }
}
