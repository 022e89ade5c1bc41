//! Reduces a Swagger 2 document to facts: what a field is called and what it may hold.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

const PREFIX: &str = "#/definitions/";

/// Keys of a schema that are facts. `default` stays only as the mark of an embedded structure (see [`fact`]).
const KEPT: [&str; 12] = [
    "$ref",
    "type",
    "format",
    "enum",
    "required",
    "nullable",
    "properties",
    "items",
    "additionalProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
];

/// Returns the definitions that the roots reach, without prose.
pub(super) fn reduce(swagger: &Map<String, Value>, roots: &[String]) -> Result<Map<String, Value>> {
    let definitions = swagger
        .get("definitions")
        .and_then(Value::as_object)
        .context("the document has no `definitions`; give a Swagger 2 document")?;
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> = roots.to_vec();
    while let Some(name) = open.pop() {
        if reached.contains(&name) {
            continue;
        }
        let definition =
            definitions.get(&name).with_context(|| format!("definition {name} is not in the document"))?;
        collect_references(definition, &mut open);
        reached.insert(name);
    }
    Ok(reached.iter().map(|name| (name.clone(), fact(&definitions[name]))).collect())
}

/// Returns a document with our names of its definitions: those of `names`; for what is Kubernetes' (`v1.`) the name with its
/// package, as the `known` facts have it or among the core types.
pub(super) fn renamed(
    document: &Map<String, Value>,
    names: &BTreeMap<String, String>,
    known: &Map<String, Value>,
) -> Result<Map<String, Value>> {
    let ours = |name: &str| {
        let short = name.strip_prefix("v1.");
        let packaged = |package: &str| short.map(|short| format!("k8s.io.{package}.v1.{short}"));
        names
            .get(name)
            .cloned()
            .or_else(|| packaged("apimachinery.pkg.apis.meta").filter(|name| known.contains_key(name)))
            .or_else(|| packaged("api.core"))
            .unwrap_or_else(|| name.to_owned())
    };
    let definitions = document.get("definitions").and_then(Value::as_object);
    let definitions = definitions.context("the document has no `definitions`; give a Swagger 2 document")?;
    let definitions: Map<String, Value> = definitions
        .iter()
        .map(|(name, definition)| {
            let mut definition = definition.clone();
            rename(&mut definition, &ours);
            (ours(name), definition)
        })
        .collect();
    Ok(Map::from_iter([("definitions".to_owned(), definitions.into())]))
}

fn rename(node: &mut Value, ours: &dyn Fn(&str) -> String) {
    match node {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get_mut("$ref") {
                *target = ours(target.trim_start_matches(PREFIX));
            }
            map.values_mut().for_each(|child| rename(child, ours));
        }
        Value::Array(items) => items.iter_mut().for_each(|child| rename(child, ours)),
        _ => {}
    }
}

/// Returns the facts as JSON with one definition a line, so that a change shows as the lines that changed.
pub(super) fn one_definition_a_line(facts: &Map<String, Value>) -> String {
    let lines: Vec<String> =
        facts.iter().map(|(name, fact)| format!("{}: {fact}", Value::from(name.as_str()))).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn collect_references(node: &Value, out: &mut Vec<String>) {
    match node {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                out.push(target.trim_start_matches(PREFIX).to_owned());
            }
            map.values().for_each(|child| collect_references(child, out));
        }
        Value::Array(items) => items.iter().for_each(|child| collect_references(child, out)),
        _ => {}
    }
}

/// Keeps what is a fact. A reference that carries `default: {}` stands for a structure that is always written,
/// one without for a structure that may be absent: the mark is kept as `embedded: true`.
fn fact(schema: &Value) -> Value {
    let Value::Object(schema) = schema else {
        return schema.clone();
    };
    let mut out = Map::new();
    for key in KEPT {
        let Some(value) = schema.get(key) else { continue };
        let value = match (key, value) {
            ("$ref", Value::String(target)) => Value::from(target.trim_start_matches(PREFIX)),
            ("properties", Value::Object(properties)) => properties
                .iter()
                .map(|(name, child)| (name.clone(), fact(child)))
                .collect::<Map<_, _>>()
                .into(),
            ("items" | "additionalProperties", child) => fact(child),
            (_, value) => value.clone(),
        };
        out.insert(key.to_owned(), value);
    }
    let embedded = schema.contains_key("default") || schema.contains_key("embedded");
    if schema.contains_key("$ref") && embedded {
        out.insert("embedded".to_owned(), Value::Bool(true));
    }
    out.into()
}
