//! What the schema of a custom resource must be like: every field typed, nothing said twice, defaults that fit.
//!
//! Kubernetes calls such schemas structural. The checks run when a CustomResourceDefinition is written, so that
//! the walks over objects need not think about what a schema could mean.

use serde_json::{Map, Value};

use super::Library;
use super::pattern::syntax_error;
use crate::field::{FieldError, Path};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// Words of JSON Schema that structural schemas do without.
const FOREIGN: [&str; 6] =
    ["$ref", "additionalItems", "definitions", "dependencies", "id", "patternProperties"];
/// Words that describe shape, and so have no place in `anyOf` and its like.
const SHAPE: [&str; 5] = ["additionalProperties", "default", "description", "nullable", "type"];
const LOGIC: [&str; 3] = ["allOf", "anyOf", "oneOf"];

impl Library {
    /// Everything that is wrong with `open_api_v3_schema`, which stands at `path`.
    pub fn structural_errors(&self, open_api_v3_schema: &Value, path: &Path) -> Vec<FieldError> {
        let mut check = Check { library: self, errors: Vec::new() };
        check.node(open_api_v3_schema, path, Position::Root);
        let mut errors = check.errors;
        if let (true, Err(error)) = (errors.is_empty(), self.structural(open_api_v3_schema)) {
            errors.push(FieldError::invalid(path.clone(), "schema", error.to_string()));
        }
        // Rules are read only where the schema says what their values look like.
        if errors.is_empty() {
            errors = crate::rules::problems(open_api_v3_schema, path);
        }
        errors
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Root,
    Field,
    Items,
    Values,
}

impl Position {
    fn place(self) -> &'static str {
        match self {
            Self::Root => "at the root",
            Self::Field => "for a field",
            Self::Items => "for list items",
            Self::Values => "for map values",
        }
    }
}

struct Check<'a> {
    library: &'a Library,
    errors: Vec<FieldError>,
}

fn text<'j>(node: &'j Map<String, Value>, name: &str) -> &'j str {
    node.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn flag(node: &Map<String, Value>, name: &str) -> bool {
    node.get(name) == Some(&Value::Bool(true))
}

impl Check<'_> {
    fn node(&mut self, json: &Value, path: &Path, position: Position) {
        let Some(node) = json.as_object() else {
            self.errors.push(FieldError::type_invalid(path.clone(), json.clone(), "must be a schema object"));
            return;
        };
        self.type_of(node, path, position);
        self.words(node, path, position);
        self.list_and_map_types(node, path);
        crate::rules::check_words(json, path, &mut self.errors);
        for word in LOGIC {
            for (i, branch) in node.get(word).and_then(Value::as_array).into_iter().flatten().enumerate() {
                self.branch(branch, &path.child(word).index(i), flag(node, "x-kubernetes-int-or-string"));
            }
        }
        if let Some(branch) = node.get("not") {
            self.branch(branch, &path.child("not"), false);
        }
        for (name, field) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if name == "metadata" && position == Position::Root {
                self.metadata(field, &path.child("properties").key(name));
            } else {
                self.node(field, &path.child("properties").key(name), Position::Field);
            }
        }
        if let Some(items) = node.get("items") {
            self.node(items, &path.child("items"), Position::Items);
        }
        if let Some(values @ Value::Object(_)) = node.get("additionalProperties") {
            self.node(values, &path.child("additionalProperties"), Position::Values);
        }
        self.default(node, json, path, position);
    }

    fn type_of(&mut self, node: &Map<String, Value>, path: &Path, position: Position) {
        let kind = text(node, "type");
        let at = path.child("type");
        let untyped =
            flag(node, "x-kubernetes-int-or-string") || flag(node, "x-kubernetes-preserve-unknown-fields");
        match (position, kind) {
            (Position::Root, "") => {
                self.errors.push(FieldError::required(at, "must not be empty at the root"));
            }
            (Position::Root, "object") => {}
            (Position::Root, _) => {
                self.errors.push(FieldError::invalid(at, kind, "must be object at the root"));
            }
            (_, "") if untyped => {}
            (_, "") => {
                let detail = format!("must not be empty {}", position.place());
                self.errors.push(FieldError::required(at, detail));
            }
            (_, _) if flag(node, "x-kubernetes-int-or-string") => {
                let detail = "must be empty if x-kubernetes-int-or-string is true";
                self.errors.push(FieldError::invalid(at, kind, detail));
            }
            (_, _) if !TYPES.contains(&kind) => self.errors.push(FieldError::not_supported(at, kind, TYPES)),
            _ => {}
        }
        if kind == "array" && node.get("items").is_none() {
            self.errors.push(FieldError::required(path.child("items"), "must be specified"));
        }
    }

    fn words(&mut self, node: &Map<String, Value>, path: &Path, position: Position) {
        for word in FOREIGN.into_iter().filter(|word| node.contains_key(*word)) {
            self.errors.push(FieldError::forbidden(path.child(word), format!("{word} is not supported")));
        }
        if node.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
            let at = path.child("x-kubernetes-preserve-unknown-fields");
            self.errors.push(FieldError::invalid(at, false, "must be true or undefined"));
        }
        if flag(node, "uniqueItems") {
            let detail = "uniqueItems cannot be set to true: use x-kubernetes-list-type: set";
            self.errors.push(FieldError::forbidden(path.child("uniqueItems"), detail));
        }
        let values = node.get("additionalProperties");
        if values == Some(&Value::Bool(false)) {
            let detail = "additionalProperties cannot be set to false: unknown fields are dropped anyway";
            self.errors.push(FieldError::forbidden(path.child("additionalProperties"), detail));
        } else if values.is_some() && position == Position::Root {
            let detail = "must not be used at the root";
            self.errors.push(FieldError::forbidden(path.child("additionalProperties"), detail));
        } else if values.is_some()
            && node.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty())
        {
            let detail = "additionalProperties and properties are mutually exclusive";
            self.errors.push(FieldError::forbidden(path.child("additionalProperties"), detail));
        }
        if flag(node, "x-kubernetes-embedded-resource") {
            let fields = node.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty());
            if text(node, "type") != "object" {
                let detail = "must be object if x-kubernetes-embedded-resource is true";
                self.errors.push(FieldError::invalid(path.child("type"), text(node, "type"), detail));
            }
            if !fields && !flag(node, "x-kubernetes-preserve-unknown-fields") {
                let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                    x-kubernetes-preserve-unknown-fields";
                self.errors.push(FieldError::required(path.child("properties"), detail));
            }
        }
        let pattern = text(node, "pattern");
        if let Some(error) = syntax_error(pattern) {
            let detail = format!("must be a regular expression: {error}");
            self.errors.push(FieldError::invalid(path.child("pattern"), pattern, detail));
        }
    }

    fn list_and_map_types(&mut self, node: &Map<String, Value>, path: &Path) {
        let map_type = text(node, "x-kubernetes-map-type");
        if !matches!(map_type, "" | "atomic" | "granular") {
            let at = path.child("x-kubernetes-map-type");
            self.errors.push(FieldError::not_supported(at, map_type, ["atomic", "granular"]));
        }
        let list_type = text(node, "x-kubernetes-list-type");
        let at = path.child("x-kubernetes-list-type");
        let keys_at = path.child("x-kubernetes-list-map-keys");
        let keys: Vec<&str> = node
            .get("x-kubernetes-list-map-keys")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if !matches!(list_type, "" | "atomic" | "map" | "set") {
            self.errors.push(FieldError::not_supported(at.clone(), list_type, ["atomic", "map", "set"]));
        }
        if !list_type.is_empty() && text(node, "type") != "array" {
            let detail = "must be array if x-kubernetes-list-type is specified";
            self.errors.push(FieldError::invalid(path.child("type"), text(node, "type"), detail));
            return;
        }
        if list_type != "map" {
            if !keys.is_empty() {
                let detail = "must not be specified if x-kubernetes-list-type is not map";
                self.errors.push(FieldError::forbidden(keys_at, detail));
            }
            return;
        }
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.errors.push(FieldError::required(keys_at.clone(), detail));
        }
        let items = node.get("items").unwrap_or(&Value::Null);
        for (i, key) in keys.iter().enumerate() {
            let at = keys_at.index(i);
            let field = &items["properties"][*key];
            let required = items["required"]
                .as_array()
                .is_some_and(|names| names.iter().any(|name| name.as_str() == Some(key)));
            if keys[..i].contains(key) {
                self.errors.push(FieldError::duplicate(at, *key));
            } else if field.is_null() {
                self.errors.push(FieldError::invalid(at, *key, "must be a property of items"));
            } else if !required && field.get("default").is_none() {
                let at = path.child("items").child("properties").key(key).child("default");
                let detail = "a list's key must be required or have a default";
                self.errors.push(FieldError::required(at, detail));
            }
        }
    }

    /// Of metadata, only rules on the name may be given.
    fn metadata(&mut self, json: &Value, path: &Path) {
        let kind = json.get("type").and_then(Value::as_str).unwrap_or_default();
        if !matches!(kind, "" | "object") {
            self.errors.push(FieldError::invalid(path.child("type"), kind, "must be object"));
        }
        for (name, _) in json.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if !matches!(name.as_str(), "name" | "generateName") {
                let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
                self.errors.push(FieldError::forbidden(path.child("properties").key(name), detail));
            }
        }
    }

    fn branch(&mut self, json: &Value, path: &Path, int_or_string: bool) {
        let Some(node) = json.as_object() else { return };
        let allowed_type = int_or_string && matches!(text(node, "type"), "integer" | "string");
        for word in SHAPE.into_iter().filter(|word| node.contains_key(*word)) {
            if word != "type" || !allowed_type {
                let detail = "must not be used inside allOf, anyOf, oneOf or not, which only restrict values";
                self.errors.push(FieldError::forbidden(path.child(word), detail));
            }
        }
        for (name, field) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.branch(field, &path.child("properties").key(name), false);
        }
        if let Some(items) = node.get("items") {
            self.branch(items, &path.child("items"), false);
        }
        for word in LOGIC {
            for (i, inner) in node.get(word).and_then(Value::as_array).into_iter().flatten().enumerate() {
                self.branch(inner, &path.child(word).index(i), int_or_string);
            }
        }
        if let Some(inner) = node.get("not") {
            self.branch(inner, &path.child("not"), false);
        }
    }

    fn default(&mut self, node: &Map<String, Value>, json: &Value, path: &Path, position: Position) {
        let Some(default) = node.get("default") else {
            return;
        };
        let at = path.child("default");
        if position == Position::Root {
            self.errors.push(FieldError::forbidden(at, "must not be used at the root"));
            return;
        }
        // What is wrong with the schema itself has been said already.
        let Ok(schema) = self.library.fragment(json) else {
            return;
        };
        for unknown in schema.unknown_fields(default) {
            let detail = format!("must not have the field {unknown}, which the schema does not know");
            self.errors.push(FieldError::invalid(at.clone(), default.clone(), detail));
        }
        let mut whole = default.clone();
        schema.default(&mut whole);
        for error in schema.validate(&whole) {
            let at = if error.path.is_root() { at.clone() } else { at.child(error.path.as_str()) };
            self.errors.push(FieldError { path: at, ..error });
        }
    }
}

#[cfg(test)]
mod tests;
