//! Rules of snapshots, restores, clones and exports.

use api::clone::v1beta1::VirtualMachineClone;
use api::export::v1beta1::VirtualMachineExport;
use api::migrations::v1alpha1::MigrationPolicy;
use api::snapshot::v1beta1::{VirtualMachineRestore, VirtualMachineSnapshot};
use k8s_openapi::api::core::v1::TypedLocalObjectReference;
use machinery::field::{FieldError, Path, Problem};

use super::Errors;
use super::interfaces::mac_bytes;
use crate::amount;

const MACHINES: &str = "kubevirt.io";
const SNAPSHOTS: &str = "snapshot.kubevirt.io";
const BACKUPS: &str = "backup.kubevirt.io";

/// Group and kind of what may be referred to.
type Kinds = &'static [(&'static str, &'static str)];

const MACHINE: Kinds = &[(MACHINES, "VirtualMachine")];
const MACHINE_OR_SNAPSHOT: Kinds = &[(MACHINES, "VirtualMachine"), (SNAPSHOTS, "VirtualMachineSnapshot")];
const EXPORTED: Kinds = &[
    ("", "PersistentVolumeClaim"),
    (MACHINES, "VirtualMachine"),
    (SNAPSHOTS, "VirtualMachineSnapshot"),
    (BACKUPS, "VirtualMachineBackup"),
];

/// Checks a new snapshot.
pub fn snapshot(snapshot: &VirtualMachineSnapshot) -> Vec<FieldError> {
    let mut errors = Errors::default();
    refers(&Path::new("spec.source"), &snapshot.spec.source, MACHINE, &mut errors);
    errors.0
}

/// Checks a new restore.
pub fn restore(restore: &VirtualMachineRestore) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = &restore.spec;
    refers(&Path::new("spec.target"), &spec.target, MACHINE, &mut errors);
    let word = |field: &str, value: &Option<String>, words: &[&str], errors: &mut Errors| {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty() && !words.contains(value)) {
            errors.invalid(
                Path::new("spec").child(field),
                value,
                format!("write one of {}", words.join(", ")),
            );
        }
    };
    let names = ["RandomizeNames", "InPlace", "PrefixTargetName"];
    word("volumeRestorePolicy", &spec.volume_restore_policy, &names, &mut errors);
    word("volumeOwnershipPolicy", &spec.volume_ownership_policy, &["Vm", "None"], &mut errors);
    for (index, own) in spec.volume_restore_overrides.iter().enumerate() {
        let at = Path::new("spec.volumeRestoreOverrides").index(index);
        if own.volume_name.as_deref().is_none_or(str::is_empty) {
            errors.add(Problem::Required, at.child("volumeName"), (), "name the volume");
        }
    }
    errors.0
}

/// Checks a clone, defaults filled in.
pub fn clone(clone: &VirtualMachineClone) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = &clone.spec;
    // Clients know these paths with capitals.
    if spec.source.name.is_empty() {
        errors.add(Problem::Required, Path::new("spec.source"), (), "name what is cloned");
    } else {
        kind(&Path::new("spec.Source"), &spec.source, MACHINE_OR_SNAPSHOT, "Kind", &mut errors);
    }
    if let Some(target) = &spec.target {
        kind(&Path::new("spec.Target"), target, MACHINE, "Kind", &mut errors);
        if spec.source.kind == target.kind && spec.source.name == target.name {
            let rule = "the new machine needs another name than the one that is cloned";
            errors.invalid(Path::new("spec.target.name"), target.name.as_str(), rule);
        }
    }
    for (name, address) in &spec.new_mac_addresses {
        if mac_bytes(address).is_none() {
            let at = Path::new("spec.newMacAddresses").child(name);
            errors.invalid(
                at,
                address.as_str(),
                "write six pairs of hexadecimal digits, such as 02:00:00:00:00:01",
            );
        }
    }
    let template = &spec.template;
    for (path, filters) in [
        ("spec.labels", &spec.label_filters),
        ("spec.annotations", &spec.annotation_filters),
        ("spec.template.labels", &template.label_filters),
        ("spec.template.annotations", &template.annotation_filters),
    ] {
        for filter in filters {
            if filter.trim_start_matches('!').contains('!') || filter.starts_with("!!") {
                let rule = "! excludes and stands once, in front; a pattern has * only";
                errors.invalid(Path::new(path), filter.as_str(), rule);
            }
        }
    }
    for (index, patch) in spec.patches.iter().enumerate() {
        if serde_json::from_str::<serde_json::Value>(patch).is_err() {
            let at = Path::new("spec.patches").index(index);
            errors.invalid(at, patch.as_str(), "a patch is written as JSON");
        }
    }
    errors.0
}

/// Checks a new export.
pub fn export(export: &VirtualMachineExport) -> Vec<FieldError> {
    let mut errors = Errors::default();
    refers(&Path::new("spec.source"), &export.spec.source, EXPORTED, &mut errors);
    errors.0
}

/// Checks a migration policy, new or changed.
pub fn policy(policy: &MigrationPolicy) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = &policy.spec;
    if let Some(seconds) = spec.completion_timeout_per_gi_b.filter(|seconds| *seconds < 0) {
        errors.invalid(Path::new("spec.completionTimeoutPerGiB"), seconds, "write 0 or more seconds");
    }
    let bandwidth = spec.bandwidth_per_migration.as_ref();
    if let Some(bandwidth) =
        bandwidth.filter(|own| amount::exact(own).is_ok() && amount::bytes(own).is_none())
    {
        errors.invalid(Path::new("spec.bandwidthPerMigration"), bandwidth.as_str(), "write 0 or more bytes");
    }
    errors.0
}

/// Refuses to change what describes something that happens once.
pub fn unchanged(same: bool) -> Vec<FieldError> {
    let mut errors = Errors::default();
    if !same {
        errors.invalid(Path::new("spec"), (), "it cannot be changed; delete the object and make another");
    }
    errors.0
}

fn refers(at: &Path, reference: &TypedLocalObjectReference, kinds: Kinds, errors: &mut Errors) {
    let Some(group) = &reference.api_group else {
        let group = at.child("apiGroup");
        errors.add(
            Problem::NotFound,
            group,
            (),
            format!("write {}", kinds.first().map_or("", |kind| kind.0)),
        );
        return;
    };
    if !kinds.iter().any(|(known, _)| known == group) {
        let groups: Vec<&str> = kinds.iter().map(|(group, _)| *group).collect();
        errors.invalid(at.child("apiGroup"), group.as_str(), format!("write one of {groups:?}"));
        return;
    }
    kind(at, reference, kinds, "kind", errors);
    if reference.name.is_empty() {
        errors.add(Problem::Required, at.child("name"), (), "name the object");
    }
}

fn kind(at: &Path, reference: &TypedLocalObjectReference, kinds: Kinds, field: &str, errors: &mut Errors) {
    let group = reference.api_group.as_deref().unwrap_or_default();
    if !kinds.contains(&(group, reference.kind.as_str())) {
        let names: Vec<String> = kinds.iter().map(|(group, kind)| format!("{kind} of {group:?}")).collect();
        errors.invalid(at.child(field), reference.kind.as_str(), format!("write {}", names.join(" or ")));
    }
}
