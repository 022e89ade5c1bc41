//! Which fields differ between two objects.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::extract::{self, Parts, element_steps, field, parts};
use super::path::Step;
use super::set::FieldSet;
use crate::schema::{Child, List, Object};

/// The fields that are in one object only, or differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) added: FieldSet,
    pub(super) removed: FieldSet,
    pub(super) modified: FieldSet,
}

impl Comparison {
    pub(super) fn is_same(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.modified.is_empty()
    }

    /// The same without fields at or below those in `excluded`.
    pub(super) fn outside(self, excluded: &FieldSet) -> Self {
        if excluded.is_empty() {
            return self;
        }
        Self {
            added: self.added.outside(excluded),
            removed: self.removed.outside(excluded),
            modified: self.modified.outside(excluded),
        }
    }
}

/// Compares `old` with `new`.
pub(super) fn compare(root: &Child, old: &Value, new: &Value) -> Comparison {
    let mut walk = Walk { path: Vec::new(), found: Comparison::default() };
    walk.both(root, Some(old), Some(new));
    walk.found
}

struct Walk {
    path: Vec<Step>,
    found: Comparison,
}

impl Walk {
    fn both(&mut self, place: &Child, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, None) => {}
            (Some(old), Some(new)) if old == new => {}
            (Some(old), Some(new)) => match (parts(place, old), parts(place, new)) {
                (Parts::Fields(object), Parts::Fields(_)) => self.fields(object, old, new),
                (Parts::Elements(list), Parts::Elements(_)) => self.elements(list, old, new),
                (Parts::Whole, Parts::Whole) => self.found.modified.insert(&self.path),
                _ => {
                    // The value changed its kind: what was below is gone, what is below is new.
                    let (gone, come) = (extract::entry(place, old), extract::entry(place, new));
                    self.found.removed.insert_below(&self.path, gone.below);
                    self.found.added.insert_below(&self.path, come.below);
                    self.found.modified.insert(&self.path);
                }
            },
            (Some(old), None) => {
                let gone = all_of(place, old);
                self.found.removed.insert_below(&self.path, gone);
                self.found.removed.insert(&self.path);
            }
            (None, Some(new)) => {
                let come = all_of(place, new);
                self.found.added.insert_below(&self.path, come);
                self.found.added.insert(&self.path);
            }
        }
    }

    fn fields(&mut self, object: Option<&Object>, old: &Value, new: &Value) {
        let none = Map::new();
        let (old, new) = (old.as_object().unwrap_or(&none), new.as_object().unwrap_or(&none));
        if old.is_empty() && new.is_empty() {
            // Null and empty differ, and nothing below tells it.
            self.found.modified.insert(&self.path);
            return;
        }
        for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
            // Who owns what is not itself owned.
            if name == "managedFields" && self.path == [Step::field("metadata")] {
                continue;
            }
            self.path.push(Step::field(name));
            self.both(field(object, name), old.get(name), new.get(name));
            self.path.pop();
        }
    }

    fn elements(&mut self, list: &List, old: &Value, new: &Value) {
        let none = Vec::new();
        let (old, new) = (old.as_array().unwrap_or(&none), new.as_array().unwrap_or(&none));
        if old.is_empty() && new.is_empty() {
            self.found.modified.insert(&self.path);
            return;
        }
        let mut pairs: BTreeMap<Step, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for (step, item) in element_steps(list, old).into_iter().zip(old) {
            pairs.entry(step).or_default().0.push(item);
        }
        for (step, item) in element_steps(list, new).into_iter().zip(new) {
            pairs.entry(step).or_default().1.push(item);
        }
        for (step, (old, new)) in pairs {
            self.path.push(step);
            match (old.as_slice(), new.as_slice()) {
                ([_, _, ..], [_, _, ..]) if old == new => {}
                // Elements that share a key are owned together.
                ([_, _, ..], [_, _, ..]) => self.found.modified.insert(&self.path),
                ([_, _, ..], one) => {
                    self.both(&list.items, None, one.first().copied());
                    self.found.removed.insert(&self.path);
                }
                (one, [_, _, ..]) => {
                    self.both(&list.items, one.first().copied(), None);
                    self.found.added.insert(&self.path);
                }
                (one, other) => self.both(&list.items, one.first().copied(), other.first().copied()),
            }
            self.path.pop();
        }
    }
}

/// Every field in a value, the ones that lead to others included.
fn all_of(place: &Child, value: &Value) -> FieldSet {
    let mut walk = Walk { path: Vec::new(), found: Comparison::default() };
    match (parts(place, value), value) {
        (Parts::Fields(object), Value::Object(fields)) => {
            for (name, value) in fields {
                walk.path.push(Step::field(name));
                walk.both(field(object, name), None, Some(value));
                walk.path.pop();
            }
        }
        (Parts::Elements(list), Value::Array(items)) if !items.is_empty() => {
            walk.elements(list, &Value::Null, value);
        }
        _ => {}
    }
    walk.found.added
}
