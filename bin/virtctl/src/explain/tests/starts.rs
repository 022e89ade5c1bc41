//! Machines that cannot be made as they are defined.

use serde_json::json;

use super::{hold, instance, pod, unsynchronized, warning};

#[test]
fn machines_that_cannot_be_made() {
    hold(vec![
        (
            "a field that is not honoured",
            json!({"vmi": instance("Pending", json!([{"type": "Unsupported", "status": "True", "reason": "UnsupportedFields",
                "message": "spec.domain.cpu.dedicatedCpuPlacement: no node offers dedicated processors; leave it out"}]))}),
            "work does not run: it asks for something that is not honoured here.",
            "dedicatedCpuPlacement",
            "Remove the field",
        ),
        (
            "a quota",
            json!({"vmi": unsynchronized("Pending", "FailedCreate", "pods \"virt-launcher-work-\" is forbidden: exceeded quota: team, requested: requests.memory=1Gi, used: requests.memory=4Gi, limited: requests.memory=4Gi")}),
            "work does not run: the quota of its namespace has no room for it.",
            "exceeded quota: team",
            "resourcequota",
        ),
        (
            "a LimitRange",
            json!({"vmi": unsynchronized("Pending", "FailedCreate", "pods is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi")}),
            "work does not run: it asks for more or less than a LimitRange of its namespace allows.",
            "maximum memory usage",
            "limitrange",
        ),
        (
            "a namespace that takes no such Pods",
            json!({"vmi": unsynchronized("Pending", "FailedCreate", "pods is forbidden: violates PodSecurity \"restricted:latest\": seccompProfile")}),
            "work does not run: its namespace allows no Pods like its launcher.",
            "restricted",
            "pod-security.kubernetes.io",
        ),
        (
            "a memory limit below the guest's memory",
            json!({"vmi": unsynchronized("Pending", "FailedCreate", "spec.domain.resources.limits.memory is 64Mi, and the guest has 128Mi")}),
            "work does not run: its memory limit is below what its guest has.",
            "64Mi",
            "limits.memory",
        ),
        (
            "a network that does not exist",
            json!({"vmi": instance("Scheduling", json!([])), "pods": [pod(json!({}))], "events": [warning("Pod", "p", "FailedCreatePodSandBox",
                "plugin type=\"multus\" failed: cannot find a network-attachment-definition (blue) in namespace (a)")]}),
            "work does not run: a network that it names does not exist.",
            "blue",
            "multus.networkName",
        ),
        (
            "a secret of cloud-init",
            json!({"vmi": unsynchronized("Scheduled", "SeedFailed", "volume cloudinit: Secret \"absent\" not found")}),
            "work does not run: its cloud-init or configuration disk cannot be made.",
            "absent",
            "Secret or ConfigMap",
        ),
        (
            "no hypervisor on the node",
            json!({"vmi": unsynchronized("Scheduled", "HypervisorNotExecuted", "qemu-system-x86_64: no such file or directory")}),
            "work does not run: the hypervisor cannot be executed on its node.",
            "no such file",
            "ironclad doctor",
        ),
        (
            "a hypervisor that ends",
            json!({"vmi": unsynchronized("Scheduled", "HypervisorFailed", "exit code 1: unsupported machine type")}),
            "work does not run: the hypervisor ends at once.",
            "machine type",
            "vmi.kubevirt.io/id=work -c compute",
        ),
        (
            "a processor that is not there",
            json!({"vmi": unsynchronized("Scheduled", "Synchronizing with the Domain failed.",
                "server error. command SyncVMI failed: \"LibvirtError(Code=91, Message='the CPU is incompatible with host CPU: unsupported configuration: CPU mode')\"")}),
            "work does not run: its node cannot give it the processor that it asks for.",
            "LibvirtError",
            "domain.cpu.model",
        ),
        (
            "the launcher crashes",
            json!({"vmi": instance("Scheduling", json!([])), "pods": [pod(json!({"containerStatuses": [{"name": "compute",
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}))]}),
            "work does not run: a container of its Pod ends again and again.",
            "exit code 2",
            "kubectl logs virt-launcher-work-x -c compute --previous",
        ),
        (
            "the agent is gone",
            json!({"vmi": {"metadata": {"name": "work", "creationTimestamp": "2026-11-23T11:50:00Z"}, "spec": {}, "status": {
                "phase": "Scheduled", "nodeName": "node-0",
                "phaseTransitionTimestamps": [{"phase": "Scheduled", "phaseTransitionTimestamp": "2026-11-23T11:51:00Z"}]}},
                "pods": [pod(json!({}))]}),
            "work does not run: the agent of node node-0 has not started it.",
            "no condition says why",
            "virt-handler",
        ),
        (
            "all is under way",
            json!({"vmi": instance("Scheduling", json!([])), "pods": [pod(json!({}))]}),
            "work is starting: its Pod is being started, 60s after its instance was made.",
            "",
            "virtctl list work --watch",
        ),
    ]);
}
