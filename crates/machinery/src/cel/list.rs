//! Lists, and when two of them are the same.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use super::functions::shown;
use super::value::{Key, Value};

/// Items in their order. Cheap to clone.
#[derive(Clone, Debug)]
pub struct List {
    items: Arc<[Value]>,
    identity: Identity,
}

/// What makes an item the same item in another list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Its place.
    #[default]
    Place,
    /// The whole item: the list is a set.
    Whole,
    /// Some of its fields: the list is a map.
    Keys(Arc<[Arc<str>]>),
}

impl Identity {
    /// Writes down what identifies an item; nothing for one that is no member of such a list.
    fn label(&self, item: &Value) -> Option<String> {
        let tagged = |value: &Value| format!("{}:{}", value.type_name(), shown(value));
        match (self, item) {
            (Self::Whole, item) => Some(tagged(item)),
            (Self::Keys(keys), Value::Map(fields)) => {
                let held = |key: &Arc<str>| fields.get(&Key::String(Arc::clone(key))).map(tagged);
                Some(keys.iter().map(held).collect::<Option<Vec<_>>>()?.join("\u{0}"))
            }
            (Self::Place | Self::Keys(_), _) => None,
        }
    }

    fn labels<'v>(&self, items: &'v [Value]) -> Option<BTreeMap<String, &'v Value>> {
        items.iter().map(|item| Some((self.label(item)?, item))).collect()
    }
}

impl List {
    /// A list whose items are told apart by `identity`.
    pub fn identified(items: Vec<Value>, identity: Identity) -> Self {
        Self { items: items.into(), identity }
    }

    /// This list with what `other` adds: everything, or for sets and maps what is new or replaces an item.
    pub(super) fn joined(&self, other: &Self) -> Self {
        let Some(news) = self.identity.labels(other) else {
            let items = self.items.iter().chain(other.items.iter()).cloned().collect();
            return Self { items, identity: self.identity.clone() };
        };
        let mut rest = news;
        let mut items: Vec<Value> = Vec::with_capacity(self.len() + other.len());
        for item in self.items.iter() {
            let replaced = self.identity.label(item).and_then(|label| rest.remove(&label));
            items.push(replaced.unwrap_or(item).clone());
        }
        // What is left keeps the order in which the other list has it.
        let is_new = |item: &&Value| self.identity.label(item).is_some_and(|label| rest.contains_key(&label));
        items.extend(other.items.iter().filter(is_new).cloned());
        Self::identified(items, self.identity.clone())
    }
}

impl Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}

impl From<Vec<Value>> for List {
    fn from(items: Vec<Value>) -> Self {
        Self::identified(items, Identity::Place)
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        Self { items: items.into_iter().collect(), identity: Identity::Place }
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        let identity = if self.identity == Identity::Place { &other.identity } else { &self.identity };
        if self.len() != other.len() {
            return false;
        }
        match (identity.labels(self), identity.labels(other)) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.items == other.items,
        }
    }
}
