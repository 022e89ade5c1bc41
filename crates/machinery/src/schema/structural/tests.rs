//! Tests of the rules for schemas of custom resources.

use super::*;
use crate::schema::tests::library;
use serde_json::json;

#[test]
fn good_schemas_pass() {
    let schema = json!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}},
        "spec": {"type": "object", "default": {"size": 3}, "properties": {
            "size": {"type": "integer", "default": 1, "minimum": 1},
            "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "free": {"x-kubernetes-preserve-unknown-fields": true},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "disks": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
        }, "oneOf": [{"required": ["size"]}, {"required": ["port"]}]},
    }});
    assert_eq!(library().structural_errors(&schema, &Path::new("s")), []);
}

#[test]
fn each_fault_is_named() {
    let field = |schema: Value| json!({"type": "object", "properties": {"f": schema}});
    let cases = [
        (json!({}), "s.type FieldValueRequired"),
        (json!({"type": "string"}), "s.type FieldValueInvalid"),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            "s.additionalProperties FieldValueForbidden",
        ),
        (field(json!({})), "s.properties[f].type FieldValueRequired"),
        (field(json!({"type": "text"})), "s.properties[f].type FieldValueNotSupported"),
        (field(json!({"type": "array"})), "s.properties[f].items FieldValueRequired"),
        (field(json!({"type": "string", "$ref": "#/x"})), "s.properties[f].$ref FieldValueForbidden"),
        (field(json!({"type": "string", "pattern": "("})), "s.properties[f].pattern FieldValueInvalid"),
        (field(json!({"type": "string", "default": 5})), "s.properties[f].default FieldValueTypeInvalid"),
        (
            field(json!({"type": "object", "properties": {"a": {"type": "string"}}, "default": {"b": 1}})),
            "s.properties[f].default FieldValueInvalid",
        ),
        (
            field(
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            ),
            "s.properties[f].additionalProperties FieldValueForbidden",
        ),
        (
            field(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false})),
            "s.properties[f].x-kubernetes-preserve-unknown-fields FieldValueInvalid",
        ),
        (
            field(json!({"type": "object", "x-kubernetes-embedded-resource": true})),
            "s.properties[f].properties FieldValueRequired",
        ),
        (
            field(json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "bag"})),
            "s.properties[f].x-kubernetes-list-type FieldValueNotSupported",
        ),
        (
            field(json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"})),
            "s.properties[f].x-kubernetes-list-map-keys FieldValueRequired",
        ),
        (
            field(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
                "items": {"type": "object", "properties": {"n": {"type": "string"}}}}),
            ),
            "s.properties[f].items.properties[n].default FieldValueRequired",
        ),
        (
            field(json!({"type": "string", "anyOf": [{"type": "string"}]})),
            "s.properties[f].anyOf[0].type FieldValueForbidden",
        ),
    ];
    for (schema, expected) in cases {
        assert_eq!(told(&schema), [expected], "{schema}");
    }
}

/// Fields and reasons of what is wrong with a schema at `s`, in order, each once.
fn told(schema: &Value) -> Vec<String> {
    let errors = library().structural_errors(schema, &Path::new("s"));
    let mut told: Vec<String> = errors.iter().map(|e| format!("{} {}", e.path, e.problem.reason())).collect();
    told.sort();
    told.dedup();
    told
}

#[test]
fn faults_are_named_as_a_kube_apiserver_names_them() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases.json")).expect("the cases");
    assert!(cases.len() > 30);
    let mut wrong = Vec::new();
    for case in cases {
        let schema = match &case["field"] {
            Value::Null => case["schema"].clone(),
            field => json!({"type": "object", "properties": {"f": field}}),
        };
        let mut expected: Vec<String> = Vec::new();
        for cause in case["told"].as_array().expect("a list") {
            let (at, reason) = cause.as_str().and_then(|cause| cause.rsplit_once(' ')).expect("a cause");
            expected.push(format!(
                "s{}{at} FieldValue{reason}",
                if case["field"].is_null() { "" } else { ".properties[f]" }
            ));
        }
        expected.sort();
        let told = told(&schema);
        if told != expected {
            wrong.push(format!("{schema}: {told:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
