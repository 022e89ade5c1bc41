//! Volumes that outlive Pods, and the claims for them.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::{Map, Value};

use super::super::text;
use super::shape::{NODES, SELECTOR, inner_step};
use super::storage::driver_name;
use super::volume::SOURCE;
use super::{Row, Rule, is_empty};
use Rule::{All, Amount, Holds, Name, Required, Words};

pub(super) const CLAIM: &[Row] = &[
    Row("spec.accessModes", &[Required("at least 1 access mode is required"), Holds(access_modes)]),
    Row("spec.selector?", &[SELECTOR]),
    Row("spec.storageClassName?", &[Name(names::dns_subdomain)]),
    Row("spec.volumeAttributesClassName?", &[Name(names::dns_subdomain)]),
    Row("spec.volumeMode?", &[Words(&["Block", "Filesystem"])]),
    Row("spec.dataSource?", &[All(DATA), Holds(data_kind)]),
    Row("spec.dataSourceRef?", &[All(DATA), Holds(data_kind)]),
];

/// What a claim is filled with at first.
const DATA: &[Row] = &[
    Row("name", &[Required("")]),
    Row("kind", &[Required("")]),
    Row("apiGroup?", &[Name(names::dns_subdomain)]),
];

pub(super) const VOLUME: &[Row] = &[
    Row("spec", &[All(SPEC)]),
    Row("spec.capacity", &[Required("")]),
    Row("spec.capacity", &[Holds(only_storage)]),
    Row("spec.capacity{}", &[Amount { strictly: true }]),
    Row("spec.persistentVolumeReclaimPolicy?", &[Words(&["Delete", "Recycle", "Retain"])]),
    Row("spec.volumeMode?", &[Words(&["Block", "Filesystem"])]),
    Row("spec.storageClassName?", &[Name(names::dns_subdomain)]),
    Row("spec.volumeAttributesClassName?", &[Name(names::dns_subdomain)]),
    Row("spec.nodeAffinity?", &[Holds(required_nodes)]),
    Row("spec.nodeAffinity?.required?", &[NODES]),
    Row("spec", &[Holds(belongs_together), Holds(stays)]),
];

/// A volume that has no object of its own, as an attachment may have one.
pub(super) const INLINE: &[Row] = &[
    Row("", &[All(SPEC)]),
    Row("csi", &[Required("has to be specified in the context of inline volumes")]),
    Row(
        "",
        &[Holds(|spec, _, path, errors| {
            for field in ["claimRef", "capacity", "nodeAffinity", "storageClassName"] {
                if !is_empty(&spec[field]) {
                    let detail = "may not be specified in the context of inline volumes";
                    errors.push(FieldError::forbidden(path.child(field), detail));
                }
            }
            for (field, only) in [("persistentVolumeReclaimPolicy", "Retain"), ("volumeMode", "Filesystem")] {
                let given = text(spec, &[field]);
                if !given.is_empty() && given != only {
                    let detail = format!("may only be {only} in the context of inline volumes");
                    errors.push(FieldError::forbidden(path.child(field), detail));
                }
            }
        })],
    ),
];

/// What both have.
const SPEC: &[Row] = &[
    Row("accessModes", &[Required(""), Holds(access_modes)]),
    Row("", &[Holds(one_source)]),
    Row("hostPath?.path", &[Required(""), Name(inner_step)]),
    Row("hostPath?.type?", &[HOST_PATHS]),
    Row("local?.path", &[Required(""), Name(inner_step)]),
    Row("", &[All(SOURCE)]),
    Row("glusterfs?.endpointsNamespace?", &[Name(names::dns_label)]),
    Row("csi?.driver", &[Required(""), Name(driver_name)]),
    Row("csi?.volumeHandle", &[Required("")]),
    Row("csi?.controllerPublishSecretRef?", &[All(SECRET)]),
    Row("csi?.controllerExpandSecretRef?", &[All(SECRET)]),
    Row("csi?.nodePublishSecretRef?", &[All(SECRET)]),
    Row("csi?.nodeExpandSecretRef?", &[All(SECRET)]),
];

const SECRET: &[Row] = &[Row("name", &[Required("")]), Row("namespace", &[Required("")])];

/// What a path of the node may lead to.
pub(super) const HOST_PATHS: Rule = Words(&[
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
]);

/// Where a volume's content is, in the order in which they are looked at: the first is the one, others are too many.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

fn one_source(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let mut given = SOURCES.into_iter().filter(|source| !spec[*source].is_null());
    if given.next().is_none() {
        errors.push(FieldError::required(path.clone(), "must specify a volume type"));
    }
    for more in given {
        // The reference spells this one otherwise.
        let more = if more == "cephfs" { "cephFS" } else { more };
        let detail = "may not specify more than 1 volume type";
        errors.push(FieldError::forbidden(path.child(more), detail));
    }
}

fn access_modes(modes: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let modes = modes.as_array().map_or(&[][..], Vec::as_slice);
    for mode in modes {
        let mode = mode.as_str().unwrap_or_default();
        if !MODES.contains(&mode) {
            errors.push(FieldError::not_supported(path.clone(), mode, MODES));
        }
    }
    let alone = |mode: &Value| mode == "ReadWriteOncePod";
    if modes.iter().any(alone) && !modes.iter().all(alone) {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(path.clone(), detail));
    }
}

fn only_storage(capacity: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let given = capacity.as_object().map_or(0, Map::len);
    if given != 1 || capacity["storage"].is_null() {
        errors.push(FieldError::not_supported(path.clone(), capacity.clone(), ["storage"]));
    }
}

fn required_nodes(affinity: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if affinity["required"].is_null() {
        errors.push(FieldError::required(path.child("required"), "must specify required node constraints"));
    }
}

fn belongs_together(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if !spec["local"].is_null() && spec["nodeAffinity"].is_null() {
        errors.push(FieldError::required(path.child("nodeAffinity"), "Local volume requires node affinity"));
    }
    let root = !spec["hostPath"].is_null() && is_root(text(spec, &["hostPath", "path"]));
    if root && spec["persistentVolumeReclaimPolicy"] == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(path.child("persistentVolumeReclaimPolicy"), detail));
    }
    if !is_empty(&spec["volumeAttributesClassName"]) && spec["csi"].is_null() {
        let detail = "has to be specified when using volumeAttributesClassName";
        errors.push(FieldError::required(path.child("csi"), detail));
    }
}

fn is_root(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|step| matches!(step, "" | "." | ".."))
}

/// Where the content is stays, and what it is; from where it can be reached is said once.
fn stays(spec: &Value, old: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(old) = old else { return };
    let source = |spec: &Value, expands: bool| {
        let mut csi = spec["csi"].clone();
        if let Some(fields) = csi.as_object_mut().filter(|_| !expands) {
            fields.shift_remove("controllerExpandSecretRef");
        }
        let rest: Vec<Value> = SOURCES[..SOURCES.len() - 1].iter().map(|name| spec[*name].clone()).collect();
        (rest, csi)
    };
    // The secret with which a volume grows may come later.
    let expands = !old["csi"]["controllerExpandSecretRef"].is_null();
    if source(spec, expands) != source(old, expands) {
        let detail = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden(path.child("persistentvolumesource"), detail));
    }
    for field in ["volumeMode", "nodeAffinity"] {
        let may_come = field == "nodeAffinity" && old[field].is_null();
        if !may_come && spec[field] != old[field] {
            // The reference leaves out where the field stands.
            errors.push(FieldError::invalid(Path::new(field), spec[field].clone(), "field is immutable"));
        }
    }
    if spec["volumeAttributesClassName"].is_null() && !old["volumeAttributesClassName"].is_null() {
        let detail = "update from non-nil value to nil is forbidden";
        errors.push(FieldError::forbidden(path.child("volumeAttributesClassName"), detail));
    }
}

/// Without a group it can only be another claim.
fn data_kind(data: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = data["kind"].as_str().unwrap_or_default();
    if is_empty(&data["apiGroup"]) && !matches!(kind, "" | "PersistentVolumeClaim") {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid(path.clone(), kind, detail));
    }
}
