//! Table answers: what `kubectl get` prints.
//!
//! The columns of built-in kinds are facts; their cells are computed here, one function a kind. Cells of custom
//! resources come from the JSONPaths of their definition.

mod age;
mod built_in;
mod cluster;
mod core;
mod custom;
mod networking;
mod node;
mod path;
mod pod;
mod read;
mod storage;
mod workload;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::registry::Resource;
use crate::request::negotiate::MetaVersion;

pub use path::JsonPath;

/// What a row carries of its object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// Makes the table of `objects`, which are in the version of `resource`. The caller adds the table's metadata.
///
/// Ages are as of `now`.
pub fn table(
    resource: &Resource,
    objects: &[Value],
    version: MetaVersion,
    include: Include,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> =
        objects.iter().map(|object| row(resource, object, version, include, now)).collect();
    json!({
        "kind": "Table",
        "apiVersion": version.api_version(),
        "metadata": {},
        "columnDefinitions": columns(resource),
        "rows": rows,
    })
}

/// The column definitions of a resource.
fn columns(resource: &Resource) -> Vec<Value> {
    let definition = |name: &str, kind: &str, format: &str, description: &str, priority: i64| json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority});
    let mut columns = Vec::with_capacity(resource.columns.len() + 2);
    if resource.custom || resource.columns.is_empty() {
        columns.push(definition("Name", "string", "name", "Name of the object, unique in its namespace.", 0));
    }
    if resource.columns.is_empty() {
        columns.push(definition("Age", "date", "", "Time since the object was created.", 0));
    }
    for column in &resource.columns {
        columns.push(definition(
            &column.name,
            &column.kind,
            &column.format,
            &column.description,
            column.priority,
        ));
    }
    columns
}

fn row(resource: &Resource, object: &Value, version: MetaVersion, include: Include, now: Timestamp) -> Value {
    let cells = if resource.custom || resource.columns.is_empty() {
        custom::cells(resource, object, now)
    } else {
        built_in::cells(resource, object, now)
    };
    let shown = match include {
        Include::None => Value::Null,
        Include::Object => object.clone(),
        Include::Metadata => json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": version.api_version(),
            "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
        }),
    };
    let mut row = json!({"cells": cells, "object": shown});
    let conditions = built_in::conditions(resource, object);
    if !conditions.is_empty() {
        row["conditions"] = conditions.into();
    }
    row
}

#[cfg(test)]
mod tests {
    use crate::registry::Registry;

    use super::*;

    fn cells(group: &str, plural: &str, object: Value) -> Value {
        let snapshot = Registry::new().snapshot();
        let resource = snapshot.resource(group, "v1", plural).expect("a built-in resource");
        let now = "2024-01-02T00:00:00Z".parse().expect("a time");
        let table = table(resource, &[object], MetaVersion::V1, Include::None, now);
        let columns = table["columnDefinitions"].as_array().expect("columns").len();
        let cells = table["rows"][0]["cells"].clone();
        assert_eq!(cells.as_array().map(Vec::len), Some(columns), "{plural}: one cell a column");
        cells
    }

    #[test]
    fn every_built_in_kind_fills_its_columns() {
        let snapshot = Registry::new().snapshot();
        for resource in snapshot.resources().filter(|resource| resource.is_stored()) {
            let empty = json!({"metadata": {"name": "x", "creationTimestamp": "2024-01-01T00:00:00Z"}});
            let now = "2024-01-02T00:00:00Z".parse().expect("a time");
            let table = table(resource, &[empty], MetaVersion::V1, Include::Metadata, now);
            let columns = table["columnDefinitions"].as_array().expect("columns").len();
            let cells = table["rows"][0]["cells"].as_array().expect("cells").len();
            assert_eq!(cells, columns, "{}", resource.collection.plural);
        }
    }

    #[test]
    fn services_show_ports_and_addresses() {
        let service = json!({
            "metadata": {"name": "t", "creationTimestamp": "2024-01-01T23:59:00Z"},
            "spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "selector": {"b": "2", "a": "1"}, "ports": [
                {"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 81, "protocol": "UDP"}]},
        });
        let expected =
            json!(["t", "NodePort", "10.96.0.9", "<none>", "80:30080/TCP,81/UDP", "60s", "a=1,b=2"]);
        assert_eq!(cells("", "services", service), expected);
    }

    #[test]
    fn nodes_show_roles_and_state() {
        let node = json!({
            "metadata": {"name": "n", "creationTimestamp": "2023-12-30T00:00:00Z",
                "labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1", "osImage": "Debian"},
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
        });
        let expected = json!([
            "n",
            "Ready,SchedulingDisabled",
            "control-plane,worker",
            "3d",
            "v1",
            "10.0.0.1",
            "<none>",
            "Debian",
            "<unknown>",
            "<unknown>"
        ]);
        assert_eq!(cells("", "nodes", node), expected);
    }
}
