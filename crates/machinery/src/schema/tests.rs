//! Tests of the schema walks, over small schemas in both flavours.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Library, Schema};

pub(crate) fn library() -> Library {
    let definitions = json!({
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "labels": {"type": "object", "additionalProperties": {"type": "string", "default": ""}},
                "annotations": {"type": "object", "additionalProperties": {"type": "string", "default": ""}},
                "creationTimestamp": {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.Time"},
                "finalizers": {
                    "type": "array", "items": {"type": "string", "default": ""},
                    "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge",
                },
            },
        },
        "io.k8s.apimachinery.pkg.apis.meta.v1.Time": {"type": "string", "format": "date-time"},
        "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        "Port": {
            "type": "object", "required": ["port"],
            "properties": {
                "name": {"type": "string"},
                "port": {"type": "integer", "format": "int32", "default": 0},
                "protocol": {"type": "string", "default": "TCP", "enum": ["SCTP", "TCP", "UDP"]},
                "target": {"$ref": "io.k8s.apimachinery.pkg.util.intstr.IntOrString"},
            },
        },
        "Step": {
            "type": "object",
            "properties": {"next": {"$ref": "Step"}, "name": {"type": "string"}},
        },
        "Thing": {
            "type": "object",
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "default": {}},
                "data": {"type": "object", "additionalProperties": {"type": "string", "default": ""}},
                "secret": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
                "limits": {
                    "type": "object",
                    "additionalProperties": {"$ref": "io.k8s.apimachinery.pkg.api.resource.Quantity"},
                },
                "ports": {
                    "type": "array", "items": {"$ref": "Port", "default": {}},
                    "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "x-kubernetes-patch-merge-key": "port", "x-kubernetes-patch-strategy": "merge",
                },
                "args": {"type": "array", "items": {"type": "string", "default": ""}, "x-kubernetes-list-type": "atomic"},
                "selector": {
                    "type": "object", "additionalProperties": {"type": "string", "default": ""},
                    "x-kubernetes-map-type": "atomic",
                },
                "step": {"$ref": "Step"},
                "raw": {"type": "object"},
                "count": {"type": "integer", "format": "int32"},
                "status": {"$ref": "Step", "default": {}},
            },
        },
    });
    Library::from_definitions(definitions.as_object().expect("a map"))
}

pub(crate) fn thing() -> Schema {
    library().named("Thing").expect("defined")
}

fn custom() -> Schema {
    let schema = json!({
        "type": "object", "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object", "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1, "maximum": 10},
                    "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                    "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
                    "note": {"type": "string", "nullable": true},
                    "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "empty": {"type": "object"},
                    "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
                    "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                    "disks": {
                        "type": "array", "maxItems": 2, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                        "items": {"type": "object", "required": ["name"], "properties": {
                            "name": {"type": "string"}, "boot": {"type": "integer", "default": 7},
                        }},
                    },
                    "choice": {
                        "type": "object",
                        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
                    },
                },
            },
        },
    });
    library().structural(&schema).expect("parses")
}

#[test]
fn unknown_fields_are_told_and_removed() {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a", "nope": 1}, "data": {"any": "x"}, "zzz": 1,
        "ports": [{"port": 1}, {"port": 2, "x": {}}], "raw": {"any": {"thing": 1}}, "step": {"next": {"next": {"bad": 1}}},
    });
    let found = ["metadata.nope", "zzz", "ports[1].x", "step.next.next.bad"];
    assert_eq!(thing().unknown_fields(&object), found);
    assert_eq!(thing().prune(&mut object), found);
    assert!(thing().unknown_fields(&object).is_empty());
    assert_eq!(object["raw"], json!({"any": {"thing": 1}}));

    let mut object = json!({
        "apiVersion": "a/v1", "kind": "C", "metadata": {"name": "x", "labels": {"a": "b"}},
        "spec": {"size": 1, "free": {"x": {"y": 1}}, "empty": {"x": 1}, "template": {"metadata": {"name": "n", "odd": 1}, "spec": {"q": 1}}},
    });
    assert_eq!(custom().prune(&mut object), ["spec.empty.x", "spec.template.metadata.odd"]);
}

#[test]
fn what_was_meant_is_found_beside_what_was_written() {
    for (written, meant) in [
        ("prots", Some("ports")),
        ("ports[1].prot", Some("ports[1].port")),
        ("step.nxet", Some("step.next")),
        ("ports[0].nothingLikeIt", None),
        ("nowhere.at.all", None),
    ] {
        assert_eq!(thing().nearest(written).as_deref(), meant, "{written}");
    }
}

#[test]
fn defaults_fill_what_is_not_set() {
    let mut object =
        json!({"ports": [{"port": 1, "protocol": null}, null], "data": {"a": null}, "count": null});
    thing().default(&mut object);
    assert_eq!(
        object,
        json!({
            "ports": [{"port": 1, "protocol": "TCP"}, {"port": 0, "protocol": "TCP"}],
            "data": {"a": ""}, "metadata": {}, "status": {},
        })
    );
    let mut object = json!({"spec": {"size": null, "mode": null, "note": null, "disks": [{"name": "x"}]}});
    custom().default(&mut object);
    assert_eq!(object, json!({"spec": {"mode": "a", "note": null, "disks": [{"name": "x", "boot": 7}]}}));
}

#[test]
fn canonical_form_is_what_a_typed_object_is_written_as() {
    let mut object = json!({
        "metadata": {"creationTimestamp": "2024-01-02T05:04:05.25+02:00", "labels": {}, "finalizers": []},
        "limits": {"cpu": 0.5, "memory": "1024Mi"}, "data": {}, "raw": {}, "step": {}, "ports": [], "count": 3.0,
    });
    thing().canonicalize(&mut object);
    assert_eq!(
        object,
        json!({
            "metadata": {"creationTimestamp": "2024-01-02T03:04:05Z"},
            "limits": {"cpu": "500m", "memory": "1Gi"}, "raw": {}, "step": {}, "count": 3,
        })
    );
}

#[test]
fn type_errors_are_found_where_they_stand() {
    let cases = [
        (json!({"data": 5}), Some("data")),
        (json!({"data": {"a": 5}}), Some("data[a]")),
        (json!({"ports": [{"port": "x"}]}), Some("ports[0].port")),
        (json!({"ports": {"port": 1}}), Some("ports")),
        (json!({"count": 2_147_483_648_i64}), Some("count")),
        (json!({"count": 1.5}), Some("count")),
        (json!({"secret": {"a": "?"}}), Some("secret[a]")),
        (json!({"limits": {"cpu": "many"}}), Some("limits[cpu]")),
        (json!({"metadata": {"creationTimestamp": "today"}}), Some("metadata.creationTimestamp")),
        (json!({"ports": [{"target": true}]}), Some("ports[0].target")),
        (json!({"ports": [{"target": "http", "port": 1.0}], "limits": {"cpu": 1}, "data": null}), None),
    ];
    for (object, expected) in cases {
        let found = thing().type_error(&object).map(|e| e.path.to_string());
        assert_eq!(found.as_deref(), expected, "{object}");
    }
}

#[test]
fn every_broken_rule_is_named() {
    let cases = [
        (json!({}), "spec: Required value"),
        (json!({"spec": []}), "spec: FieldValueTypeInvalid"),
        (json!({"spec": {}}), "spec.size FieldValueRequired"),
        (json!({"spec": {"size": 0}}), "spec.size FieldValueInvalid"),
        (json!({"spec": {"size": 11}}), "spec.size FieldValueInvalid"),
        (json!({"spec": {"size": "1"}}), "spec.size FieldValueTypeInvalid"),
        (json!({"spec": {"size": 1, "mode": "c"}}), "spec.mode FieldValueNotSupported"),
        (json!({"spec": {"size": 1, "name": "A"}}), "spec.name FieldValueInvalid"),
        (json!({"spec": {"size": 1, "name": "abcdef"}}), "spec.name FieldValueTooLong"),
        (json!({"spec": {"size": 1, "port": true}}), "spec.port FieldValueTypeInvalid"),
        (json!({"spec": {"size": 1, "tags": ["a", "a"]}}), "spec.tags[1] FieldValueDuplicate"),
        (
            json!({"spec": {"size": 1, "disks": [{"name": "a"}, {"name": "a"}]}}),
            "spec.disks[1] FieldValueDuplicate",
        ),
        (json!({"spec": {"size": 1, "disks": [{}]}}), "spec.disks[0].name FieldValueRequired"),
        (
            json!({"spec": {"size": 1, "disks": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}}),
            "spec.disks FieldValueTooMany",
        ),
        (json!({"spec": {"size": 1, "choice": {"a": "1", "b": "2"}}}), "spec.choice FieldValueInvalid"),
        (
            json!({"spec": {"size": 1, "template": {"kind": "Pod"}}}),
            "spec.template.apiVersion FieldValueRequired",
        ),
    ];
    for (object, expected) in cases {
        let errors = custom().validate(&object);
        let [error] = errors.as_slice() else { panic!("{object}: {errors:?}") };
        let told = [
            error.to_string(),
            format!("{} {}", error.path, error.problem.reason()),
            format!("{}: {}", error.path, error.problem.reason()),
        ];
        assert!(told.contains(&expected.to_owned()), "{object}: {error}");
    }
    let fine = json!({"spec": {"size": 10, "mode": "b", "name": "abc", "note": null, "port": "http", "tags": ["a", "b"],
        "disks": [{"name": "a"}], "choice": {"b": "1"}, "template": {"apiVersion": "v1", "kind": "Pod"}}});
    assert!(custom().validate(&fine).is_empty());
}

#[test]
fn equal_parts_are_stored_once() {
    let part = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "string"}}}});
    let schema = json!({"type": "object", "properties": {"x": part, "y": part}});
    let schema = library().structural(&schema).expect("parses");
    let object = schema.root().node().object().expect("an object");
    assert_eq!(object.field("x").map(|c| &c.target), object.field("y").map(|c| &c.target));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,4}".prop_map(Value::from)
    ];
    let name = prop_oneof![
        Just("spec"),
        Just("size"),
        Just("mode"),
        Just("disks"),
        Just("name"),
        Just("tags"),
        Just("metadata"),
        Just("zz"),
        Just("data"),
        Just("ports"),
        Just("port"),
        Just("status"),
        Just("next"),
        Just("free"),
        Just("template"),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..5)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Value>()),
        ]
    })
}

proptest! {
    #[test]
    fn walks_settle_after_one_pass(object in any_json()) {
        for schema in [thing(), custom()] {
            let mut once = object.clone();
            schema.prune(&mut once);
            schema.default(&mut once);
            schema.canonicalize(&mut once);
            let mut twice = once.clone();
            prop_assert!(schema.prune(&mut twice).is_empty());
            schema.default(&mut twice);
            schema.canonicalize(&mut twice);
            prop_assert_eq!(&once, &twice);
            let _ = (schema.validate(&object), schema.type_error(&object));
        }
    }
}
