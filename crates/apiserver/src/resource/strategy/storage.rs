//! PersistentVolumes and PersistentVolumeClaims.

use machinery::field::{FieldError, Path};
use machinery::object;
use machinery::quantity::Quantity;
use machinery::status::Status;
use serde_json::{Value, json};

use super::{BASE, Strategy, data_source, limits, text};
use crate::Result;
use crate::cache::ObjectKey;
use crate::registry::Collection;
use crate::resource::Call;
use crate::resource::metadata::timestamp;

pub(super) const CLAIM: Strategy = Strategy {
    prepare_create: pending,
    prepare_update: sources_of_update,
    validate: validate_claim,
    admit_update: admit_growth,
    ..BASE
};
pub(super) const VOLUME: Strategy =
    Strategy { prepare_create: pending_volume, validate: validate_volume, ..BASE };

fn pending(call: &mut Call, draft: &mut Value) -> Result<()> {
    limits::admit_claim(call, draft)?;
    data_source::prepare(draft, None);
    draft["status"] = json!({"phase": "Pending"});
    finalizer(draft, "kubernetes.io/pvc-protection");
    Ok(())
}

fn sources_of_update(call: &mut Call, draft: &mut Value, old: &Value) -> Result<()> {
    if call.sub().is_empty() {
        data_source::prepare(draft, Some(old));
    }
    Ok(())
}

fn pending_volume(call: &mut Call, draft: &mut Value) -> Result<()> {
    draft["status"] = json!({"phase": "Pending", "lastPhaseTransitionTime": timestamp(call)});
    finalizer(draft, "kubernetes.io/pv-protection");
    Ok(())
}

/// Objects in use are protected by a finalizer that a controller removes once nobody uses them.
fn finalizer(draft: &mut Value, name: &str) {
    let mut finalizers: Vec<String> = machinery::object::finalizers(draft).map(str::to_owned).collect();
    if !finalizers.iter().any(|finalizer| finalizer == name) {
        finalizers.push(name.to_owned());
        machinery::object::set_finalizers(draft, &finalizers);
    }
}

const MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];

fn access_modes(object: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec.accessModes");
    let modes = object["spec"]["accessModes"].as_array().cloned().unwrap_or_default();
    if modes.is_empty() {
        errors.push(FieldError::required(path.clone(), "at least 1 access mode is required"));
    }
    for mode in modes {
        let mode = mode.as_str().unwrap_or_default();
        if !MODES.contains(&mode) {
            errors.push(FieldError::not_supported(path.clone(), mode, MODES));
        }
    }
}

fn validate_claim(call: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let requests = Path::new("spec.resources");
    access_modes(object, &mut errors);
    let storage = requested(object);
    match Quantity::parse(storage) {
        _ if storage.is_empty() => errors.push(FieldError::required(requests.key("storage"), "")),
        Ok(quantity) if quantity.is_zero() || quantity.is_negative() => {
            errors.push(FieldError::invalid(requests.key("storage"), storage, "must be greater than zero"));
        }
        _ => {}
    }
    errors.extend(data_source::validate(object));
    if let Some(old) = old.filter(|_| call.sub() != "status") {
        claim_update(object, old, storage, &mut errors);
    }
    errors
}

/// Refuses more room for a claim whose volume cannot grow, as Kubernetes' plug-in `PersistentVolumeClaimResize` does.
fn admit_growth(call: &Call, draft: &Value, old: &Value) -> Result<()> {
    if !call.sub().is_empty() || size(requested(draft)) <= size(requested(old)) {
        return Ok(());
    }
    let class = class_name(draft);
    let same = !class.is_empty() && class == class_name(old);
    let found = call
        .server
        .object(&Collection::new("storage.k8s.io", "storageclasses"), &ObjectKey::new("", class))
        .filter(|_| same)
        .and_then(|entry| entry.parse().ok());
    if found.is_some_and(|class| class["allowVolumeExpansion"] == true) {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    Err(Status::forbidden(&call.resource.gvr(), object::name(draft), why).into())
}

/// Returns the class of a claim, by the older annotation or its field.
fn class_name(claim: &Value) -> &str {
    let by_annotation = claim
        .pointer("/metadata/annotations/volume.beta.kubernetes.io~1storage-class")
        .and_then(Value::as_str);
    by_annotation.unwrap_or_else(|| text(claim, &["spec", "storageClassName"]))
}

/// Returns what a claim asks for.
fn requested(claim: &Value) -> &str {
    text(claim, &["spec", "resources", "requests", "storage"])
}

fn size(text: &str) -> u64 {
    Quantity::parse(text).map(|quantity| quantity.bytes()).unwrap_or_default()
}

/// After creation a claim may only be bound and grow.
fn claim_update(object: &Value, old: &Value, storage: &str, errors: &mut Vec<FieldError>) {
    let mut compared = object["spec"].clone();
    let mut before = old["spec"].clone();
    // Claims of earlier releases have one of the two only.
    data_source::copy(&mut before);
    if text(old, &["spec", "volumeName"]).is_empty() {
        for spec in [&mut compared, &mut before] {
            remove(spec, "volumeName");
        }
    }
    let bound = text(old, &["status", "phase"]) == "Bound";
    if bound {
        for spec in [&mut compared, &mut before] {
            remove(&mut spec["resources"], "requests");
            remove(spec, "volumeAttributesClassName");
        }
    }
    if compared["storageClassName"].is_null() != before["storageClassName"].is_null()
        && before["storageClassName"].is_null()
    {
        remove(&mut compared, "storageClassName");
    }
    if compared != before {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(Path::new("spec"), detail));
    }
    // A claim may have got more than it asked for; that alone is no shrinking.
    let shrinks = size(storage) < size(requested(old));
    if shrinks && size(storage) <= size(text(old, &["status", "capacity", "storage"])) {
        let detail = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden(Path::new("spec.resources.requests.storage"), detail));
    }
}

pub(super) fn remove(value: &mut Value, name: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove(name);
    }
}

const SOURCES: [&str; 6] = ["hostPath", "local", "nfs", "iscsi", "fc", "csi"];

fn validate_volume(_: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::new("spec");
    access_modes(object, &mut errors);
    let capacity = object["spec"]["capacity"].as_object().cloned().unwrap_or_default();
    if !capacity.contains_key("storage") {
        errors.push(FieldError::required(spec.child("capacity"), ""));
        errors.push(FieldError::not_supported(spec.child("capacity"), Value::Object(capacity), ["storage"]));
    }
    let sources = SOURCES.iter().filter(|source| object["spec"].get(**source).is_some()).count();
    let known = object["spec"].as_object().into_iter().flatten().filter(|(name, _)| is_source(name)).count();
    if known == 0 {
        errors.push(FieldError::required(spec.clone(), "must specify a volume type"));
    }
    if sources > 1 || known > 1 {
        errors.push(FieldError::forbidden(spec.clone(), "may not specify more than 1 volume type"));
    }
    if object["spec"].get("local").is_some() && object["spec"].get("nodeAffinity").is_none() {
        errors.push(FieldError::required(spec.child("nodeAffinity"), "local volume requires node affinity"));
    }
    let policy = text(object, &["spec", "persistentVolumeReclaimPolicy"]);
    let policies = ["Delete", "Recycle", "Retain"];
    if !policies.contains(&policy) {
        errors.push(FieldError::not_supported(spec.child("persistentVolumeReclaimPolicy"), policy, policies));
    }
    let moved =
        |old: &Value| SOURCES.iter().any(|source| object["spec"].get(*source) != old["spec"].get(*source));
    if old.is_some_and(moved) {
        let detail = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden(spec.child("persistentvolumesource"), detail));
    }
    errors
}

/// Fields of a volume's spec that are not sources.
fn is_source(name: &str) -> bool {
    !matches!(
        name,
        "capacity"
            | "accessModes"
            | "claimRef"
            | "persistentVolumeReclaimPolicy"
            | "storageClassName"
            | "mountOptions"
            | "volumeMode"
            | "nodeAffinity"
            | "volumeAttributesClassName"
    )
}
