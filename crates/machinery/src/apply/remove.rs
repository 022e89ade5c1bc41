//! Takes a set of fields out of an object.

use serde_json::{Map, Value};

use super::extract::{Parts, element_steps, field, parts};
use super::path::Step;
use super::set::FieldSet;
use crate::schema::Child;

/// The object without the fields in `set`; maps and lists that become empty by it go too.
pub(super) fn remove(root: &Child, object: &Value, set: &FieldSet) -> Value {
    below(root, object, set).unwrap_or_else(|| Value::Object(Map::new()))
}

fn below(place: &Child, value: &Value, set: &FieldSet) -> Option<Value> {
    if set.is_empty() {
        return Some(value.clone());
    }
    match (parts(place, value), value) {
        (Parts::Fields(object), Value::Object(fields)) => {
            let mut kept = Map::new();
            for (name, value) in fields {
                let left = match set.get(&Step::field(name)) {
                    Some(entry) if entry.member => None,
                    Some(entry) => below(field(object, name), value, &entry.below),
                    None => Some(value.clone()),
                };
                if let Some(left) = left {
                    kept.insert(name.clone(), left);
                }
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        (Parts::Elements(list), Value::Array(items)) => {
            let mut kept = Vec::new();
            for (step, item) in element_steps(list, items).iter().zip(items) {
                match set.get(step) {
                    Some(entry) if entry.member => {}
                    Some(entry) => kept.extend(below(&list.items, item, &entry.below)),
                    None => kept.push(item.clone()),
                }
            }
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        _ => Some(value.clone()),
    }
}
