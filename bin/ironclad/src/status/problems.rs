//! What is wrong: every condition that is not as it should be, as one sentence each.

use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance};
use api::names::{condition as kind, reason};
use k8s_openapi::api::core::v1::Node;
use kube_ext::Kind as _;

use crate::up::node::hypervisor;

/// Conditions that should hold; their message says why they do not.
const SHOULD: [&str; 4] =
    [kind::SYNCHRONIZED, kind::POD_SCHEDULED, kind::PROVISIONING, kind::ACCESS_CREDENTIALS_SYNCHRONIZED];
/// Conditions that should not hold; their message says why they do.
const SHOULD_NOT: [&str; 6] = [
    kind::UNSUPPORTED,
    kind::BOOTING,
    kind::PAUSED,
    kind::FAILURE,
    kind::RESTART_REQUIRED,
    kind::MANUAL_RECOVERY_REQUIRED,
];

/// Lists the problems: of nodes first, because they explain others. The same sentence is said once for each object.
pub(super) fn of(
    nodes: &[Node],
    machines: &[VirtualMachine],
    instances: &[VirtualMachineInstance],
) -> Vec<String> {
    let mut problems: Vec<String> = nodes.iter().flat_map(of_node).collect();
    for machine in machines {
        let conditions = machine.status.iter().flat_map(|status| &status.conditions);
        // What a user paused stands still because it should.
        let conditions = conditions.filter(|c| c.reason.as_deref() != Some(reason::PAUSED_BY_USER));
        let conditions =
            conditions.map(|c| Told::of(&c.type_, &c.status, c.reason.as_deref(), c.message.as_deref()));
        add(&mut problems, &format!("{}/{}", machine.namespace(), machine.name()), conditions.collect());
    }
    for instance in instances {
        let conditions = instance.status.iter().flat_map(|status| &status.conditions);
        let conditions = conditions.filter(|c| c.reason.as_deref() != Some(reason::PAUSED_BY_USER));
        let conditions =
            conditions.map(|c| Told::of(&c.type_, &c.status, c.reason.as_deref(), c.message.as_deref()));
        add(&mut problems, &format!("{}/{}", instance.namespace(), instance.name()), conditions.collect());
    }
    problems
}

/// A condition of a machine or an instance.
struct Told<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl<'a> Told<'a> {
    fn of(kind: &'a str, status: &'a str, reason: Option<&'a str>, message: Option<&'a str>) -> Self {
        Self { kind, status, reason: reason.unwrap_or_default(), message: message.unwrap_or_default() }
    }
}

fn add(problems: &mut Vec<String>, who: &str, conditions: Vec<Told<'_>>) {
    // That a claim is missing, the scheduler says too, in its own words.
    let claim_missing = conditions
        .iter()
        .any(|told| told.kind == kind::SYNCHRONIZED && told.reason == reason::FAILED_PVC_NOT_FOUND);
    for Told { kind: of, status, message, .. } in conditions {
        let wrong =
            (status == "False" && SHOULD.contains(&of)) || (status == "True" && SHOULD_NOT.contains(&of));
        if !wrong || message.is_empty() || (claim_missing && of == kind::POD_SCHEDULED) {
            continue;
        }
        let sentence = format!("{who}: {message}");
        if !problems.contains(&sentence) {
            problems.push(sentence);
        }
    }
}

fn of_node(node: &Node) -> Vec<String> {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .filter(|condition| match condition.type_.as_str() {
            "Ready" | hypervisor::CONDITION => condition.status != "True",
            _ => condition.status == "True" && condition.type_.ends_with("Pressure"),
        })
        .map(|condition| {
            let why = condition.message.as_deref().filter(|message| !message.is_empty());
            format!("node {}: {}", node.name(), why.unwrap_or(&condition.type_))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_problem_is_told_once_and_good_news_not_at_all() {
        let nodes: Vec<Node> =
            serde_json::from_value(json!([{"metadata": {"name": "node-0"}, "status": {"conditions": [
                {"type": "Ready", "status": "True", "message": "kubelet is posting ready status"},
                {"type": "DiskPressure", "status": "True", "message": "the disk is full"},
                {"type": "HypervisorAvailable", "status": "False", "message": "QEMU is missing"},
            ]}}]))
            .unwrap();
        let machines: Vec<VirtualMachine> = serde_json::from_value(
            json!([{"metadata": {"namespace": "a", "name": "m"}, "status": {"conditions": [
                {"type": "PodScheduled", "status": "False", "message": "no node has room"},
                {"type": "Ready", "status": "False", "message": "Guest VM is not reported as running"},
            ]}}]),
        )
        .unwrap();
        let instances: Vec<VirtualMachineInstance> = serde_json::from_value(
            json!([{"metadata": {"namespace": "a", "name": "m"}, "status": {"conditions": [
                {"type": "PodScheduled", "status": "False", "message": "no node has room"},
                {"type": "Booting", "status": "True", "message": "no sign of life"},
                {"type": "Synchronized", "status": "True", "message": ""},
            ]}}]),
        )
        .unwrap();
        assert_eq!(
            of(&nodes, &machines, &instances),
            [
                "node node-0: the disk is full",
                "node node-0: QEMU is missing",
                "a/m: no node has room",
                "a/m: no sign of life",
            ]
        );
    }

    #[test]
    fn a_missing_claim_is_named_once() {
        let conditions = json!([
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
             "message": "persistentvolumeclaim \"data\" not found"},
            {"type": "Synchronized", "status": "False", "reason": "FailedPvcNotFound",
             "message": "The claim data does not exist"},
        ]);
        let object =
            json!([{"metadata": {"namespace": "a", "name": "m"}, "status": {"conditions": conditions}}]);
        let machines: Vec<VirtualMachine> = serde_json::from_value(object.clone()).unwrap();
        let instances: Vec<VirtualMachineInstance> = serde_json::from_value(object).unwrap();
        assert_eq!(of(&[], &machines, &instances), ["a/m: The claim data does not exist"]);
    }
}
