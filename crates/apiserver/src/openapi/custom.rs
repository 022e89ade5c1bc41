//! Schemas of custom resources, taken from their definitions.

use serde_json::{Value, json};

use crate::ApiServer;
use crate::cache::{Entry, ObjectKey};
use crate::registry::{Collection, Resource};

const OBJECT_META: &str = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

fn definition(server: &ApiServer, resource: &Resource) -> Option<std::sync::Arc<Entry>> {
    let collection = Collection::new("apiextensions.k8s.io", "customresourcedefinitions");
    let name = format!("{}.{}", resource.plural(), resource.group());
    server.object(&collection, &ObjectKey::new("", &name))
}

/// The revision of the definition.
pub(super) fn revision(server: &ApiServer, resource: &Resource) -> u64 {
    definition(server, resource).map_or(0, |entry| entry.revision)
}

/// The name of the schema: the group's parts in reverse, the version, the kind.
pub(super) fn name(resource: &Resource) -> String {
    let mut parts: Vec<&str> = resource.group().split('.').rev().collect();
    parts.extend([resource.version(), resource.kind()]);
    parts.join(".")
}

fn kinds(resource: &Resource, kind: &str) -> Value {
    json!([{"group": resource.group(), "version": resource.version(), "kind": kind}])
}

/// The schema, with what every object has.
pub(super) fn schema(server: &ApiServer, resource: &Resource) -> Value {
    let definition = definition(server, resource).and_then(|entry| entry.parse().ok()).unwrap_or(Value::Null);
    let versions =
        definition.pointer("/spec/versions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let own = versions.iter().find(|version| version["name"] == resource.version());
    let mut schema = own
        .and_then(|version| version.pointer("/schema/openAPIV3Schema"))
        .cloned()
        .unwrap_or_else(|| json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({"type": "string", "description": "Group and version of the kind."});
    properties["kind"] = json!({"type": "string", "description": "The kind of object."});
    let metadata = "Name, place, labels and what the server notes.";
    properties["metadata"] = json!({"allOf": [{"$ref": OBJECT_META}], "description": metadata});
    schema["x-kubernetes-group-version-kind"] = kinds(resource, resource.kind());
    schema
}

/// The schema of a list.
pub(super) fn list_schema(resource: &Resource, name: &str) -> Value {
    json!({
        "type": "object", "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"},
            "metadata": {"allOf": [{"$ref": LIST_META}]},
            "items": {"type": "array", "items": {"$ref": format!("#/components/schemas/{name}")}},
        },
        "x-kubernetes-group-version-kind": kinds(resource, &resource.list_kind),
    })
}
