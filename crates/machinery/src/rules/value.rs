//! From an object's JSON to values of expressions, as far as its schema describes them.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::cel::{Declared, Form, Key, List, Value};

/// The value that `json` is to expressions. What does not fit its schema stays what it is.
pub(super) fn value(json: &Json, declared: &Declared) -> Value {
    match (&declared.form, json) {
        (Form::Plain("int"), Json::Number(number)) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|n| n as i64))
            .map_or_else(|| json.into(), Value::Int),
        (Form::Plain("double"), Json::Number(number)) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        (Form::Plain(kind @ ("bytes" | "duration" | "timestamp")), Json::String(text)) => {
            Value::of_text(kind, text).unwrap_or_else(|| json.into())
        }
        (Form::List(items, identity), Json::Array(array)) => {
            let array = array.iter().map(|item| value(item, items)).collect();
            Value::List(List::identified(array, identity.clone()))
        }
        (Form::Map(values), Json::Object(entries)) => Value::Map(Arc::new(
            entries
                .iter()
                .map(|(key, held)| (Key::String(key.as_str().into()), value(held, values)))
                .collect(),
        )),
        (Form::Object(fields), Json::Object(entries)) => {
            let seen = fields.values().filter_map(|(name, field)| {
                Some((Key::String(name.as_str().into()), value(entries.get(name)?, field)))
            });
            Value::Map(Arc::new(seen.collect()))
        }
        _ => json.into(),
    }
}
