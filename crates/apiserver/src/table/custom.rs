//! Cells of custom resources.

use jiff::Timestamp;
use serde_json::Value;

use super::{JsonPath, age};
use crate::registry::{Column, Resource};

/// Computes the cells: the name, and what the columns' paths lead to; the age when there are no columns.
pub(super) fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = Vec::with_capacity(resource.columns.len() + 2);
    cells.push(object["metadata"]["name"].clone());
    if resource.columns.is_empty() {
        cells.push(age::of(object, now));
    }
    cells.extend(resource.columns.iter().map(|column| cell(column, object, now)));
    cells
}

/// A value that does not fit its column's type leaves the cell empty.
fn cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let Ok(path) = JsonPath::parse(&column.json_path) else {
        return Value::Null;
    };
    let Some(value) = path.find(object).first().copied() else {
        return Value::Null;
    };
    match (&*column.kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_)) | ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => {
            value.clone()
        }
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)).into()
        }
        ("date", Value::String(_)) => age::since(value, now).into(),
        _ => Value::Null,
    }
}
