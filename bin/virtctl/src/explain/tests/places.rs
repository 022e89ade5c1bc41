//! Machines that no node takes.

use serde_json::json;

use super::{hold, instance, pod, unscheduled, warning};

#[test]
fn machines_without_a_node() {
    let asking = |message: &str| json!({"vmi": unscheduled(message), "pods": [pod(json!({}))]});
    let mut other =
        unscheduled("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.");
    other["spec"]["architecture"] = "arm64".into();
    let mut strange = unscheduled("0/1 nodes are available: 1 node(s) were unschedulable.");
    strange["spec"]["architecture"] = "arm64".into();
    let mut choosy =
        unscheduled("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.");
    choosy["spec"]["nodeSelector"] = json!({"disk": "nvme"});
    hold(vec![
        (
            "memory",
            asking("0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available."),
            "work does not run: no node has the memory free that it asks for (8192 MiB).",
            "Insufficient memory",
            "spec.template.spec.domain.memory.guest",
        ),
        (
            "processors",
            asking("0/1 nodes are available: 1 Insufficient cpu."),
            "work does not run: no node has the processors free that it asks for (4).",
            "Insufficient cpu",
            "domain.cpu",
        ),
        (
            "KVM",
            asking("0/3 nodes are available: 3 Insufficient devices.kubevirt.io/kvm."),
            "work does not run: no node offers KVM.",
            "devices.kubevirt.io/kvm",
            "/dev/kvm",
        ),
        (
            "a graphics card",
            asking("0/3 nodes are available: 3 Insufficient nvidia.com/TU104GL_Tesla_T4."),
            "work does not run: no node has the device nvidia.com/TU104GL_Tesla_T4 free.",
            "nvidia.com",
            "virtctl permitted-devices",
        ),
        (
            "huge pages",
            asking("0/1 nodes are available: 1 Insufficient hugepages-2Mi."),
            "work does not run: no node has the huge pages free that it asks for.",
            "hugepages-2Mi",
            "Reserve huge pages",
        ),
        (
            "labels",
            json!({"vmi": choosy}),
            "work does not run: no node has the labels that it asks for (disk=nvme).",
            "node affinity/selector",
            "nodeSelector",
        ),
        (
            "another architecture",
            json!({"vmi": other}),
            "work does not run: no node has the architecture arm64 that it asks for.",
            "node affinity/selector",
            "spec.template.spec.architecture",
        ),
        (
            "cordoned nodes of another architecture",
            json!({"vmi": strange}),
            "work does not run: all nodes are cordoned.",
            "were unschedulable",
            "uncordon",
        ),
        (
            "a taint",
            asking("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}."),
            "work does not run: all nodes that it may use have a taint (dedicated).",
            "untolerated",
            "tolerations",
        ),
        (
            "cordoned",
            asking("0/1 nodes are available: 1 node(s) were unschedulable."),
            "work does not run: all nodes are cordoned.",
            "unschedulable",
            "kubectl uncordon",
        ),
        (
            "silent nodes",
            asking(
                "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }.",
            ),
            "work does not run: no node is ready.",
            "unreachable",
            "Bring a node back",
        ),
        (
            "no hypervisor",
            asking(
                "0/1 nodes are available: 1 node(s) take no virtual machines now, as the label kubevirt.io/schedulable says; run `ironclad doctor` there to see why. QEMU is missing: install QEMU",
            ),
            "work does not run: no node can run virtual machines now.",
            "install QEMU",
            "ironclad doctor",
        ),
        (
            "no node at all",
            asking("0/0 nodes are available."),
            "work does not run: there is no node.",
            "0/0",
            "Start a node",
        ),
        (
            "volumes elsewhere",
            asking("0/2 nodes are available: 2 node(s) had volume node affinity conflict."),
            "work does not run: no node that it may use reaches its volumes.",
            "conflict",
            "nodeSelector",
        ),
        (
            "only an Event says it",
            json!({"vmi": instance("Pending", json!([])), "events": [warning("Pod", "p", "FailedScheduling", "0/1 nodes are available: 1 Too many pods.")]}),
            "work does not run: every node has as many Pods as it may have.",
            "Too many pods",
            "add a node",
        ),
    ]);
}
