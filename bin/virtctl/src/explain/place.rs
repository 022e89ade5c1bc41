//! No node takes the machine: what schedulers say, as a sentence.

use machinery::quantity::Quantity;
use serde_json::Value;

use super::Verdict;
use super::facts::{Facts, list, text};

/// Tells why no node takes a machine. `told` are the scheduler's words, `who` is whose.
pub(super) fn verdict(facts: &Facts, told: &str, who: &str) -> Verdict {
    let prefix = facts.prefix();
    let (why, next) = reason(facts, told, prefix);
    Verdict::stuck(why).because(format!("{told} ({who})")).so(next)
}

fn reason(facts: &Facts, told: &str, prefix: &str) -> (String, String) {
    let says = |words: &str| told.contains(words);
    if let Some((_, rest)) = told.split_once("persistentvolumeclaim \"") {
        let claim = rest.split('"').next().unwrap_or_default();
        if rest.contains("not found") {
            return (
                format!("the PersistentVolumeClaim {claim} does not exist in its namespace"),
                format!("Create it, or name another in {prefix}.volumes[].persistentVolumeClaim.claimName"),
            );
        }
    }
    if let Some(resource) = lacking(told) {
        return lack(facts, resource, prefix);
    }
    if says("HypervisorAvailable") || says("QEMU") || says("take no virtual machines now") {
        return (
            "no node can run virtual machines now".to_owned(),
            "Run `ironclad doctor` on the node, or look at its conditions: kubectl describe node".to_owned(),
        );
    }
    if says("no nodes available") || told.starts_with("0/0 ") {
        return (
            "there is no node".to_owned(),
            "Start a node; the machine starts by itself then: kubectl get nodes".to_owned(),
        );
    }
    if says("unbound immediate PersistentVolumeClaims") {
        return (
            "one of its claims has no volume".to_owned(),
            "Look which, and what keeps it: kubectl get pvc".to_owned(),
        );
    }
    if says("volume node affinity conflict") || says("PersistentVolume's node affinity") {
        return (
            "no node that it may use reaches its volumes".to_owned(),
            format!(
                "Let it run where its volumes are: correct {prefix}.nodeSelector and {prefix}.affinity, or move the data"
            ),
        );
    }
    let labels = says("node affinity/selector") || says("node selector");
    if let Some(architecture) = foreign(facts).filter(|_| labels) {
        return (
            format!("no node has the architecture {architecture} that it asks for"),
            format!(
                "Correct {prefix}.architecture, or add such a node: kubectl get nodes -L kubernetes.io/arch"
            ),
        );
    }
    if labels {
        return (
            format!("no node has the labels that it asks for{}", selector(facts)),
            format!(
                "Correct {prefix}.nodeSelector or {prefix}.affinity, or label a node: kubectl get nodes --show-labels"
            ),
        );
    }
    if says("pod anti-affinity") || says("pod affinity") {
        return (
            "no node has the neighbours that it asks for".to_owned(),
            format!("Correct {prefix}.affinity, or add a node"),
        );
    }
    if says("unreachable") || says("not-ready") || says("were not ready") {
        return (
            "no node is ready".to_owned(),
            "Bring a node back: kubectl describe node says what it lacks".to_owned(),
        );
    }
    if let Some(taint) = taint(told) {
        return (
            format!("all nodes that it may use have a taint ({taint})"),
            format!("Add a toleration to {prefix}.tolerations, or take the taint off the node"),
        );
    }
    if says("were unschedulable") {
        return (
            "all nodes are cordoned".to_owned(),
            "Let a node take machines again: kubectl uncordon NODE".to_owned(),
        );
    }
    (
        "no node can take it".to_owned(),
        format!(
            "Compare what it asks for with the nodes: kubectl describe vmi {}; kubectl describe nodes",
            facts.name
        ),
    )
}

/// Returns the first resource that schedulers call insufficient.
fn lacking(told: &str) -> Option<&str> {
    if told.contains("Too many pods") {
        return Some("pods");
    }
    let (_, rest) = told.split_once("Insufficient ")?;
    let end = rest.find(|letter: char| letter == ',' || letter.is_whitespace()).unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches('.'))
}

fn lack(facts: &Facts, resource: &str, prefix: &str) -> (String, String) {
    let asked = asked(facts, resource).map(|amount| format!(" ({amount})")).unwrap_or_default();
    match resource {
        "memory" => (
            format!("no node has the memory free that it asks for{asked}"),
            format!("Lower {prefix}.domain.memory.guest, end other machines, or add a node: kubectl describe nodes"),
        ),
        "cpu" => (
            format!("no node has the processors free that it asks for{asked}"),
            format!("Lower {prefix}.domain.cpu or {prefix}.domain.resources.requests.cpu, end other machines, or add a node"),
        ),
        "pods" => (
            "every node has as many Pods as it may have".to_owned(),
            "End other machines, or add a node".to_owned(),
        ),
        "ephemeral-storage" => (
            format!("no node has the scratch space free that it asks for{asked}"),
            "Free some space on a node, or add one".to_owned(),
        ),
        "devices.kubevirt.io/kvm" => (
            "no node offers KVM".to_owned(),
            "Switch virtualization on in the node's firmware and load the module kvm_intel or kvm_amd (/dev/kvm must be \
             there); or allow emulation in the KubeVirt resource: spec.configuration.developerConfiguration.useEmulation"
                .to_owned(),
        ),
        hugepages if hugepages.starts_with("hugepages-") => (
            format!("no node has the huge pages free that it asks for{asked}"),
            format!("Reserve huge pages on a node, or remove {prefix}.domain.memory.hugepages"),
        ),
        device => (
            format!("no node has the device {device} free"),
            format!(
                "Look which devices are permitted (virtctl permitted-devices), or remove it from {prefix}.domain.devices"
            ),
        ),
    }
}

/// What the Pod asks for of a resource.
fn asked(facts: &Facts, resource: &str) -> Option<String> {
    let pod = facts.pod()?;
    let amount = |container: &Value| {
        let amount = container["resources"]["requests"][resource].as_str()?;
        Quantity::parse(amount).ok()
    };
    let milli: i64 = list(pod, "/spec/containers").filter_map(amount).map(|amount| amount.milli()).sum();
    match resource {
        _ if milli == 0 => None,
        "memory" | "ephemeral-storage" => Some(format!("{} MiB", milli / 1000 / (1 << 20))),
        _ if milli % 1000 == 0 => Some((milli / 1000).to_string()),
        _ => Some(format!("{:.1}", milli as f64 / 1000.0)),
    }
}

fn foreign(facts: &Facts) -> Option<&str> {
    let architecture = text(facts.definition(), "/architecture");
    let told = facts.pod().map(|pod| text(pod, "/spec/nodeSelector/kubernetes.io~1arch"));
    let of_node = text(&facts.node, "/status/nodeInfo/architecture");
    let asked = [architecture, told.unwrap_or_default()].into_iter().find(|asked| !asked.is_empty())?;
    // Without a node, labels that the machine itself asks for are as likely, and so is all that its scheduler names.
    let own = |field: &str| facts.definition()[field].as_object().is_some_and(|own| !own.is_empty());
    let likely = match of_node {
        "" => asked != "amd64" && !own("nodeSelector") && !own("affinity"),
        of_node => asked != of_node,
    };
    likely.then_some(asked)
}

fn selector(facts: &Facts) -> String {
    let labels = facts.definition()["nodeSelector"].as_object();
    let labels: Vec<_> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) }
}

fn taint(told: &str) -> Option<&str> {
    let (_, rest) = told.split_once("untolerated taint")?;
    let inside = rest.trim_start_matches(['(', 's', ')', ' ']).strip_prefix('{');
    inside.map_or(Some("see the cause"), |inside| Some(inside.split([':', '}']).next().unwrap_or_default()))
}
