//! Conversions between types, types themselves, and optionals.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::super::EvalError;
use super::super::value::Value;
use super::{Answer, time};

/// The type that a name stands for.
pub(in super::super) fn type_named(name: &str) -> Option<&'static str> {
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"]
        .into_iter()
        .find(|known| *known == name)
}

/// A value as `string()` or a message shows it.
pub(in super::super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Uint(n) => n.to_string(),
        Value::Double(n) => n.to_string(),
        Value::String(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Duration(span) => time::duration_text(*span),
        Value::Timestamp(at) => at.to_string(),
        Value::Type(name) | Value::Format(name) => (*name).to_owned(),
        Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let all: Vec<_> =
                entries.iter().map(|(k, v)| format!("{}: {}", shown(&k.value()), shown(v))).collect();
            format!("{{{}}}", all.join(", "))
        }
        Value::Ip(ip) => ip.to_string(),
        Value::Cidr(ip, length) => format!("{ip}/{length}"),
        Value::Quantity(quantity) => quantity.to_string(),
        Value::Url(url) => url.text.clone(),
        Value::Semver(version) => version.to_string(),
        other => other.type_name().to_owned(),
    }
}

/// The field name that an identifier stands for where the name itself is none: `a__dash__b` is `a-b`.
pub(in super::super) fn unescaped(name: &str) -> Option<String> {
    if !name.contains("__") {
        return None;
    }
    let keyword = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    if let Some(word) = keyword.filter(|word| !word.contains("__")) {
        return Some(word.to_owned());
    }
    let plain = name
        .replace("__underscores__", "\u{0}")
        .replace("__dot__", ".")
        .replace("__dash__", "-")
        .replace("__slash__", "/")
        .replace('\u{0}', "__");
    Some(plain)
}

/// The bytes that base64 text stands for.
pub(in super::super) fn decoded(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text))
}

fn failed(message: impl Into<String>) -> EvalError {
    EvalError::failed(message)
}

pub(super) fn function(name: &str, args: &[Value]) -> Answer {
    Some(match (name, args) {
        ("type", [value]) => Ok(Value::Type(value.type_name())),
        ("dyn", [value]) => Ok(value.clone()),
        ("int", [value]) => int(value)?,
        ("uint", [value]) => uint(value)?,
        ("double", [value]) => double(value)?,
        ("bool", [Value::Bool(b)]) => Ok(Value::Bool(*b)),
        ("bool", [Value::String(text)]) => match &**text {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Value::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Value::Bool(false)),
            _ => Err(failed(format!("Type conversion error: {text:?} is no bool"))),
        },
        ("string", [value]) => string(value)?,
        ("bytes", [Value::Bytes(bytes)]) => Ok(Value::Bytes(Arc::clone(bytes))),
        ("bytes", [Value::String(text)]) => Ok(Value::Bytes(text.as_bytes().into())),
        ("duration", [Value::Duration(span)]) => Ok(Value::Duration(*span)),
        ("duration", [Value::String(text)]) => crate::duration::parse(text)
            .map(Value::Duration)
            .ok_or_else(|| failed(format!("time: invalid duration {text:?}"))),
        ("timestamp", [Value::Timestamp(at)]) => Ok(Value::Timestamp(*at)),
        ("timestamp", [Value::Int(seconds)]) => jiff::Timestamp::from_second(*seconds)
            .map(Value::Timestamp)
            .map_err(|_| failed("timestamp out of range")),
        ("timestamp", [Value::String(text)]) => text
            .parse()
            .map(Value::Timestamp)
            .map_err(|_| failed(format!("parsing time {text:?}: it is no RFC 3339 time"))),
        ("optional.of", [value]) => Ok(Value::some(value.clone())),
        ("optional.none", []) => Ok(Value::Optional(None)),
        ("optional.ofNonZeroValue", [value]) => {
            Ok(if is_zero(value) { Value::Optional(None) } else { Value::some(value.clone()) })
        }
        ("base64.encode", [Value::Bytes(bytes)]) => Ok(Value::String(STANDARD.encode(bytes).into())),
        ("base64.decode", [Value::String(text)]) => decoded(text)
            .map(|bytes| Value::Bytes(bytes.into()))
            .map_err(|error| failed(format!("illegal base64 data: {error}"))),
        _ => return None,
    })
}

pub(super) fn method(name: &str, args: &[Value]) -> Answer {
    Some(match (name, args) {
        ("hasValue", [Value::Optional(inner)]) => Ok(Value::Bool(inner.is_some())),
        ("value", [Value::Optional(inner)]) => {
            inner.as_ref().map(|inner| (**inner).clone()).ok_or_else(|| failed("optional.none() dereference"))
        }
        _ => return None,
    })
}

fn int(value: &Value) -> Answer {
    let range = || failed("integer overflow");
    Some(match value {
        Value::Int(n) => Ok(Value::Int(*n)),
        Value::Uint(n) => i64::try_from(*n).map(Value::Int).map_err(|_| range()),
        Value::Double(n) if n.is_finite() && n.abs() < 9.223_372_036_854_775e18 => Ok(Value::Int(*n as i64)),
        Value::Double(_) => Err(range()),
        Value::String(text) => text
            .parse()
            .map(Value::Int)
            .map_err(|_| failed(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))),
        Value::Timestamp(at) => Ok(Value::Int(at.as_second())),
        Value::Duration(span) => i64::try_from(span.as_nanos()).map(Value::Int).map_err(|_| range()),
        _ => return None,
    })
}

fn uint(value: &Value) -> Answer {
    let range = || failed("unsigned integer overflow");
    Some(match value {
        Value::Uint(n) => Ok(Value::Uint(*n)),
        Value::Int(n) => u64::try_from(*n).map(Value::Uint).map_err(|_| range()),
        Value::Double(n) if *n >= 0.0 && *n < 1.844_674_407_370_955e19 => Ok(Value::Uint(*n as u64)),
        Value::Double(_) => Err(range()),
        Value::String(text) => text
            .parse()
            .map(Value::Uint)
            .map_err(|_| failed(format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))),
        _ => return None,
    })
}

fn double(value: &Value) -> Answer {
    Some(match value {
        Value::Double(n) => Ok(Value::Double(*n)),
        Value::Int(n) => Ok(Value::Double(*n as f64)),
        Value::Uint(n) => Ok(Value::Double(*n as f64)),
        Value::String(text) => text
            .parse()
            .map(Value::Double)
            .map_err(|_| failed(format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"))),
        _ => return None,
    })
}

fn string(value: &Value) -> Answer {
    Some(match value {
        Value::Bytes(bytes) => std::str::from_utf8(bytes)
            .map(Value::from)
            .map_err(|_| failed("invalid UTF-8 in bytes, cannot convert to string")),
        Value::List(_)
        | Value::Map(_)
        | Value::Type(_)
        | Value::Optional(_)
        | Value::Null
        | Value::Authorizer(_)
        | Value::Decision(_)
        | Value::Format(_) => return None,
        value => Ok(Value::String(shown(value).into())),
    })
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(b) => !b,
        Value::Int(n) => *n == 0,
        Value::Uint(n) => *n == 0,
        Value::Double(n) => *n == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::Duration(span) => span.is_zero(),
        _ => false,
    }
}
