//! Conditions: the `status.conditions` entries that say what is so, since when, and why.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::object;

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody knows.
    Unknown,
}

impl ConditionStatus {
    /// The word in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(so: bool) -> Self {
        if so { Self::True } else { Self::False }
    }
}

/// One condition without its times, which the writer fills in when the status changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What it is about, for example `Ready`.
    pub kind: String,
    /// Whether it is so.
    pub status: ConditionStatus,
    /// One CamelCase word.
    pub reason: String,
    /// For people: what, why, and the remedy.
    pub message: String,
}

/// The condition of type `kind` in a list of conditions.
pub fn find<'a>(conditions: &'a Value, kind: &str) -> Option<&'a Value> {
    conditions.as_array()?.iter().find(|c| object::str_at(c, &["type"]) == kind)
}

/// The condition of type `kind` in the object's status.
pub fn of<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    find(object::at(object, &["status", "conditions"])?, kind)
}

/// Whether the object's status says that `kind` is true.
pub fn is_true(object: &Value, kind: &str) -> bool {
    of(object, kind).is_some_and(|c| object::str_at(c, &["status"]) == "True")
}

/// Puts `condition` into `conditions` (made a list if it is none) and tells whether anything changed.
///
/// `lastTransitionTime` becomes `now` only when the status changes. Fields of an existing entry that this
/// does not know stay.
pub fn set(conditions: &mut Value, condition: &Condition, now: &str) -> bool {
    if !conditions.is_array() {
        *conditions = Value::Array(Vec::new());
    }
    let Value::Array(list) = conditions else {
        return false;
    };
    let position = list.iter().position(|c| object::str_at(c, &["type"]) == condition.kind);
    let position = position.unwrap_or_else(|| {
        list.push(Value::Object(Map::new()));
        list.len() - 1
    });
    let entry = &mut list[position];
    let before = entry.clone();
    let flipped = object::str_at(entry, &["status"]) != condition.status.as_str();
    let fields = object::fields_mut(entry);
    fields.insert("type".into(), condition.kind.clone().into());
    fields.insert("status".into(), condition.status.as_str().into());
    for (name, text) in [("reason", &condition.reason), ("message", &condition.message)] {
        if text.is_empty() {
            fields.shift_remove(name);
        } else {
            fields.insert(name.into(), text.clone().into());
        }
    }
    if flipped {
        fields.insert("lastTransitionTime".into(), now.into());
    }
    *entry != before
}

/// Removes the condition of type `kind` and tells whether it was there.
pub fn remove(conditions: &mut Value, kind: &str) -> bool {
    let Value::Array(list) = conditions else {
        return false;
    };
    let before = list.len();
    list.retain(|c| object::str_at(c, &["type"]) != kind);
    list.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ready(so: bool, message: &str) -> Condition {
        Condition { kind: "Ready".into(), status: so.into(), reason: "R".into(), message: message.into() }
    }

    #[test]
    fn the_time_moves_only_with_the_status() {
        let mut list = Value::Null;
        assert!(set(&mut list, &ready(false, "a"), "t1"));
        assert!(!set(&mut list, &ready(false, "a"), "t2"));
        assert!(set(&mut list, &ready(false, "b"), "t3"));
        assert_eq!(list[0]["lastTransitionTime"], json!("t1"));
        assert!(set(&mut list, &ready(true, "b"), "t4"));
        assert_eq!(list[0]["lastTransitionTime"], json!("t4"));
        assert!(is_true(&json!({"status": {"conditions": list}}), "Ready"));
        assert!(remove(&mut list, "Ready") && !remove(&mut list, "Ready"));
    }
}
