//! Reading and writing the parts that every object has: type, metadata, owners, finalizers.
//!
//! Readers are lenient: a missing or wrongly typed part reads as empty, because what is stored has been
//! validated and what is not stored yet is checked elsewhere with a proper message.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::gvk::{Gvk, GvkError};

/// A JSON object's fields.
pub type Fields = Map<String, Value>;

/// The value at a path of field names, if every step is there.
pub fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, name| value.get(name))
}

/// The string at a path; empty when missing or of another type.
pub fn str_at<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at a path.
pub fn i64_at(object: &Value, path: &[&str]) -> Option<i64> {
    at(object, path).and_then(Value::as_i64)
}

/// Sets the value at a path, making the objects on the way; what stood there in another type is replaced.
pub fn set_at(object: &mut Value, path: &[&str], value: Value) {
    let Some((last, way)) = path.split_last() else {
        *object = value;
        return;
    };
    let mut here = object;
    for step in way {
        here = fields_mut(here).entry(*step).or_insert_with(|| Value::Object(Map::new()));
    }
    fields_mut(here).insert((*last).to_owned(), value);
}

/// Removes and returns the value at a path; the order of its siblings stays.
pub fn remove_at(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, way) = path.split_last()?;
    let here = way.iter().try_fold(object, |value, name| value.get_mut(name))?;
    here.as_object_mut()?.shift_remove(*last)
}

/// The fields of `value`, which becomes an empty object first if it is none.
pub fn fields_mut(value: &mut Value) -> &mut Fields {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("made an object above"),
    }
}

/// `apiVersion`.
pub fn api_version(object: &Value) -> &str {
    str_at(object, &["apiVersion"])
}

/// `kind`.
pub fn kind(object: &Value) -> &str {
    str_at(object, &["kind"])
}

/// Group, version and kind.
pub fn gvk(object: &Value) -> Result<Gvk, GvkError> {
    Gvk::from_object(api_version(object), kind(object))
}

/// Sets `apiVersion` and `kind`.
pub fn set_gvk(object: &mut Value, gvk: &Gvk) {
    set_at(object, &["apiVersion"], gvk.api_version().into());
    set_at(object, &["kind"], gvk.kind.clone().into());
}

/// A string of the metadata, empty when missing.
pub fn meta<'a>(object: &'a Value, name: &str) -> &'a str {
    str_at(object, &["metadata", name])
}

/// Sets one field of the metadata.
pub fn set_meta(object: &mut Value, name: &str, value: impl Into<Value>) {
    set_at(object, &["metadata", name], value.into());
}

/// Removes one field of the metadata.
pub fn remove_meta(object: &mut Value, name: &str) -> Option<Value> {
    remove_at(object, &["metadata", name])
}

/// Whether two objects are the same but for these fields of their metadata.
pub fn same_but(one: &Value, other: &Value, metadata: &[&str]) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return one == other };
    let same = |(name, value): (&String, &Value)| match (value, other.get(name)) {
        (Value::Object(one), Some(Value::Object(other))) if name == "metadata" => {
            same_fields_but(one, other, metadata)
        }
        (value, found) => found == Some(value),
    };
    one.len() == other.len() && one.iter().all(same)
}

fn same_fields_but(one: &Fields, other: &Fields, left_out: &[&str]) -> bool {
    let counts = |name: &String| !left_out.contains(&name.as_str());
    let size = |fields: &Fields| fields.keys().filter(|name| counts(name)).count();
    size(one) == size(other)
        && one.iter().filter(|(name, _)| counts(name)).all(|(name, value)| other.get(name) == Some(value))
}

/// The metadata for writing, made if missing.
pub fn metadata_mut(object: &mut Value) -> &mut Fields {
    let metadata = fields_mut(object).entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    fields_mut(metadata)
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    meta(object, "name")
}

/// `metadata.namespace`, empty for what has none.
pub fn namespace(object: &Value) -> &str {
    meta(object, "namespace")
}

/// `metadata.generateName`.
pub fn generate_name(object: &Value) -> &str {
    meta(object, "generateName")
}

/// `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    meta(object, "uid")
}

/// `metadata.resourceVersion`.
pub fn resource_version(object: &Value) -> &str {
    meta(object, "resourceVersion")
}

/// `metadata.generation`, 0 when missing.
pub fn generation(object: &Value) -> i64 {
    i64_at(object, &["metadata", "generation"]).unwrap_or(0)
}

/// `metadata.creationTimestamp` as written.
pub fn creation_timestamp(object: &Value) -> &str {
    meta(object, "creationTimestamp")
}

/// `metadata.deletionTimestamp` as written, empty while the object is not being deleted.
pub fn deletion_timestamp(object: &Value) -> &str {
    meta(object, "deletionTimestamp")
}

/// Whether deletion has begun.
pub fn is_being_deleted(object: &Value) -> bool {
    !deletion_timestamp(object).is_empty()
}

/// `metadata.labels`.
pub fn labels(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    string_map(object, "labels")
}

/// The value of one label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    at(object, &["metadata", "labels", key]).and_then(Value::as_str)
}

/// `metadata.annotations`.
pub fn annotations(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    string_map(object, "annotations")
}

/// The value of one annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    at(object, &["metadata", "annotations", key]).and_then(Value::as_str)
}

fn string_map<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    at(object, &["metadata", field])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| v.as_str().map(|v| (k.as_str(), v)))
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    at(object, &["metadata", "finalizers"])
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Whether `finalizer` is set.
pub fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    finalizers(object).any(|f| f == finalizer)
}

/// Sets the finalizers; an empty list removes the field.
pub fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    if finalizers.is_empty() {
        remove_meta(object, "finalizers");
    } else {
        set_meta(object, "finalizers", Value::from(finalizers.to_vec()));
    }
}

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    /// Group and version of the owner.
    #[serde(default)]
    pub api_version: String,
    /// Kind of the owner.
    #[serde(default)]
    pub kind: String,
    /// Name of the owner, in the same namespace or cluster wide.
    #[serde(default)]
    pub name: String,
    /// Uid of the owner.
    #[serde(default)]
    pub uid: String,
    /// Whether this owner controls the object; at most one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether foreground deletion of the owner waits for this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// `metadata.ownerReferences`; entries that cannot be read are left out.
pub fn owner_references(object: &Value) -> Vec<OwnerReference> {
    at(object, &["metadata", "ownerReferences"])
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| OwnerReference::deserialize(entry).ok())
        .collect()
}

/// The owner that controls the object.
pub fn controller(object: &Value) -> Option<OwnerReference> {
    owner_references(object).into_iter().find(|owner| owner.controller == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "generation": 3,
                "labels": {"x": "1"}, "finalizers": ["f/a", "f/b"],
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1"},
                    {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "2", "controller": true},
                ],
            },
        })
    }

    #[test]
    fn reads_the_metadata() {
        let pod = pod();
        assert_eq!((name(&pod), namespace(&pod), uid(&pod), generation(&pod)), ("a", "n", "u", 3));
        assert_eq!(labels(&pod).collect::<Vec<_>>(), [("x", "1")]);
        assert!(has_finalizer(&pod, "f/b") && !has_finalizer(&pod, "f/c"));
        assert_eq!(controller(&pod).expect("controlled").name, "n");
        assert!(!is_being_deleted(&pod));
    }

    #[test]
    fn reads_nothing_from_rubbish() {
        let odd = json!({"metadata": {"name": 5, "labels": [], "ownerReferences": [7]}});
        assert_eq!(name(&odd), "");
        assert_eq!(labels(&odd).count(), 0);
        assert!(owner_references(&odd).is_empty());
    }

    #[test]
    fn objects_are_compared_but_for_parts_of_their_metadata() {
        let object = |metadata: Value, data: Value| json!({"metadata": metadata, "data": data});
        let one = object(json!({"name": "a", "resourceVersion": "1"}), json!({"resourceVersion": 1}));
        for (other, same) in [
            (object(json!({"resourceVersion": "2", "name": "a"}), json!({"resourceVersion": 1})), true),
            (object(json!({"name": "a"}), json!({"resourceVersion": 1})), true),
            (object(json!({"name": "a"}), json!({"resourceVersion": 2})), false),
            (object(json!({"name": "b", "resourceVersion": "1"}), json!({"resourceVersion": 1})), false),
            (object(json!({"name": "a", "uid": "u"}), json!({"resourceVersion": 1})), false),
            (object(json!({}), json!({"resourceVersion": 1})), false),
            (json!({"metadata": {"name": "a"}}), false),
            (json!({"data": {"resourceVersion": 1}}), false),
            (Value::Null, false),
        ] {
            assert_eq!(same_but(&one, &other, &["resourceVersion"]), same, "{other}");
            assert_eq!(same_but(&other, &one, &["resourceVersion"]), same, "{other}");
        }
        assert!(!same_but(&one, &object(json!({"name": "a"}), json!({"resourceVersion": 1})), &[]));
    }

    #[test]
    fn writes_below_missing_parents() {
        let mut object = json!({});
        set_at(&mut object, &["a", "b", "c"], json!(1));
        set_finalizers(&mut object, &["f".to_owned()]);
        assert_eq!(object, json!({"a": {"b": {"c": 1}}, "metadata": {"finalizers": ["f"]}}));
        set_finalizers(&mut object, &[]);
        assert_eq!(remove_at(&mut object, &["a", "b"]), Some(json!({"c": 1})));
        assert_eq!(object, json!({"a": {}, "metadata": {}}));
    }
}
