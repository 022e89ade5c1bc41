//! Which fields an object sets, by its schema; and how values at a place divide into owned parts.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::ApplyError;
use super::path::Step;
use super::set::{Entry, FieldSet};
use crate::schema::{Child, List, ListKind, Node, Object, Shape, shape_name};

static ANYTHING: LazyLock<Child> = LazyLock::new(|| Child::of(Arc::new(Node::any())));

/// How the value at a place is owned.
pub(super) enum Parts<'s> {
    /// As a whole.
    Whole,
    /// Element by element.
    Elements(&'s List),
    /// Field by field; without a declaration, each key by itself.
    Fields(Option<&'s Object>),
}

/// How `value` is owned where the schema says `place`. Where the schema is silent, maps are owned key by key and
/// lists as a whole.
pub(super) fn parts<'s>(place: &'s Child, value: &Value) -> Parts<'s> {
    if place.is_atomic() {
        return Parts::Whole;
    }
    match &place.node().shape {
        Shape::Object(object) => Parts::Fields(Some(object)),
        Shape::List(list) => Parts::Elements(list),
        Shape::Any if value.is_object() => Parts::Fields(None),
        _ => Parts::Whole,
    }
}

/// The place of the value under `key`.
pub(super) fn field<'s>(object: Option<&'s Object>, key: &str) -> &'s Child {
    object.and_then(|object| object.child(key)).unwrap_or(&ANYTHING)
}

/// The place that a step leads to; nothing where a value is owned as a whole.
pub(super) fn below<'s>(place: Option<&'s Child>, step: &Step) -> Option<&'s Child> {
    match (&place?.node().shape, step) {
        (Shape::Object(object), Step::Field(name)) => Some(field(Some(object), name)),
        (Shape::Any, Step::Field(_)) => Some(&ANYTHING),
        (Shape::List(list), Step::Key(_) | Step::Item(_) | Step::Index(_)) => Some(&list.items),
        _ => None,
    }
}

/// The step to each element of a list; elements that cannot be told apart are known by position.
pub(super) fn element_steps(list: &List, items: &[Value]) -> Vec<Step> {
    let step = |(i, item): (usize, &Value)| match list.kind {
        ListKind::Set => Step::item(item),
        _ => Step::keyed(list, item).unwrap_or(Step::Index(i as i64)),
    };
    items.iter().enumerate().map(step).collect()
}

/// The fields that `object` sets.
pub(super) fn fields_of(root: &Child, object: &Value) -> FieldSet {
    entry(root, object).below
}

/// What the value at `place` owns.
pub(super) fn entry(place: &Child, value: &Value) -> Entry {
    match (parts(place, value), value) {
        (Parts::Whole, _) => Entry { member: true, below: FieldSet::default() },
        (Parts::Elements(list), Value::Array(items)) => {
            let mut below = FieldSet::default();
            let steps = element_steps(list, items);
            let mut count: BTreeMap<&Step, usize> = BTreeMap::new();
            for step in &steps {
                *count.entry(step).or_default() += 1;
            }
            for (step, item) in steps.iter().zip(items) {
                let single = count.get(step) == Some(&1);
                let inner = if single { entry(&list.items, item).below } else { FieldSet::default() };
                below.put(step.clone(), Entry { member: true, below: inner });
            }
            Entry { member: false, below }
        }
        (Parts::Fields(object), Value::Object(fields)) => {
            let mut below = FieldSet::default();
            for (name, value) in fields {
                let mut inner = entry(field(object, name), value);
                let declared = object.is_some_and(|object| object.field(name).is_some());
                let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
                inner.member |= empty || !declared;
                below.put(Step::field(name), inner);
            }
            Entry { member: false, below }
        }
        _ => Entry::default(),
    }
}

/// Checks that an applied object fits the schema: known fields, right types, list elements with distinct keys.
pub(super) fn check(root: &Child, object: &Value) -> Result<(), ApplyError> {
    check_at(root, object, "")
}

fn refuse<T>(path: &str, why: impl Into<String>) -> Result<T, ApplyError> {
    let path = if path.is_empty() { "." } else { path };
    Err(ApplyError::NotTyped { path: path.to_owned(), why: why.into() })
}

fn check_at(place: &Child, value: &Value, path: &str) -> Result<(), ApplyError> {
    let shape = &place.node().shape;
    match (shape, value) {
        (_, Value::Null)
        | (Shape::Any, _)
        | (Shape::Boolean, Value::Bool(_))
        | (Shape::Integer { .. } | Shape::Number | Shape::IntOrString | Shape::Quantity, Value::Number(_))
        | (
            Shape::Text | Shape::Bytes | Shape::Time { .. } | Shape::IntOrString | Shape::Quantity,
            Value::String(_),
        ) => Ok(()),
        (Shape::Object(object), Value::Object(fields)) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match object.child(name) {
                    Some(child) => check_at(child, value, &path)?,
                    None if object.open => {}
                    None => return refuse(&path, "field not declared in schema"),
                }
            }
            Ok(())
        }
        (Shape::List(list), Value::Array(items)) => {
            let steps = element_steps(list, items);
            let mut seen = HashSet::new();
            for (step, item) in steps.into_iter().zip(items) {
                let path = format!("{path}{step}");
                if list.kind == ListKind::Map && matches!(step, Step::Index(_)) {
                    let keys: Vec<&str> = list.keys.iter().map(AsRef::as_ref).collect();
                    return refuse(
                        &path,
                        format!("the element has none of its list's keys: {}", keys.join(", ")),
                    );
                }
                check_at(&list.items, item, &path)?;
                if list.kind != ListKind::Atomic && !seen.insert(step) {
                    return refuse(&path, "the list has two elements with the same key");
                }
            }
            Ok(())
        }
        (shape, other) => refuse(path, format!("expected {}, got {other}", shape_name(shape))),
    }
}
