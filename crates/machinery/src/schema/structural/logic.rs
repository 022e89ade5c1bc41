//! Schemas inside of `allOf`, `anyOf`, `oneOf` and `not`: they judge values whose shape is known without them.

use serde_json::Value;

use super::shape::{combined, is_int_or_string};
use super::{flag, properties};
use crate::field::{FieldError, Path};
use crate::schema::pattern::syntax_error;

/// Words that describe shape.
const SHAPE: [&str; 5] = ["type", "additionalProperties", "default", "title", "description"];
/// The same, where they are true.
const FLAGS: [&str; 4] = [
    "nullable",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
];
/// Kubernetes' own words, which hold once for a value.
const WORDS: [&str; 4] = [
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

/// Judges what the schema at `path` combines. Of the whole schema, what is judged has a type outside.
pub(super) fn check(schema: &Value, path: &Path, whole: bool, errors: &mut Vec<FieldError>) {
    each(
        schema,
        path,
        |branch, at, first, errors| {
            nested(branch, at, first, errors);
            if whole {
                complete(branch, schema, path, at, errors);
            }
        },
        errors,
    );
}

type Judge<'j> = dyn FnMut(&Value, &Path, bool, &mut Vec<FieldError>) + 'j;

/// Calls `judge` for each combined schema that may not name types; it is told whether its own `anyOf` may.
fn each(
    json: &Value,
    path: &Path,
    mut judge: impl FnMut(&Value, &Path, bool, &mut Vec<FieldError>),
    errors: &mut Vec<FieldError>,
) {
    let judge: &mut Judge<'_> = &mut judge;
    for (word, at, branch) in combined(json) {
        if word == "anyOf" && is_int_or_string(&json[word]) {
            continue;
        }
        let first = word == "allOf" && at == Some(0) && is_int_or_string(&branch["anyOf"]);
        let path = at.map_or_else(|| path.child(word), |at| path.child(word).index(at));
        judge(branch, &path, first, errors);
    }
}

fn nested(json: &Value, path: &Path, types_may_be: bool, errors: &mut Vec<FieldError>) {
    let Some(node) = json.as_object() else { return };
    let said = |word: &&str| node.get(*word).is_some_and(super::is_said);
    let flags = FLAGS.into_iter().filter(|word| flag(node, word));
    for word in SHAPE.into_iter().chain(WORDS).filter(said).chain(flags) {
        let detail = "must not be used inside allOf, anyOf, oneOf or not, which only restrict values";
        errors.push(FieldError::forbidden(path.child(word), detail));
    }
    if let Some(error) = node.get("pattern").and_then(Value::as_str).and_then(syntax_error) {
        let detail = format!("must be a regular expression: {error}");
        errors.push(FieldError::invalid(path.child("pattern"), json["pattern"].clone(), detail));
    }
    for (name, field) in properties(node) {
        let at = path.child("properties").key(name);
        if name == "metadata" {
            errors.push(FieldError::forbidden(at.clone(), "must not be specified in a nested context"));
        }
        nested(field, &at, false, errors);
    }
    if let Some(items) = node.get("items") {
        nested(items, &path.child("items"), false, errors);
    }
    each(
        json,
        path,
        |branch, at, first, errors| {
            // Beneath the first of allOf stands the anyOf that names the two types.
            if !(types_may_be && at.as_str().starts_with(path.child("anyOf").as_str())) {
                nested(branch, at, first, errors);
            }
        },
        errors,
    );
}

/// Each field that is judged has a type outside; `outer` is the schema at `path` whose values `branch` judges.
fn complete(branch: &Value, outer: &Value, path: &Path, at: &Path, errors: &mut Vec<FieldError>) {
    let Some(node) = branch.as_object() else { return };
    for (name, field) in properties(node) {
        let (known, path) = (&outer["properties"][name], path.child("properties").key(name));
        let at = at.child("properties").key(name);
        if known.is_null() {
            errors.push(FieldError::required(path, format!("because it is defined in {at}")));
        } else {
            complete(field, known, &path, &at, errors);
        }
    }
    if let Some(items) = node.get("items") {
        let (known, path) = (&outer["items"], path.child("items"));
        let at = at.child("items");
        if known.is_null() {
            errors.push(FieldError::required(path, format!("because it is defined in {at}")));
        } else {
            complete(items, known, &path, &at, errors);
        }
    }
    for (word, index, inner) in combined(branch) {
        let at = index.map_or_else(|| at.child(word), |index| at.child(word).index(index));
        complete(inner, outer, path, &at, errors);
    }
}
