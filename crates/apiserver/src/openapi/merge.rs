//! Documents of version 2 that other programs write, taken into this server's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

/// What another program tells of the version of a group that it answers.
#[derive(Debug)]
pub(crate) struct Foreign {
    pub(crate) group: String,
    pub(crate) version: String,
    /// Its document of version 2, for all that it serves.
    pub(crate) document: Value,
}

/// What this server's own document has already: own paths win, and definitions of the same name are shared where they
/// are alike.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) paths: BTreeSet<String>,
    /// Definitions by name, as what they are alike by.
    definitions: HashMap<String, u64>,
    pub(super) parameters: BTreeMap<String, Value>,
}

/// What is added.
#[derive(Debug, Default)]
pub(super) struct Added {
    pub(super) paths: Vec<(String, Value)>,
    pub(super) definitions: Vec<(String, Value)>,
}

const DEFINITIONS: &str = "#/definitions/";
const PARAMETERS: &str = "#/parameters/";

impl Taken {
    /// Notes a definition of this server's own.
    pub(super) fn define(&mut self, name: &str, schema: &Value) {
        self.definitions.insert(name.to_owned(), likeness(schema));
    }

    /// Takes in the paths of the version, and the definitions and parameters that they lead to, under other names where
    /// theirs are taken by something else.
    pub(super) fn add(&mut self, foreign: Foreign) -> Added {
        let Foreign { group, version, mut document } = foreign;
        let within = format!("/apis/{group}/{version}/");
        let mut take = |name: &str| match document[name].take() {
            Value::Object(entries) => entries,
            _ => Map::new(),
        };
        let (paths, definitions, parameters) = (take("paths"), take("definitions"), take("parameters"));
        let mut added = Added::default();
        for (path, item) in paths {
            if path.starts_with(&within) && self.paths.insert(path.clone()) {
                added.paths.push((path, item));
            }
        }
        let mut names = HashMap::new();
        let (mut needed, mut new) = (BTreeSet::new(), BTreeMap::new());
        let mut waiting: Vec<String> = added.paths.iter().flat_map(|(_, item)| references(item)).collect();
        while let Some(reference) = waiting.pop() {
            if !needed.insert(reference.clone()) {
                continue;
            }
            if let Some(name) = reference.strip_prefix(DEFINITIONS) {
                let Some(schema) = definitions.get(name) else { continue };
                waiting.extend(references(schema));
                let alike = likeness(schema);
                let known = &self.definitions;
                let free = free_name(name, |name| known.get(name).is_none_or(|other| *other == alike));
                if self.definitions.insert(free.clone(), alike).is_none() {
                    added.definitions.push((free.clone(), schema.clone()));
                }
                names.insert(reference.clone(), format!("{DEFINITIONS}{free}"));
            } else if let Some(name) = reference.strip_prefix(PARAMETERS) {
                let Some(parameter) = parameters.get(name) else { continue };
                waiting.extend(references(parameter));
                let known = &self.parameters;
                let free = free_name(name, |name| known.get(name).is_none_or(|other| other == parameter));
                if !known.contains_key(&free) {
                    new.insert(free.clone(), parameter.clone());
                }
                names.insert(reference.clone(), format!("{PARAMETERS}{free}"));
            }
        }
        let changed = added.paths.iter_mut().chain(&mut added.definitions).map(|(_, value)| value);
        for value in changed.chain(new.values_mut()) {
            rename(value, &names);
        }
        self.parameters.extend(new);
        added
    }
}

/// The name, or the first with a number behind it that may be had.
fn free_name(name: &str, may_be: impl Fn(&str) -> bool) -> String {
    let mut names = (2..).map(|number| format!("{name}_v{number}"));
    if may_be(name) { name.to_owned() } else { names.find(|name| may_be(name)).unwrap_or_default() }
}

/// A hash over what a definition says, whatever it says to people and of which kinds it is.
fn likeness(schema: &Value) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    fn feed(value: &Value, is_schema: bool, hasher: &mut DefaultHasher) {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(name, _)| name.as_str());
                for (name, value) in fields {
                    let words = matches!(name.as_str(), "description" | "x-kubernetes-group-version-kind");
                    if !(is_schema && words) {
                        name.hash(hasher);
                        feed(value, !(is_schema && name == "properties"), hasher);
                    }
                }
                "}".hash(hasher);
            }
            Value::Array(items) => {
                for item in items {
                    feed(item, is_schema, hasher);
                }
                "]".hash(hasher);
            }
            other => other.to_string().hash(hasher),
        }
    }
    let mut hasher = DefaultHasher::new();
    feed(schema, true, &mut hasher);
    hasher.finish()
}

/// The references in a value.
fn references(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    found.push(reference.clone());
                }
                waiting.extend(fields.values());
            }
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    found
}

fn rename(value: &mut Value, names: &HashMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (word, value) in fields {
                match value {
                    Value::String(text) if word == "$ref" => {
                        if let Some(name) = names.get(text.as_str()) {
                            text.clone_from(name);
                        }
                    }
                    value => rename(value, names),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn own_paths_win_and_other_definitions_get_other_names() {
        let meta =
            json!({"type": "object", "description": "ours", "properties": {"name": {"type": "string"}}});
        let mut taken = Taken::default();
        taken.paths.insert("/apis/g/v1/mine".to_owned());
        taken.define("meta", &meta);
        taken.definitions.insert("status".to_owned(), 0);
        taken.parameters.insert("p".to_owned(), json!({"name": "other"}));
        let theirs = |name: &str| json!({"get": {"parameters": [{"$ref": "#/parameters/p"}], "responses": {"200": {"schema": {"$ref": name}}}}});
        let document = json!({
            "paths": {
                "/apis/g/v1/mine": theirs("#/definitions/lost"), "/apis/g/v2/x": theirs("#/definitions/lost"),
                "/apis/g/v1/loads": theirs("#/definitions/load"),
            },
            "definitions": {
                "load": {"properties": {"meta": {"$ref": "#/definitions/meta"}, "status": {"$ref": "#/definitions/status"}}},
                "meta": {"type": "object", "description": "theirs", "properties": {"name": {"type": "string"}}},
                "status": {"type": "string"}, "lost": {"type": "string"},
            },
            "parameters": {"p": {"name": "p"}},
        });
        let added = taken.add(Foreign { group: "g".to_owned(), version: "v1".to_owned(), document });
        assert_eq!(
            added.paths.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
            ["/apis/g/v1/loads"]
        );
        assert_eq!(added.paths[0].1["get"]["parameters"][0]["$ref"], "#/parameters/p_v2");
        let mut definitions: Vec<_> = added.definitions.iter().map(|(name, _)| name.as_str()).collect();
        definitions.sort_unstable();
        assert_eq!(definitions, ["load", "status_v2"]);
        let load = &added.definitions.iter().find(|(name, _)| name == "load").expect("it").1["properties"];
        assert_eq!(
            (&load["meta"]["$ref"], &load["status"]["$ref"]),
            (&json!("#/definitions/meta"), &json!("#/definitions/status_v2"))
        );
        assert_eq!(taken.parameters["p_v2"], json!({"name": "p"}));
    }
}
