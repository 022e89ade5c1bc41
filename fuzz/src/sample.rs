//! A kind with every sort of field: lists by key, sets, whole lists, maps, structures, the like inside one another.

use std::sync::OnceLock;

use machinery::schema::{Library, Schema};
use serde_json::{Value, json};

/// The definitions that the samples are of.
pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let definitions = definitions();
        Library::from_definitions(definitions.as_object().expect("the definitions are a map"))
    })
}

/// The schema of a whole object.
pub fn plan() -> &'static Schema {
    static PLAN: OnceLock<Schema> = OnceLock::new();
    PLAN.get_or_init(|| library().named("Plan").expect("it is defined above"))
}

fn definitions() -> Value {
    let text = json!({"type": "string"});
    json!({
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {
            "type": "object",
            "properties": {
                "name": text, "namespace": text, "uid": text, "resourceVersion": text,
                "generation": {"type": "integer", "format": "int64"},
                "creationTimestamp": {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.Time"},
                "labels": {"type": "object", "additionalProperties": {"type": "string", "default": ""}},
                "finalizers": {
                    "type": "array", "items": {"type": "string", "default": ""},
                    "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge",
                },
                "managedFields": {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "atomic"},
            },
        },
        "io.k8s.apimachinery.pkg.apis.meta.v1.Time": {"type": "string", "format": "date-time"},
        "Plan": {
            "type": "object",
            "properties": {
                "apiVersion": text, "kind": text,
                "metadata": {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "default": {}},
                "name": text,
                "steps": {
                    "type": "array", "items": {"$ref": "Step", "default": {}},
                    "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge,retainKeys",
                },
                "ports": {
                    "type": "array", "items": {"$ref": "Port", "default": {}},
                    "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "x-kubernetes-patch-merge-key": "port", "x-kubernetes-patch-strategy": "merge",
                },
                "marks": {
                    "type": "array", "items": text,
                    "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge",
                },
                "words": {"type": "array", "items": text, "x-kubernetes-list-type": "atomic"},
                "choice": {"$ref": "Choice", "x-kubernetes-patch-strategy": "retainKeys"},
                "whole": {"$ref": "Choice", "x-kubernetes-map-type": "atomic", "x-kubernetes-patch-strategy": "replace"},
                "map": {"type": "object", "additionalProperties": text},
                "raw": {"type": "object"},
                "status": {"$ref": "Choice", "default": {}},
            },
        },
        "Choice": {"type": "object", "properties": {"a": text, "b": text, "c": {"$ref": "Plan"}}},
        "Port": {
            "type": "object", "required": ["port"],
            "properties": {
                "port": {"type": "integer", "format": "int32", "default": 0}, "name": text,
                "protocol": {"type": "string", "default": "TCP"},
            },
        },
        "Step": {
            "type": "object", "required": ["name"],
            "properties": {
                "name": {"type": "string", "default": ""}, "image": text,
                "env": {
                    "type": "array", "items": {"$ref": "Step", "default": {}},
                    "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge",
                },
                "args": {"type": "array", "items": text, "x-kubernetes-list-type": "atomic"},
            },
        },
    })
}
