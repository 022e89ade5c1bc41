//! `CustomResourceDefinition` documents of every kind, made from the facts.
//!
//! The schemas are structural, as Kubernetes asks: no references, every field with its type, amounts and
//! numbers-or-text marked as such, metadata inside templates preserved as it is.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::facts::{self, Kind, Schema, Types};

/// Notation of an amount; see Kubernetes' resource model.
const QUANTITY_PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

static CONSTRAINTS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../facts/constraints.json")).expect("checked in and tested")
});

static DESCRIPTIONS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../facts/descriptions.json")).expect("checked in and tested")
});

/// Returns the document of every kind.
pub fn all() -> Vec<Value> {
    facts::kinds().iter().map(document).collect()
}

/// Returns the structural schema of one kind, without `apiVersion` of any particular version.
pub fn schema(kind: &Kind) -> Value {
    let Some(definition) = facts::definitions().get(kind.definition) else {
        return Value::Null;
    };
    let mut schema = Map::new();
    structure(kind.definition, definition, &mut schema);
    // Metadata is there anyway, and what is known of an object is not its author's to say.
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name == "spec");
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("metadata".to_owned(), json!({"type": "object"}));
    }
    schema.into()
}

fn document(kind: &Kind) -> Value {
    let schema = schema(kind);
    let versions: Vec<Value> = kind
        .versions
        .iter()
        .map(|version| {
            let mut out = json!({
                "name": version.name,
                "served": true,
                "storage": version.storage,
                "schema": {"openAPIV3Schema": schema},
            });
            if version.deprecated {
                out["deprecated"] = Value::Bool(true);
                let instead = kind.versions.iter().find(|other| !other.deprecated);
                let instead = instead.map(|other| format!("; use {}/{}", kind.group, other.name));
                out["deprecationWarning"] = json!(format!(
                    "{}/{} {} is deprecated{}",
                    kind.group,
                    version.name,
                    kind.kind,
                    instead.unwrap_or_default()
                ));
            }
            if !kind.columns.is_empty() {
                out["additionalPrinterColumns"] = kind.columns.clone().into();
            }
            if kind.status_subresource {
                out["subresources"] = json!({"status": {}});
            }
            if kind.scale_subresource {
                out["subresources"]["scale"] = json!({
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.labelSelector",
                });
            }
            out
        })
        .collect();
    let mut names = json!({
        "kind": kind.kind,
        "listKind": format!("{}List", kind.kind),
        "plural": kind.plural,
        "singular": kind.singular,
        "shortNames": kind.short_names,
    });
    if !kind.categories.is_empty() {
        names["categories"] = json!(kind.categories);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", kind.plural, kind.group), "labels": kind.labels},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": kind.scope,
            "conversion": {"strategy": "None"},
            "versions": versions,
        },
    })
}

/// Writes the schema of a definition.
fn structure(name: &str, definition: &'static Schema, out: &mut Map<String, Value>) {
    if let Some(text) = DESCRIPTIONS.get(name) {
        out.insert("description".to_owned(), text.clone());
    }
    out.insert("type".to_owned(), json!("object"));
    if definition.nullable {
        out.insert("nullable".to_owned(), json!(true));
    }
    if let Some(map_type) = definition.map_type {
        out.insert("x-kubernetes-map-type".to_owned(), json!(map_type));
    }
    if !definition.required.is_empty() {
        out.insert("required".to_owned(), json!(definition.required));
    }
    if definition.properties.is_empty() {
        return;
    }
    let mut properties = Map::new();
    for (property, child) in &definition.properties {
        let path = format!("{name}.{property}");
        let mut schema = Map::new();
        field(child, &mut schema);
        if let Some(text) = DESCRIPTIONS.get(&path) {
            schema.insert("description".to_owned(), text.clone());
        }
        if let Some(Value::Object(constraints)) = CONSTRAINTS.get(&path) {
            schema.extend(constraints.clone());
        }
        properties.insert((*property).to_owned(), schema.into());
    }
    out.insert("properties".to_owned(), properties.into());
}

/// Writes the schema of a field, a list item or a map value.
fn field(schema: &'static Schema, out: &mut Map<String, Value>) {
    if let Some(name) = schema.reference {
        reference(name, out);
        return;
    }
    match &schema.types {
        Types::Several(types) if types.contains(&"null") => {
            // The reference leaves the format of a point in time out where it may be null.
            out.insert("type".to_owned(), json!("string"));
            out.insert("format".to_owned(), json!("date-time"));
            out.insert("nullable".to_owned(), json!(true));
        }
        Types::Several(_) => int_or_string(out),
        Types::Any => {}
        Types::One(kind) => {
            out.insert("type".to_owned(), json!(kind));
            // Of a number, `byte` tells its size in Go; in a schema it is text in base64, and Kubernetes warns of it.
            if let Some(format) = schema.format.filter(|format| (*kind, *format) != ("integer", "byte")) {
                out.insert("format".to_owned(), json!(format));
            }
            if let Some(items) = schema.items.as_deref() {
                out.insert("items".to_owned(), nested(items));
            }
            if let Some(values) = schema.additional_properties.as_deref() {
                out.insert("additionalProperties".to_owned(), nested(values));
            }
            if let Some(list_type) = schema.list_type {
                out.insert("x-kubernetes-list-type".to_owned(), json!(list_type));
            }
            if let Some(keys) = &schema.list_map_keys {
                out.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
            }
        }
    }
}

fn nested(schema: &'static Schema) -> Value {
    let mut out = Map::new();
    field(schema, &mut out);
    out.into()
}

fn reference(name: &str, out: &mut Map<String, Value>) {
    if name.ends_with(".ObjectMeta") {
        out.insert("type".to_owned(), json!("object"));
        out.insert("nullable".to_owned(), json!(true));
        out.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
    } else if name.ends_with("util.intstr.IntOrString") {
        int_or_string(out);
    } else if name.ends_with("api.resource.Quantity") {
        int_or_string(out);
        out.insert("pattern".to_owned(), json!(QUANTITY_PATTERN));
    } else if let Some(definition) = facts::definitions().get(name) {
        match definition.types.single() {
            Some("object") | None => structure(name, definition, out),
            Some(kind) => {
                out.insert("type".to_owned(), json!(kind));
                if let Some(format) = definition.format {
                    out.insert("format".to_owned(), json!(format));
                }
            }
        }
    }
}

fn int_or_string(out: &mut Map<String, Value>) {
    out.insert("anyOf".to_owned(), json!([{"type": "integer"}, {"type": "string"}]));
    out.insert("x-kubernetes-int-or-string".to_owned(), json!(true));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_and_descriptions_name_fields_that_exist() {
        for path in CONSTRAINTS.keys().chain(DESCRIPTIONS.keys()) {
            let exists = facts::definitions().contains_key(path.as_str())
                || path.rsplit_once('.').is_some_and(|(definition, field)| {
                    facts::definitions()
                        .get(definition)
                        .is_some_and(|definition| definition.properties.contains_key(field))
                });
            assert!(exists, "{path}");
        }
    }

    #[test]
    fn every_field_is_described() {
        fn check(schema: &Value, path: &str, missing: &mut Vec<String>) {
            for (name, child) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let path = format!("{path}.{name}");
                if name != "metadata" && child.get("description").is_none() {
                    missing.push(path.clone());
                }
                check(child, &path, missing);
            }
            for key in ["items", "additionalProperties"] {
                if let Some(child) = schema.get(key) {
                    check(child, path, missing);
                }
            }
        }
        let mut missing = Vec::new();
        // Not yet: settings of the installation, and migrations.
        for kind in facts::kinds()
            .iter()
            .filter(|kind| !matches!(kind.kind, "KubeVirt" | "VirtualMachineInstanceMigration"))
        {
            check(&schema(kind), kind.kind, &mut missing);
        }
        assert!(missing.is_empty(), "write a sentence in facts/descriptions.json: {missing:#?}");
    }

    #[test]
    fn documents_are_structural() {
        fn check(schema: &Value, path: &str) {
            let typed = schema.get("type").is_some() || schema.get("x-kubernetes-int-or-string").is_some();
            assert!(typed, "{path} has no type: {schema}");
            for (name, child) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                check(child, &format!("{path}.{name}"));
            }
            for key in ["items", "additionalProperties"] {
                if let Some(child) = schema.get(key) {
                    check(child, &format!("{path}[]"));
                }
            }
            if schema.get("type") == Some(&json!("array")) {
                assert!(schema.get("items").is_some(), "{path}");
            }
        }
        for document in all() {
            for version in document["spec"]["versions"].as_array().unwrap() {
                check(&version["schema"]["openAPIV3Schema"], document["metadata"]["name"].as_str().unwrap());
            }
        }
    }

    /// What a Kubernetes 1.36 said of documents that it did not take, or took with a warning.
    #[test]
    fn kubernetes_takes_the_documents() {
        fn check(schema: &Value, path: &str) {
            if schema["type"] == "integer" {
                let format = schema["format"].as_str();
                assert!(matches!(format, None | Some("int32" | "int64")), "{path} has the format {format:?}");
            }
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let text = rule["rule"].as_str().unwrap();
                let walks = ["exists(", "exists_one(", "all(", "map(", "filter("];
                let bounded = schema["maxItems"].as_u64().is_some_and(|most| most <= 8);
                assert!(
                    bounded || !walks.iter().any(|walk| text.contains(walk)),
                    "{path}: {text} may cost more than Kubernetes allows, for each item of the lists around it"
                );
            }
            for (name, child) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                check(child, &format!("{path}.{name}"));
            }
            for key in ["items", "additionalProperties"] {
                if let Some(child) = schema.get(key) {
                    check(child, &format!("{path}[]"));
                }
            }
        }
        for document in all() {
            for version in document["spec"]["versions"].as_array().unwrap() {
                check(&version["schema"]["openAPIV3Schema"], document["metadata"]["name"].as_str().unwrap());
            }
        }
    }
}
