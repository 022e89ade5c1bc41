//! Machines whose disks are missing, not filled yet, or unusable.

use serde_json::{Value, json};

use super::{hold, instance, pod, unsynchronized, warning, with_volumes};

#[test]
fn machines_without_their_disks() {
    let claim = json!([{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]);
    let pending = |class: &str| json!([{"metadata": {"name": "data"}, "spec": {"storageClassName": class}, "status": {"phase": "Pending"}}]);
    let waiting = || with_volumes(instance("Scheduling", json!([])), claim.clone());
    let template = json!([{"metadata": {"name": "root"}}]);
    let from_template = json!({"spec": {"runStrategy": "Always", "dataVolumeTemplates": template,
        "template": {"spec": {"volumes": [{"name": "r", "dataVolume": {"name": "root"}}]}}}});
    let importing = |phase: &str, more: Value| json!([{"metadata": {"name": "root"}, "status": {"phase": phase, "progress": "42.0%", "conditions": more}}]);
    hold(vec![
        (
            "the claim is missing, in this server's words",
            json!({"vmi": with_volumes(unsynchronized("Scheduling", "FailedPvcNotFound",
                "The claim data that a volume names does not exist in this namespace; create it, or name another"), claim.clone())}),
            "work does not run: the PersistentVolumeClaim data does not exist in its namespace.",
            "FailedPvcNotFound",
            "persistentVolumeClaim.claimName",
        ),
        (
            "the claim is missing, and nothing was made yet",
            json!({"vm": {"spec": {"runStrategy": "Always", "template": {"spec": {"volumes": claim}}}}}),
            "work does not run: the PersistentVolumeClaim data does not exist in its namespace.",
            "spec.template.spec.volumes",
            "Create it",
        ),
        (
            "the class is missing",
            json!({"vmi": waiting(), "claims": pending("fast"), "events": [warning("PersistentVolumeClaim", "data",
                "ProvisioningFailed", "storageclass.storage.k8s.io \"fast\" not found")]}),
            "work does not run: its claim data asks for the class fast, which does not exist.",
            "ProvisioningFailed",
            "kubectl get storageclass",
        ),
        (
            "no volume fits",
            json!({"vmi": waiting(), "claims": pending(""), "events": [warning("PersistentVolumeClaim", "data",
                "FailedBinding", "no persistent volumes available for this claim and no storage class is set")]}),
            "work does not run: no volume fits its claim data.",
            "no storage class is set",
            "PersistentVolume",
        ),
        (
            "the class cannot do it",
            json!({"vmi": waiting(), "claims": pending("local"), "events": [warning("PersistentVolumeClaim", "data",
                "ProvisioningFailed", "failed to provision volume with StorageClass \"local\": ReadWriteMany is not offered")]}),
            "work does not run: no volume can be made for its claim data.",
            "ReadWriteMany",
            "data",
        ),
        (
            "the volume is gone",
            json!({"vmi": waiting(), "claims": [{"metadata": {"name": "data"}, "status": {"phase": "Lost"}}]}),
            "work does not run: the volume behind its claim data is gone.",
            "Lost",
            "Restore",
        ),
        (
            "an import fails",
            json!({"vm": from_template, "dataVolumes": importing("ImportInProgress", json!([{"type": "Running", "status": "False",
                "reason": "Error", "message": "Unable to connect to http data source: expected status code 200, got 404. Status: 404 Not Found"}]))}),
            "work does not run: its volume root cannot be filled.",
            "got 404",
            "source of DataVolume root",
        ),
        (
            "an import goes on",
            json!({"vm": from_template, "dataVolumes": importing("ImportInProgress", json!([]))}),
            "work waits for its disk: its volume root is being filled (42.0%).",
            "ImportInProgress",
            "kubectl get dv root --watch",
        ),
        (
            "a disk is broken",
            json!({"vmi": unsynchronized("Scheduled", "VolumeUnusable", "volume d: the image is cut short")}),
            "work does not run: one of its volumes cannot be used.",
            "cut short",
            "qemu-img convert",
        ),
        (
            "a disk is taken",
            json!({"vmi": unsynchronized("Scheduled", "VolumeInUse", "volume d: it is locked (in use by other)")}),
            "work does not run: another machine uses one of its volumes.",
            "in use by other",
            "Stop the other machine",
        ),
        (
            "a disk is taken, in QEMU's words",
            json!({"vmi": unsynchronized("Scheduled", "Synchronizing with the Domain failed.",
                "server error. command SyncVMI failed: \"LibvirtError(Code=1, Message='internal error: Failed to get \\\"write\\\" lock')\"")}),
            "work does not run: another machine uses one of its disks.",
            "SyncVMI",
            "spec.template.spec.volumes",
        ),
        (
            "no room",
            json!({"vmi": unsynchronized("Scheduled", "NoSpace", "the machine's disks have no room: /var has 3 MiB left")}),
            "work does not run: the node has no room for its disks.",
            "/var",
            "Free some space",
        ),
        (
            "a volume cannot be mounted",
            json!({"vmi": instance("Scheduling", json!([])), "pods": [pod(json!({}))], "events": [warning("Pod", "virt-launcher-work-x",
                "FailedMount", "MountVolume.SetUp failed for volume \"s\" : secret \"absent\" not found")]}),
            "work does not run: a volume cannot be mounted on its node.",
            "absent",
            "Create or mend",
        ),
    ]);
}
