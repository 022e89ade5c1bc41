//! What the schema of a custom resource must be like: every field typed, nothing said twice, defaults that fit.
//!
//! Kubernetes calls such schemas structural. The checks run when a CustomResourceDefinition is written, so that
//! the walks over objects need not think about what a schema could mean.

mod lists;
mod logic;
mod shape;
mod words;

use serde_json::{Map, Value};

use super::Library;
use crate::field::{FieldError, Path};

type Node = Map<String, Value>;

/// Words that combine schemas, but for `not`, which has a single one.
const LOGIC: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// What every resource has: the fields by which it is known, and its metadata.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

impl Library {
    /// Everything that is wrong with `open_api_v3_schema`, which stands at `path`.
    pub fn structural_errors(&self, open_api_v3_schema: &Value, path: &Path) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if open_api_v3_schema["nullable"] == true {
            errors.push(FieldError::forbidden(path.child("nullable"), "must not be true at the root"));
        }
        // A schema in foreign words has no structure to speak of; only the words are told.
        if !words::has_foreign(open_api_v3_schema) {
            let before = errors.len();
            shape::check(open_api_v3_schema, path, &mut errors);
            if errors.len() == before {
                self.defaults(open_api_v3_schema, path, true, &mut errors);
            }
        }
        words::check(open_api_v3_schema, path, words::Place::Root, &mut errors);
        if let (true, Err(error)) = (errors.is_empty(), self.structural(open_api_v3_schema)) {
            errors.push(FieldError::invalid(path.clone(), "schema", error.to_string()));
        }
        // Rules are read only where the schema says what their values look like.
        if errors.is_empty() {
            errors = crate::rules::problems(open_api_v3_schema, path);
        }
        errors
    }

    /// Tells of defaults that their own schema would refuse.
    fn defaults(&self, json: &Value, path: &Path, root: bool, errors: &mut Vec<FieldError>) {
        let Some(node) = json.as_object() else { return };
        self.default(node, json, path, root, errors);
        for (name, field) in properties(node).filter(|(name, _)| !(root && META.contains(name))) {
            self.defaults(field, &path.child("properties").key(name), false, errors);
        }
        for word in ["items", "additionalProperties"] {
            self.defaults(&json[word], &path.child(word), false, errors);
        }
    }

    fn default(&self, node: &Node, json: &Value, path: &Path, root: bool, errors: &mut Vec<FieldError>) {
        let Some(default) = node.get("default") else {
            return;
        };
        let at = path.child("default");
        if root {
            errors.push(FieldError::forbidden(at, "must not be used at the root"));
            return;
        }
        // What is wrong with the schema itself is said elsewhere.
        let Ok(schema) = self.fragment(json) else {
            return;
        };
        for unknown in schema.unknown_fields(default) {
            let detail = format!("must not have the field {unknown}, which the schema does not know");
            errors.push(FieldError::invalid(at.clone(), default.clone(), detail));
        }
        let mut whole = default.clone();
        schema.default(&mut whole);
        for error in schema.validate(&whole) {
            let at = if error.path.is_root() { at.clone() } else { at.child(error.path.as_str()) };
            errors.push(FieldError { path: at, ..error });
        }
    }
}

fn text<'j>(node: &'j Node, name: &str) -> &'j str {
    node.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a value says something: what is empty is not there for Kubernetes.
fn is_said(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn flag(node: &Node, name: &str) -> bool {
    node.get(name) == Some(&Value::Bool(true))
}

fn properties(node: &Node) -> impl Iterator<Item = (&str, &Value)> {
    let fields = node.get("properties").and_then(Value::as_object);
    fields.into_iter().flatten().map(|(name, field)| (name.as_str(), field))
}

fn branches<'j>(node: &'j Node, word: &str) -> impl Iterator<Item = (usize, &'j Value)> {
    node.get(word).and_then(Value::as_array).into_iter().flatten().enumerate()
}

#[cfg(test)]
mod tests;
