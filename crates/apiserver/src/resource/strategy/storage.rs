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
    admit: admit_growth,
    ..BASE
};
pub(super) const VOLUME: Strategy = Strategy { prepare_create: pending_volume, ..BASE };

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

fn validate_claim(call: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let requests = Path::new("spec.resources");
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
fn admit_growth(call: &Call, draft: &Value, old: Option<&Value>) -> Result<()> {
    let Some(old) = old else { return Ok(()) };
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
