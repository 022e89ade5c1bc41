//! The words that say how lists and maps are merged.

use serde_json::Value;

use super::{Node, flag, text};
use crate::field::{FieldError, Path};

const LIST_TYPE: &str = "x-kubernetes-list-type";
const MAP_TYPE: &str = "x-kubernetes-map-type";
const KEYS: &str = "x-kubernetes-list-map-keys";

pub(super) fn check(node: &Node, path: &Path, errors: &mut Vec<FieldError>) {
    kind_of(node, MAP_TYPE, "object", path, errors);
    kind_of(node, LIST_TYPE, "array", path, errors);
    let (map_type, list_type) = (text(node, MAP_TYPE), text(node, LIST_TYPE));
    if !matches!(map_type, "" | "atomic" | "granular") {
        errors.push(FieldError::not_supported(path.child(MAP_TYPE), map_type, ["atomic", "granular"]));
    }
    if !matches!(list_type, "" | "atomic" | "map" | "set") {
        errors.push(FieldError::not_supported(path.child(LIST_TYPE), list_type, ["atomic", "map", "set"]));
    }
    let keys: Vec<&str> =
        node.get(KEYS).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if !keys.is_empty() && list_type != "map" {
        let (at, detail) = (path.child(LIST_TYPE), "must be map if x-kubernetes-list-map-keys is not empty");
        errors.push(if list_type.is_empty() {
            FieldError::required(at, detail)
        } else {
            FieldError::invalid(at, list_type, detail)
        });
    }
    let items = node.get("items").and_then(Value::as_object);
    match (list_type, items) {
        ("map", _) => map(node, &keys, items, path, errors),
        ("set", Some(items)) if text(node, "type") == "array" => set(items, path, errors),
        _ => {}
    }
    if let ("map" | "set", Some(items)) = (list_type, items)
        && flag(items, "nullable")
    {
        let detail = format!("cannot be nullable when {LIST_TYPE} is {list_type}");
        errors.push(FieldError::forbidden(path.child("items").child("nullable"), detail));
    }
}

/// The word is said of one type of value only.
fn kind_of(node: &Node, word: &str, expected: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(node, "type");
    if node.get(word).is_some_and(|value| !value.is_null()) && kind != expected {
        let (at, detail) = (path.child("type"), format!("must be {expected} if {word} is specified"));
        errors.push(if kind.is_empty() {
            FieldError::required(at, detail)
        } else {
            FieldError::invalid(at, kind, detail)
        });
    }
}

/// Items of a set are told apart as a whole.
fn set(items: &Node, path: &Path, errors: &mut Vec<FieldError>) {
    let (word, whole) = match text(items, "type") {
        "array" => (LIST_TYPE, matches!(text(items, LIST_TYPE), "" | "atomic")),
        "object" => (MAP_TYPE, text(items, MAP_TYPE) == "atomic"),
        _ => return,
    };
    if !whole {
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let found = items.get(word).cloned().unwrap_or_default();
        errors.push(FieldError::invalid(path.child("items").child(word), found, detail));
    }
}

/// Items of a map are told apart by fields that each of them has.
fn map(node: &Node, keys: &[&str], items: Option<&Node>, path: &Path, errors: &mut Vec<FieldError>) {
    let (at, keys_at) = (path.child("items"), path.child(KEYS));
    if keys.is_empty() {
        errors
            .push(FieldError::required(keys_at.clone(), format!("must not be empty if {LIST_TYPE} is map")));
    }
    let Some(items) = items else {
        errors.push(match node.get("items") {
            None => FieldError::required(at, format!("must have a schema if {LIST_TYPE} is map")),
            Some(other) => FieldError::invalid(at, other.clone(), "must be a single schema"),
        });
        return;
    };
    let is_object = text(items, "type") == "object";
    if !is_object {
        let detail = format!("must be object if the list's {LIST_TYPE} is map");
        errors.push(FieldError::invalid(at.child("type"), text(items, "type"), detail));
    }
    let required = |key: &str| {
        let names = items.get("required").and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|name| name == key))
    };
    for (index, key) in keys.iter().enumerate() {
        if is_object && keys[..index].contains(key) {
            let detail = "must not contain duplicate entries";
            errors.push(FieldError::invalid(keys_at.clone(), Value::from(keys.to_vec()), detail));
        }
        let field_at = at.child("properties").key(key);
        let field = items.get("properties").and_then(|fields| fields.get(*key)).and_then(Value::as_object);
        let Some(field) = field else {
            if is_object {
                let detail = "entries must all be names of item properties";
                errors.push(FieldError::invalid(keys_at.clone(), Value::from(keys.to_vec()), detail));
            }
            continue;
        };
        let kind = text(field, "type");
        if is_object && matches!(kind, "array" | "object") {
            let detail = format!("must be a scalar type if the list's {LIST_TYPE} is map");
            errors.push(FieldError::invalid(field_at.child("type"), kind, detail));
        }
        if !required(key) && !field.contains_key("default") {
            let detail = "a list's key must be required or have a default";
            errors.push(FieldError::required(field_at.child("default"), detail));
        }
        if flag(field, "nullable") {
            let detail = "a list's key cannot be nullable";
            errors.push(FieldError::forbidden(field_at.child("nullable"), detail));
        }
    }
}
