//! Cells of Nodes.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::read::{NONE, UNKNOWN, condition, flag, items, text, text_or};

pub(super) fn cells(node: &Value, now: Timestamp) -> Vec<Value> {
    let mut state = match condition(node, "Ready") {
        "" => "Unknown",
        "True" => "Ready",
        _ => "NotReady",
    }
    .to_owned();
    if flag(node, "/spec/unschedulable") {
        state.push_str(",SchedulingDisabled");
    }
    vec![
        node["metadata"]["name"].clone(),
        state.into(),
        roles(node).into(),
        age::of(node, now),
        text(node, "/status/nodeInfo/kubeletVersion").into(),
        address(node, "InternalIP").into(),
        address(node, "ExternalIP").into(),
        text_or(node, "/status/nodeInfo/osImage", UNKNOWN).into(),
        text_or(node, "/status/nodeInfo/kernelVersion", UNKNOWN).into(),
        text_or(node, "/status/nodeInfo/containerRuntimeVersion", UNKNOWN).into(),
    ]
}

fn roles(node: &Value) -> String {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => Some(role),
            _ if key == "kubernetes.io/role" => value.as_str().filter(|role| !role.is_empty()),
            _ => None,
        })
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { NONE.to_owned() } else { roles.join(",") }
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let addresses = items(node, "/status/addresses");
    addresses
        .iter()
        .find(|address| text(address, "/type") == kind)
        .map_or(NONE, |address| text(address, "/address"))
}
