//! What an object uses, by the names that quotas have for it.

use std::collections::BTreeMap;

use machinery::quantity::{Format, Quantity};
use serde_json::Value;

use super::{Amounts, add, read};
use crate::registry::Collection;

/// Kinds that quotas name without `count/`.
const COUNTED: [&str; 7] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
];

/// Resources that every container must state where a quota limits them.
const STATED: [(&str, &str, &str); 6] = [
    ("cpu", "requests", "cpu"),
    ("limits.cpu", "limits", "cpu"),
    ("limits.memory", "limits", "memory"),
    ("memory", "requests", "memory"),
    ("requests.cpu", "requests", "cpu"),
    ("requests.memory", "requests", "memory"),
];

/// Between the name of a storage class and the resource of its claims.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";

/// The objects that count for a resource.
pub(super) fn tracked(resource: &str) -> Collection {
    if let Some(name) = resource.strip_prefix("count/") {
        let (plural, group) = name.split_once('.').unwrap_or((name, ""));
        return Collection::new(group, plural);
    }
    let plural = match resource {
        "requests.storage" => "persistentvolumeclaims",
        _ if resource.contains(OF_CLASS) => "persistentvolumeclaims",
        _ if resource.starts_with("services.") => "services",
        _ if COUNTED.contains(&resource) => resource,
        _ => "pods",
    };
    Collection::new("", plural)
}

/// Whether a resource counts objects, whatever is in them.
pub(super) fn counts_only(resource: &str) -> bool {
    resource.starts_with("count/") || (COUNTED.contains(&resource) && resource != "pods")
}

/// What an object of `collection` uses.
pub(super) fn usage(collection: &Collection, object: &Value) -> Amounts {
    let mut amounts = Amounts::new();
    let one = Quantity::new(1, Format::Decimal);
    let dot = if collection.group.is_empty() { "" } else { "." };
    amounts.insert(format!("count/{}{dot}{}", collection.plural, collection.group), one);
    if !collection.group.is_empty() {
        return amounts;
    }
    let plural = &*collection.plural;
    match plural {
        "pods" if !is_over(object) => pod(object, &mut amounts),
        "services" => service(object, &mut amounts),
        "persistentvolumeclaims" => claim(object, &mut amounts),
        _ => {}
    }
    if COUNTED.contains(&plural) && plural != "pods" {
        amounts.insert(plural.to_owned(), one);
    }
    amounts
}

/// A Pod that has ended uses nothing any more.
fn is_over(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn pod(pod: &Value, amounts: &mut Amounts) {
    amounts.insert("pods".into(), Quantity::new(1, Format::Decimal));
    for (name, amount) in needs(pod, "requests") {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            amounts.insert(name.clone(), amount);
        }
        amounts.insert(format!("requests.{name}"), amount);
    }
    for (name, amount) in needs(pod, "limits") {
        amounts.insert(format!("limits.{name}"), amount);
    }
}

/// What a Pod's containers need at the most at any time: init containers run one after the other, beside those that
/// stay, and before the others.
fn needs(pod: &Value, part: &str) -> Amounts {
    let spec = &pod["spec"];
    let of = |container: &Value| read(&container["resources"][part]);
    let mut staying = Amounts::new();
    let mut peak = Amounts::new();
    for container in spec["initContainers"].as_array().into_iter().flatten() {
        let own = of(container);
        if container["restartPolicy"] == "Always" {
            sum(&mut staying, &own);
            raise(&mut peak, &staying);
        } else {
            let mut beside = staying.clone();
            sum(&mut beside, &own);
            raise(&mut peak, &beside);
        }
    }
    for container in spec["containers"].as_array().into_iter().flatten() {
        sum(&mut staying, &of(container));
    }
    raise(&mut peak, &staying);
    let overhead = read(&spec["overhead"]);
    let counted = overhead.into_iter().filter(|(name, _)| part == "requests" || peak.contains_key(name));
    for (name, amount) in counted.collect::<BTreeMap<_, _>>() {
        add(&mut peak, name, amount);
    }
    peak
}

fn sum(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        add(total, name.clone(), *amount);
    }
}

fn raise(peak: &mut Amounts, to: &Amounts) {
    for (name, amount) in to {
        let highest = peak.entry(name.clone()).or_insert(*amount);
        *highest = (*highest).max(*amount);
    }
}

fn service(service: &Value, amounts: &mut Amounts) {
    let spec = &service["spec"];
    let ports = || spec["ports"].as_array().map_or(0, Vec::len) as i64;
    let balancer = spec["type"] == "LoadBalancer";
    let on_nodes = match spec["type"].as_str() {
        Some("NodePort") => ports(),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] != false => ports(),
        _ => 0,
    };
    amounts.insert("services.nodeports".into(), Quantity::new(on_nodes, Format::Decimal));
    amounts.insert("services.loadbalancers".into(), Quantity::new(i64::from(balancer), Format::Decimal));
}

fn claim(claim: &Value, amounts: &mut Amounts) {
    let size = claim["spec"]["resources"]["requests"]["storage"].as_str().unwrap_or_default();
    let size = Quantity::parse(size).ok();
    if let Some(size) = size {
        amounts.insert("requests.storage".into(), size);
    }
    if let Some(class) = claim["spec"]["storageClassName"].as_str().filter(|class| !class.is_empty()) {
        let one = Quantity::new(1, Format::Decimal);
        amounts.insert(format!("{class}{OF_CLASS}persistentvolumeclaims"), one);
        if let Some(size) = size {
            amounts.insert(format!("{class}{OF_CLASS}requests.storage"), size);
        }
    }
}

/// What a new Pod's containers do not state although `limited` has it, each with the containers' names.
pub(super) fn unstated<'a>(limited: &Amounts, pod: &'a Value) -> Vec<(&'static str, Vec<&'a str>)> {
    let containers = || {
        let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
        lists.into_iter().flatten().flatten()
    };
    let missing =
        STATED.into_iter().filter(|(name, ..)| limited.contains_key(*name)).map(|(name, part, resource)| {
            let silent =
                containers().filter(|container| container["resources"][part].get(resource).is_none());
            (name, silent.filter_map(|container| container["name"].as_str()).collect::<Vec<_>>())
        });
    missing.filter(|(_, containers)| !containers.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::write;
    use super::*;

    #[test]
    fn every_name_has_its_objects() {
        for (name, group, plural) in [
            ("pods", "", "pods"),
            ("requests.memory", "", "pods"),
            ("limits.example.org/card", "", "pods"),
            ("requests.storage", "", "persistentvolumeclaims"),
            ("fast.storageclass.storage.k8s.io/requests.storage", "", "persistentvolumeclaims"),
            ("services.nodeports", "", "services"),
            ("secrets", "", "secrets"),
            ("count/secrets", "", "secrets"),
            ("count/virtualmachines.kubevirt.io", "kubevirt.io", "virtualmachines"),
        ] {
            assert_eq!(tracked(name), Collection::new(group, plural), "{name}");
        }
    }

    #[test]
    fn objects_use_what_they_ask_for() {
        let container =
            |cpu: &str, memory: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": memory}}});
        let mut sidecar = container("100m", "1Mi");
        sidecar["restartPolicy"] = "Always".into();
        let pod = json!({"spec": {
            "initContainers": [container("2", "1Mi"), sidecar],
            "containers": [container("500m", "64Mi"), container("250m", "64Mi")],
            "overhead": {"memory": "2Mi"},
        }});
        let cases = [
            (
                "pods",
                pod,
                json!({
                    "count/pods": "1", "pods": "1", "cpu": "2", "requests.cpu": "2", "memory": "131Mi", "requests.memory": "131Mi",
                }),
            ),
            ("pods", json!({"status": {"phase": "Failed"}}), json!({"count/pods": "1"})),
            (
                "services",
                json!({"spec": {"type": "NodePort", "ports": [{}, {}]}}),
                json!({
                    "count/services": "1", "services": "1", "services.nodeports": "2", "services.loadbalancers": "0",
                }),
            ),
            (
                "persistentvolumeclaims",
                json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "5Gi"}}}}),
                json!({
                    "count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "5Gi",
                    "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
                    "fast.storageclass.storage.k8s.io/requests.storage": "5Gi",
                }),
            ),
        ];
        for (plural, object, expected) in cases {
            let used = write(&usage(&Collection::new("", plural), &object));
            assert_eq!(used, expected, "{plural}");
        }
    }

    #[test]
    fn what_is_limited_must_be_stated() {
        let limited = read(&json!({"limits.memory": "1Gi", "requests.cpu": "1", "pods": "1"}));
        let pod = json!({"spec": {"containers": [
            {"name": "silent"}, {"name": "half", "resources": {"requests": {"cpu": "1"}}},
        ]}});
        let expected = [("limits.memory", vec!["silent", "half"]), ("requests.cpu", vec!["silent"])];
        assert_eq!(unstated(&limited, &pod), expected);
    }
}
