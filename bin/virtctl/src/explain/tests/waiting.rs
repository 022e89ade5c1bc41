//! Machines that are switched off, going, or waiting for their next start.

use serde_json::json;

use super::hold;

#[test]
fn machines_that_are_not_wanted_or_wait() {
    let halted = json!({"spec": {"runStrategy": "Halted"}});
    let stopped = |strategy: &str| json!({"spec": {"runStrategy": strategy}, "status": {"printableStatus": "Stopped", "desiredGeneration": 2}});
    let failing = json!({"spec": {"runStrategy": "Always"}, "status": {
        "startFailure": {"consecutiveFailCount": 3, "retryAfterTimestamp": "2026-11-23T12:01:30Z"},
        "conditions": [{"type": "Failure", "status": "True", "reason": "InstanceFailed",
                        "message": "The instance failed 3 times in a row, the last time: killed by signal 9 (SIGKILL)"}]}});
    let mut starved = failing.clone();
    starved["status"]["conditions"][0]["message"] =
        "The instance failed: killed by signal 9 (SIGKILL) for want of memory (OOMKilled)".into();
    let failure = |reason: &str, message: &str| {
        json!({"spec": {"runStrategy": "Always"}, "status": {"conditions": [
            {"type": "Failure", "status": "True", "reason": reason, "message": message}]}})
    };
    let deleted = json!({"spec": {"runStrategy": "Always"}, "metadata": {
        "deletionTimestamp": "2026-11-23T11:58:00Z", "finalizers": ["example.com/keep"]}});
    hold(vec![
        (
            "halted",
            json!({"vm": halted}),
            "work is switched off: nobody has started it, or somebody stopped it.",
            "spec.runStrategy is Halted",
            "virtctl start work",
        ),
        (
            "the older field",
            json!({"vm": {"spec": {"running": false}}}),
            "work is switched off: nobody has started it, or somebody stopped it.",
            "Halted",
            "virtctl start work",
        ),
        (
            "manual, never started",
            json!({"vm": {"spec": {"runStrategy": "Manual"}}}),
            "work is switched off: nobody has started it, or its guest has ended.",
            "spec.runStrategy is Manual",
            "virtctl start work",
        ),
        (
            "its guest has shut down",
            json!({"vm": stopped("RerunOnFailure")}),
            "work is switched off: its guest shut itself down, which this run strategy leaves so.",
            "RerunOnFailure",
            "virtctl start work",
        ),
        (
            "once",
            json!({"vm": stopped("Once")}),
            "work has had its run: its run strategy gives it only one.",
            "Once",
            "spec.runStrategy",
        ),
        (
            "it is being restored",
            json!({"vm": {"spec": {"runStrategy": "Halted"}, "status": {"restoreInProgress": "back"}}}),
            "work waits: its disks are being restored from a snapshot.",
            "restoreInProgress is back",
            "kubectl describe vmrestore back",
        ),
        (
            "a crash loop",
            json!({"vm": failing}),
            "work does not run: its last 3 runs failed, and it is started again in 90s.",
            "SIGKILL",
            "guest-console-log",
        ),
        (
            "a crash loop for want of memory",
            json!({"vm": starved}),
            "work does not run: its last 3 runs failed, and it is started again in 90s.",
            "OOMKilled",
            "limits.memory",
        ),
        (
            "no instance type",
            json!({"vm": failure("FailedFindInstancetype",
                "virtualmachineclusterinstancetypes.instancetype.kubevirt.io \"u1.huge\" not found")}),
            "work does not run: its instance type does not exist.",
            "u1.huge",
            "spec.instancetype",
        ),
        (
            "no preference",
            json!({"vm": failure("FailedFindPreference",
                "virtualmachineclusterpreferences.instancetype.kubevirt.io \"os9\" not found")}),
            "work does not run: its preference does not exist.",
            "os9",
            "spec.preference",
        ),
        (
            "no instance type, in this server's words",
            json!({"vm": failure("FailedFindInstancetype",
                "the VirtualMachineClusterInstancetype \"u1.huge\", which spec.instancetype names, does not exist: create it, or name another")}),
            "work does not run: its instance type does not exist.",
            "u1.huge",
            "spec.instancetype",
        ),
        (
            "no preference, in this server's words",
            json!({"vm": failure("FailedFindPreference",
                "the VirtualMachinePreference \"os9\", which spec.preference names, does not exist: create it, or name another")}),
            "work does not run: its preference does not exist.",
            "os9",
            "spec.preference",
        ),
        (
            "what its instance type decides is set, too",
            json!({"vm": failure("FailedCreate",
                "the instance type decides spec.template.spec.domain.cpu.sockets: remove what the machine says of it")}),
            "work does not run: it sets what its instance type sets, too.",
            "cpu.sockets",
            "remove spec.instancetype",
        ),
        (
            "somebody else's instance",
            json!({"vm": failure("FailedCreate", "An instance named work exists that this virtual machine does not own; delete it or rename the machine")}),
            "work does not run: an instance named work exists that is not its own.",
            "FailedCreate",
            "kubectl delete vmi work",
        ),
        (
            "a webhook says no",
            json!({"vm": failure("FailedCreate", "admission webhook \"policy.example.com\" denied the request: no owner label")}),
            "work does not run: the server refuses the instance that it asks for.",
            "no owner label",
            "spec.template",
        ),
        (
            "it is deleted, and held",
            json!({"vm": deleted}),
            "work is being deleted: its objects go when its guest has ended.",
            "example.com/keep",
            "finalizer",
        ),
        (
            "controllers are gone",
            json!({"vm": {"spec": {"runStrategy": "Always"}}}),
            "work does not run: its instance should exist and does not.",
            "nobody has written",
            "virtctl doctor",
        ),
        (
            "it was switched on just now",
            json!({"vm": {"spec": {"runStrategy": "Always"}, "metadata": {"managedFields": [
                {"manager": "virtctl", "time": "2026-11-23T11:59:55Z"}, {"manager": "c", "subresource": "status", "time": "2026-11-23T11:51:00Z"}]}}}),
            "work is about to start: its instance is made in a moment.",
            "",
            "virtctl list work --watch",
        ),
        (
            "it was made just now",
            json!({"vm": {"spec": {"runStrategy": "Always"}, "metadata": {"creationTimestamp": "2026-11-23T11:59:55Z"}}}),
            "work is about to start: its instance is made in a moment.",
            "",
            "virtctl list work --watch",
        ),
    ]);
}
