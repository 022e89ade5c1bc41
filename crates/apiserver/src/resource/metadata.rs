//! Rules of `metadata` that hold for all kinds.

use std::collections::HashSet;

use machinery::field::{FieldError, Path};
use machinery::names;
use machinery::object;
use machinery::status::{Cause, Status};
use serde_json::{Value, json};

use super::Call;
use super::strategy::Strategy;
use crate::Result;
use crate::cache::ObjectKey;
use crate::registry::{Collection, Resource};

/// All annotations together may not be longer, in bytes.
const ANNOTATIONS_MAX: usize = 256 << 10;

/// Sets what the server decides about a new object, and drops what a client may not say.
pub(crate) fn before_create(call: &Call, draft: &mut Value) -> Result<()> {
    let resource = &call.resource;
    let namespace = call.namespace().to_owned();
    let metadata = object::metadata_mut(draft);
    let text = |fields: &serde_json::Map<String, Value>, name: &str| {
        fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if !matches!(text(metadata, "resourceVersion").as_str(), "" | "0") {
        // The reference answers this with a bare 500, and clients know it so.
        return Err(
            Status::unexplained(500, "resourceVersion should not be set on objects to be created").into()
        );
    }
    match text(metadata, "namespace").as_str() {
        given if resource.namespaced && !given.is_empty() && given != namespace => {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            )
            .into());
        }
        _ => {}
    }
    for name in [
        "selfLink",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "namespace",
    ] {
        metadata.shift_remove(name);
    }
    if resource.namespaced {
        metadata.insert("namespace".into(), namespace.into());
    }
    metadata.insert("uid".into(), call.server.entropy().uuid().into());
    metadata.insert("creationTimestamp".into(), timestamp(call).into());
    if text(metadata, "name").is_empty() && text(metadata, "generateName").is_empty() {
        let detail = "name or generateName is required";
        let error = FieldError::required(Path::new("metadata.name"), detail);
        return Err(Status::invalid(&resource.gvk, "", &[error]).into());
    }
    Ok(())
}

/// The clock's time as objects carry it.
pub(crate) fn timestamp(call: &Call) -> String {
    call.server.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Makes a name from `generateName`.
pub(crate) fn generate_name(call: &Call, draft: &mut Value) {
    let stem = object::generate_name(draft).to_owned();
    let mut random = [0; names::GENERATED_SUFFIX];
    call.server.entropy().fill(&mut random);
    object::set_meta(draft, "name", names::generated(&stem, random));
}

/// Refuses new objects in namespaces that do not exist or are going away.
pub(crate) fn check_namespace(call: &Call, resource: &Resource, name: &str) -> Result<()> {
    let namespace = call.namespace();
    if !resource.namespaced {
        return Ok(());
    }
    let namespaces = Collection::new("", "namespaces");
    let Some(entry) = call.server.object(&namespaces, &ObjectKey::new("", namespace)) else {
        return Err(Status::not_found(&machinery::gvk::Gvr::new("", "v1", "namespaces"), namespace).into());
    };
    let phase = entry.facets.fields.first().map_or("", |phase| &**phase);
    if phase != "Terminating" {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut status = Status::forbidden(&resource.gvr(), name, why);
    status.details.get_or_insert_default().causes = vec![Cause {
        reason: "NamespaceTerminating".into(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".into(),
    }];
    Err(status.into())
}

/// Refuses an object that is sent to the address of another one.
pub(crate) fn check_name(name: &str, url: &str) -> Result<()> {
    if name == url {
        return Ok(());
    }
    let detail = format!("the name of the object ({name}) does not match the name on the URL ({url})");
    Err(Status::bad_request(detail).into())
}

/// Warns of finalizers that others may come to use as well. Kubernetes does so for custom resources.
pub(crate) fn warn_of_finalizers(call: &mut Call, draft: &Value, old: Option<&Value>) {
    if !call.resource.custom {
        return;
    }
    for name in object::finalizers(draft) {
        let known = old.is_some_and(|old| object::finalizers(old).any(|before| before == name));
        if !known && !name.contains('/') && !matches!(name, "orphan" | "foregroundDeletion") {
            call.warn(format!(
                "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name to avoid accidental \
                 conflicts with other finalizer writers"
            ));
        }
    }
}

/// Carries over what an update cannot change; returns what it tries to change in vain.
pub(crate) fn before_update(call: &Call, draft: &mut Value, old: &Value) -> Result<Vec<FieldError>> {
    let resource = &call.resource;
    let mut errors = Vec::new();
    let before = old.get("metadata").cloned().unwrap_or_else(|| json!({}));
    let metadata = object::metadata_mut(draft);
    let given = |fields: &serde_json::Map<String, Value>, name: &str| {
        fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let held = |name: &str| before.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    check_name(&given(metadata, "name"), &held("name"))?;
    if resource.namespaced
        && !given(metadata, "namespace").is_empty()
        && given(metadata, "namespace") != held("namespace")
    {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )
        .into());
    }
    let uid = given(metadata, "uid");
    if !uid.is_empty() && uid != held("uid") {
        errors.push(FieldError::invalid(Path::new("metadata.uid"), uid, "field is immutable"));
    }
    for name in [
        "uid",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ] {
        match before.get(name) {
            Some(value) => metadata.insert(name.into(), value.clone()),
            None => metadata.shift_remove(name),
        };
    }
    metadata.shift_remove("selfLink");
    if object::is_being_deleted(old) {
        let known: HashSet<&str> = object::finalizers(old).collect();
        let added: Vec<String> = object::finalizers(draft)
            .filter(|finalizer| !known.contains(finalizer))
            .map(str::to_owned)
            .collect();
        if !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
            );
            errors.push(FieldError::forbidden(Path::new("metadata.finalizers"), detail));
        }
    }
    Ok(errors)
}

/// Raises the generation when an update changes what the object wants.
pub(crate) fn bump_generation(strategy: &Strategy, call: &Call, draft: &mut Value, old: &Value) {
    if !strategy.has_generation {
        return;
    }
    let generation = object::generation(old);
    let changed = generation_differs(call, draft, old);
    object::set_meta(draft, "generation", if changed { generation + 1 } else { generation.max(1) });
}

fn generation_differs(call: &Call, draft: &Value, old: &Value) -> bool {
    if matches!(call.sub(), "status" | "binding") {
        return false;
    }
    let skip_status = call.resource.has_status();
    let part = |object: &Value| -> Vec<(String, Value)> {
        let fields = object.as_object().into_iter().flatten();
        let counts = |name: &str| {
            !matches!(name, "metadata" | "apiVersion" | "kind") && (name != "status" || !skip_status)
        };
        let mut fields: Vec<_> = fields
            .filter(|(name, _)| counts(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        fields
    };
    // The deployment controller acts on annotations too, so a change of theirs is a change of the wish.
    let annotations = |object: &Value| object.pointer("/metadata/annotations").cloned().unwrap_or_default();
    let annotated = call.resource.group() == "apps" && call.resource.plural() == "deployments";
    part(draft) != part(old) || (annotated && annotations(draft) != annotations(old))
}

/// Returns whether nothing holds back the removal of an object that is being deleted.
pub(crate) fn is_releasable(resource: &Resource, object: &Value) -> bool {
    let finalizers = object::finalizers(object).next().is_some();
    let spec_finalizers = resource.group().is_empty()
        && resource.plural() == "namespaces"
        && object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let grace = object::i64_at(object, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
    !finalizers && !spec_finalizers && grace == 0
}

/// Checks names, labels, annotations, owners and finalizers.
pub(crate) fn validate(strategy: &Strategy, resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = |name: &str| Path::new("metadata").child(name);
    let name = object::name(object);
    for wrong in (strategy.name)(name) {
        errors.push(FieldError::invalid(at("name"), name, wrong));
    }
    let stem = object::generate_name(object);
    if !stem.is_empty() {
        for wrong in (strategy.name)(&names::generate_name_probe(stem)) {
            errors.push(FieldError::invalid(at("generateName"), stem, wrong));
        }
    }
    for (key, value) in object::labels(object) {
        for wrong in names::label_key(key) {
            errors.push(FieldError::invalid(at("labels"), key, wrong));
        }
        for wrong in names::label_value(value) {
            errors.push(FieldError::invalid(at("labels"), value, wrong));
        }
    }
    let mut size = 0;
    for (key, value) in object::annotations(object) {
        size += key.len() + value.len();
        for wrong in names::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(at("annotations"), key, wrong));
        }
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(at("annotations"), ANNOTATIONS_MAX));
    }
    owners(object, &mut errors);
    for (at, finalizer) in object::finalizers(object).enumerate() {
        finalizer_errors(at, finalizer, resource, &mut errors);
    }
    let has = |wanted: &str| object::finalizers(object).any(|finalizer| finalizer == wanted);
    if has("orphan") && has("foregroundDeletion") {
        let given = object["metadata"]["finalizers"].clone();
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(Path::new("metadata.finalizers"), given, detail));
    }
    errors
}

fn finalizer_errors(at: usize, finalizer: &str, resource: &Resource, errors: &mut Vec<FieldError>) {
    let path = Path::new("metadata.finalizers");
    for wrong in names::qualified_name(finalizer) {
        errors.push(FieldError::invalid(path.clone(), finalizer, wrong));
    }
    let standard = matches!(finalizer, "orphan" | "foregroundDeletion" | "kubernetes");
    if !resource.custom && !finalizer.contains('/') && !standard {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(FieldError::invalid(path.index(at), finalizer, detail));
    }
}

fn owners(object: &Value, errors: &mut Vec<FieldError>) {
    let Some(owners) = object.pointer("/metadata/ownerReferences").and_then(Value::as_array) else { return };
    let path = Path::new("metadata.ownerReferences");
    let mut controllers = Vec::new();
    for owner in owners {
        let text = |name: &str| object::str_at(owner, &[name]);
        for (name, what) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(name).is_empty() {
                errors.push(FieldError::invalid(path.child(name), text(name), what));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            errors.push(FieldError::invalid(
                path.clone(),
                "v1, Kind=Event",
                "is disallowed from being an owner",
            ));
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            controllers.push(text("name").to_owned());
        }
    }
    if controllers.len() > 1 {
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {}",
            controllers.join(" and ")
        );
        errors.push(FieldError::invalid(path, owners.clone(), detail));
    }
}
