//! What the `status` subresource of built-in kinds may say: counts that can be, conditions that can be read.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::super::text;
use super::devices::CLAIM_STATUS;
use super::shape::{address, reason_word};
use super::{Row, Rule};
use Rule::{All, Amount, AtLeast, Holds, Longest, Name, Required, UniqueItems, Words};

pub(super) fn rows(group: &str, plural: &str) -> &'static [Row] {
    match (group, plural) {
        ("", "namespaces") => NAMESPACE,
        ("", "nodes") => super::cluster::ADDRESSES,
        ("", "persistentvolumeclaims") => CLAIM,
        ("", "replicationcontrollers") | ("apps", "replicasets") => REPLICA_SET,
        ("", "resourcequotas") => QUOTA,
        ("", "services") | ("networking.k8s.io", "ingresses") => BALANCED,
        ("apps", "daemonsets") => DAEMON_SET,
        ("apps", "deployments") => DEPLOYMENT,
        ("apps", "statefulsets") => STATEFUL_SET,
        ("autoscaling", _) => AUTOSCALER,
        ("batch", "jobs") => JOB,
        ("policy", _) => BUDGET,
        ("resource.k8s.io", "resourceclaims") => CLAIM_STATUS,
        _ => &[],
    }
}

/// Refuses counts that are more than the count of which they are a part.
fn parts_of(whole: &str, parts: &[&str], status: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let count = |name: &str| status[name].as_i64().unwrap_or_default();
    for part in parts.iter().filter(|part| count(part) > count(whole)) {
        let detail = format!("cannot be greater than {}", path.child(whole));
        errors.push(FieldError::invalid(path.child(part), count(part), detail));
    }
}

/// A count of clashes only grows.
const CLASHES: Rule = Holds(|count, old, path, errors| {
    let before = old.and_then(Value::as_i64).unwrap_or_default();
    let now = count.as_i64().unwrap_or_default();
    if now < 0 {
        errors.push(FieldError::invalid(path.clone(), now, "must be greater than or equal to 0"));
    } else if now < before {
        errors.push(FieldError::invalid(path.clone(), now, "cannot be decremented"));
    }
});

const DEPLOYMENT: &[Row] = &[
    Row("status.observedGeneration", &[AtLeast(0)]),
    Row("status.replicas", &[AtLeast(0)]),
    Row("status.updatedReplicas", &[AtLeast(0)]),
    Row("status.readyReplicas", &[AtLeast(0)]),
    Row("status.availableReplicas", &[AtLeast(0)]),
    Row("status.unavailableReplicas", &[AtLeast(0)]),
    Row("status.terminatingReplicas", &[AtLeast(0)]),
    Row("status.collisionCount", &[CLASHES]),
    Row(
        "status",
        &[Holds(|status, _, path, errors| {
            let parts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
            parts_of("replicas", &parts, status, path, errors);
            parts_of("readyReplicas", &["availableReplicas"], status, path, errors);
        })],
    ),
];

const REPLICA_SET: &[Row] = &[
    Row("status.observedGeneration", &[AtLeast(0)]),
    Row("status.replicas", &[AtLeast(0)]),
    Row("status.fullyLabeledReplicas", &[AtLeast(0)]),
    Row("status.readyReplicas", &[AtLeast(0)]),
    Row("status.availableReplicas", &[AtLeast(0)]),
    Row("status.terminatingReplicas", &[AtLeast(0)]),
    Row(
        "status",
        &[Holds(|status, _, path, errors| {
            let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
            parts_of("replicas", &parts, status, path, errors);
            parts_of("readyReplicas", &["availableReplicas"], status, path, errors);
        })],
    ),
];

const STATEFUL_SET: &[Row] = &[
    Row("status.observedGeneration", &[AtLeast(0)]),
    Row("status.replicas", &[AtLeast(0)]),
    Row("status.readyReplicas", &[AtLeast(0)]),
    Row("status.currentReplicas", &[AtLeast(0)]),
    Row("status.updatedReplicas", &[AtLeast(0)]),
    Row("status.availableReplicas", &[AtLeast(0)]),
    Row("status.collisionCount", &[CLASHES]),
    Row(
        "status",
        &[Holds(|status, _, path, errors| {
            let parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
            parts_of("replicas", &parts, status, path, errors);
            parts_of("readyReplicas", &["availableReplicas"], status, path, errors);
        })],
    ),
];

const DAEMON_SET: &[Row] = &[
    Row("status.currentNumberScheduled", &[AtLeast(0)]),
    Row("status.numberMisscheduled", &[AtLeast(0)]),
    Row("status.desiredNumberScheduled", &[AtLeast(0)]),
    Row("status.numberReady", &[AtLeast(0)]),
    Row("status.observedGeneration", &[AtLeast(0)]),
    Row("status.updatedNumberScheduled", &[AtLeast(0)]),
    Row("status.numberAvailable", &[AtLeast(0)]),
    Row("status.numberUnavailable", &[AtLeast(0)]),
    Row("status.collisionCount", &[CLASHES]),
];

const AUTOSCALER: &[Row] =
    &[Row("status.currentReplicas", &[AtLeast(0)]), Row("status.desiredReplicas", &[AtLeast(0)])];

const JOB: &[Row] = &[
    Row("status.active", &[AtLeast(0)]),
    Row("status.succeeded", &[AtLeast(0)]),
    Row("status.failed", &[AtLeast(0)]),
    Row("status.ready?", &[AtLeast(0)]),
    Row("status.terminating?", &[AtLeast(0)]),
];

const BUDGET: &[Row] = &[
    Row("status.conditions", &[UniqueItems("type")]),
    Row("status.conditions[]", &[All(CONDITION)]),
    Row("status.disruptionsAllowed", &[AtLeast(0)]),
    Row("status.currentHealthy", &[AtLeast(0)]),
    Row("status.desiredHealthy", &[AtLeast(0)]),
    Row("status.expectedPods", &[AtLeast(0)]),
];

/// A condition of the form that kinds share.
const CONDITION: &[Row] = &[
    Row("type", &[Required(""), Name(names::qualified_name)]),
    Row("status", &[Required(""), Words(&["False", "True", "Unknown"])]),
    Row("observedGeneration?", &[AtLeast(0)]),
    Row("lastTransitionTime", &[Required("")]),
    Row("reason", &[Required(""), Name(reason_word), Longest(1024)]),
    Row("message", &[Longest(32 << 10)]),
];

const QUOTA: &[Row] = &[
    Row("status.hard?", &[Holds(super::cluster::quota_names)]),
    Row("status.hard{}", &[Amount { strictly: false }]),
    Row("status.used?", &[Holds(super::cluster::quota_names)]),
    Row("status.used{}", &[Amount { strictly: false }]),
];

const CLAIM: &[Row] = &[Row("status.capacity{}", &[Amount { strictly: false }])];

const NAMESPACE: &[Row] = &[Row(
    "",
    &[Holds(|namespace, _, _, errors| {
        let phase = text(namespace, &["status", "phase"]);
        let (wanted, state) = if namespace["metadata"]["deletionTimestamp"].is_null() {
            ("Active", "empty")
        } else {
            ("Terminating", "not empty")
        };
        if phase != wanted {
            let detail = format!("may only be '{wanted}' if `deletionTimestamp` is {state}");
            errors.push(FieldError::invalid(Path::new("status.Phase"), phase, detail));
        }
    })],
)];

/// Where a balancer takes traffic in.
const BALANCED: &[Row] = &[
    Row("status.loadBalancer.ingress[].ip?", &[Name(address)]),
    Row("status.loadBalancer.ingress[].hostname?", &[Name(host)]),
];

fn host(name: &str) -> Vec<String> {
    if address(name).is_empty() {
        return vec!["must be a DNS name, not an IP address".to_owned()];
    }
    names::dns_subdomain(name)
}
