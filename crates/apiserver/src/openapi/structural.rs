//! What schemas of CustomResourceDefinitions mean beyond their words, told in words that clients understand.

use serde_json::{Map, Value, json};

use super::custom::SHARED;
use super::form::Form;

/// Whether objects keep fields that the schema does not know.
pub(super) fn keeps_unknown(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

pub(super) fn api_version() -> Value {
    json!({"type": "string", "description": "Group and version of the kind."})
}

pub(super) fn kind() -> Value {
    json!({"type": "string", "description": "The kind of object."})
}

pub(super) fn metadata() -> Value {
    json!({"$ref": SHARED[0], "description": "Name, place, labels and what the server notes."})
}

/// Calls `visit` for each schema directly within one.
fn children(schema: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        fields.values_mut().filter_map(Value::as_object_mut).for_each(&mut *visit);
    }
    for word in ["items", "additionalProperties"] {
        if let Some(child) = schema.get_mut(word).and_then(Value::as_object_mut) {
            visit(child);
        }
    }
}

/// Brings a schema into what version 2 can say. It has no null: such a field has no type then, and is not required.
/// Fields and items of what may hold anything are not told, since clients would refuse all others.
pub(super) fn without_alternatives(schema: &mut Value) {
    if let Some(schema) = schema.as_object_mut() {
        simplify(schema);
    }
}

fn simplify(schema: &mut Map<String, Value>) {
    let is = |schema: &Map<String, Value>, word: &str| schema.get(word) == Some(&Value::Bool(true));
    let (nullable, open) = (is(schema, "nullable"), is(schema, "x-kubernetes-preserve-unknown-fields"));
    schema.shift_remove("nullable");
    if nullable || open {
        schema.shift_remove("items");
        schema.shift_remove("properties");
    }
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    if nullable || (kind == "array" && !schema.contains_key("items")) || (kind == "object" && open) {
        schema.shift_remove("type");
    }
    let may_be_null = |child: &Value| child["nullable"] == true;
    if schema.get("additionalProperties").is_some_and(may_be_null) {
        schema.shift_remove("required");
    }
    let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let null: Vec<String> =
        fields.filter(|(_, field)| may_be_null(field)).map(|(name, _)| name.clone()).collect();
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !null.iter().any(|other| name == other));
        if required.is_empty() {
            schema.shift_remove("required");
        }
    }
    children(schema, &mut simplify);
}

/// Says of each number or text that it is one or the other, where the schema leaves that to its mark.
pub(super) fn with_alternatives(schema: &mut Value) {
    if let Some(schema) = schema.as_object_mut() {
        unfold(schema);
    }
}

fn unfold(schema: &mut Map<String, Value>) {
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        let both = json!([{"type": "integer"}, {"type": "string"}]);
        let in_all = schema.get("allOf").and_then(|branches| branches.get(0)?.get("anyOf")) == Some(&both);
        match schema.get("anyOf") {
            Some(own) if *own == both => {}
            _ if in_all => {}
            None => {
                schema.insert("anyOf".to_owned(), both);
            }
            Some(_) => {
                let others = schema.get("allOf").and_then(Value::as_array).cloned().unwrap_or_default();
                let all: Vec<_> = [json!({"anyOf": both})].into_iter().chain(others).collect();
                schema.insert("allOf".to_owned(), all.into());
            }
        }
    }
    children(schema, &mut unfold);
}

/// Tells of each object within another what every object has.
pub(super) fn embed(schema: &mut Value, form: Form) {
    if let Some(schema) = schema.as_object_mut() {
        embed_in(schema, form);
    }
}

fn embed_in(schema: &mut Map<String, Value>, form: Form) {
    children(schema, &mut |child| embed_in(child, form));
    let is = |word: &str| schema.get(word) == Some(&Value::Bool(true));
    if !is("x-kubernetes-embedded-resource")
        || (form == Form::V2 && is("x-kubernetes-preserve-unknown-fields"))
    {
        return;
    }
    let mut fields = schema.get("properties").cloned().unwrap_or_else(|| json!({}));
    (fields["apiVersion"], fields["kind"], fields["metadata"]) = (api_version(), kind(), metadata());
    schema.insert("properties".to_owned(), fields);
    let mut required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for name in ["kind", "apiVersion"] {
        if !required.iter().any(|other| other == name) {
            required.push(name.into());
        }
    }
    schema.insert("required".to_owned(), required.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_says_less() {
        for (schema, expected) in [
            (json!({"type": "string", "nullable": true}), json!({})),
            (json!({"type": "string", "nullable": false}), json!({"type": "string"})),
            (
                json!({"type": "object", "required": ["a", "b"], "properties": {
                    "a": {"type": "object", "nullable": true, "properties": {"x": {"type": "string"}}},
                    "b": {"type": "array", "x-kubernetes-preserve-unknown-fields": true, "items": {"type": "object"}}}}),
                json!({"type": "object", "required": ["b"], "properties": {
                    "a": {}, "b": {"x-kubernetes-preserve-unknown-fields": true}}}),
            ),
            (
                json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "nullable": true}}}),
                json!({"type": "object", "properties": {"a": {}}}),
            ),
            (
                json!({"type": "object", "required": ["a"], "additionalProperties": {"type": "string", "nullable": true}}),
                json!({"type": "object", "additionalProperties": {}}),
            ),
            (
                json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}}),
                json!({"x-kubernetes-preserve-unknown-fields": true}),
            ),
        ] {
            let mut simple = schema.clone();
            without_alternatives(&mut simple);
            assert_eq!(simple, expected, "{schema}");
        }
    }

    #[test]
    fn numbers_or_texts_are_told_as_such() {
        let both = json!([{"type": "integer"}, {"type": "string"}]);
        for (schema, word, at) in [
            (json!({"x-kubernetes-int-or-string": true}), "anyOf", "/anyOf"),
            (json!({"x-kubernetes-int-or-string": true, "anyOf": both}), "anyOf", "/anyOf"),
            (
                json!({"x-kubernetes-int-or-string": true, "anyOf": [{"minimum": 1}]}),
                "allOf",
                "/allOf/0/anyOf",
            ),
        ] {
            let mut unfolded = json!({"type": "object", "properties": {"p": schema}});
            with_alternatives(&mut unfolded);
            let field = &unfolded["properties"]["p"];
            assert_eq!(field.pointer(at), Some(&both), "{field}");
            assert!(field[word].is_array());
        }
    }

    #[test]
    fn objects_within_objects_have_what_all_have() {
        let template = json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true});
        let schema = json!({"type": "object", "properties": {"template": template}});
        let mut version_3 = schema.clone();
        embed(&mut version_3, Form::V3);
        let told = &version_3["properties"]["template"];
        assert_eq!(told["required"], json!(["kind", "apiVersion"]));
        assert_eq!(told["properties"]["metadata"]["$ref"], SHARED[0]);
        let mut version_2 = schema.clone();
        embed(&mut version_2, Form::V2);
        assert_eq!(version_2, schema);
    }
}
