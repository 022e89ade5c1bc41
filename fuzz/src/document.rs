//! JSON documents made of a fuzzer's bytes.

use arbitrary::{Arbitrary, Result, Unstructured};
use serde_json::{Map, Value};

/// Names of fields, some of which need escapes in a pointer or look like a list's index.
pub const NAMES: [&str; 12] = ["a", "b", "c", "name", "x/y", "m~n", "", "0", "1", "01", "-", "ä"];

/// Texts, some of which are numbers, quantities or times.
const TEXTS: [&str; 10] =
    ["", "a", "b", "x y", "1", "1Gi", "0.5", "2024-01-01T00:00:00Z", "10.0.0.1", "\u{0}\u{1f600}"];

const DEPTH: usize = 4;
const MOST: usize = 4;

/// A whole document, most often an object.
#[derive(Clone, Debug)]
pub struct Document(pub Value);

impl<'a> Arbitrary<'a> for Document {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        if bytes.ratio(7, 8)? {
            object(bytes, &NAMES).map(Self)
        } else {
            value(bytes, &NAMES, DEPTH).map(Self)
        }
    }
}

/// An object whose fields have these names.
pub fn object(bytes: &mut Unstructured<'_>, names: &[&str]) -> Result<Value> {
    fields(bytes, names, DEPTH)
}

/// A value of any kind that is nested at most so deep.
pub fn value(bytes: &mut Unstructured<'_>, names: &[&str], depth: usize) -> Result<Value> {
    let kinds = if depth == 0 { 5 } else { 7 };
    Ok(match bytes.int_in_range(0..=kinds)? {
        0 => Value::Null,
        1 => bytes.arbitrary::<bool>()?.into(),
        2 => bytes.arbitrary::<i8>()?.into(),
        3 => number(bytes)?,
        4 => (*bytes.choose(&TEXTS)?).into(),
        5 => bytes.arbitrary::<&str>()?.into(),
        6 => fields(bytes, names, depth - 1)?,
        _ => {
            let length = bytes.int_in_range(0..=MOST)?;
            (0..length).map(|_| value(bytes, names, depth - 1)).collect::<Result<Value>>()?
        }
    })
}

fn fields(bytes: &mut Unstructured<'_>, names: &[&str], depth: usize) -> Result<Value> {
    let mut fields = Map::new();
    for _ in 0..bytes.int_in_range(0..=MOST)? {
        let name = (*bytes.choose(names)?).to_owned();
        fields.insert(name, value(bytes, names, depth)?);
    }
    Ok(Value::Object(fields))
}

fn number(bytes: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match bytes.int_in_range(0..=2)? {
        0 => bytes.arbitrary::<i64>()?.into(),
        1 => bytes.arbitrary::<u64>()?.into(),
        // What is no number in JSON becomes null.
        _ => bytes.arbitrary::<f64>()?.into(),
    })
}

/// The same document without its nulls: those in objects go, those in lists become false.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let set = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(set.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| if item.is_null() { Value::Bool(false) } else { without_nulls(item) })
            .collect(),
        plain => plain,
    }
}
