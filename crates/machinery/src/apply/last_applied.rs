//! The way from client-side apply: kubectl keeps what it applied last in an annotation, and a first server-side
//! apply by kubectl may take over exactly those fields without a conflict.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Scope;
use super::compare::compare;
use super::extract::fields_of;
use super::managed::Manager;
use super::set::FieldSet;
use crate::object;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
const MANAGER: &str = "kubectl";
/// All annotations of an object together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Whether every conflict is over a field that kubectl applied on the client side and nobody changed since.
pub(super) fn covers(
    scope: &Scope<'_>,
    live: &Value,
    conflicts: &BTreeMap<Manager, FieldSet>,
    manager: &str,
) -> bool {
    if manager != MANAGER {
        return false;
    }
    let Some(last) =
        object::annotation(live, ANNOTATION).and_then(|text| serde_json::from_str::<Value>(text).ok())
    else {
        return false;
    };
    let root = scope.schema.root();
    let changed = compare(root, live, &last);
    let allowed = fields_of(root, &last).difference(&changed.modified).difference(&changed.added);
    conflicts.values().all(|set| set.difference(&allowed).is_empty())
}

/// Writes what was applied into the annotation, where there is one, so that kubectl can go back.
pub(super) fn renew(result: &mut Value, stated: &Value, manager: &str) {
    if manager != MANAGER || object::annotation(result, ANNOTATION).is_none() {
        return;
    }
    let mut stated = stated.clone();
    object::remove_at(&mut stated, &["metadata", "annotations", ANNOTATION]);
    let text = format!("{}\n", sorted(&stated));
    let others: usize = object::annotations(result)
        .filter(|(key, _)| *key != ANNOTATION)
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if others + ANNOTATION.len() + text.len() <= MAX_ANNOTATIONS {
        object::set_at(result, &["metadata", "annotations", ANNOTATION], text.into());
    } else {
        object::remove_at(result, &["metadata", "annotations", ANNOTATION]);
    }
}

/// The value with the keys of all its objects sorted.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|a, b| a.0.cmp(b.0));
            Value::Object(fields.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        plain => plain.clone(),
    }
}
