//! Pools as tests look at them and change them.

#![allow(clippy::missing_panics_doc, reason = "helpers of tests")]

use std::time::Duration;

use kit::{Installation, until};
use serde_json::{Value, json};

/// How long a pool may take.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Returns a text, or nothing where there is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the machines that a pool controls and that are not being deleted.
pub fn own(installation: &Installation, pool: &str) -> Vec<Value> {
    let owned = |machine: &Value| {
        let mut owners = machine["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.any(|owner| owner["name"] == pool && owner["controller"] == true)
    };
    let mut all = installation.list("vm");
    all.retain(|machine| owned(machine) && machine["metadata"]["deletionTimestamp"].is_null());
    all
}

/// Returns the names of the machines of a pool.
pub fn names(installation: &Installation, pool: &str) -> Vec<String> {
    own(installation, pool).iter().map(|machine| text(&machine["metadata"]["name"])).collect()
}

/// Returns a field of a pool's status.
pub fn status(installation: &Installation, pool: &str, field: &str) -> Value {
    installation.get("vmpool", "default", pool).unwrap_or_default()["status"][field].clone()
}

/// Waits until a pool has these machines, has no others, and says so.
pub fn are(installation: &Installation, pool: &str, numbers: &[usize]) {
    let wanted: Vec<String> = numbers.iter().map(|number| format!("{pool}-{number}")).collect();
    until(&format!("{pool} has the machines {numbers:?}, and says so"), PATIENCE, || {
        names(installation, pool) == wanted
            && status(installation, pool, "replicas").as_u64().unwrap_or(0) == wanted.len() as u64
    });
}

/// Returns a condition of a pool.
pub fn condition(installation: &Installation, pool: &str, kind: &str) -> Option<Value> {
    let conditions = status(installation, pool, "conditions");
    conditions.as_array()?.iter().find(|condition| condition["type"] == kind).cloned()
}

/// Changes the specification of a pool.
pub fn patch(installation: &Installation, pool: &str, spec: Value) {
    let patch = json!({"spec": spec}).to_string();
    installation
        .kubectl(&["patch", "vmpool", pool, "--type", "merge", "-p", &patch])
        .expect("patching the pool");
}

/// Returns a pool of machines that are off; `more` joins its specification.
pub fn idle(name: &str, replicas: usize, more: Value) -> String {
    let mut spec = json!({
        "replicas": replicas,
        "selector": {"matchLabels": {"pool": name}},
        "virtualMachineTemplate": {
            "metadata": {"labels": {"pool": name}},
            "spec": {
                "runStrategy": "Halted",
                "template": {"spec": {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}},
            },
        },
    });
    merge(&mut spec, more);
    let kind = json!({"apiVersion": "pool.kubevirt.io/v1beta1", "kind": "VirtualMachinePool"});
    let mut object = json!({"metadata": {"name": name}, "spec": spec});
    merge(&mut object, kind);
    object.to_string()
}

/// Puts the fields of `more` over those of `into`.
pub fn merge(into: &mut Value, more: Value) {
    match more {
        Value::Object(fields) if into.is_object() => {
            for (name, value) in fields {
                merge(&mut into[name], value);
            }
        }
        other => *into = other,
    }
}
