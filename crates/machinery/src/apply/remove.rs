//! Takes a set of fields out of an object.

use serde_json::{Map, Value};

use super::extract::{Parts, element_steps, field, parts};
use super::path::Step;
use super::set::FieldSet;
use crate::schema::Child;

/// The object without the fields in `set`. Maps and lists that become empty by it are null: whether the field
/// itself goes is for its own owners to say, and defaulting drops nulls that mean nothing.
pub(super) fn remove(root: &Child, object: &Value, set: &FieldSet) -> Value {
    match below(root, object, set) {
        Value::Null => Value::Object(Map::new()),
        rest => rest,
    }
}

fn below(place: &Child, value: &Value, set: &FieldSet) -> Value {
    if set.is_empty() {
        return value.clone();
    }
    match (parts(place, value), value) {
        (Parts::Fields(object), Value::Object(fields)) => {
            let mut kept = Map::new();
            for (name, value) in fields {
                let left = match set.get(&Step::field(name)) {
                    Some(entry) if entry.member => continue,
                    Some(entry) => below(field(object, name), value, &entry.below),
                    None => value.clone(),
                };
                kept.insert(name.clone(), left);
            }
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        (Parts::Elements(list), Value::Array(items)) => {
            let mut kept = Vec::new();
            for (step, item) in element_steps(list, items).iter().zip(items) {
                match set.get(step) {
                    Some(entry) if entry.member => {}
                    Some(entry) => kept.push(below(&list.items, item, &entry.below)),
                    None => kept.push(item.clone()),
                }
            }
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        _ => value.clone(),
    }
}
