//! What makes a schema structural: each field has a type, and only values are judged where schemas are combined.

use serde_json::Value;

use super::{LOGIC, META, Node, flag, is_said, logic, properties, text};
use crate::field::{FieldError, Path};
use crate::schema::pattern::syntax_error;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Items,
}

pub(super) fn check(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    level(schema, path, Level::Root, errors);
}

fn level(json: &Value, path: &Path, at: Level, errors: &mut Vec<FieldError>) {
    let Some(node) = json.as_object() else {
        errors.push(FieldError::type_invalid(path.clone(), json.clone(), "must be a schema object"));
        return;
    };
    type_of(node, path, at, errors);
    values(node, path, errors);
    logic::check(json, path, at == Level::Root, errors);
    resource(node, path, at, errors);
    for (name, field) in properties(node) {
        level(field, &path.child("properties").key(name), Level::Field, errors);
    }
    if let Some(items) = node.get("items") {
        level(items, &path.child("items"), Level::Items, errors);
    }
    if let Some(values) = node.get("additionalProperties") {
        let path = path.child("additionalProperties");
        if values.is_object() {
            level(values, &path, Level::Field, errors);
        }
        if at == Level::Root {
            errors.push(FieldError::forbidden(path.clone(), "must not be used at the root"));
        }
        if flag(node, "x-kubernetes-embedded-resource") {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            errors.push(FieldError::forbidden(path, detail));
        }
    }
}

fn type_of(node: &Node, path: &Path, level: Level, errors: &mut Vec<FieldError>) {
    let (kind, at) = (text(node, "type"), path.child("type"));
    let untyped =
        flag(node, "x-kubernetes-int-or-string") || flag(node, "x-kubernetes-preserve-unknown-fields");
    if flag(node, "x-kubernetes-embedded-resource") && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() {
            FieldError::required(at.clone(), detail)
        } else {
            FieldError::invalid(at.clone(), kind, detail)
        });
    } else if kind.is_empty() && !untyped {
        let place = match level {
            Level::Root => "at the root",
            Level::Field => "for a field",
            Level::Items => "for list items",
        };
        errors.push(FieldError::required(at.clone(), format!("must not be empty {place}")));
    }
    if level == Level::Root && !matches!(kind, "" | "object") {
        errors.push(FieldError::invalid(at, kind, "must be object at the root"));
    }
    if kind == "array" && !node.contains_key("items") {
        errors.push(FieldError::required(path.child("items"), "must be specified"));
    }
}

fn values(node: &Node, path: &Path, errors: &mut Vec<FieldError>) {
    if flag(node, "x-kubernetes-int-or-string") {
        for word in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
            if flag(node, word) {
                let detail = "must be false if x-kubernetes-int-or-string is true";
                errors.push(FieldError::invalid(path.child(word), true, detail));
            }
        }
    }
    let pattern = text(node, "pattern");
    if let Some(error) = syntax_error(pattern) {
        let detail = format!("must be a regular expression: {error}");
        errors.push(FieldError::invalid(path.child("pattern"), pattern, detail));
    }
}

/// What the root, and a resource inside of another one, may say of the fields that every resource has.
fn resource(node: &Node, path: &Path, level: Level, errors: &mut Vec<FieldError>) {
    let embedded = flag(node, "x-kubernetes-embedded-resource");
    let fields = path.child("properties");
    for (name, field) in properties(node).filter(|(name, _)| META.contains(name)) {
        let (at, kind) = (fields.key(name), field["type"].as_str().unwrap_or_default());
        let expected = if name == "metadata" { "object" } else { "string" };
        if (level == Level::Root || embedded) && kind != expected {
            errors.push(FieldError::invalid(at.child("type"), kind, format!("must be {expected}")));
        }
        if level == Level::Root && name == "metadata" && !names_only(field) {
            let detail = "must not specify anything other than name and generateName: metadata is known";
            errors.push(FieldError::forbidden(at, detail));
        }
    }
    if embedded && !flag(node, "x-kubernetes-preserve-unknown-fields") && properties(node).next().is_none() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
            x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(fields, detail));
    }
}

/// Whether a schema of metadata restricts nothing but names.
fn names_only(metadata: &Value) -> bool {
    let Some(node) = metadata.as_object() else { return true };
    node.iter()
        .filter(|(_, value)| is_said(value))
        .all(|(word, _)| matches!(word.as_str(), "type" | "default" | "properties"))
        && properties(node).all(|(name, _)| matches!(name, "name" | "generateName"))
}

/// Whether `json` combines schemas in a way that says "a number or a text", which is the one way that may name types.
pub(super) fn is_int_or_string(json: &Value) -> bool {
    let said = |at: usize, kind: &str| {
        json[at].as_object().is_some_and(|node| node.len() == 1 && text(node, "type") == kind)
    };
    json.as_array().is_some_and(|branches| branches.len() == 2) && said(0, "integer") && said(1, "string")
}

/// The schemas that `json` combines: the word, the place below it, the schema.
pub(super) fn combined(json: &Value) -> impl Iterator<Item = (&'static str, Option<usize>, &Value)> {
    let lists = LOGIC.into_iter().flat_map(move |word| {
        json[word]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .map(move |(at, schema)| (word, Some(at), schema))
    });
    lists.chain(json.get("not").map(|schema| ("not", None, schema)))
}
