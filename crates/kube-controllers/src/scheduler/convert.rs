//! From the API's Pod to the one that is judged.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{self as core, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use machinery::quantity::Quantity;
use machinery::selector::LabelSelector;
use plan::scheduler::{AntiAffinity, NodeTerm, Pod, Requests, Requirement, Toleration};

use super::pod::ContainerView;

/// Reads a list of amounts.
pub(super) fn amounts(list: &BTreeMap<String, ApiQuantity>) -> Requests {
    let read = |text: &str| Quantity::parse(text).map_or(0, |quantity| quantity.milli());
    list.iter().map(|(name, amount)| (name.clone(), read(&amount.0))).collect()
}

/// Adds up what a Pod asks for: its containers and sidecars together, or its greediest init container with the
/// sidecars started before it, whichever is more.
pub(super) fn requests(containers: &[ContainerView], init: &[ContainerView]) -> Requests {
    let mut sidecars = Requests::new();
    let mut greediest = Requests::new();
    for container in init {
        let asked = asked(container);
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut sidecars, &asked);
            raise(&mut greediest, &sidecars);
        } else {
            let mut together = sidecars.clone();
            add(&mut together, &asked);
            raise(&mut greediest, &together);
        }
    }
    let mut total = sidecars;
    for container in containers {
        add(&mut total, &asked(container));
    }
    raise(&mut total, &greediest);
    total
}

/// What is not requested but limited is requested up to the limit.
fn asked(container: &ContainerView) -> Requests {
    let mut asked = amounts(container.resources.limits.as_ref().unwrap_or(&BTreeMap::new()));
    asked.extend(amounts(container.resources.requests.as_ref().unwrap_or(&BTreeMap::new())));
    asked
}

fn add(sum: &mut Requests, more: &Requests) {
    for (name, amount) in more {
        let known = sum.entry(name.clone()).or_default();
        *known = known.saturating_add(*amount);
    }
}

fn raise(most: &mut Requests, other: &Requests) {
    for (name, amount) in other {
        let known = most.entry(name.clone()).or_default();
        *known = (*known).max(*amount);
    }
}

/// Reads what a Pod requires of its node.
pub(super) fn pod(pod: &core::Pod) -> Pod {
    let spec = pod.spec.clone().unwrap_or_default();
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let views = |containers: &[core::Container]| -> Vec<ContainerView> {
        containers
            .iter()
            .map(|c| ContainerView {
                resources: c.resources.clone().unwrap_or_default(),
                restart_policy: c.restart_policy.clone(),
            })
            .collect()
    };
    let mut requests =
        requests(&views(&spec.containers), &views(spec.init_containers.as_deref().unwrap_or_default()));
    add(&mut requests, &amounts(spec.overhead.as_ref().unwrap_or(&BTreeMap::new())));

    let affinity = spec.affinity.unwrap_or_default();
    let node = affinity.node_affinity.unwrap_or_default();
    let required =
        node.required_during_scheduling_ignored_during_execution.map(|terms| terms.node_selector_terms);
    let preferred = node.preferred_during_scheduling_ignored_during_execution.unwrap_or_default();
    let near = affinity.pod_affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution);
    let apart =
        affinity.pod_anti_affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution);
    let others = |terms: Option<Vec<PodAffinityTerm>>| {
        terms.unwrap_or_default().into_iter().map(|term| other_pods(term, &namespace)).collect()
    };
    let status = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let known = status.into_iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    Pod {
        name: pod.metadata.name.clone().unwrap_or_default(),
        requests,
        node_selector: spec.node_selector.unwrap_or_default(),
        required: required.unwrap_or_default().into_iter().map(term).collect(),
        preferred: preferred.into_iter().map(|p| (p.weight, term(p.preference))).collect(),
        tolerations: spec.tolerations.unwrap_or_default().into_iter().map(toleration).collect(),
        near: others(near),
        apart: others(apart),
        claims: Vec::new(),
        known_message: known.and_then(|condition| condition.message.clone()),
        namespace,
    }
}

fn toleration(toleration: core::Toleration) -> Toleration {
    Toleration {
        key: toleration.key.unwrap_or_default(),
        operator: toleration.operator.unwrap_or_default(),
        value: toleration.value.unwrap_or_default(),
        effect: toleration.effect.unwrap_or_default(),
    }
}

pub(crate) fn term(term: NodeSelectorTerm) -> NodeTerm {
    let read = |list: Option<Vec<NodeSelectorRequirement>>| {
        list.unwrap_or_default()
            .into_iter()
            .map(|r| Requirement { key: r.key, operator: r.operator, values: r.values.unwrap_or_default() })
            .collect()
    };
    NodeTerm { labels: read(term.match_expressions), fields: read(term.match_fields) }
}

fn other_pods(term: PodAffinityTerm, own_namespace: &str) -> AntiAffinity {
    let selector = term.label_selector.map(|selector| serde_json::to_value(selector).unwrap_or_default());
    let selector = selector.and_then(|selector| LabelSelector::from_object(&selector).ok());
    let namespaces = term.namespaces.filter(|list| !list.is_empty());
    AntiAffinity {
        topology_key: term.topology_key,
        selector: selector.unwrap_or_else(LabelSelector::nothing),
        namespaces: namespaces.unwrap_or_else(|| vec![own_namespace.to_owned()]),
    }
}
