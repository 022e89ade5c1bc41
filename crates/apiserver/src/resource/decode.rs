//! Reads request bodies: JSON, YAML and protobuf into values, noting duplicate fields.

use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use machinery::status::Status;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Call;
use crate::request::negotiate::MEDIA_TYPES;
use crate::{Result, protobuf};

/// Nesting deeper than this is refused.
const MAX_DEPTH: usize = 128;

/// A value and the fields that occur twice in it, as paths.
#[derive(Debug)]
pub struct Decoded {
    /// The value; of duplicate fields, the last one.
    pub value: Value,
    /// Paths of duplicate fields.
    pub duplicates: Vec<String>,
}

/// Returns the media type of a request, without parameters; empty when there is none.
pub fn media_type(headers: &HeaderMap) -> String {
    let header = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    header.split(';').next().unwrap_or_default().trim().to_lowercase()
}

/// Reads an object that a create or update sends.
///
/// # Errors
/// Refuses other media types than these, and bodies that are not of theirs.
pub fn object(headers: &HeaderMap, body: &[u8]) -> Result<Decoded> {
    match media_type(headers).as_str() {
        "" | "application/json" | "*/*" => json(body),
        "application/yaml" | "text/yaml" | "application/x-yaml" => yaml(body),
        protobuf::MEDIA_TYPE => match protobuf::decode(body) {
            Ok(value) => Ok(Decoded { value, duplicates: Vec::new() }),
            Err(error) => {
                Err(Status::bad_request(format!("the body is not readable protobuf: {error}")).into())
            }
        },
        _ => Err(Status::unsupported_media_type(&MEDIA_TYPES).into()),
    }
}

/// Reads the object that a create or update of a resource sends: only built-in kinds have a form in protobuf.
///
/// # Errors
/// Refuses what [`object`] does, and protobuf for custom resources.
pub(crate) fn body(call: &Call, body: &[u8]) -> Result<Decoded> {
    if call.resource.custom && media_type(&call.headers) == protobuf::MEDIA_TYPE {
        let known: Vec<&str> =
            MEDIA_TYPES.into_iter().filter(|known| *known != protobuf::MEDIA_TYPE).collect();
        return Err(Status::unsupported_media_type(&known).into());
    }
    object(&call.headers, body)
}

/// Reads JSON.
///
/// # Errors
/// Refuses anything else.
pub fn json(body: &[u8]) -> Result<Decoded> {
    let mut duplicates = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let seed = Seed { duplicates: &mut duplicates, place: Place::Root, depth: 0 };
    let value = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(value) => Ok(Decoded { value, duplicates }),
        Err(error) => Err(Status::bad_request(format!("the body is not valid JSON: {error}")).into()),
    }
}

/// Reads YAML of one document.
///
/// # Errors
/// Refuses anything else.
pub fn yaml(body: &[u8]) -> Result<Decoded> {
    let refuse = |why: String| Status::bad_request(format!("the body is not valid YAML: {why}"));
    let text = std::str::from_utf8(body).map_err(|error| refuse(error.to_string()))?;
    // Most clients that announce YAML send JSON, which the strict reader knows better.
    if text.trim_start().starts_with('{') {
        return json(body);
    }
    let value = serde_saphyr::from_str(text).map_err(|error| refuse(error.to_string()))?;
    Ok(Decoded { value, duplicates: Vec::new() })
}

/// Where a value stands. It is seldom written, so that it is not put together on the way.
#[derive(Clone, Copy)]
enum Place<'a> {
    Root,
    Field(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(above, name) => write!(f, "{above}.{name}"),
            Self::Item(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}

struct Seed<'a> {
    duplicates: &'a mut Vec<String>,
    place: Place<'a>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let Seed { duplicates, place, depth } = self;
        if depth > MAX_DEPTH {
            return Err(A::Error::custom("the value is nested too deeply"));
        }
        let mut list = Vec::new();
        loop {
            let place = Place::Item(&place, list.len());
            match items.next_element_seed(Seed { duplicates: &mut *duplicates, place, depth: depth + 1 })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let Seed { duplicates, place, depth } = self;
        if depth > MAX_DEPTH {
            return Err(A::Error::custom("the value is nested too deeply"));
        }
        let mut map = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            let place = Place::Field(&place, &key);
            if map.contains_key(&key) {
                duplicates.push(place.to_string());
            }
            let seed = Seed { duplicates: &mut *duplicates, place, depth: depth + 1 };
            let value = fields.next_value_seed(seed)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn duplicates_are_noted() {
        let decoded = json(br#"{"a":1,"b":[{"c":1,"c":2}],"a":{"d":null}}"#).expect("JSON");
        assert_eq!(decoded.value, json!({"a": {"d": null}, "b": [{"c": 2}]}));
        assert_eq!(decoded.duplicates, ["b[0].c", "a"]);
        assert!(json(b"{} x").is_err() && json(b"").is_err());
    }

    #[test]
    fn numbers_stay_what_they_are() {
        for text in
            ["0.30000000000000004", "-1.9632681956990986e+297", "5e-324", "18446744073709551615", "1.5"]
        {
            let read = json(text.as_bytes()).expect("JSON").value;
            assert_eq!(read.to_string(), text);
            assert_eq!(read.as_f64(), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn yaml_is_read() {
        let decoded = yaml(b"a: 1\nb: [x, \"y\"]\nc: {d: null}\n").expect("YAML");
        assert_eq!(decoded.value, json!({"a": 1, "b": ["x", "y"], "c": {"d": null}}));
        assert!(yaml(b"a: 1\n---\nb: 2\n").is_err());
    }
}
