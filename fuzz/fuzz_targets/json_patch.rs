//! JSON patches give what RFC 6902 says, merge patches what RFC 7386 says, and a difference leads from one to the other.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use grammar::Document;
use grammar::document::{NAMES, without_nulls};
use libfuzzer_sys::fuzz_target;
use machinery::patch::{json, merge};
use serde_json::{Value, json};

#[derive(Debug, Arbitrary)]
struct Input {
    before: Document,
    after: Document,
    operations: Vec<Operation>,
}

#[derive(Debug, Arbitrary)]
enum Operation {
    Add(Place, Document),
    Remove(Place),
    Replace(Place, Document),
    Move(Place, Place),
    Copy(Place, Place),
    Test(Place, Document),
}

/// A path, by the names in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place(Vec<&'static str>);

impl<'a> Arbitrary<'a> for Place {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let length = bytes.int_in_range(0..=3)?;
        Ok(Self((0..length).map(|_| bytes.choose(&NAMES).copied()).collect::<Result<_>>()?))
    }
}

impl Place {
    fn pointer(&self) -> String {
        self.0.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
    }
}

impl Operation {
    fn written(&self) -> Value {
        match self {
            Self::Add(path, value) => json!({"op": "add", "path": path.pointer(), "value": value.0}),
            Self::Remove(path) => json!({"op": "remove", "path": path.pointer()}),
            Self::Replace(path, value) => json!({"op": "replace", "path": path.pointer(), "value": value.0}),
            Self::Move(from, path) => json!({"op": "move", "from": from.pointer(), "path": path.pointer()}),
            Self::Copy(from, path) => json!({"op": "copy", "from": from.pointer(), "path": path.pointer()}),
            Self::Test(path, value) => json!({"op": "test", "path": path.pointer(), "value": value.0}),
        }
    }

    /// What the operation does, word for word as the standard has it; nothing when it fails. `copied` counts the bytes
    /// of all copies, which have a bound.
    fn carried_out(&self, object: &mut Value, copied: &mut usize) -> Option<()> {
        match self {
            Self::Add(path, value) => add(object, &path.0, value.0.clone()),
            Self::Remove(path) => remove(object, &path.0).map(drop),
            Self::Replace(path, value) => {
                *at_mut(object, &path.0)? = value.0.clone();
                Some(())
            }
            Self::Move(from, path) => {
                if path.0.len() > from.0.len() && path.0.starts_with(&from.0) {
                    return None;
                }
                let moved = remove(object, &from.0)?;
                add(object, &path.0, moved)
            }
            Self::Copy(from, path) => {
                let copy = at_mut(object, &from.0)?.clone();
                *copied += copy.to_string().len();
                if *copied > json::MAX_COPIED {
                    return None;
                }
                add(object, &path.0, copy)
            }
            Self::Test(path, value) => match at_mut(object, &path.0) {
                Some(found) => (*found == value.0).then_some(()),
                // Kubernetes takes a field that is not there for null.
                None => {
                    let (_, parent) = path.0.split_last()?;
                    (value.0.is_null() && at_mut(object, parent)?.is_object()).then_some(())
                }
            },
        }
    }
}

fn index(name: &str, length: usize) -> Option<usize> {
    let plain = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    name.parse().ok().filter(|index| plain && *index < length)
}

fn at_mut<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, name| match value {
        Value::Object(fields) => fields.get_mut(*name),
        Value::Array(items) => {
            let at = index(name, items.len())?;
            items.get_mut(at)
        }
        _ => None,
    })
}

fn add(object: &mut Value, path: &[&str], value: Value) -> Option<()> {
    let Some((last, parent)) = path.split_last() else {
        *object = value;
        return Some(());
    };
    match at_mut(object, parent)? {
        Value::Object(fields) => {
            fields.insert((*last).to_owned(), value);
        }
        Value::Array(items) if *last == "-" => items.push(value),
        Value::Array(items) => items.insert(index(last, items.len() + 1)?, value),
        _ => return None,
    }
    Some(())
}

fn remove(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parent) = path.split_last()?;
    match at_mut(object, parent)? {
        Value::Object(fields) => fields.shift_remove(*last),
        Value::Array(items) => {
            let at = index(last, items.len())?;
            Some(items.remove(at))
        }
        _ => None,
    }
}

/// The function of RFC 7386, section 2.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut result = target.as_object().cloned().unwrap_or_default();
    for (name, change) in patch {
        if change.is_null() {
            result.shift_remove(name);
        } else {
            let before = result.get(name).cloned().unwrap_or_default();
            result.insert(name.clone(), merged(&before, change));
        }
    }
    Value::Object(result)
}

fuzz_target!(|input: Input| {
    let (before, after) = (&input.before.0, &input.after.0);

    let patch: Value = input.operations.iter().map(Operation::written).collect();
    let mut expected = before.clone();
    let mut copied = 0;
    let mut operations = input.operations.iter();
    let applies = operations.try_for_each(|operation| operation.carried_out(&mut expected, &mut copied));
    let patched = json::apply(before, &patch);
    assert_eq!(patched.ok(), applies.map(|()| expected), "{patch} on {before}");

    let difference = json::diff(before, after);
    assert_eq!(json::apply(before, &difference).as_ref(), Ok(after), "{difference} on {before}");

    if after.is_object() {
        assert_eq!(merge::apply(before, after), Ok(merged(before, after)), "{after} on {before}");
        let wanted = without_nulls(after.clone());
        let difference = merge::diff(before, &wanted);
        if before.is_object() {
            assert_eq!(merge::apply(before, &difference), Ok(wanted), "{difference} on {before}");
        }
    }
});
