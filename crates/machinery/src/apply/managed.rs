//! `metadata.managedFields`: reading, writing, and keeping the number of entries bounded.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::set::FieldSet;
use crate::object;

/// The manager that is given what an object held before anybody applied to it.
pub const MANAGER_BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The manager that takes over the oldest updates when there are too many.
const MANAGER_OF_OLD_UPDATES: &str = "ancient-changes";
const MAX_UPDATE_MANAGERS: usize = 10;

/// How a manager wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who a manager is. Appliers are the same whatever version they apply at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) operation: Operation,
    /// Empty for appliers.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl Manager {
    /// The manager in a conflict's message.
    pub(super) fn shown(&self) -> String {
        let (name, sub, version) = (&self.name, &self.subresource, &self.api_version);
        let sub = if sub.is_empty() { String::new() } else { format!(" with subresource {sub:?}") };
        let version = if version.is_empty() { String::new() } else { format!(" using {version}") };
        format!("{name:?}{sub}{version}")
    }
}

/// What a manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) api_version: String,
    pub(super) set: FieldSet,
    /// When the set last changed, as written in the object.
    pub(super) time: Option<String>,
}

/// Everybody's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Managed(pub(super) BTreeMap<Manager, Owned>);

impl Managed {
    /// What the object says; entries that cannot be read count as nothing said at all.
    pub(super) fn read(object: &Value) -> Self {
        let entries = object::at(object, &["metadata", "managedFields"]).and_then(Value::as_array);
        let entries: Option<BTreeMap<_, _>> = entries.into_iter().flatten().map(entry).collect();
        Self(entries.unwrap_or_default())
    }

    /// Whether the object asks to forget all managers: one empty entry, as the API documents it.
    pub(super) fn is_reset(object: &Value) -> bool {
        let entries = object::at(object, &["metadata", "managedFields"]).and_then(Value::as_array);
        matches!(entries.map(Vec::as_slice), Some([Value::Object(entry)]) if entry.is_empty())
    }

    /// Writes the entries into the object, or removes the field when there are none.
    pub(super) fn write(&self, object: &mut Value) {
        let mut entries: Vec<(&Manager, &Owned)> =
            self.0.iter().filter(|(_, owned)| !owned.set.is_empty()).collect();
        if entries.is_empty() {
            object::remove_meta(object, "managedFields");
            return;
        }
        entries.sort_by_cached_key(|(manager, owned)| {
            (
                manager.operation,
                seconds(owned.time.as_deref()),
                manager.name.clone(),
                owned.api_version.clone(),
                manager.subresource.clone(),
            )
        });
        let entries: Vec<Value> =
            entries.into_iter().map(|(manager, owned)| encode(manager, owned)).collect();
        object::set_meta(object, "managedFields", entries);
    }

    /// Joins the oldest updates into one entry per version while there are too many.
    pub(super) fn cap(&mut self) {
        let mut updaters: Vec<Manager> =
            self.0.keys().filter(|manager| manager.operation == Operation::Update).cloned().collect();
        let mut count = updaters.len();
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        let time = |manager: &Manager| seconds(self.0.get(manager).and_then(|owned| owned.time.as_deref()));
        updaters.sort_by_cached_key(|manager| (time(manager), manager.clone()));
        let mut first_of: BTreeMap<String, Manager> = BTreeMap::new();
        for manager in updaters {
            if count <= MAX_UPDATE_MANAGERS {
                break;
            }
            let Some(version) = self.0.get(&manager).map(|owned| owned.api_version.clone()) else {
                continue;
            };
            let Some(first) = first_of.get(&version) else {
                first_of.insert(version, manager);
                continue;
            };
            let bucket = Manager {
                name: MANAGER_OF_OLD_UPDATES.to_owned(),
                operation: Operation::Update,
                api_version: version,
                subresource: String::new(),
            };
            if manager == bucket {
                continue;
            }
            if let (false, Some(owned)) = (self.0.contains_key(&bucket), self.0.get(first).cloned()) {
                self.0.remove(first);
                self.0.insert(bucket.clone(), owned);
            }
            if let (Some(merged), Some(bucket)) = (self.0.remove(&manager), self.0.get_mut(&bucket)) {
                bucket.set = bucket.set.union(&merged.set);
                bucket.time = merged.time;
                count -= 1;
            }
        }
    }

    /// The same without times, for comparing what is owned.
    pub(super) fn timeless(&self) -> Self {
        let mut same = self.clone();
        for owned in same.0.values_mut() {
            owned.time = None;
        }
        same
    }
}

fn seconds(time: Option<&str>) -> i64 {
    time.and_then(|text| text.parse::<Timestamp>().ok()).map_or(0, Timestamp::as_second)
}

fn entry(entry: &Value) -> Option<(Manager, Owned)> {
    let text = |name: &str| object::str_at(entry, &[name]).to_owned();
    let operation = match object::str_at(entry, &["operation"]) {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    let set = match entry.get("fieldsV1") {
        None | Some(Value::Null) => FieldSet::default(),
        Some(fields) => FieldSet::parse(fields).ok()?,
    };
    let api_version = text("apiVersion");
    let identity = if operation == Operation::Apply { String::new() } else { api_version.clone() };
    let manager =
        Manager { name: text("manager"), operation, api_version: identity, subresource: text("subresource") };
    let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
    Some((manager, Owned { api_version, set, time }))
}

fn encode(manager: &Manager, owned: &Owned) -> Value {
    let mut entry = Map::new();
    entry.insert("manager".into(), manager.name.clone().into());
    entry.insert("operation".into(), manager.operation.as_str().into());
    entry.insert("apiVersion".into(), owned.api_version.clone().into());
    if let Some(time) = &owned.time {
        entry.insert("time".into(), time.clone().into());
    }
    entry.insert("fieldsType".into(), "FieldsV1".into());
    entry.insert("fieldsV1".into(), owned.set.encode());
    if !manager.subresource.is_empty() {
        entry.insert("subresource".into(), manager.subresource.clone().into());
    }
    Value::Object(entry)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_beyond_the_limit_are_joined_oldest_first() {
        let mut object = json!({"metadata": {}});
        let entries: Vec<Value> = (0..13)
            .map(|i| {
                json!({
                    "manager": format!("m{i}"), "operation": "Update", "apiVersion": "v1",
                    "time": format!("2024-01-01T00:00:{i:02}Z"), "fieldsType": "FieldsV1", "fieldsV1": {format!("f:a{i}"): {}},
                })
            })
            .collect();
        object::set_meta(&mut object, "managedFields", entries);
        let mut managed = Managed::read(&object);
        managed.cap();
        assert_eq!(managed.0.len(), MAX_UPDATE_MANAGERS);
        managed.write(&mut object);
        let first = &object["metadata"]["managedFields"][0];
        assert_eq!(first["manager"], json!(MANAGER_OF_OLD_UPDATES));
        assert_eq!(first["fieldsV1"], json!({"f:a0": {}, "f:a1": {}, "f:a2": {}, "f:a3": {}}));
        assert_eq!(first["time"], json!("2024-01-01T00:00:03Z"));
    }

    #[test]
    fn rubbish_counts_as_nothing_said() {
        for entries in [
            json!([{"operation": "Fly"}]),
            json!([{"operation": "Apply", "fieldsV1": {"x": {}}}]),
            json!("x"),
        ] {
            assert_eq!(Managed::read(&json!({"metadata": {"managedFields": entries}})), Managed::default());
        }
    }
}
