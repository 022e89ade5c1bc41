//! Node selectors, node affinity and affinity to other Pods.

use std::collections::BTreeMap;

use super::{AntiAffinity, Node, NodeTerm, Pod, Requirement};

/// Tells whether the node carries the labels and meets one of the terms that the Pod requires.
pub(super) fn allows(pod: &Pod, node: &Node) -> bool {
    let selected = pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    selected && meets_any(&pod.required, node)
}

/// Tells whether the node meets all requirements of a term. A term without requirements meets nothing.
pub(super) fn meets(term: &NodeTerm, node: &Node) -> bool {
    if term.labels.is_empty() && term.fields.is_empty() {
        return false;
    }
    let name = BTreeMap::from([("metadata.name".to_owned(), node.name.clone())]);
    term.labels.iter().all(|requirement| holds(requirement, &node.labels))
        && term.fields.iter().all(|requirement| holds(requirement, &name))
}

/// Tells whether the node meets one of the terms; no terms are no requirement.
pub fn meets_any(terms: &[NodeTerm], node: &Node) -> bool {
    terms.is_empty() || terms.iter().any(|term| meets(term, node))
}

fn holds(requirement: &Requirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let listed = || value.is_some_and(|value| requirement.values.contains(value));
    let compared = |fits: fn(i64, i64) -> bool| {
        let left = value.and_then(|value| value.parse().ok());
        let right = requirement.values.first().and_then(|value| value.parse().ok());
        matches!((left, right), (Some(left), Some(right)) if fits(left, right))
    };
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(|left, right| left > right),
        "Lt" => compared(|left, right| left < right),
        _ => false,
    }
}

/// Tells whether a Pod that `other` speaks of runs in the same domain as `node`.
pub(super) fn shares_domain(other: &AntiAffinity, node: &Node, nodes: &[Node]) -> bool {
    let Some(domain) = node.labels.get(&other.topology_key) else { return false };
    let same = nodes.iter().filter(|node| node.labels.get(&other.topology_key) == Some(domain));
    same.flat_map(|node| &node.pods).any(|(namespace, labels)| {
        other.namespaces.contains(namespace)
            && other.selector.matches_labels(|key| labels.get(key).map(String::as_str))
    })
}
