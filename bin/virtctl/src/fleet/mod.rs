//! Machines with their instances, as a list for people and programs.

pub(crate) mod follow;
mod row;
pub(crate) mod usage;

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use crate::api::{Api, CallError};
use crate::request::{Kind, NameError, Request};
pub(crate) use row::{Row, Width, bytes};

/// Namespace and name.
pub(crate) type Key = (String, String);

/// The machines of a namespace, or of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    machines: BTreeMap<Key, Value>,
    instances: BTreeMap<Key, Value>,
}

/// Which machines are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// All namespaces when `None`.
    pub(crate) namespace: Option<String>,
    /// Labels of machines and of instances without one; everybody when empty.
    pub(crate) selector: String,
    /// Names; all when empty.
    pub(crate) names: Vec<String>,
}

impl Choice {
    /// Lists the objects of a kind that may be meant.
    pub(crate) fn request(&self, kind: Kind) -> Result<Request, NameError> {
        let request = Request::list(self.namespace.as_deref(), kind)?;
        // An instance has the labels of its machine's template, not those of its machine.
        Ok(match self.selector.as_str() {
            selector if kind == Kind::Machine && !selector.is_empty() => {
                request.with_parameter("labelSelector", selector)
            }
            _ => request,
        })
    }

    /// Reads the machines that are meant.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn read(&self, api: &Api) -> Result<Fleet, CallError> {
        let mut fleet = Fleet::default();
        for kind in [Kind::Machine, Kind::Instance] {
            let items = api.read(&self.request(kind)?).await?["items"].take();
            fleet.replace(kind, items.as_array().into_iter().flatten().cloned());
        }
        Ok(fleet)
    }

    fn means(&self, key: &Key, fleet: &Fleet) -> bool {
        (self.names.is_empty() || self.names.contains(&key.1))
            && (self.selector.is_empty() || fleet.machines.contains_key(key))
    }

    /// Returns the rows that are meant, in order.
    pub(crate) fn rows(&self, fleet: &Fleet) -> Vec<Row> {
        let mut keys: Vec<&Key> = fleet.machines.keys().chain(fleet.instances.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().filter(|key| self.means(key, fleet)).filter_map(|key| fleet.row(key)).collect()
    }

    /// Returns the row of one machine, when it is meant and there.
    pub(crate) fn row(&self, fleet: &Fleet, key: &Key) -> Option<Row> {
        if self.means(key, fleet) { fleet.row(key) } else { None }
    }
}

fn key(object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

impl Fleet {
    fn of(&mut self, kind: Kind) -> &mut BTreeMap<Key, Value> {
        if kind == Kind::Machine { &mut self.machines } else { &mut self.instances }
    }

    /// Takes these objects for all of a kind.
    pub(crate) fn replace(&mut self, kind: Kind, objects: impl Iterator<Item = Value>) {
        *self.of(kind) = objects.map(|object| (key(&object), object)).collect();
    }

    /// Takes over an object that is new or has changed; returns whose row that may change.
    pub(crate) fn put(&mut self, kind: Kind, object: Value) -> Key {
        let key = key(&object);
        self.of(kind).insert(key.clone(), object);
        key
    }

    /// Takes out an object that is gone; returns whose row that may change.
    pub(crate) fn remove(&mut self, kind: Kind, object: &Value) -> Key {
        let key = key(object);
        self.of(kind).remove(&key);
        key
    }

    /// The machines that have an object of a kind.
    pub(crate) fn keys(&self, kind: Kind) -> Vec<Key> {
        let of = if kind == Kind::Machine { &self.machines } else { &self.instances };
        of.keys().cloned().collect()
    }

    /// The instance of a machine.
    pub(crate) fn instance(&self, row: &Row) -> Option<&Value> {
        self.instances.get(&(row.namespace.clone(), row.name.clone()))
    }

    fn row(&self, key: &Key) -> Option<Row> {
        match (self.machines.get(key), self.instances.get(key)) {
            (None, None) => None,
            (machine, instance) => Some(Row::of(machine, instance)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(namespace: &str, name: &str) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name}})
    }

    fn names(rows: &[Row]) -> Vec<String> {
        rows.iter().map(|row| format!("{}/{}", row.namespace, row.name)).collect()
    }

    #[test]
    fn machines_and_instances_without_one_are_listed_once() {
        let mut fleet = Fleet::default();
        fleet.replace(Kind::Machine, [object("a", "m"), object("b", "m")].into_iter());
        fleet.replace(Kind::Instance, [object("a", "m"), object("a", "alone")].into_iter());
        let all = Choice::default();
        assert_eq!(names(&all.rows(&fleet)), ["a/alone", "a/m", "b/m"]);
        let named = Choice { names: vec!["m".to_owned()], ..Choice::default() };
        assert_eq!(names(&named.rows(&fleet)), ["a/m", "b/m"]);
        let labelled = Choice { selector: "x=y".to_owned(), ..Choice::default() };
        assert_eq!(names(&labelled.rows(&fleet)), ["a/m", "b/m"]);
        let gone = fleet.remove(Kind::Instance, &object("a", "alone"));
        assert_eq!(all.row(&fleet, &gone), None);
        let new = fleet.put(Kind::Machine, object("c", "n"));
        assert!(all.row(&fleet, &new).is_some());
    }

    #[test]
    fn only_machines_are_chosen_by_labels_on_the_server() {
        let choice = Choice { namespace: Some("ns".to_owned()), selector: "app=a".to_owned(), names: vec![] };
        let path = |kind| choice.request(kind).unwrap().path;
        assert_eq!(
            path(Kind::Machine),
            "/apis/kubevirt.io/v1/namespaces/ns/virtualmachines?labelSelector=app%3Da"
        );
        assert_eq!(path(Kind::Instance), "/apis/kubevirt.io/v1/namespaces/ns/virtualmachineinstances");
    }
}
