//! Compares values with the JSON types of their fields, as decoding into a typed object does.

use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::canonical::time;
use super::{Child, Shape};
use crate::field::{FieldError, Path, Problem};
use crate::quantity::Quantity;

/// The first mismatch in document order.
pub(super) fn first_mismatch(root: &Child, object: &Value) -> Option<FieldError> {
    let Mismatch { path, value, detail } = walk(root, object)?;
    Some(FieldError::new(Path::new(path), Problem::TypeInvalid, value, detail))
}

/// A mismatch as it is carried up: the path grows on the way, as there mostly is none to tell.
struct Mismatch {
    path: String,
    value: Value,
    detail: String,
}

impl Mismatch {
    fn below_field(self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{name}{dot}{}", self.path), ..self }
    }

    fn below_key(self, key: &dyn Display) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("[{key}]{dot}{}", self.path), ..self }
    }
}

fn walk(child: &Child, value: &Value) -> Option<Mismatch> {
    let node = child.node();
    if value.is_null() {
        return None;
    }
    let told = |detail: String| Some(Mismatch { path: String::new(), value: value.clone(), detail });
    let wrong = |wanted: &str| told(format!("must be {wanted}, not {}", json_type(value)));
    match (&node.shape, value) {
        (Shape::Object(object), Value::Object(fields)) => fields.iter().find_map(|(name, value)| {
            let mismatch = walk(object.child(name)?, value)?;
            let is_declared = object.field(name).is_some();
            Some(if is_declared { mismatch.below_field(name) } else { mismatch.below_key(name) })
        }),
        (Shape::List(list), Value::Array(items)) => items
            .iter()
            .enumerate()
            .find_map(|(i, item)| walk(&list.items, item).map(|mismatch| mismatch.below_key(&i))),
        (Shape::Any, _)
        | (Shape::Boolean, Value::Bool(_))
        | (Shape::Number, Value::Number(_))
        | (Shape::Text | Shape::IntOrString, Value::String(_)) => None,
        (Shape::Integer { narrow }, Value::Number(number)) => {
            let whole = number.as_i64().or_else(|| {
                let float = number.as_f64()?;
                (float.fract() == 0.0 && float.abs() < 9.2e18).then_some(float as i64)
            });
            match whole {
                Some(n) if *narrow && i32::try_from(n).is_err() => wrong("a whole number of 32 bits"),
                Some(_) => None,
                None => wrong("a whole number of 64 bits"),
            }
        }
        (Shape::Bytes, Value::String(text)) => {
            if STANDARD.decode(text.replace(['\r', '\n'], "")).is_ok() {
                None
            } else {
                wrong("base64 text")
            }
        }
        (Shape::Time { micro }, Value::String(text)) => {
            if time(text, *micro).is_some() {
                None
            } else {
                wrong("a time such as 2006-01-02T15:04:05Z")
            }
        }
        (Shape::IntOrString, Value::Number(n)) => {
            if n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) {
                None
            } else {
                wrong("a whole number of 32 bits or text")
            }
        }
        (Shape::Quantity, Value::String(_) | Value::Number(_)) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match Quantity::parse(&text) {
                Ok(_) => None,
                Err(error) => told(error.to_string()),
            }
        }
        (shape, _) => wrong(shape_name(shape)),
    }
}

/// What a value is, in words.
pub(super) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What a shape wants, in words.
pub(crate) fn shape_name(shape: &Shape) -> &'static str {
    match shape {
        Shape::Any => "anything",
        Shape::Boolean => "a boolean",
        Shape::Integer { .. } => "a whole number",
        Shape::Number => "a number",
        Shape::Text => "a string",
        Shape::Bytes => "base64 text",
        Shape::Time { .. } => "a time",
        Shape::IntOrString => "an integer or a string",
        Shape::Quantity => "a quantity",
        Shape::List(_) => "a list",
        Shape::Object(_) => "an object",
    }
}
