//! Quantities, versions and named formats.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::super::EvalError;
use super::super::value::Value;
use super::Answer;
use crate::names;
use crate::quantity::{Format, Quantity};

/// A version as semver.org defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<String>,
    build: String,
}

impl Semver {
    /// Reads a version; with `normalize` also `v1.2` and numbers with leading zeros.
    fn parse(text: &str, normalize: bool) -> Option<Self> {
        let text = if normalize { text.strip_prefix('v').unwrap_or(text) } else { text };
        let (text, build) = text.split_once('+').unwrap_or((text, ""));
        let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
        let mut numbers = [0; 3];
        let parts: Vec<&str> = core.split('.').collect();
        if parts.len() > 3 || (parts.len() < 3 && !normalize) {
            return None;
        }
        for (number, part) in numbers.iter_mut().zip(parts) {
            let plain = part.len() == 1 || !part.starts_with('0') || normalize;
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) || !plain {
                return None;
            }
            *number = part.parse().ok()?;
        }
        let pre: Vec<String> = pre.map(|pre| pre.split('.').map(str::to_owned).collect()).unwrap_or_default();
        let valid =
            |part: &String| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        pre.iter().all(valid).then(|| Self { numbers, pre, build: build.to_owned() })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let pre = match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let order = |a: &String, b: &String| match (a.parse::<u64>(), b.parse::<u64>()) {
                    (Ok(a), Ok(b)) => a.cmp(&b),
                    (Ok(_), Err(_)) => Ordering::Less,
                    (Err(_), Ok(_)) => Ordering::Greater,
                    (Err(_), Err(_)) => a.cmp(b),
                };
                let pairs = self.pre.iter().zip(&other.pre);
                let first = pairs.map(|(a, b)| order(a, b)).find(|order| *order != Ordering::Equal);
                first.unwrap_or_else(|| self.pre.len().cmp(&other.pre.len()))
            }
        };
        self.numbers.cmp(&other.numbers).then(pre)
    }
}

impl fmt::Display for Semver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre.join("."))?;
        }
        if !self.build.is_empty() {
            write!(f, "+{}", self.build)?;
        }
        Ok(())
    }
}

/// Formats that `format.named` knows.
const FORMATS: [&str; 12] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
];

/// The functions that give them, in the same order.
const FORMAT_FUNCTIONS: [&str; 12] = [
    "format.dns1123Label",
    "format.dns1123Subdomain",
    "format.dns1035Label",
    "format.qualifiedName",
    "format.dns1123LabelPrefix",
    "format.dns1123SubdomainPrefix",
    "format.dns1035LabelPrefix",
    "format.labelValue",
    "format.uri",
    "format.uuid",
    "format.byte",
    "format.date",
];

/// What is wrong with `text` in a named format.
fn wrong(format: &str, text: &str) -> Vec<String> {
    let prefix = |check: fn(&str) -> Vec<String>| {
        // A prefix may end with the dash that goes before the rest.
        check(&text.strip_suffix('-').map_or_else(|| text.to_owned(), |rest| format!("{rest}a")))
    };
    match format {
        "dns1123Label" => names::dns_label(text),
        "dns1123Subdomain" => names::dns_subdomain(text),
        "dns1035Label" => names::dns_1035_label(text),
        "qualifiedName" => names::label_key(text),
        "dns1123LabelPrefix" => prefix(names::dns_label),
        "dns1123SubdomainPrefix" => prefix(names::dns_subdomain),
        "dns1035LabelPrefix" => prefix(names::dns_1035_label),
        "labelValue" => names::label_value(text),
        other => {
            let holds = crate::schema::holds_format(other, text);
            if holds { Vec::new() } else { vec![format!("must be of format {other}")] }
        }
    }
}

/// The whole name of the function that gives a format, such as `format.uuid`.
pub(super) fn format_function(name: &str) -> Option<&'static str> {
    let at = FORMATS.iter().position(|known| *known == name)?;
    Some(FORMAT_FUNCTIONS[at])
}

pub(super) fn function(name: &str, args: &[Value]) -> Answer {
    if let (Some(at), []) = (FORMAT_FUNCTIONS.iter().position(|known| *known == name), args) {
        return Some(Ok(Value::Format(FORMATS[at])));
    }
    let (text, normalize) = match args {
        [Value::String(text)] => (text, false),
        [Value::String(text), Value::Bool(normalize)] => (text, *normalize),
        _ => return None,
    };
    Some(match (name, args.len()) {
        ("quantity", 1) => match Quantity::parse(text) {
            Ok(quantity) => Ok(Value::Quantity(Arc::new(quantity))),
            Err(error) => Err(EvalError::failed(error.to_string())),
        },
        ("isQuantity", 1) => Ok(Value::Bool(Quantity::parse(text).is_ok())),
        ("semver", _) => match Semver::parse(text, normalize) {
            Some(version) => Ok(Value::Semver(Arc::new(version))),
            None => Err(EvalError::failed(format!("{text:?} is no semantic version"))),
        },
        ("isSemver", _) => Ok(Value::Bool(Semver::parse(text, normalize).is_some())),
        ("format.named", 1) => Ok(FORMATS
            .into_iter()
            .find(|known| *known == &**text)
            .map_or(Value::Optional(None), |known| Value::some(Value::Format(known)))),
        _ => return None,
    })
}

fn ordered(name: &str, order: Ordering) -> Option<Value> {
    Some(match name {
        "compareTo" => Value::Int(order as i64),
        "isLessThan" => Value::Bool(order == Ordering::Less),
        "isGreaterThan" => Value::Bool(order == Ordering::Greater),
        _ => return None,
    })
}

pub(super) fn method(name: &str, args: &[Value]) -> Answer {
    let quantity = |quantity: Quantity| Ok(Value::Quantity(Arc::new(quantity)));
    Some(match args {
        [Value::Format(format), Value::String(text)] if name == "validate" => {
            let wrong = wrong(format, text);
            Ok(if wrong.is_empty() {
                Value::Optional(None)
            } else {
                Value::some(Value::list(wrong.iter().map(|text| Value::from(text.as_str())).collect()))
            })
        }
        [Value::Semver(a), Value::Semver(b)] => Ok(ordered(name, a.compare(b))?),
        [Value::Semver(version)] => {
            let at = ["major", "minor", "patch"].into_iter().position(|part| part == name)?;
            Ok(Value::Int(i64::try_from(version.numbers[at]).unwrap_or(i64::MAX)))
        }
        [Value::Quantity(a), Value::Quantity(b)] => match name {
            "add" => quantity(**a + **b),
            "sub" => quantity(**a - **b),
            _ => Ok(ordered(name, a.cmp(b))?),
        },
        [Value::Quantity(a), Value::Int(n)] => match name {
            "add" => quantity(**a + Quantity::new(*n, Format::Decimal)),
            "sub" => quantity(**a - Quantity::new(*n, Format::Decimal)),
            _ => return None,
        },
        [Value::Quantity(a)] => match name {
            "sign" => Ok(Value::Int(if a.is_zero() {
                0
            } else if a.is_negative() {
                -1
            } else {
                1
            })),
            "isInteger" => Ok(Value::Bool(a.as_integer().is_some())),
            "asInteger" => a
                .as_integer()
                .map(Value::Int)
                .ok_or_else(|| EvalError::failed("cannot convert value to integer")),
            "asApproximateFloat" => Ok(Value::Double(a.as_f64())),
            _ => return None,
        },
        _ => return None,
    })
}
