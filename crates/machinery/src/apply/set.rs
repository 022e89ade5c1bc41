//! Sets of fields, and their `fieldsV1` form.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use thiserror::Error;

use super::extract;
use super::path::Step;
use crate::schema::Child;

/// Why a `fieldsV1` could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SetError {
    /// A key that is no step of a path.
    #[error("fieldsV1 has the key {0:?}: write f:NAME, k:{{KEYS}}, v:VALUE, i:INDEX or '.'")]
    Step(String),
    /// A value that is not an object.
    #[error("fieldsV1 has a value that is not an object under {0:?}")]
    Value(String),
}

/// A set of fields of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    steps: BTreeMap<Step, Entry>,
}

/// What a set holds at one step: the field itself, and fields below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) member: bool,
    pub(super) below: FieldSet,
}

impl Entry {
    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    /// A set of fields given by their names from the object down, for example `["status"]`.
    pub fn of(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let steps: Vec<Step> = path.iter().map(|name| Step::field(name)).collect();
            set.insert(&steps);
        }
        set
    }

    /// Whether the set has no field.
    pub fn is_empty(&self) -> bool {
        self.steps.values().all(Entry::is_empty)
    }

    /// Reads the `fieldsV1` form.
    pub fn parse(fields: &Value) -> Result<Self, SetError> {
        let mut set = Self::default();
        for (key, value) in fields.as_object().ok_or_else(|| SetError::Value(String::new()))? {
            if key == "." {
                continue;
            }
            let step = Step::parse(key).ok_or_else(|| SetError::Step(key.clone()))?;
            let below = value.as_object().ok_or_else(|| SetError::Value(key.clone()))?;
            let entry =
                Entry { member: below.is_empty() || below.contains_key("."), below: Self::parse(value)? };
            set.steps.insert(step, entry);
        }
        Ok(set)
    }

    /// The `fieldsV1` form.
    pub fn encode(&self) -> Value {
        let mut fields = Map::new();
        for (step, entry) in self.steps.iter().filter(|(_, entry)| !entry.is_empty()) {
            let mut value = entry.below.encode();
            if let (true, Value::Object(below)) = (entry.member && !entry.below.is_empty(), &mut value) {
                let mut with_self = Map::new();
                with_self.insert(".".to_owned(), Value::Object(Map::new()));
                with_self.append(below);
                value = Value::Object(with_self);
            }
            fields.insert(step.encode(), value);
        }
        Value::Object(fields)
    }

    pub(super) fn get(&self, step: &Step) -> Option<&Entry> {
        self.steps.get(step)
    }

    /// Adds what an entry holds at a step.
    pub(super) fn put(&mut self, step: Step, entry: Entry) {
        if entry.is_empty() {
            return;
        }
        let here = self.steps.entry(step).or_default();
        here.member |= entry.member;
        for (step, entry) in entry.below.steps {
            here.below.put(step, entry);
        }
    }

    /// Adds the field at a path; the object itself is no field.
    pub(super) fn insert(&mut self, path: &[Step]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let entry = self.steps.entry(first.clone()).or_default();
        if rest.is_empty() {
            entry.member = true;
        } else {
            entry.below.insert(rest);
        }
    }

    /// Adds everything in `set` below a path.
    pub(super) fn insert_below(&mut self, path: &[Step], set: Self) {
        let mut here = self;
        for step in path {
            here = &mut here.steps.entry(step.clone()).or_default().below;
        }
        for (step, entry) in set.steps {
            here.put(step, entry);
        }
    }

    /// Fields in either set.
    pub(super) fn union(&self, other: &Self) -> Self {
        if self.steps.is_empty() {
            return other.clone();
        }
        let mut all = self.clone();
        for (step, entry) in &other.steps {
            all.put(step.clone(), entry.clone());
        }
        all
    }

    /// Fields in both sets.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        self.combined(
            other,
            |mine, theirs| mine && theirs.is_some_and(|t| t),
            |mine, theirs| match theirs {
                Some(theirs) => mine.intersection(theirs),
                None => Self::default(),
            },
        )
    }

    /// Fields in this set that are not in the other.
    pub(super) fn difference(&self, other: &Self) -> Self {
        self.combined(
            other,
            |mine, theirs| mine && !theirs.unwrap_or(false),
            |mine, theirs| match theirs {
                Some(theirs) => mine.difference(theirs),
                None => mine.clone(),
            },
        )
    }

    /// Fields in this set that are neither in the other nor below a field of the other.
    pub(super) fn outside(&self, other: &Self) -> Self {
        let mut kept = Self::default();
        for (step, entry) in &self.steps {
            let entry = match other.steps.get(step) {
                Some(theirs) if theirs.member => continue,
                Some(theirs) => Entry { member: entry.member, below: entry.below.outside(&theirs.below) },
                None => entry.clone(),
            };
            kept.put(step.clone(), entry);
        }
        kept
    }

    fn combined(
        &self,
        other: &Self,
        member: impl Fn(bool, Option<bool>) -> bool,
        below: impl Fn(&Self, Option<&Self>) -> Self,
    ) -> Self {
        let mut result = Self::default();
        for (step, entry) in &self.steps {
            let theirs = other.steps.get(step);
            let entry = Entry {
                member: member(entry.member, theirs.map(|t| t.member)),
                below: below(&entry.below, theirs.map(|t| &t.below)),
            };
            result.put(step.clone(), entry);
        }
        result
    }

    /// The set with the declared fields added on the way to its fields: who owns `.a.b.c` also holds `.a` and `.a.b`
    /// up where those are fields of a structure, but not where they are a map's key or a list's element.
    pub(super) fn with_structure(&self, place: Option<&Child>) -> Self {
        let node = place.map(Child::node);
        let mut set = Self::default();
        for (step, entry) in &self.steps {
            let below = extract::below(place, step);
            let declared = !entry.below.is_empty() && step.is_declared_in(node);
            set.put(
                step.clone(),
                Entry { member: entry.member || declared, below: entry.below.with_structure(below) },
            );
        }
        set
    }

    /// Every field, as messages write paths.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, prefix: &str, paths: &mut Vec<String>) {
        for (step, entry) in &self.steps {
            let path = format!("{prefix}{step}");
            if entry.member {
                paths.push(path.clone());
            }
            entry.below.collect(&path, paths);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_written_form_is_read_back() {
        let written = json!({
            "f:data": {".": {}, "f:a": {}}, "f:spec": {"f:list": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}}}},
            "f:set": {"v:\"q\"": {}},
        });
        let set = FieldSet::parse(&written).expect("reads");
        assert_eq!(
            set.encode(),
            json!({
                "f:data": {".": {}, "f:a": {}}, "f:set": {"v:\"q\"": {}},
                "f:spec": {"f:list": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}}}},
            })
        );
        assert_eq!(
            set.paths(),
            [".data", ".data.a", r#".set[="q"]"#, r#".spec.list[name="x"]"#, r#".spec.list[name="x"].name"#]
        );
        assert!(FieldSet::parse(&json!({"x": {}})).is_err() && FieldSet::parse(&json!({"f:x": 1})).is_err());
    }

    fn sets() -> impl Strategy<Value = FieldSet> {
        prop::collection::vec(prop::collection::vec("[ab]", 1..4), 0..6).prop_map(|paths| {
            let mut set = FieldSet::default();
            for path in paths {
                set.insert(&path.iter().map(|name| Step::field(name)).collect::<Vec<_>>());
            }
            set
        })
    }

    proptest! {
        #[test]
        fn sets_are_sets(a in sets(), b in sets()) {
            let members = |set: &FieldSet| set.paths().into_iter().collect::<std::collections::BTreeSet<_>>();
            let (ma, mb) = (members(&a), members(&b));
            prop_assert_eq!(members(&a.union(&b)), &ma | &mb);
            prop_assert_eq!(members(&a.intersection(&b)), &ma & &mb);
            prop_assert_eq!(members(&a.difference(&b)), &ma - &mb);
            prop_assert!(members(&a.outside(&b)).is_subset(&(&ma - &mb)));
            prop_assert_eq!(FieldSet::parse(&a.encode()), Ok(a.clone()));
            prop_assert!(a.difference(&a).is_empty());
        }
    }
}
