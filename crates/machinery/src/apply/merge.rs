//! Merges the fields that an apply states into the live object.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::extract::{Parts, element_steps, field, parts};
use super::path::Step;
use crate::schema::{Child, List};

/// The live object with every stated field set.
pub(super) fn merge(root: &Child, live: &Value, stated: &Value) -> Value {
    both(root, live, stated)
}

fn both(place: &Child, live: &Value, stated: &Value) -> Value {
    match (parts(place, stated), live, stated) {
        (Parts::Fields(object), Value::Object(old), Value::Object(new)) => {
            let mut fields = Map::new();
            for (name, value) in old {
                let merged = match new.get(name) {
                    Some(stated) => both(field(object, name), value, stated),
                    None => value.clone(),
                };
                fields.insert(name.clone(), merged);
            }
            for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                fields.insert(name.clone(), value.clone());
            }
            Value::Object(fields)
        }
        (Parts::Elements(list), Value::Array(old), Value::Array(new)) => {
            Value::Array(elements(list, old, new))
        }
        // A list or map that is stated as null or empty claims nothing of what is there.
        (Parts::Fields(_), Value::Object(old), Value::Null) if !old.is_empty() => live.clone(),
        (Parts::Elements(_), Value::Array(old), Value::Null) if !old.is_empty() => live.clone(),
        _ => stated.clone(),
    }
}

/// Merges lists element by element. Stated elements come in the stated order; live ones keep their place among
/// themselves and come before stated ones where nothing else decides.
fn elements(list: &List, old: &[Value], new: &[Value]) -> Vec<Value> {
    let old_steps = element_steps(list, old);
    let new_steps = element_steps(list, new);
    let mut live: HashMap<&Step, Option<&Value>> = HashMap::new();
    for (step, item) in old_steps.iter().zip(old) {
        // Of elements that share a key none can be merged with.
        live.entry(step).and_modify(|known| *known = None).or_insert(Some(item));
    }
    let stated: HashMap<&Step, &Value> = new_steps.iter().zip(new).collect();
    let merged = |step: &Step, item: &Value| match live.get(step) {
        Some(Some(old)) => both(&list.items, old, item),
        _ => item.clone(),
    };
    let mut shared = new_steps.iter().filter(|step| live.contains_key(step));
    let mut next_shared = shared.next();
    let mut done: Vec<&Step> = Vec::new();
    let mut result = Vec::with_capacity(old.len().max(new.len()));
    let (mut l, mut r) = (0, 0);
    while l < old.len() || r < new.len() {
        if l < old.len() && r < new.len() {
            if old_steps[l] == new_steps[r] {
                done.push(&new_steps[r]);
                result.push(merged(&new_steps[r], &new[r]));
                (l, r) = (l + 1, r + 1);
                next_shared = shared.next();
                continue;
            }
            if stated.contains_key(&old_steps[l]) && next_shared.is_some_and(|next| *next != old_steps[l]) {
                // Shared, but the stated order puts another one first.
                l += 1;
                continue;
            }
        }
        if l < old.len() {
            if !stated.contains_key(&old_steps[l]) {
                result.push(old[l].clone());
                l += 1;
                continue;
            }
            if done.contains(&&old_steps[l]) {
                l += 1;
            }
        }
        if r < new.len() {
            done.push(&new_steps[r]);
            result.push(merged(&new_steps[r], &new[r]));
            if next_shared == Some(&new_steps[r]) {
                next_shared = shared.next();
            }
            r += 1;
        }
    }
    result
}
