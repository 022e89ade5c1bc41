//! Machines that ended, or run with something wrong.

use serde_json::{Value, json};

use super::{hold, instance, pod, warning};

#[test]
fn machines_that_ended_or_run_badly() {
    let running = |conditions: Value| instance("Running", conditions);
    let paused = |reason: &str, message: &str| {
        running(json!([{"type": "Paused", "status": "True", "reason": reason, "message": message}]))
    };
    let ended = |phase: &str, reason: &str| {
        let mut instance = instance(phase, json!([]));
        instance["status"]["reason"] = reason.into();
        instance
    };
    let mut probed = running(
        json!([{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "containers with unready status: [compute]"}]),
    );
    probed["spec"]["readinessProbe"] = json!({"tcpSocket": {"port": 80}});
    let mut stopping = running(json!([]));
    stopping["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:30Z".into();
    let going = stopping.clone();
    let complaining = json!({"metadata": {"name": "node-0"}, "status": {"conditions": [{"type": "Ready", "status": "False",
        "reason": "KubeletNotReady", "message": "no room for Pods"}]}});
    let silent = json!({"metadata": {"name": "node-0"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown",
        "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}]}});
    let alone = ended("Succeeded", "");
    hold(vec![
        (
            "killed for want of memory",
            json!({"vm": {"spec": {"runStrategy": "Manual"}}, "vmi": ended("Failed", "The launcher Pod ended: killed by signal 9 (SIGKILL) for want of memory (OOMKilled)")}),
            "work does not run: its last run failed.",
            "OOMKilled",
            "limits.memory",
        ),
        (
            "it failed, and nobody starts it again",
            json!({"vm": {"spec": {"runStrategy": "Manual"}}, "vmi": ended("Failed", "The launcher Pod is gone")}),
            "work does not run: its last run failed.",
            "Pod is gone",
            "virtctl start work",
        ),
        (
            "only its Pod says how it ended",
            json!({"vmi": ended("Failed", ""), "pods": [pod(json!({"reason": "Evicted", "message": "The node was low on resource: memory."}))]}),
            "work does not run: its last run failed.",
            "Evicted",
            "started again by itself",
        ),
        (
            "an instance alone has ended",
            json!({"alone": true, "vmi": alone}),
            "work has ended: its guest shut itself down.",
            "Succeeded",
            "kubectl delete vmi work",
        ),
        (
            "it is stopping",
            json!({"vmi": stopping}),
            "work is stopping: its guest has 30s to shut down; then it is started again.",
            "deletionTimestamp",
            "--force --grace-period=0",
        ),
        (
            "somebody paused it",
            json!({"vmi": paused("PausedByUser", "VMI was paused by user")}),
            "work is paused: somebody paused it, or started it paused.",
            "PausedByUser",
            "virtctl unpause vm work",
        ),
        (
            "a full disk",
            json!({"vmi": paused("PausedIOError", "disk root: No space left on device: /var has 0 MiB left")}),
            "work stands still: there is no room for what its guest writes.",
            "/var",
            "Free some space",
        ),
        (
            "a failed disk",
            json!({"vmi": paused("PausedIOError", "disk root: Input/output error")}),
            "work stands still: one of its disks failed.",
            "Input/output",
            "Mend the storage",
        ),
        (
            "no sign of life",
            json!({"vmi": running(json!([{"type": "Booting", "status": "True", "reason": "NoBootProgress", "message": "180 s without a sign of life"}]))}),
            "work runs, but its guest shows no sign of life.",
            "180 s",
            "virtctl console work",
        ),
        (
            "a probe without an answer",
            json!({"vmi": probed, "events": [warning("Pod", "p", "Unhealthy", "Readiness probe failed: connection refused")]}),
            "work runs, but does not answer its readiness probe.",
            "connection refused",
            "readinessProbe",
        ),
        (
            "a silent node",
            json!({"vmi": running(json!([])), "node": silent}),
            "work may or may not run: its node node-0 does not answer.",
            "stopped posting",
            "out-of-service",
        ),
        (
            "a node that complains",
            json!({"vmi": running(json!([])), "node": complaining}),
            "work may not be looked after: its node node-0 says that it is not ready.",
            "no room",
            "kubectl describe node node-0",
        ),
        (
            "an instance of its own is stopping",
            json!({"alone": true, "vmi": going}),
            "work is stopping: its guest has 30s to shut down.",
            "deletionTimestamp",
            "kubectl delete vmi work --grace-period=0 --force",
        ),
        (
            "changes wait for a restart",
            json!({"vm": {"spec": {"runStrategy": "Always"}, "status": {"conditions": [{"type": "RestartRequired", "status": "True",
                "message": "The specification changed in what only a restart applies"}]}}, "vmi": running(json!([]))}),
            "work runs with an older definition than is written down.",
            "only a restart",
            "virtctl restart work",
        ),
    ]);
}
