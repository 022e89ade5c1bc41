//! From a structural schema to what expressions may know of its values.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{is_embedded, text};
use crate::cel::{Declared, Form, Identity};

/// Most bytes of a request: what has no bound of its own has this one.
pub(super) const REQUEST: u64 = 3 << 20;
/// Longest text of a time or a duration, quotes included.
const TIME: u64 = 32;
/// Length of a date, quotes included.
const DATE: u64 = 12;

/// Words of the language, which are no names.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The name that stands for a field in expressions; nothing for one that cannot be written.
pub(super) fn escaped(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() || !name.chars().all(allowed) {
        return None;
    }
    let escaped = name.replace("__", "__underscores__");
    Some(escaped.replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__"))
}

fn declared(form: Form, most: u64, bytes: u64) -> Arc<Declared> {
    Arc::new(Declared { form, most, bytes })
}

/// What is known of values of a schema; nothing where the schema does not describe them. A `root` has type and metadata.
pub(super) fn declare(schema: &Value, root: bool) -> Option<Arc<Declared>> {
    let bound = |word: &str| schema[word].as_i64().map(|bound| u64::try_from(bound).unwrap_or(0));
    // A character may take four bytes.
    let length = bound("maxLength").map(|length| length.saturating_mul(4));
    if schema["x-kubernetes-int-or-string"] == true {
        return Some(declared(Form::Either, length.unwrap_or(REQUEST - 2), 1));
    }
    Some(match text(schema, "type") {
        "array" => {
            let items = declare(&schema["items"], is_embedded(&schema["items"]))?;
            let most = bound("maxItems").unwrap_or_else(|| (REQUEST - 2) / (items.bytes + 1));
            declared(Form::List(items, identity(schema)), most, 2)
        }
        "object" if schema["additionalProperties"].is_object() => {
            let values = &schema["additionalProperties"];
            let values = declare(values, is_embedded(values))?;
            let most = bound("maxProperties").unwrap_or_else(|| (REQUEST - 2) / (values.bytes + 6));
            declared(Form::Map(values), most, 2)
        }
        "object" => object(schema, root),
        "string" => match text(schema, "format") {
            "byte" => declared(Form::Plain("bytes"), bound("maxLength").unwrap_or(REQUEST - 2), 2),
            "duration" => declared(Form::Plain("duration"), TIME, 3),
            "date" => declared(Form::Plain("timestamp"), DATE, DATE),
            "date-time" => declared(Form::Plain("timestamp"), TIME, 21),
            _ => {
                let words = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let longest = words.map(|word| word.len() as u64).max();
                declared(Form::Plain("string"), length.or(longest).unwrap_or(REQUEST - 2), 2)
            }
        },
        "boolean" => declared(Form::Plain("bool"), 0, 4),
        "number" => declared(Form::Plain("double"), 0, 1),
        "integer" => declared(Form::Plain("int"), 0, 1),
        _ => return None,
    })
}

fn identity(schema: &Value) -> Identity {
    match text(schema, "x-kubernetes-list-type") {
        "set" => Identity::Whole,
        "map" => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            Identity::Keys(keys.filter_map(Value::as_str).map(Into::into).collect())
        }
        _ => Identity::Place,
    }
}

fn object(schema: &Value, root: bool) -> Arc<Declared> {
    let mut fields = BTreeMap::new();
    let mut bytes = 2;
    let requires =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let common = common(schema).filter(|_| root);
    let own = schema["properties"].as_object().into_iter().flatten();
    let hidden = |name: &str| common.as_ref().is_some_and(|common| !common[name].is_null());
    let common_fields = common.as_ref().and_then(Value::as_object).into_iter().flatten();
    for (name, field) in own.filter(|(name, _)| !hidden(name)).chain(common_fields) {
        let Some(held) = declare(field, is_embedded(field)) else { continue };
        // What has a default need not be written.
        if requires(name) && field.get("default").is_none() {
            bytes += name.len() as u64 + held.bytes + 4;
        }
        if let Some(escaped) = escaped(name) {
            fields.insert(escaped, (name.clone(), held));
        }
    }
    declared(Form::Object(fields), 0, bytes)
}

/// What every whole object has and rules may look at, unless the schema says it all itself.
fn common(schema: &Value) -> Option<Value> {
    let own = &schema["properties"];
    let name = json!({"type": "string"});
    let is_text = |schema: &Value| schema["type"] == "string";
    let metadata = &own["metadata"]["properties"];
    let complete = is_text(&own["apiVersion"])
        && is_text(&own["kind"])
        && is_text(&metadata["name"])
        && is_text(&metadata["generateName"]);
    (!complete).then(|| {
        json!({
            "apiVersion": name, "kind": name,
            "metadata": {"type": "object", "properties": {"name": name, "generateName": name}},
        })
    })
}
