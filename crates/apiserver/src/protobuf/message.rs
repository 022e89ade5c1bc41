//! Decoding one message into the JSON object that the same API object has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::DecodeError;
use super::facts::{self, Base, Field, Shape};
use super::wire::{self, Reader, Wire};

/// Nesting deeper than this is refused.
const MAX_DEPTH: usize = 64;

/// Decodes the message `name`.
pub(super) fn decode(name: &str, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::Malformed("it is nested too deeply"));
    }
    let message =
        facts::message(name).ok_or(DecodeError::Malformed("it names a message that is not known"))?;
    let mut object = Map::new();
    let mut reader = Reader::new(bytes);
    while let Some(on_wire) = reader.next()? {
        // Fields of newer clients are passed over.
        let Some(field) = message.fields.iter().find(|field| field.number == on_wire.number) else {
            continue;
        };
        match field.shape {
            Shape::One => {
                let value = value(field.base, &on_wire, depth)?;
                if field.kept || !is_zero(&value, field.base) {
                    object.insert(field.name.to_owned(), value);
                }
            }
            Shape::Inline => {
                if let Value::Object(inner) = value(field.base, &on_wire, depth)? {
                    object.extend(inner);
                }
            }
            Shape::List => {
                let list = object.entry(field.name).or_insert_with(|| json!([]));
                if let Value::Array(list) = list {
                    push(list, field, &on_wire, depth)?;
                }
            }
            Shape::Map => {
                let (key, value) = entry(field, &on_wire, depth)?;
                let map = object.entry(field.name).or_insert_with(|| json!({}));
                map[key] = value;
            }
        }
    }
    Ok(Value::Object(object))
}

/// What JSON leaves out when the field is not kept.
fn is_zero(value: &Value, base: Base) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || (base == Base::Quantity && text == "0"),
        _ => false,
    }
}

/// Adds to a list; numbers may come packed.
fn push(
    list: &mut Vec<Value>,
    field: &Field,
    on_wire: &wire::Field<'_>,
    depth: usize,
) -> Result<(), DecodeError> {
    if let (Wire::Bytes(bytes), Base::Integer | Base::Bool) = (on_wire.value, field.base) {
        let mut packed = Reader::new(bytes);
        while !packed.is_empty() {
            let number = wire::Field { number: field.number, value: Wire::Varint(packed.varint()?) };
            list.push(value(field.base, &number, depth)?);
        }
        return Ok(());
    }
    list.push(value(field.base, on_wire, depth)?);
    Ok(())
}

/// Reads an entry of a map: a message with key and value.
fn entry(field: &Field, on_wire: &wire::Field<'_>, depth: usize) -> Result<(String, Value), DecodeError> {
    let mut reader = Reader::new(on_wire.bytes()?);
    let (mut key, mut found) = (String::new(), None);
    while let Some(part) = reader.next()? {
        match part.number {
            1 => part.text()?.clone_into(&mut key),
            2 => found = Some(value(field.base, &part, depth)?),
            _ => {}
        }
    }
    let empty = || match field.base {
        Base::Text | Base::Bytes | Base::Quantity => Value::from(""),
        _ => Value::Null,
    };
    Ok((key, found.unwrap_or_else(empty)))
}

fn value(base: Base, field: &wire::Field<'_>, depth: usize) -> Result<Value, DecodeError> {
    Ok(match base {
        Base::Text => field.text()?.into(),
        Base::Bool => (field.number()? != 0).into(),
        // Negative numbers are sent as the 64 bits of their two's complement.
        Base::Integer => field.number()?.cast_signed().into(),
        Base::Double => f64::from_bits(field.number()?).into(),
        Base::Bytes => STANDARD.encode(field.bytes()?).into(),
        Base::Quantity => text_in(field, 1)?.unwrap_or_else(|| "0".into()),
        Base::IntOrString => int_or_string(field)?,
        Base::Time => time(field, 0)?,
        Base::MicroTime => time(field, 6)?,
        Base::Json => match raw_in(field)? {
            Some(raw) => serde_json::from_slice(raw).map_err(|_| DecodeError::Malformed("JSON inside it"))?,
            None => Value::Null,
        },
        Base::Items => {
            let mut items = Vec::new();
            let mut reader = Reader::new(field.bytes()?);
            while let Some(item) = reader.next()? {
                items.push(Value::from(item.text()?));
            }
            items.into()
        }
        Base::SchemaOrBool | Base::SchemaOrList | Base::SchemaOrTexts => schema_or(base, field, depth)?,
        Base::Message(name) => decode(name, field.bytes()?, depth + 1)?,
    })
}

/// A schema, or what stands in its place.
fn schema_or(base: Base, field: &wire::Field<'_>, depth: usize) -> Result<Value, DecodeError> {
    let schema = |part: &wire::Field<'_>| decode(super::SCHEMA, part.bytes()?, depth + 1);
    let mut reader = Reader::new(field.bytes()?);
    let mut found = if base == Base::SchemaOrBool { Value::Bool(false) } else { Value::Null };
    while let Some(part) = reader.next()? {
        let listed = match (base, part.number) {
            (Base::SchemaOrBool, 1) => {
                if !found.is_object() {
                    found = (part.number()? != 0).into();
                }
                continue;
            }
            (Base::SchemaOrBool, 2) | (_, 1) => {
                found = schema(&part)?;
                continue;
            }
            (Base::SchemaOrList, 2) => schema(&part)?,
            (Base::SchemaOrTexts, 2) => part.text()?.into(),
            _ => continue,
        };
        match &mut found {
            Value::Array(list) => list.push(listed),
            other => *other = json!([listed]),
        }
    }
    Ok(found)
}

/// The text in field `number` of a small message.
fn text_in(field: &wire::Field<'_>, number: u64) -> Result<Option<Value>, DecodeError> {
    let mut reader = Reader::new(field.bytes()?);
    let mut found = None;
    while let Some(part) = reader.next()? {
        if part.number == number {
            found = Some(part.text()?.into());
        }
    }
    Ok(found)
}

fn raw_in<'a>(field: &wire::Field<'a>) -> Result<Option<&'a [u8]>, DecodeError> {
    let mut reader = Reader::new(field.bytes()?);
    let mut found = None;
    while let Some(part) = reader.next()? {
        if part.number == 1 {
            found = Some(part.bytes()?);
        }
    }
    Ok(found.filter(|raw| !raw.is_empty()))
}

fn int_or_string(field: &wire::Field<'_>) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(field.bytes()?);
    let (mut is_text, mut number, mut text) = (false, 0, "");
    while let Some(part) = reader.next()? {
        match part.number {
            1 => is_text = part.number()? == 1,
            2 => number = part.number()?.cast_signed(),
            3 => text = part.text()?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

/// A time with so many decimals of a second; an empty message is no time.
fn time(field: &wire::Field<'_>, decimals: u8) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(field.bytes()?);
    let (mut seconds, mut nanoseconds) = (None, 0);
    while let Some(part) = reader.next()? {
        match part.number {
            1 => seconds = Some(part.number()?.cast_signed()),
            2 => nanoseconds = i32::try_from(part.number()?).map_err(|_| DecodeError::Malformed("a time"))?,
            _ => {}
        }
    }
    let Some(seconds) = seconds else {
        return Ok(Value::Null);
    };
    let time = Timestamp::new(seconds, nanoseconds).map_err(|_| DecodeError::Malformed("a time"))?;
    let form = if decimals == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%6fZ" };
    Ok(time.strftime(form).to_string().into())
}
