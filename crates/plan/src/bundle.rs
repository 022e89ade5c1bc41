//! The instance types and preferences that come with an installation: each is there as it was made, or none is.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use api::kubevirt::v1::KubeVirtConfiguration;
pub use model::instancetype::common::{LABEL, MANAGED, instancetypes, preferences};
use serde_json::Value;

use crate::Plan;

/// What to do about one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create it.
    Create(Value),
    /// Make it again what it was.
    Restore(Value),
    /// Delete it.
    Delete(String),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match self {
            Self::Create(object) => write!(f, "create {}", name(object)),
            Self::Restore(object) => write!(f, "restore {}", name(object)),
            Self::Delete(name) => write!(f, "delete {name}"),
        }
    }
}

/// Tells whether an installation that is configured so has them: unless it says otherwise.
pub fn is_wanted(configuration: &KubeVirtConfiguration) -> bool {
    let own = configuration.common_instancetypes_deployment.as_ref();
    own.and_then(|own| own.enabled).unwrap_or(true)
}

/// Compares the objects of one kind that should be there with what those that are there say, by name (see [`content`]).
pub fn step(wanted: Vec<Value>, there: &BTreeMap<String, u64>) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let mut left: BTreeMap<&str, u64> =
        there.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    for object in wanted {
        match left.remove(object["metadata"]["name"].as_str().unwrap_or_default()) {
            None => plan.push(Action::Create(object)),
            Some(own) if own != content(&object["metadata"]["labels"][LABEL], &object["spec"]) => {
                plan.push(Action::Restore(object));
            }
            Some(_) => {}
        }
    }
    for name in left.into_keys() {
        plan.push(Action::Delete(name.to_owned()));
    }
    plan
}

/// Returns a number for what an object says: its release and its specification, in whatever order.
pub fn content(release: &Value, spec: &Value) -> u64 {
    digest(release) ^ digest(spec).rotate_left(1)
}

fn digest(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    match value {
        Value::Object(fields) => {
            let each = fields.iter().map(|(name, value)| {
                let mut hasher = DefaultHasher::new();
                (name, digest(value)).hash(&mut hasher);
                hasher.finish()
            });
            each.fold(0, u64::wrapping_add).hash(&mut hasher);
        }
        Value::Array(items) => items.iter().map(digest).for_each(|item| item.hash(&mut hasher)),
        plain => plain.to_string().hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn there(objects: &[Value]) -> BTreeMap<String, u64> {
        let each = objects.iter().map(|object| {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            (name, content(&object["metadata"]["labels"][LABEL], &object["spec"]))
        });
        each.collect()
    }

    #[test]
    fn what_is_there_as_it_was_made_stays() {
        for all in [instancetypes(), preferences()] {
            assert_eq!(step(all.clone(), &BTreeMap::new()).actions.len(), all.len());
            assert_eq!(step(all.clone(), &there(&all)).actions, []);
        }
    }

    #[test]
    fn what_was_changed_or_removed_comes_back_and_what_is_not_wanted_goes() {
        let all = instancetypes();
        let mut changed = all.clone();
        changed[3]["spec"]["cpu"]["guest"] = json!(99);
        changed[5]["metadata"]["labels"][LABEL] = json!("v0");
        let gone = changed.remove(7);
        let old = json!({"metadata": {"name": "x1.old", "labels": {LABEL: "v0"}}, "spec": {}});
        changed.push(old);
        let plan = step(all.clone(), &there(&changed));
        let expected = [
            Action::Restore(all[3].clone()),
            Action::Restore(all[5].clone()),
            Action::Create(gone),
            Action::Delete("x1.old".to_owned()),
        ];
        assert_eq!(plan.actions, expected);
        let none = step(Vec::new(), &there(&all));
        assert!(none.actions.iter().all(|action| matches!(action, Action::Delete(_))));
        assert_eq!(none.actions.len(), all.len());
    }

    #[test]
    fn the_order_of_fields_says_nothing() {
        let one: Value = serde_json::from_str(r#"{"a": {"x": 1, "y": [1, 2]}, "b": 2}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b": 2, "a": {"y": [1, 2], "x": 1}}"#).unwrap();
        let third: Value = serde_json::from_str(r#"{"b": 2, "a": {"y": [2, 1], "x": 1}}"#).unwrap();
        let swapped: Value = serde_json::from_str(r#"{"b": {"y": [1, 2], "x": 1}, "a": 2}"#).unwrap();
        assert_eq!(digest(&one), digest(&other));
        assert_ne!(digest(&one), digest(&third));
        assert_ne!(digest(&one), digest(&swapped));
    }
}
