//! Conversion between the version of a request and the version that is stored.
//!
//! Here versions of a custom resource differ in their `apiVersion` only, and so do most built-in ones. Events are the
//! exception: two groups show the same object under different field names.

use serde_json::{Map, Value};

use super::Resource;

/// Field names of Events: in `events.k8s.io/v1`, and in the core group, where they are stored.
const EVENT_FIELDS: [(&str, &str); 8] = [
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingInstance", "reportingInstance"),
];

/// Returns whether the stored form differs from that of `resource` in `apiVersion` only.
pub fn renames_only(resource: &Resource) -> bool {
    resource.group() != "events.k8s.io"
}

/// Converts an object of `resource` into the form that is stored.
pub fn to_storage(resource: &Resource, object: Value) -> Value {
    if renames_only(resource) {
        let stored = super::api_version(&resource.collection.group, &resource.storage_version);
        return with_api_version(object, &stored);
    }
    with_api_version(
        renamed(object, |name| {
            EVENT_FIELDS.iter().find(|(shown, _)| *shown == name).map(|(_, stored)| *stored)
        }),
        "v1",
    )
}

/// The stored name of a field that a selector names as `resource` shows it; nothing when it does not show such a field.
pub fn stored_field(resource: &Resource, field: &str) -> Option<String> {
    if renames_only(resource) {
        return Some(field.to_owned());
    }
    let (first, rest) = field.split_once('.').map_or((field, None), |(first, rest)| (first, Some(rest)));
    match (EVENT_FIELDS.iter().find(|(shown, _)| *shown == first), rest) {
        // They are there for older readers; none selects by them.
        (Some((shown, _)), _) if shown.starts_with("deprecated") => None,
        (Some((_, stored)), Some(rest)) => Some(format!("{stored}.{rest}")),
        (Some((_, stored)), None) => Some((*stored).to_owned()),
        (None, _) if EVENT_FIELDS.iter().any(|(_, stored)| *stored == first) => None,
        (None, _) => Some(field.to_owned()),
    }
}

/// Converts a stored object into the form of `resource`.
pub fn from_storage(resource: &Resource, object: Value) -> Value {
    let version = resource.api_version();
    if renames_only(resource) {
        return with_api_version(object, &version);
    }
    with_api_version(
        renamed(object, |name| {
            EVENT_FIELDS.iter().find(|(_, stored)| *stored == name).map(|(shown, _)| *shown)
        }),
        &version,
    )
}

/// The object under the name of another version.
pub fn with_api_version(mut object: Value, api_version: &str) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert("apiVersion".to_owned(), api_version.into());
    }
    object
}

fn renamed(object: Value, rename: impl Fn(&str) -> Option<&'static str>) -> Value {
    match object {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (rename(&name).map_or(name, str::to_owned), value))
                .collect::<Map<_, _>>(),
        ),
        other => other,
    }
}
