//! Documents of version 3: one for each group and version.

use serde_json::{Map, Value, json};

use super::form::Form;
use super::operations::{Operation, PathItem, Shown, reason};
use super::parameters::{Parameter, Place};

/// Writes a path and what can be done there.
pub(super) fn path(item: &PathItem) -> Value {
    let common = item.common();
    let mut out = Map::new();
    for operation in &item.operations {
        out.insert(operation.method.to_owned(), written(operation, &common));
    }
    if !common.is_empty() {
        out.insert("parameters".to_owned(), common.into_iter().map(plain).collect());
    }
    out.into()
}

fn plain(parameter: &Parameter) -> Value {
    let mut out =
        json!({"name": parameter.name, "in": parameter.place.as_str(), "description": parameter.description});
    if parameter.place == Place::Path {
        out["required"] = true.into();
    }
    out["schema"] = json!({"type": parameter.kind, "uniqueItems": true});
    out
}

fn written(operation: &Operation, common: &[&Parameter]) -> Value {
    let content = |forms: &[&str], schema: &Value| -> Value {
        forms.iter().map(|form| ((*form).to_owned(), json!({"schema": schema}))).collect::<Map<_, _>>().into()
    };
    let reference = |name: &str| json!({"$ref": Form::V3.reference(name)});
    let mut out =
        json!({"tags": [operation.tag], "description": operation.description, "operationId": operation.id});
    let own = operation.parameters.iter().filter(|parameter| !common.contains(parameter));
    let own: Vec<Value> = own.map(plain).collect();
    if !own.is_empty() {
        out["parameters"] = own.into();
    }
    if let Some(sent) = &operation.sent {
        out["requestBody"] = json!({"content": content(operation.consumes, &reference(&sent.schema))});
        if sent.required {
            out["requestBody"]["required"] = true.into();
        }
    }
    for (code, shown) in &operation.answers {
        let schema = match shown {
            Shown::Text => json!({"type": "string"}),
            Shown::Object(name) => reference(name),
        };
        out["responses"][*code] =
            json!({"description": reason(code), "content": content(operation.produces, &schema)});
    }
    out["responses"]["401"] = json!({"description": "Unauthorized"});
    operation.mark(&mut out);
    out
}
