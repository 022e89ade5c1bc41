//! Encoding the JSON form of an API object into its message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::facts::{self, Base, Field, Message, Shape};
use super::wire::{put_bytes, put_field, put_fixed, put_number};

const NULL: Value = Value::Null;

/// Writes the fields of `message`, in the order of their numbers. What JSON leaves out because it is zero is written all
/// the same, unless the field can be absent; maps are written in the order of their keys.
pub(super) fn message(out: &mut Vec<u8>, message: &Message, object: &Value) {
    for field in &message.fields {
        let value = object.get(field.name).filter(|value| !value.is_null());
        match field.shape {
            Shape::Inline => put(out, field, object),
            Shape::One if value.is_none() && can_be_absent(field) => {}
            Shape::One => put(out, field, value.unwrap_or(&NULL)),
            Shape::List => {
                for item in value.and_then(Value::as_array).into_iter().flatten() {
                    put(out, field, item);
                }
            }
            Shape::Map => {
                let mut entries: Vec<_> = value.and_then(Value::as_object).into_iter().flatten().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                for (key, value) in entries {
                    put_field(out, field.number, |out| {
                        put_bytes(out, 1, key.as_bytes());
                        put_value(out, 2, field.base, value);
                    });
                }
            }
        }
    }
}

fn can_be_absent(field: &Field) -> bool {
    field.pointer || matches!(field.base, Base::Bytes | Base::Items)
}

fn put(out: &mut Vec<u8>, field: &Field, value: &Value) {
    put_value(out, field.number, field.base, value);
}

fn put_value(out: &mut Vec<u8>, number: u64, base: Base, value: &Value) {
    let text = || value.as_str().unwrap_or_default();
    match base {
        Base::Text => put_bytes(out, number, text().as_bytes()),
        Base::Bool => put_number(out, number, value.as_bool().unwrap_or_default().into()),
        Base::Integer => put_number(out, number, integer(value)),
        Base::Double => put_fixed(out, number, value.as_f64().unwrap_or_default().to_bits()),
        Base::Bytes => put_bytes(out, number, &STANDARD.decode(text()).unwrap_or_default()),
        Base::Quantity => put_field(out, number, |out| match value {
            Value::String(text) => put_bytes(out, 1, text.as_bytes()),
            Value::Null => put_bytes(out, 1, b"0"),
            other => put_bytes(out, 1, other.to_string().as_bytes()),
        }),
        Base::IntOrString => put_field(out, number, |out| {
            put_number(out, 1, value.is_string().into());
            put_number(out, 2, integer(value));
            put_bytes(out, 3, text().as_bytes());
        }),
        Base::Time => put_time(out, number, text(), false),
        Base::MicroTime => put_time(out, number, text(), true),
        Base::Json => put_field(out, number, |out| {
            if !value.is_null() {
                put_bytes(out, 1, value.to_string().as_bytes());
            }
        }),
        Base::Items => put_field(out, number, |out| put_texts(out, 1, value)),
        Base::SchemaOrBool => put_field(out, number, |out| {
            put_number(out, 1, u64::from(value != &Value::Bool(false)));
            if value.is_object() {
                put_schema(out, 2, value);
            }
        }),
        Base::SchemaOrList => put_field(out, number, |out| match value {
            Value::Array(schemas) => schemas.iter().for_each(|schema| put_schema(out, 2, schema)),
            schema => put_schema(out, 1, schema),
        }),
        Base::SchemaOrTexts => put_field(out, number, |out| match value {
            Value::Array(_) => put_texts(out, 2, value),
            schema => put_schema(out, 1, schema),
        }),
        Base::Message(name) => put_field(out, number, |out| {
            // The facts hold every message that they name.
            if let Some(inner) = facts::message(name) {
                message(out, inner, value);
            }
        }),
    }
}

fn put_schema(out: &mut Vec<u8>, number: u64, schema: &Value) {
    put_value(out, number, Base::Message(super::SCHEMA), schema);
}

fn put_texts(out: &mut Vec<u8>, number: u64, list: &Value) {
    for item in list.as_array().into_iter().flatten() {
        put_bytes(out, number, item.as_str().unwrap_or_default().as_bytes());
    }
}

/// Negative numbers are sent as the 64 bits of their two's complement.
fn integer(value: &Value) -> u64 {
    let signed = value.as_i64().map(i64::cast_unsigned);
    signed
        .or_else(|| value.as_u64())
        .or_else(|| value.as_f64().map(|float| (float as i64).cast_unsigned()))
        .unwrap_or(0)
}

/// A time that is not set is an empty message.
fn put_time(out: &mut Vec<u8>, number: u64, text: &str, micro: bool) {
    put_field(out, number, |out| {
        let Ok(time) = text.parse::<Timestamp>() else { return };
        let nanoseconds = if micro { time.subsec_nanosecond() / 1000 * 1000 } else { 0 };
        put_number(out, 1, time.as_second().cast_unsigned());
        put_number(out, 2, i64::from(nanoseconds).cast_unsigned());
    });
}
