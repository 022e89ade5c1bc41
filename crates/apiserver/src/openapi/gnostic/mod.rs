//! Documents in protobuf, by the messages of the gnostic project (`openapi.v2` and `openapi.v3`), which kubectl asks for
//! first.
//!
//! A message is a table that says which field of an object has which number; writing goes along the tables. What has no
//! message of its own (vendor extensions, values of enumerations) is carried as a text in YAML, for which JSON does.

mod v2;
mod v3;

use serde_json::Value;

use crate::protobuf::wire::{put_bytes, put_field, put_fixed, put_number};

pub(super) use v2::DOCUMENT as V2;
pub(super) use v3::DOCUMENT as V3;

/// How the value of a field is written.
#[derive(Debug)]
enum Shape {
    /// A text; an empty one is left out.
    Text,
    /// A text, also an empty one.
    Word,
    /// A truth; false is left out.
    Flag,
    /// A truth, also false.
    Truth,
    /// A whole number; 0 is left out.
    Whole,
    /// A number; 0 is left out.
    Real,
    /// A number, also 0.
    Number,
    /// Any value.
    Any,
    /// An object.
    Message(&'static Message),
    /// Each item of a list, or one alone.
    Each(&'static Self),
    /// A message whose one field, of this number, is the value itself.
    Wrapped(u64, &'static Self),
    /// A message that has one of several fields, by what the value is; nothing where it is none of them.
    OneOf(&'static [Choice]),
}

/// One of several fields: for which values, its number and its shape.
type Choice = (fn(&Value) -> bool, u64, Shape);

/// A message: what the fields of an object become.
#[derive(Debug)]
pub(super) struct Message {
    /// Number, name and shape of the fields that it knows.
    fields: &'static [(u64, &'static str, Shape)],
    /// The number of vendor extensions, fields whose names begin with `x-`.
    extensions: Option<u64>,
    /// Number and shape of fields of any other name.
    entries: Option<(u64, &'static Shape)>,
}

impl Message {
    const fn of(fields: &'static [(u64, &'static str, Shape)], extensions: u64) -> Self {
        Self { fields, extensions: Some(extensions), entries: None }
    }

    const fn map(shape: &'static Shape) -> Self {
        Self { fields: &[], extensions: None, entries: Some((1, shape)) }
    }

    /// Writes an object.
    pub(super) fn write(&self, out: &mut Vec<u8>, value: &Value) {
        let Some(object) = value.as_object() else { return };
        for (number, name, shape) in self.fields {
            if let Some(value) = object.get(*name) {
                shape.put(out, *number, value);
            }
        }
        for (name, value) in object {
            let known = self.fields.iter().any(|(_, other, _)| other == name);
            match (self.extensions, self.entries) {
                _ if known => {}
                (Some(number), _) if name.starts_with("x-") => {
                    put_named(out, number, name, &Shape::Any, value);
                }
                (_, Some((number, shape))) => put_named(out, number, name, shape, value),
                _ => {}
            }
        }
    }

    fn field(&self, name: &str) -> Option<&(u64, &'static str, Shape)> {
        self.fields.iter().find(|(_, other, _)| *other == name)
    }

    /// Writes one field of the object.
    pub(super) fn write_field(&self, out: &mut Vec<u8>, name: &str, value: &Value) {
        if let Some((number, _, shape)) = self.field(name) {
            shape.put(out, *number, value);
        }
    }

    /// Begins a field that is a map, so that its entries can be written one by one.
    pub(super) fn begin(&self, name: &str) -> Option<Entries> {
        let (number, _, Shape::Message(map)) = self.field(name)? else { return None };
        let (entry, shape) = map.entries?;
        Some(Entries { number: *number, entry, shape, bytes: Vec::new() })
    }
}

/// A map that is written entry by entry.
#[derive(Debug)]
pub(super) struct Entries {
    number: u64,
    entry: u64,
    shape: &'static Shape,
    bytes: Vec<u8>,
}

impl Entries {
    pub(super) fn put(&mut self, name: &str, value: &Value) {
        put_named(&mut self.bytes, self.entry, name, self.shape, value);
    }

    pub(super) fn end(self, out: &mut Vec<u8>) {
        put_bytes(out, self.number, &self.bytes);
    }
}

fn put_named(out: &mut Vec<u8>, number: u64, name: &str, shape: &Shape, value: &Value) {
    put_field(out, number, |out| {
        put_bytes(out, 1, name.as_bytes());
        shape.put(out, 2, value);
    });
}

/// The items of a list, or the one value that stands in its place.
fn several(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice)
}

impl Shape {
    fn put(&self, out: &mut Vec<u8>, number: u64, value: &Value) {
        let real = |out: &mut Vec<u8>, value: f64| put_fixed(out, number, value.to_bits());
        match self {
            Self::Text => match value.as_str() {
                None | Some("") => {}
                Some(text) => put_bytes(out, number, text.as_bytes()),
            },
            Self::Word => put_bytes(out, number, value.as_str().unwrap_or_default().as_bytes()),
            Self::Flag if *value != true => {}
            Self::Flag | Self::Truth => put_number(out, number, u64::from(*value == true)),
            // Negative numbers are written as if they had no sign, in 64 bits.
            Self::Whole => match value.as_i64().or_else(|| value.as_f64().map(|real| real as i64)) {
                None | Some(0) => {}
                Some(whole) => put_number(out, number, whole as u64),
            },
            Self::Real => match value.as_f64() {
                None | Some(0.0) => {}
                Some(value) => real(out, value),
            },
            Self::Number => real(out, value.as_f64().unwrap_or_default()),
            Self::Any => put_field(out, number, |out| put_bytes(out, 2, format!("{value}\n").as_bytes())),
            Self::Message(message) => put_field(out, number, |out| message.write(out, value)),
            Self::Each(shape) => several(value).iter().for_each(|value| shape.put(out, number, value)),
            Self::Wrapped(inner, shape) => put_field(out, number, |out| shape.put(out, *inner, value)),
            Self::OneOf(choices) => {
                if let Some((_, inner, shape)) = choices.iter().find(|(fits, ..)| fits(value)) {
                    put_field(out, number, |out| shape.put(out, *inner, value));
                }
            }
        }
    }
}

fn is_reference(value: &Value) -> bool {
    value.get("$ref").is_some()
}

const fn otherwise(_: &Value) -> bool {
    true
}

#[cfg(test)]
mod tests;
