//! The document of version 2: one for everything, written item by item.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::form::Form;
use super::gnostic::{self, Entries};
use super::operations::{Operation, PathItem, Shown, reason};
use super::parameters::{Parameter, Place};
use super::text;

/// The document in both its encodings.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) json: String,
    pub(super) protobuf: Vec<u8>,
}

impl Document {
    pub(super) fn new(info: &Value) -> Self {
        let mut document = Self { json: String::from("{"), protobuf: Vec::new() };
        document.field("swagger", &json!("2.0"));
        document.field("info", info);
        document
    }

    fn field(&mut self, name: &str, value: &Value) {
        text::put(&mut self.json, name, value);
        gnostic::V2.write_field(&mut self.protobuf, name, value);
    }

    /// Writes a field that is a map, entry by entry.
    pub(super) fn section(&mut self, name: &str, entries: impl FnOnce(&mut Section<'_>)) {
        text::begin(&mut self.json, name);
        self.json.push('{');
        let mut section = Section { encoded: gnostic::V2.begin(name), document: self };
        entries(&mut section);
        let encoded = section.encoded;
        self.json.push('}');
        if let Some(encoded) = encoded {
            encoded.end(&mut self.protobuf);
        }
    }

    /// Writes how clients say who they are, and ends the document.
    pub(super) fn finish(mut self) -> Self {
        self.field("securityDefinitions", &json!({"BearerToken": bearer_token()}));
        self.field("security", &json!([{"BearerToken": []}]));
        self.json.push('}');
        self
    }
}

/// How clients say who they are, apart from certificates.
pub(super) fn bearer_token() -> Value {
    let description = "Bearer Token authentication";
    json!({"description": description, "in": "header", "name": "authorization", "type": "apiKey"})
}

/// A map in a document that is being written.
pub(super) struct Section<'a> {
    document: &'a mut Document,
    encoded: Option<Entries>,
}

impl Section<'_> {
    pub(super) fn put(&mut self, name: &str, value: &Value) {
        text::put(&mut self.document.json, name, value);
        if let Some(encoded) = &mut self.encoded {
            encoded.put(name, value);
        }
    }
}

/// Parameters that many operations have, told once.
#[derive(Debug, Default)]
pub(super) struct Shared(BTreeMap<String, Value>);

impl Shared {
    pub(super) fn into_parameters(self) -> BTreeMap<String, Value> {
        self.0
    }

    /// A reference to a parameter, or the parameter itself where it is one operation's own. `dryRun` and
    /// `fieldValidation` stay where they are: older kubectls look for them there to learn what the server can do.
    fn place(&mut self, parameter: Value) -> Value {
        let name = parameter["name"].as_str().unwrap_or_default();
        let schema = parameter.pointer("/schema/$ref").and_then(Value::as_str).unwrap_or_default();
        let own = match name {
            "name" | "dryRun" | "fieldValidation" => true,
            "body" => !schema.starts_with("#/definitions/io.k8s.apimachinery"),
            _ => false,
        };
        if own {
            return parameter;
        }
        let hash = Sha256::digest(parameter.to_string());
        let name = format!("{name}-{}", URL_SAFE_NO_PAD.encode(&hash[..6]));
        let reference = json!({"$ref": format!("#/parameters/{name}")});
        self.0.entry(name).or_insert(parameter);
        reference
    }
}

/// Writes a path and what can be done there.
pub(super) fn path(item: &PathItem, shared: &mut Shared) -> Value {
    let common = item.common();
    let mut out = Map::new();
    for operation in &item.operations {
        out.insert(operation.method.to_owned(), written(operation, &common, shared));
    }
    if !common.is_empty() {
        let common = common.iter().map(|parameter| shared.place(plain(parameter)));
        out.insert("parameters".to_owned(), common.collect());
    }
    out.into()
}

fn plain(parameter: &Parameter) -> Value {
    let mut out =
        json!({"description": parameter.description, "in": parameter.place.as_str(), "name": parameter.name});
    if parameter.place == Place::Path {
        out["required"] = true.into();
    }
    out["type"] = parameter.kind.into();
    out["uniqueItems"] = true.into();
    out
}

fn written(operation: &Operation, common: &[&Parameter], shared: &mut Shared) -> Value {
    let reference = |name: &str| json!({"$ref": Form::V2.reference(name)});
    let mut parameters = Vec::new();
    if let Some(sent) = &operation.sent {
        let mut body = json!({"in": "body", "name": "body"});
        if sent.required {
            body["required"] = true.into();
        }
        body["schema"] = reference(&sent.schema);
        parameters.push(shared.place(body));
    }
    let own = operation.parameters.iter().filter(|parameter| !common.contains(parameter));
    parameters.extend(own.map(|parameter| shared.place(plain(parameter))));
    let mut responses = Map::new();
    for (code, shown) in &operation.answers {
        let schema = match shown {
            Shown::Text => json!({"type": "string"}),
            Shown::Object(name) => reference(name),
        };
        responses.insert((*code).to_owned(), json!({"description": reason(code), "schema": schema}));
    }
    responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    let mut out = json!({"description": operation.description});
    if !operation.consumes.is_empty() {
        out["consumes"] = json!(operation.consumes);
    }
    out["produces"] = json!(operation.produces);
    out["schemes"] = json!(["https"]);
    out["tags"] = json!([operation.tag]);
    out["operationId"] = operation.id.as_str().into();
    if !parameters.is_empty() {
        out["parameters"] = parameters.into();
    }
    out["responses"] = responses.into();
    operation.mark(&mut out);
    out
}
