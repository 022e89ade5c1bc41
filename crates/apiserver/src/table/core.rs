//! Cells of the core group's smaller kinds.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::read::{NONE, UNKNOWN, condition, each, flag, items, number, pairs, scalar, size, text, text_or};

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

pub(super) fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/status/phase").into(), age::of(object, now)]
}

pub(super) fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), (size(object, "/data") + size(object, "/binaryData")).into(), age::of(object, now)]
}

pub(super) fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/type").into(), size(object, "/data").into(), age::of(object, now)]
}

pub(super) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let port = |port: &Value| {
        let protocol = text_or(port, "/protocol", "TCP");
        match number(port, "/nodePort") {
            0 => format!("{}/{protocol}", number(port, "/port")),
            node => format!("{}:{node}/{protocol}", number(port, "/port")),
        }
    };
    let ports: Vec<String> = items(object, "/spec/ports").iter().map(port).collect();
    let internal = match (text(object, "/spec/clusterIPs/0"), text(object, "/spec/clusterIP")) {
        ("", "") => NONE,
        ("", address) | (address, _) => address,
    };
    vec![
        name(object),
        text_or(object, "/spec/type", "ClusterIP").into(),
        internal.into(),
        external_address(object).into(),
        if ports.is_empty() { NONE.into() } else { ports.join(",").into() },
        age::of(object, now),
        pairs(object, "/spec/selector").into(),
    ]
}

/// Where a Service is reached from outside.
fn external_address(service: &Value) -> String {
    let given: Vec<&str> = items(service, "/spec/externalIPs").iter().filter_map(Value::as_str).collect();
    match text(service, "/spec/type") {
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = items(service, "/status/loadBalancer/ingress").iter();
            let mut all: Vec<&str> =
                ingress.map(|point| text_or(point, "/ip", text(point, "/hostname"))).collect();
            all.extend(given);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ if given.is_empty() => NONE.to_owned(),
        _ => given.join(","),
    }
}

pub(super) fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut shown = Vec::new();
    for subset in items(object, "/subsets") {
        for address in items(subset, "/addresses") {
            let ip = text(address, "/ip");
            let ports = items(subset, "/ports");
            if ports.is_empty() {
                shown.push(ip.to_owned());
            }
            shown.extend(ports.iter().map(|port| format!("{ip}:{}", number(port, "/port"))));
        }
    }
    let more = shown.len().saturating_sub(3);
    shown.truncate(3);
    let text = match (shown.is_empty(), more) {
        (true, _) => NONE.to_owned(),
        (false, 0) => shown.join(","),
        (false, more) => format!("{} + {more} more...", shown.join(",")),
    };
    vec![name(object), text.into(), age::of(object, now)]
}

pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    // Events of the newer group carry these under other names.
    let involved = if object.get("regarding").is_some() { "/regarding" } else { "/involvedObject" };
    let target = object.pointer(involved).unwrap_or(&Value::Null);
    let kind = text(target, "/kind").to_lowercase();
    let shown = match text(target, "/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let first_of = |pointers: &[&str]| {
        let found =
            pointers.iter().filter_map(|pointer| object.pointer(pointer)).find(|value| !value.is_null());
        found.cloned().unwrap_or_default()
    };
    let first = first_of(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]);
    let mut last = first_of(&["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp"]);
    if last.is_null() {
        last = first.clone();
    }
    let count = first_of(&["/series/count", "/count", "/deprecatedCount"]);
    let component = text_or(
        object,
        "/source/component",
        text_or(object, "/deprecatedSource/component", text(object, "/reportingComponent")),
    );
    let component = if component.is_empty() { text(object, "/reportingController") } else { component };
    let host = text_or(object, "/source/host", text(object, "/deprecatedSource/host"));
    let source = if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") };
    vec![
        age::since(&last, now).into(),
        text(object, "/type").into(),
        text(object, "/reason").into(),
        shown.into(),
        text(target, "/fieldPath").into(),
        source.into(),
        text_or(object, "/message", text(object, "/note")).trim().into(),
        age::since(&first, now).into(),
        count.as_i64().unwrap_or(1).max(1).into(),
        name(object),
    ]
}

/// Kinds of which only the name and the moment of creation are shown.
pub(super) fn created_at(object: &Value) -> Vec<Value> {
    vec![name(object), object["metadata"]["creationTimestamp"].clone()]
}

pub(super) fn name_and_age(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age::of(object, now)]
}

pub(super) fn resource_quota(object: &Value, now: Timestamp) -> Vec<Value> {
    let hard = object.pointer("/status/hard").and_then(Value::as_object);
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let mut keys: Vec<&String> = hard.into_iter().flatten().map(|(key, _)| key).collect();
    keys.sort();
    for key in keys {
        let of = |map: &str| {
            scalar(object.pointer(map).unwrap_or(&Value::Null), &format!("/{}", key.replace('/', "~1")))
        };
        let used = match of("/status/used") {
            used if used.is_empty() => "0".to_owned(),
            used => used,
        };
        let shown = format!("{key}: {used}/{}", of("/status/hard"));
        let list = if key.starts_with("limits.") { &mut limits } else { &mut requests };
        list.push(shown);
    }
    vec![name(object), requests.join(", ").into(), limits.join(", ").into(), age::of(object, now)]
}

pub(super) fn pod_template(object: &Value) -> Vec<Value> {
    vec![
        name(object),
        each(object, "/template/spec/containers", "/name").into(),
        each(object, "/template/spec/containers", "/image").into(),
        pairs(object, "/template/metadata/labels").into(),
    ]
}

pub(super) fn component_status(object: &Value) -> Vec<Value> {
    let healthy = items(object, "/conditions").iter().find(|condition| text(condition, "/type") == "Healthy");
    let (status, message, error) = match healthy {
        Some(condition) if text(condition, "/status") == "True" => {
            ("Healthy", text(condition, "/message"), text(condition, "/error"))
        }
        Some(condition) => ("Unhealthy", text(condition, "/message"), text(condition, "/error")),
        None => ("Unknown", "", ""),
    };
    vec![name(object), status.into(), message.into(), error.into()]
}

pub(super) fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/spec/holderIdentity").into(), age::of(object, now)]
}

pub(super) fn priority_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        number(object, "/value").into(),
        flag(object, "/globalDefault").into(),
        age::of(object, now),
        text_or(object, "/preemptionPolicy", "PreemptLowerPriority").into(),
    ]
}

pub(super) fn runtime_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/handler").into(), age::of(object, now)]
}

pub(super) fn api_service(object: &Value, now: Timestamp) -> Vec<Value> {
    let service = match text(object, "/spec/service/name") {
        "" => "Local".to_owned(),
        service => format!("{}/{service}", text(object, "/spec/service/namespace")),
    };
    let available = match condition(object, "Available") {
        "" => UNKNOWN,
        available => available,
    };
    vec![name(object), service.into(), available.into(), age::of(object, now)]
}
