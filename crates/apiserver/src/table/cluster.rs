//! Cells of what governs a cluster: roles, admission, certificates, flow control, devices.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::read::{NONE, flag, items, number, scalar, text, text_or};

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

pub(super) fn binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str| {
        let chosen = items(object, "/subjects").iter().filter(|subject| text(subject, "/kind") == kind);
        let names = chosen.map(|subject| match kind {
            "ServiceAccount" => format!("{}/{}", text(subject, "/namespace"), text(subject, "/name")),
            _ => text(subject, "/name").to_owned(),
        });
        names.collect::<Vec<_>>().join(", ")
    };
    let role = format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name"));
    vec![
        name(object),
        role.into(),
        age::of(object, now),
        subjects("User").into(),
        subjects("Group").into(),
        subjects("ServiceAccount").into(),
    ]
}

pub(super) fn webhooks(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), items(object, "/webhooks").len().into(), age::of(object, now)]
}

pub(super) fn admission_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = match text(object, "/spec/paramKind/kind") {
        "" => "<unset>".to_owned(),
        kind => format!("{}/{kind}", text(object, "/spec/paramKind/apiVersion")),
    };
    vec![
        name(object),
        items(object, "/spec/validations").len().into(),
        parameters.into(),
        age::of(object, now),
    ]
}

pub(super) fn admission_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = match (text(object, "/spec/paramRef/name"), object.pointer("/spec/paramRef/selector")) {
        ("", None) => "<unset>".to_owned(),
        ("", Some(_)) => super::read::selector(object, "/spec/paramRef/selector"),
        (name, _) => match text(object, "/spec/paramRef/namespace") {
            "" => format!("*/{name}"),
            namespace => format!("{namespace}/{name}"),
        },
    };
    vec![name(object), text(object, "/spec/policyName").into(), parameters.into(), age::of(object, now)]
}

pub(super) fn signing_request(object: &Value, now: Timestamp) -> Vec<Value> {
    let conditions = items(object, "/status/conditions");
    let has = |kind: &str| conditions.iter().any(|condition| text(condition, "/type") == kind);
    let mut state = String::new();
    for kind in ["Approved", "Denied", "Failed"] {
        if has(kind) {
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(kind);
        }
    }
    if state.is_empty() {
        state.push_str("Pending");
    }
    if !text(object, "/status/certificate").is_empty() {
        state.push_str(",Issued");
    }
    let requested = object.pointer("/spec/expirationSeconds").and_then(Value::as_i64);
    vec![
        name(object),
        age::of(object, now),
        text_or(object, "/spec/signerName", NONE).into(),
        text(object, "/spec/username").into(),
        requested.map_or_else(|| NONE.to_owned(), age::span).into(),
        state.into(),
    ]
}

pub(super) fn flow_schema(object: &Value, now: Timestamp) -> Vec<Value> {
    let dangling =
        items(object, "/status/conditions").iter().find(|condition| text(condition, "/type") == "Dangling");
    vec![
        name(object),
        text_or(object, "/spec/priorityLevelConfiguration/name", NONE).into(),
        number(object, "/spec/matchingPrecedence").into(),
        text_or(object, "/spec/distinguisherMethod/type", NONE).into(),
        age::of(object, now),
        dangling.map_or("?", |condition| text(condition, "/status")).into(),
    ]
}

pub(super) fn priority_level(object: &Value, now: Timestamp) -> Vec<Value> {
    let or_none = |pointer: &str| match scalar(object, pointer) {
        text if text.is_empty() => NONE.to_owned(),
        text => text,
    };
    let shares = match or_none("/spec/limited/nominalConcurrencyShares") {
        shares if shares == NONE => or_none("/spec/exempt/nominalConcurrencyShares"),
        shares => shares,
    };
    let queuing = |field| or_none(&format!("/spec/limited/limitResponse/queuing/{field}"));
    vec![
        name(object),
        text(object, "/spec/type").into(),
        shares.into(),
        queuing("queues").into(),
        queuing("handSize").into(),
        queuing("queueLengthLimit").into(),
        age::of(object, now),
    ]
}

pub(super) fn resource_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut states = Vec::new();
    if !text(object, "/metadata/deletionTimestamp").is_empty() {
        states.push("deleted");
    }
    if object.pointer("/status/allocation").is_some() {
        states.push("allocated");
    }
    if !items(object, "/status/reservedFor").is_empty() {
        states.push("reserved");
    }
    if states.is_empty() {
        states.push("pending");
    }
    vec![name(object), states.join(",").into(), age::of(object, now)]
}

pub(super) fn resource_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let node = match text(object, "/spec/nodeName") {
        "" if flag(object, "/spec/allNodes") => "<all nodes>",
        "" => "<some nodes>",
        node => node,
    };
    vec![
        name(object),
        node.into(),
        text(object, "/spec/driver").into(),
        text(object, "/spec/pool/name").into(),
        age::of(object, now),
    ]
}
