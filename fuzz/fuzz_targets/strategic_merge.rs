//! The strategic merge patch that a client makes of two objects leads from one to the other, and again to the same;
//! any other patch is applied or refused.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use grammar::{Plan, document, sample};
use libfuzzer_sys::fuzz_target;
use machinery::patch::strategic;
use serde_json::{Map, Value};

#[derive(Debug, Arbitrary)]
enum Input {
    Difference(Plan, Plan),
    Anything(Plan, Odd),
}

/// A patch with fields of the sample kind and directives, at places and with values that may make no sense.
#[derive(Debug)]
struct Odd(Value);

impl<'a> Arbitrary<'a> for Odd {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        const NAMES: [&str; 16] = [
            "name",
            "steps",
            "marks",
            "words",
            "choice",
            "whole",
            "map",
            "ports",
            "a",
            "c",
            "env",
            "port",
            "$patch",
            "$retainKeys",
            "$setElementOrder/steps",
            "$deleteFromPrimitiveList/marks",
        ];
        let mut patch = document::object(bytes, &NAMES)?;
        let directive = bytes.choose(&["replace", "delete", "merge", "other"])?;
        respell(&mut patch, directive);
        Ok(Self(patch))
    }
}

/// Gives most directives a word that is one.
fn respell(value: &mut Value, word: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "$patch" && value.is_string() {
                    *value = word.into();
                }
                respell(value, word);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| respell(item, word)),
        _ => {}
    }
}

/// How the fields of the sample kind merge.
enum Rule {
    Fields,
    RetainedFields,
    List(&'static str),
    Set,
    Whole,
}

fn rule(name: &str) -> Rule {
    match name {
        "map" | "c" => Rule::Fields,
        "choice" => Rule::RetainedFields,
        "steps" | "env" => Rule::List("name"),
        "ports" => Rule::List("port"),
        "marks" => Rule::Set,
        _ => Rule::Whole,
    }
}

/// The patch that a client makes, as `kubectl` does.
fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, new) in after {
        let old = before.get(name).unwrap_or(&Value::Null);
        if old == new {
            continue;
        }
        match (rule(name), old, new) {
            (Rule::Fields, Value::Object(old), Value::Object(new)) => {
                patch.insert(name.clone(), difference(old, new).into());
            }
            (Rule::RetainedFields, Value::Object(old), Value::Object(new)) => {
                let mut below = difference(old, new);
                below.insert("$retainKeys".to_owned(), new.keys().cloned().collect());
                patch.insert(name.clone(), below.into());
            }
            (Rule::List(key), Value::Array(old), Value::Array(new)) => list(&mut patch, name, key, old, new),
            (Rule::Set, Value::Array(old), Value::Array(new)) => set(&mut patch, name, old, new),
            _ => {
                patch.insert(name.clone(), new.clone());
            }
        }
    }
    patch
}

fn list(patch: &mut Map<String, Value>, name: &str, key: &str, old: &[Value], new: &[Value]) {
    let with_key = |item: &Value, mut fields: Map<String, Value>| {
        fields.insert(key.to_owned(), item[key].clone());
        Value::Object(fields)
    };
    let find = |items: &[Value], item: &Value| items.iter().find(|other| other[key] == item[key]).cloned();
    let mut changes = Vec::new();
    for item in new {
        let before = find(old, item).unwrap_or_else(|| Value::Object(Map::new()));
        let (Value::Object(before), Value::Object(after)) = (&before, item) else { continue };
        if before != after {
            changes.push(with_key(item, difference(before, after)));
        }
    }
    for item in old.iter().filter(|item| find(new, item).is_none()) {
        let delete = Map::from_iter([("$patch".to_owned(), Value::from("delete"))]);
        changes.push(with_key(item, delete));
    }
    if !changes.is_empty() {
        patch.insert(name.to_owned(), changes.into());
    }
    let order = new.iter().map(|item| with_key(item, Map::new())).collect();
    patch.insert(format!("$setElementOrder/{name}"), order);
}

fn set(patch: &mut Map<String, Value>, name: &str, old: &[Value], new: &[Value]) {
    let without = |items: &[Value], others: &[Value]| -> Vec<Value> {
        items.iter().filter(|item| !others.contains(item)).cloned().collect()
    };
    let (added, removed) = (without(new, old), without(old, new));
    if !added.is_empty() {
        patch.insert(name.to_owned(), added.into());
    }
    if !removed.is_empty() {
        patch.insert(format!("$deleteFromPrimitiveList/{name}"), removed.into());
    }
    patch.insert(format!("$setElementOrder/{name}"), new.to_vec().into());
}

fuzz_target!(|input: Input| {
    match input {
        Input::Difference(Plan(before), Plan(after)) => {
            let (Value::Object(old), Value::Object(new)) = (&before, &after) else { return };
            let patch = Value::Object(difference(old, new));
            let once = strategic::apply(sample::plan(), &before, &patch);
            assert_eq!(once.as_ref(), Ok(&after), "{patch} on {before}");
            let twice = strategic::apply(sample::plan(), &after, &patch);
            assert_eq!(twice.as_ref(), Ok(&after), "{patch} on its own result {after}");
        }
        Input::Anything(Plan(before), Odd(patch)) => {
            let _ = strategic::apply(sample::plan(), &before, &patch);
        }
    }
});
