use std::sync::Arc;

use serde_json::{Map, json};

use super::*;
use crate::ApiServer;
use crate::protobuf::wire::{Field, Reader, Wire};

/// Reads what [`Message::write`] wrote.
fn read(message: &Message, bytes: &[u8]) -> Value {
    let mut object = Map::new();
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next().expect("a field") {
        if let Some((_, name, shape)) = message.fields.iter().find(|(number, ..)| *number == field.number) {
            take(&mut object, name, shape, &field);
            continue;
        }
        let any = Shape::Any;
        let shape = match message.entries {
            _ if message.extensions == Some(field.number) => &any,
            Some((number, shape)) if number == field.number => shape,
            _ => panic!("nothing has the number {}", field.number),
        };
        let mut named = Reader::new(field.bytes().expect("a message"));
        let name = named.next().expect("a field").expect("a name").text().expect("text").to_owned();
        let value = named.next().expect("a field").expect("a value");
        take(&mut object, &name, shape, &value);
    }
    object.into()
}

fn take(object: &mut Map<String, Value>, name: &str, shape: &Shape, field: &Field<'_>) {
    match shape {
        Shape::Each(shape) => {
            let items = object.entry(name).or_insert_with(|| json!([]));
            items.as_array_mut().expect("a list").push(value(shape, field));
        }
        shape => {
            object.insert(name.to_owned(), value(shape, field));
        }
    }
}

fn value(shape: &Shape, field: &Field<'_>) -> Value {
    let inner = || Reader::new(field.bytes().expect("a message"));
    match shape {
        Shape::Text | Shape::Word => field.text().expect("text").into(),
        Shape::Flag | Shape::Truth => (field.number().expect("a number") == 1).into(),
        Shape::Whole => (field.number().expect("a number") as i64).into(),
        Shape::Real | Shape::Number => {
            let Wire::Fixed(bits) = field.value else { panic!("no number") };
            let real = f64::from_bits(bits);
            if real.fract() == 0.0 { (real as i64).into() } else { real.into() }
        }
        Shape::Any => {
            let text = inner().next().expect("a field").expect("a text");
            serde_json::from_str(text.text().expect("text")).expect("JSON")
        }
        Shape::Message(message) => read(message, field.bytes().expect("a message")),
        Shape::Each(shape) => value(shape, field),
        Shape::Wrapped(_, shape) => {
            let (mut reader, mut items) = (inner(), Vec::new());
            while let Some(field) = reader.next().expect("a field") {
                items.push(value(shape, &field));
            }
            // One alone stands for a list of one.
            if items.len() == 1 { items.remove(0) } else { items.into() }
        }
        Shape::OneOf(choices) => {
            let field = inner().next().expect("a field").expect("a choice");
            let (_, _, shape) =
                choices.iter().find(|(_, number, _)| *number == field.number).expect("a choice");
            value(shape, &field)
        }
    }
}

fn widgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.test"},
        "spec": {
            "group": "example.test", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "selectableFields": [{"jsonPath": ".spec.size"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "required": ["size"], "properties": {
                        "size": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 1000, "exclusiveMaximum": true,
                            "default": 7, "multipleOf": 0.5},
                        "port": {"x-kubernetes-int-or-string": true},
                        "names": {"type": "array", "minItems": 1, "maxItems": 9, "uniqueItems": false,
                            "items": {"type": "string", "pattern": "^a", "minLength": 1, "maxLength": 3, "enum": ["a", "ab"]}},
                        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                        "map": {"type": "object", "additionalProperties": {"type": "number", "nullable": true}, "maxProperties": 3},
                        "one": {"type": "object", "oneOf": [{"required": ["a"]}], "not": {"required": ["b"]},
                            "properties": {"a": {"type": "boolean", "default": false}, "b": {"type": "string", "default": "", "title": "B"}}},
                    },
                    "x-kubernetes-validations": [{"rule": "self.size > 0", "message": "more"}],
                }}}},
            }],
        },
    })
}

async fn server() -> ApiServer {
    let store = Arc::new(store::MemoryStore::new());
    ApiServer::builder(store).crds([widgets()]).build().await.expect("it starts")
}

#[tokio::test]
async fn version_2_is_the_same_document_in_protobuf() {
    let whole = crate::openapi::whole::current(&server().await).await.expect("a document");
    let document: Value = serde_json::from_slice(&whole.json.plain()).expect("JSON");
    assert!(document["definitions"]["test.example.v1.Widget"].is_object());
    let decoded = read(&V2, &whole.protobuf.plain());
    assert_same("", &without(document, &|_| false), &decoded);
}

#[tokio::test]
async fn version_3_is_the_same_document_in_protobuf() {
    let server = server().await;
    let snapshot = server.registry().snapshot();
    for name in ["version", "apis/apps", "api/v1", "apis/example.test/v1"] {
        let document: Value =
            serde_json::from_str(&crate::openapi::write(&server, &snapshot, name)).expect("JSON");
        let mut bytes = Vec::new();
        V3.write(&mut bytes, &document);
        // Objects as defaults have no form there.
        let expected = without(document, &|default| default.is_object() || default.is_array());
        assert_same(name, &expected, &read(&V3, &bytes));
    }
}

/// The document without what means the same when it is left out: false, 0, and defaults that `drop` finds.
fn without(mut value: Value, drop: &dyn Fn(&Value) -> bool) -> Value {
    match &mut value {
        Value::Object(fields) => {
            let is_schema = !fields.contains_key("default")
                || !fields["default"].get("type").is_some_and(Value::is_string);
            fields.retain(|name, value| {
                let zero = *value == json!(0) && name != "default";
                let empty = (*value == false && name != "default") || zero;
                !(empty || (is_schema && name == "default" && drop(value)))
            });
            for value in fields.values_mut() {
                *value = without(value.take(), drop);
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without(item.take(), drop);
            }
        }
        _ => {}
    }
    value
}

#[track_caller]
fn assert_same(path: &str, expected: &Value, found: &Value) {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys()) {
                assert_same(&format!("{path}/{name}"), &expected[name.as_str()], &found[name.as_str()]);
            }
        }
        // One alone stands for a list of one.
        (Value::Array(items), other) if items.len() == 1 && !other.is_array() => {
            assert_same(path, &items[0], other);
        }
        _ => assert_eq!(expected, found, "{path}"),
    }
}
