//! Schemas of custom resources, taken from their definitions.

use serde_json::{Value, json};

use super::form::Form;
use super::structural;
use crate::ApiServer;
use crate::cache::{Entry, ObjectKey};
use crate::registry::{Collection, Resource};

/// What schemas of custom resources refer to.
pub(super) const SHARED: [&str; 2] =
    ["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"];

fn definition(server: &ApiServer, resource: &Resource) -> Option<std::sync::Arc<Entry>> {
    let collection = Collection::new("apiextensions.k8s.io", "customresourcedefinitions");
    let name = format!("{}.{}", resource.plural(), resource.group());
    server.object(&collection, &ObjectKey::new("", &name))
}

/// The revision of the definition.
pub(super) fn revision(server: &ApiServer, resource: &Resource) -> u64 {
    definition(server, resource).map_or(0, |entry| entry.revision)
}

/// The name of a kind's schema: the group's parts in reverse, the version, the kind.
pub(super) fn name(resource: &Resource, kind: &str) -> String {
    let mut parts: Vec<&str> = resource.group().split('.').rev().collect();
    parts.extend([resource.version(), kind]);
    parts.join(".")
}

fn kinds(resource: &Resource, kind: &str) -> Value {
    json!([{"group": resource.group(), "version": resource.version(), "kind": kind}])
}

/// The schemas of the kind and of its list.
pub(super) fn schemas(server: &ApiServer, resource: &Resource, form: Form) -> [(String, Value); 2] {
    let mut object = own(server, resource, form);
    let mut list = json!({
        "description": format!("{} is a list of {}", resource.list_kind, resource.kind()),
        "type": "object", "required": ["items"],
        "properties": {
            "apiVersion": structural::api_version(), "kind": structural::kind(),
            "metadata": {"$ref": SHARED[1], "description": "What the server notes of the list."},
            "items": {
                "type": "array", "items": {"$ref": name(resource, resource.kind())},
                "description": format!("List of {}.", resource.plural()),
            },
        },
    });
    let fields = resource.selectable_fields.iter();
    let fields: Vec<_> = fields.map(|path| json!({"fieldPath": path.trim_start_matches('.')})).collect();
    let named = [(resource.kind(), &mut object), (&*resource.list_kind, &mut list)];
    for (kind, schema) in named {
        schema["x-kubernetes-group-version-kind"] = kinds(resource, kind);
        if !fields.is_empty() {
            schema["x-kubernetes-selectable-fields"] = fields.clone().into();
        }
        form.settle(schema);
    }
    [(name(resource, resource.kind()), object), (name(resource, &resource.list_kind), list)]
}

/// The definition's schema, with what every object has.
fn own(server: &ApiServer, resource: &Resource, form: Form) -> Value {
    let definition = definition(server, resource).and_then(|entry| entry.parse().ok()).unwrap_or(Value::Null);
    let versions =
        definition.pointer("/spec/versions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let own = versions.iter().find(|version| version["name"] == resource.version());
    let schema = own.and_then(|version| version.pointer("/schema/openAPIV3Schema")).cloned();
    let Some(mut schema) = schema else { return json!({"type": "object"}) };
    if form == Form::V2 && structural::keeps_unknown(&schema) {
        // With any property told, clients of this version would refuse all others.
        return json!({"type": "object"});
    }
    match form {
        Form::V2 => structural::without_alternatives(&mut schema),
        Form::V3 => structural::with_alternatives(&mut schema),
    }
    structural::embed(&mut schema, form);
    let properties = &mut schema["properties"];
    properties["apiVersion"] = structural::api_version();
    properties["kind"] = structural::kind();
    properties["metadata"] = structural::metadata();
    schema
}
