//! Why a Pod cannot run on a node, and how well it would run there.

use api::names::label::SCHEDULABLE;

use super::{Node, Pod, PodClaim, Taint, Toleration, affinity};

/// Returns the reasons against a node in Kubernetes' words. The first kind of reason ends the search, except for
/// resources, of which all that lack are named.
pub(super) fn refusals(pod: &Pod, node: &Node, nodes: &[Node]) -> Vec<String> {
    let one = |reason: &str| vec![reason.to_owned()];
    if node.cordoned && !tolerated(&pod.tolerations, &unschedulable()) {
        return one("node(s) were unschedulable");
    }
    if !node.ready {
        return one("node(s) were not ready");
    }
    if pod.node_selector.contains_key(SCHEDULABLE)
        && node.labels.get(SCHEDULABLE).is_none_or(|value| value != "true")
    {
        return one(
            "node(s) take no virtual machines now, as the label kubevirt.io/schedulable says; run `ironclad \
                    doctor` there to see why",
        );
    }
    if !affinity::allows(pod, node) {
        return one("node(s) didn't match Pod's node affinity/selector");
    }
    let hard = node.taints.iter().filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"));
    if let Some(taint) = hard.into_iter().find(|taint| !tolerated(&pod.tolerations, taint)) {
        return vec![format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value)];
    }
    let reachable = pod.claims.iter().all(|claim| match claim {
        PodClaim::Bound { nodes, .. } => affinity::meets_any(nodes, node),
        PodClaim::Delayed { selected: Some(selected), .. } => *selected == node.name,
        PodClaim::Delayed { .. } | PodClaim::Unusable { .. } => true,
    });
    if !reachable {
        return one("node(s) didn't match PersistentVolume's node affinity");
    }
    let lacking = lacking(pod, node);
    if !lacking.is_empty() {
        return lacking;
    }
    if pod.apart.iter().any(|other| affinity::shares_domain(other, node, nodes)) {
        return one("node(s) didn't match pod anti-affinity rules");
    }
    if !pod.near.iter().all(|other| affinity::shares_domain(other, node, nodes)) {
        return one("node(s) didn't match pod affinity rules");
    }
    Vec::new()
}

fn lacking(pod: &Pod, node: &Node) -> Vec<String> {
    let free = |name: &str| {
        let used = node.used.get(name).copied().unwrap_or(0);
        node.allocatable.get(name).copied().unwrap_or(0).saturating_sub(used)
    };
    let mut lacking = Vec::new();
    if node.allocatable.contains_key("pods") && free("pods") < 1000 {
        lacking.push("Too many pods".to_owned());
    }
    let wanted = pod.requests.iter().filter(|(_, amount)| **amount > 0);
    // A node that does not say how much scratch storage it has is not asked for it.
    let told =
        wanted.filter(|(name, _)| *name != "ephemeral-storage" || node.allocatable.contains_key(*name));
    lacking.extend(
        told.filter(|(name, amount)| free(name) < **amount).map(|(name, _)| format!("Insufficient {name}")),
    );
    lacking
}

fn unschedulable() -> Taint {
    Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    }
}

fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| toleration.covers(taint))
}

/// Returns how well the Pod would run: preferences first, then the share of the node that stays free.
pub(super) fn score(pod: &Pod, node: &Node) -> f64 {
    let preferred: i32 =
        pod.preferred.iter().filter(|(_, term)| affinity::meets(term, node)).map(|(weight, _)| weight).sum();
    let soft = node.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let endured = soft.filter(|taint| !tolerated(&pod.tolerations, taint)).count();
    let free = ["cpu", "memory"].map(|name| {
        let all = node.allocatable.get(name).copied().unwrap_or(0) as f64;
        let asked = pod.requests.get(name).copied().unwrap_or(0);
        let used = node.used.get(name).copied().unwrap_or(0).saturating_add(asked);
        if all > 0.0 { 1.0 - used as f64 / all } else { 0.0 }
    });
    f64::from(preferred) * 2.0 - endured as f64 * 100.0 + free.iter().sum::<f64>() / 2.0
}
