//! Objects of the sample kind, made of a fuzzer's bytes: they fit their schema.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Result, Unstructured};
use serde_json::{Map, Value};

const WORDS: [&str; 4] = ["a", "b", "c", "d"];

/// The fields of an object, without type and metadata.
#[derive(Clone, Debug)]
pub struct Plan(pub Value);

impl<'a> Arbitrary<'a> for Plan {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        plan(bytes, 2).map(Self)
    }
}

fn word(bytes: &mut Unstructured<'_>) -> Result<Value> {
    Ok((*bytes.choose(&WORDS)?).into())
}

/// Different words, in any order.
fn words(bytes: &mut Unstructured<'_>) -> Result<Vec<&'static str>> {
    let mut seen = BTreeSet::new();
    let mut words = Vec::new();
    for _ in 0..bytes.int_in_range(0..=4)? {
        let word = *bytes.choose(&WORDS)?;
        if seen.insert(word) {
            words.push(word);
        }
    }
    Ok(words)
}

fn plan(bytes: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    let mut fields = Map::new();
    let set: u16 = bytes.arbitrary()?;
    let mut field = |bit: u16, name: &str, make: &mut dyn FnMut() -> Result<Value>| -> Result<()> {
        if set & 1 << bit != 0 {
            fields.insert(name.to_owned(), make()?);
        }
        Ok(())
    };
    field(0, "name", &mut || word(bytes))?;
    field(1, "steps", &mut || steps(bytes, depth))?;
    field(2, "marks", &mut || words(bytes).map(Value::from))?;
    field(3, "words", &mut || {
        let length = bytes.int_in_range(0..=3)?;
        (0..length).map(|_| word(bytes)).collect()
    })?;
    field(4, "choice", &mut || choice(bytes, depth))?;
    field(5, "whole", &mut || choice(bytes, depth))?;
    field(6, "map", &mut || map(bytes))?;
    field(7, "ports", &mut || ports(bytes))?;
    Ok(Value::Object(fields))
}

fn map(bytes: &mut Unstructured<'_>) -> Result<Value> {
    words(bytes)?.into_iter().map(|key| Ok((key.to_owned(), word(bytes)?))).collect()
}

fn choice(bytes: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    let mut fields = Map::new();
    for name in ["a", "b"] {
        if bytes.arbitrary()? {
            fields.insert(name.to_owned(), word(bytes)?);
        }
    }
    if depth > 0 && bytes.arbitrary()? {
        fields.insert("c".to_owned(), plan(bytes, depth - 1)?);
    }
    Ok(Value::Object(fields))
}

fn steps(bytes: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    let names = words(bytes)?;
    let step = |name: &str| {
        let mut fields = Map::new();
        fields.insert("name".to_owned(), name.into());
        if bytes.arbitrary()? {
            fields.insert("image".to_owned(), word(bytes)?);
        }
        if bytes.arbitrary()? {
            fields.insert("args".to_owned(), words(bytes)?.into());
        }
        if depth > 0 && bytes.arbitrary()? {
            fields.insert("env".to_owned(), steps(bytes, depth - 1)?);
        }
        Ok(Value::Object(fields))
    };
    names.into_iter().map(step).collect()
}

fn ports(bytes: &mut Unstructured<'_>) -> Result<Value> {
    let mut ports = BTreeMap::new();
    for _ in 0..bytes.int_in_range(0..=3)? {
        let mut fields = Map::new();
        let port = bytes.int_in_range(1..=3)?;
        fields.insert("port".to_owned(), port.into());
        if bytes.arbitrary()? {
            fields.insert("name".to_owned(), word(bytes)?);
        }
        ports.insert(port, Value::Object(fields));
    }
    Ok(ports.into_values().collect())
}
