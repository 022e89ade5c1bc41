//! The two versions of the documents, and how a schema is written in each.

use serde_json::{Map, Value, json};

/// A version of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Version 2: knows neither alternatives nor null, and clients of it expect no defaults.
    V2,
    /// Version 3.
    V3,
}

impl Form {
    const fn place(self) -> &'static str {
        match self {
            Self::V2 => "#/definitions/",
            Self::V3 => "#/components/schemas/",
        }
    }

    /// The text of a reference to the schema `name`.
    pub(super) fn reference(self, name: &str) -> String {
        format!("{}{name}", self.place())
    }

    /// Brings a schema, whose references are plain names, into this version.
    pub(super) fn settle(self, schema: &mut Value) {
        let Some(schema) = schema.as_object_mut() else { return };
        for (word, value) in schema.iter_mut() {
            match (word.as_str(), value) {
                ("properties", Value::Object(fields)) => {
                    fields.values_mut().for_each(|field| self.settle(field));
                }
                ("items" | "additionalProperties" | "not", value @ Value::Object(_)) => self.settle(value),
                ("allOf" | "anyOf" | "oneOf", Value::Array(branches)) => {
                    for branch in branches {
                        self.settle(branch);
                    }
                }
                _ => {}
            }
        }
        if self == Self::V2 {
            schema
                .retain(|word, _| !matches!(word.as_str(), "default" | "allOf" | "anyOf" | "oneOf" | "not"));
        }
        self.place_reference(schema);
    }

    /// Writes a reference as a place in the document. In version 3 nothing may stand beside one: it is wrapped then.
    fn place_reference(self, schema: &mut Map<String, Value>) {
        let Some(name) = schema.get("$ref").and_then(Value::as_str) else { return };
        let reference = self.reference(name);
        if self == Self::V3 && schema.len() > 1 {
            schema.shift_remove("$ref");
            schema.insert("allOf".to_owned(), json!([{"$ref": reference}]));
        } else {
            schema.insert("$ref".to_owned(), reference.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_with_company_are_wrapped_where_they_must_be() {
        // A property may be called as a word of schemas is.
        let schema = json!({"properties": {
            "a": {"$ref": "x"}, "b": {"$ref": "y", "default": {}}, "$ref": {"type": "string"},
            "default": {"type": "array", "items": {"$ref": "z", "default": {}}},
            "c": {"anyOf": [{"type": "integer"}], "x-kubernetes-int-or-string": true},
        }});
        for (form, expected) in [
            (
                Form::V2,
                json!({"properties": {
                    "a": {"$ref": "#/definitions/x"}, "b": {"$ref": "#/definitions/y"}, "$ref": {"type": "string"},
                    "default": {"type": "array", "items": {"$ref": "#/definitions/z"}},
                    "c": {"x-kubernetes-int-or-string": true},
                }}),
            ),
            (
                Form::V3,
                json!({"properties": {
                    "a": {"$ref": "#/components/schemas/x"},
                    "b": {"default": {}, "allOf": [{"$ref": "#/components/schemas/y"}]}, "$ref": {"type": "string"},
                    "default": {"type": "array", "items": {"default": {}, "allOf": [{"$ref": "#/components/schemas/z"}]}},
                    "c": {"anyOf": [{"type": "integer"}], "x-kubernetes-int-or-string": true},
                }}),
            ),
        ] {
            let mut settled = schema.clone();
            form.settle(&mut settled);
            assert_eq!(settled, expected);
        }
    }
}
