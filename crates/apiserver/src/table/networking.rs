//! Cells of the networking and discovery groups.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::read::{NONE, UNSET, items, joined, scalar, selector, text, text_or};

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

/// Joins the first few texts and counts the rest.
fn some(texts: &[String], most: usize, otherwise: &str) -> String {
    match texts.len() {
        0 => otherwise.to_owned(),
        length if length > most => format!("{} + {} more...", texts[..most].join(","), length - most),
        _ => texts.join(","),
    }
}

pub(super) fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = items(object, "/ports").iter().map(|port| scalar(port, "/port")).collect();
    let addresses: Vec<String> = items(object, "/endpoints")
        .iter()
        .flat_map(|endpoint| items(endpoint, "/addresses"))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    vec![
        name(object),
        text(object, "/addressType").into(),
        some(&ports, 3, UNSET).into(),
        some(&addresses, 3, UNSET).into(),
        age::of(object, now),
    ]
}

pub(super) fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let hosts: Vec<String> = items(object, "/spec/rules")
        .iter()
        .map(|rule| text(rule, "/host").to_owned())
        .filter(|host| !host.is_empty())
        .collect();
    let points = items(object, "/status/loadBalancer/ingress").iter();
    let addresses: Vec<&str> = points.map(|point| text_or(point, "/ip", text(point, "/hostname"))).collect();
    let ports = if items(object, "/spec/tls").is_empty() { "80" } else { "80, 443" };
    vec![
        name(object),
        text_or(object, "/spec/ingressClassName", NONE).into(),
        some(&hosts, 3, "*").into(),
        addresses.join(",").into(),
        ports.into(),
        age::of(object, now),
    ]
}

pub(super) fn ingress_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = match text(object, "/spec/parameters/name") {
        "" => NONE.to_owned(),
        parameters => {
            let (kind, group) =
                (text(object, "/spec/parameters/kind"), text(object, "/spec/parameters/apiGroup"));
            let dot = if group.is_empty() { "" } else { "." };
            format!("{kind}{dot}{group}/{parameters}")
        }
    };
    vec![name(object), text(object, "/spec/controller").into(), parameters.into(), age::of(object, now)]
}

pub(super) fn network_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), selector(object, "/spec/podSelector").into(), age::of(object, now)]
}

pub(super) fn ip_address(object: &Value) -> Vec<Value> {
    let parent = |field: &str| text(object, &format!("/spec/parentRef/{field}"));
    let parts: Vec<&str> = ["group", "resource", "namespace", "name"]
        .into_iter()
        .map(parent)
        .filter(|part| !part.is_empty())
        .collect();
    vec![name(object), parts.join("/").into()]
}

pub(super) fn service_cidr(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), joined(object, "/spec/cidrs", "").into(), age::of(object, now)]
}
