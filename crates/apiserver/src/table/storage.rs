//! Cells of volumes, claims and storage classes.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::read::{UNKNOWN, UNSET, access_modes, each, flag, items, scalar, text, text_or};

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

pub(super) fn claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let deleting = !text(object, "/metadata/deletionTimestamp").is_empty();
    let phase = if deleting { "Terminating" } else { text(object, "/status/phase") };
    // Size and modes are the volume's, so they are known once there is one.
    let bound = !text(object, "/spec/volumeName").is_empty();
    let (capacity, modes) = if bound {
        (scalar(object, "/status/capacity/storage"), access_modes(object, "/status/accessModes"))
    } else {
        Default::default()
    };
    vec![
        name(object),
        phase.into(),
        text(object, "/spec/volumeName").into(),
        capacity.into(),
        modes.into(),
        class(object).into(),
        text_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        age::of(object, now),
        text_or(object, "/spec/volumeMode", UNSET).into(),
    ]
}

/// The storage class: the annotation that came before the field still counts.
fn class(object: &Value) -> &str {
    text_or(
        object,
        "/metadata/annotations/volume.beta.kubernetes.io~1storage-class",
        text(object, "/spec/storageClassName"),
    )
}

pub(super) fn volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let deleting = !text(object, "/metadata/deletionTimestamp").is_empty();
    let phase = if deleting { "Terminating" } else { text(object, "/status/phase") };
    let claim = match text(object, "/spec/claimRef/name") {
        "" => String::new(),
        claim => format!("{}/{claim}", text(object, "/spec/claimRef/namespace")),
    };
    vec![
        name(object),
        scalar(object, "/spec/capacity/storage").into(),
        access_modes(object, "/spec/accessModes").into(),
        text(object, "/spec/persistentVolumeReclaimPolicy").into(),
        phase.into(),
        claim.into(),
        class(object).into(),
        text_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        text(object, "/status/reason").into(),
        age::of(object, now),
        text_or(object, "/spec/volumeMode", UNSET).into(),
    ]
}

pub(super) fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let default =
        ["storageclass.kubernetes.io~1is-default-class", "storageclass.beta.kubernetes.io~1is-default-class"]
            .iter()
            .any(|key| text(object, &format!("/metadata/annotations/{key}")) == "true");
    let mut shown = text(object, "/metadata/name").to_owned();
    if default {
        shown.push_str(" (default)");
    }
    vec![
        shown.into(),
        text(object, "/provisioner").into(),
        text_or(object, "/reclaimPolicy", "Delete").into(),
        text_or(object, "/volumeBindingMode", UNSET).into(),
        flag(object, "/allowVolumeExpansion").into(),
        age::of(object, now),
    ]
}

pub(super) fn attributes_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/driverName").into(), age::of(object, now)]
}

pub(super) fn attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/spec/attacher").into(),
        text(object, "/spec/source/persistentVolumeName").into(),
        text(object, "/spec/nodeName").into(),
        flag(object, "/status/attached").into(),
        age::of(object, now),
    ]
}

pub(super) fn csi_driver(object: &Value, now: Timestamp) -> Vec<Value> {
    let or_true = |pointer: &str| object.pointer(pointer).and_then(Value::as_bool).unwrap_or(true);
    let modes: Vec<&str> =
        items(object, "/spec/volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
    vec![
        name(object),
        or_true("/spec/attachRequired").into(),
        flag(object, "/spec/podInfoOnMount").into(),
        flag(object, "/spec/storageCapacity").into(),
        match items(object, "/spec/tokenRequests") {
            [] => UNSET.into(),
            _ => each(object, "/spec/tokenRequests", "/audience").into(),
        },
        flag(object, "/spec/requiresRepublish").into(),
        if modes.is_empty() { UNKNOWN.into() } else { modes.join(",").into() },
        age::of(object, now),
    ]
}

pub(super) fn csi_node(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), items(object, "/spec/drivers").len().into(), age::of(object, now)]
}
