//! Brings the values of a built-in kind into the form in which typed objects are written.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{Child, Shape};
use crate::quantity::Quantity;

/// Canonicalises the object in place.
pub(super) fn canonicalize(root: &Child, object: &mut Value) {
    walk(root, object);
}

fn walk(child: &Child, value: &mut Value) {
    match (&child.node().shape, &mut *value) {
        (Shape::Object(object), Value::Object(fields)) => {
            let mut empty = Vec::new();
            for (name, value) in fields.iter_mut() {
                let Some(child) = object.child(name) else { continue };
                walk(child, value);
                if object.field(name).is_some() && !object.requires(name) && is_empty_collection(child, value)
                {
                    empty.push(name.clone());
                }
            }
            for name in empty {
                fields.shift_remove(&name);
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                walk(&list.items, item);
            }
        }
        (Shape::Quantity, Value::String(_) | Value::Number(_)) => {
            let text = match &*value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            if let Ok(quantity) = Quantity::parse(&text) {
                *value = quantity.canonical().into();
            }
        }
        (Shape::Time { micro }, Value::String(text)) => {
            if let Some(written) = time(text, *micro) {
                *value = written.into();
            }
        }
        (Shape::Integer { .. }, Value::Number(number)) => {
            // 1.0 and 1e3 are whole numbers to a typed decoder.
            if let Some(whole) = number.as_f64().filter(|f| number.as_i64().is_none() && f.fract() == 0.0) {
                *value = Value::from(whole as i64);
            }
        }
        _ => {}
    }
}

/// Lists and maps are left out when empty; structures are not, because being set is what they say.
fn is_empty_collection(child: &Child, value: &Value) -> bool {
    match (&child.node().shape, value) {
        (Shape::List(_), Value::Array(items)) => items.is_empty(),
        (Shape::Object(object), Value::Object(fields)) => {
            fields.is_empty() && object.fields.is_empty() && object.values.is_some()
        }
        _ => false,
    }
}

/// A time in UTC, to the second or to the microsecond; `None` when it is no time.
pub(super) fn time(text: &str, micro: bool) -> Option<String> {
    let utc = text.parse::<Timestamp>().ok()?.to_zoned(TimeZone::UTC);
    let format = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Some(utc.strftime(format).to_string())
}
