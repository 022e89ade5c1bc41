//! Broken machines, and what is said of each. The words in the objects are those that this server, KubeVirt and Kubernetes
//! write there.

use serde_json::{Value, json};

use super::{Facts, explain};

const NOW: &str = "2026-11-23T12:00:00Z";

/// A machine of these facts; what is not given does not exist.
fn facts(given: Value) -> Facts {
    let list = |name: &str| given[name].as_array().cloned().unwrap_or_default();
    let mut machine = given["vm"].clone();
    if machine.is_null() && given["alone"].is_null() {
        machine = json!({"spec": {"runStrategy": "Always"}});
    }
    if machine.is_object() {
        machine["metadata"]["name"] = "work".into();
        if machine["metadata"]["creationTimestamp"].is_null() {
            machine["metadata"]["creationTimestamp"] = "2026-11-23T11:50:00Z".into();
        }
        if machine["spec"]["template"].is_null() {
            machine["spec"]["template"] = json!({"spec": given["vmi"]["spec"]});
        }
    }
    Facts {
        name: "work".to_owned(),
        machine,
        instance: given["vmi"].clone(),
        pods: list("pods"),
        node: given["node"].clone(),
        claims: list("claims"),
        data_volumes: list("dataVolumes"),
        events: list("events"),
        unread: Vec::new(),
        now: NOW.parse().unwrap(),
    }
}

fn instance(phase: &str, conditions: Value) -> Value {
    json!({
        "metadata": {"name": "work", "uid": "u1", "creationTimestamp": "2026-11-23T11:59:00Z"},
        "spec": {"domain": {}},
        "status": {"phase": phase, "conditions": conditions},
    })
}

fn unsynchronized(phase: &str, reason: &str, message: &str) -> Value {
    instance(
        phase,
        json!([{"type": "Synchronized", "status": "False", "reason": reason, "message": message}]),
    )
}

fn unscheduled(message: &str) -> Value {
    instance(
        "Scheduling",
        json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]),
    )
}

fn with_volumes(mut instance: Value, volumes: Value) -> Value {
    instance["spec"]["volumes"] = volumes;
    instance
}

fn warning(kind: &str, name: &str, reason: &str, message: &str) -> Value {
    json!({"type": "Warning", "reason": reason, "message": message, "lastTimestamp": "2026-11-23T11:59:30Z",
           "involvedObject": {"kind": kind, "name": name}})
}

fn pod(status: Value) -> Value {
    json!({"metadata": {"name": "virt-launcher-work-x", "creationTimestamp": "2026-11-23T11:59:01Z"},
           "spec": {"nodeName": "node-0", "containers": [{"name": "compute", "image": "launcher:1",
                    "resources": {"requests": {"cpu": "4", "memory": "8Gi"}}}]},
           "status": status})
}

/// What is known, what the sentence is, what cause and next step say.
type Case = (&'static str, Value, &'static str, &'static str, &'static str);

#[track_caller]
fn hold(cases: Vec<Case>) {
    for (what, given, sentence, cause, next) in cases {
        let told = explain(&facts(given));
        assert_eq!(told.sentence, sentence, "{what}");
        assert!(told.cause.contains(cause), "{what}: {}", told.cause);
        assert!(told.next.contains(next), "{what}: {}", told.next);
        assert!(
            !told.next.is_empty() && !told.next.contains("{}") && !told.next.contains("NAME --follow"),
            "{what}"
        );
    }
}

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
            "it was made just now",
            json!({"vm": {"spec": {"runStrategy": "Always"}, "metadata": {"creationTimestamp": "2026-11-23T11:59:55Z"}}}),
            "work is about to start: its instance is made in a moment.",
            "",
            "virtctl list work --watch",
        ),
    ]);
}

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

#[test]
fn machines_without_their_image() {
    let volumes = json!([{"name": "d", "containerDisk": {"image": "registry.example/guest:9"}}]);
    let with = |reason: &str, message: &str| {
        with_volumes(unsynchronized("Scheduling", reason, message), volumes.clone())
    };
    let failed = "failed to pull image \"registry.example/guest:9\": ";
    hold(vec![
        (
            "it does not exist",
            json!({"vmi": with("ErrImagePull", &format!("{failed}manifest unknown"))}),
            "work does not run: the image registry.example/guest:9 does not exist.",
            "manifest unknown",
            "containerDisk.image",
        ),
        (
            "the wait says less than the Event",
            json!({"vmi": with("ImagePullBackOff", "Back-off pulling image"), "events": [warning("Pod", "p", "Failed",
                &format!("{failed}dial tcp: lookup registry.example: no such host"))]}),
            "work does not run: the registry of the image registry.example/guest:9 cannot be reached.",
            "no such host",
            "reachable",
        ),
        (
            "it is not given to everybody",
            json!({"vmi": with("ErrImagePull", &format!("{failed}401 Unauthorized"))}),
            "work does not run: the registry does not give the image registry.example/guest:9 to it.",
            "401",
            "imagePullSecret",
        ),
        (
            "the pull secret is missing",
            json!({"vmi": with("ErrImagePull", &format!("{failed}401 Unauthorized; Secret \"mine\" not found"))}),
            "work does not run: the pull secret for the image registry.example/guest:9 does not exist.",
            "mine",
            "kubectl create secret docker-registry",
        ),
        (
            "there is no room for it",
            json!({"vmi": with("ErrImagePull", &format!("{failed}no space is left: /var has 1 MiB"))}),
            "work does not run: the node has no room for the image registry.example/guest:9.",
            "/var",
            "Free some space",
        ),
        (
            "its registry is silent, in this server's words",
            json!({"vmi": with("ErrImagePull", "cannot pull image registry.example/guest:9: its registry registry.example cannot be reached: Connection refused (os error 111); correct the name, or the way there")}),
            "work does not run: the registry of the image registry.example/guest:9 cannot be reached.",
            "os error 111",
            "reachable",
        ),
        (
            "its registry wants to know who asks",
            json!({"vmi": with("ErrImagePull", "cannot pull image registry.example/guest:9: its registry registry.example asks for a login; name a Secret with one by imagePullSecret")}),
            "work does not run: the registry does not give the image registry.example/guest:9 to it.",
            "asks for a login",
            "imagePullSecret",
        ),
        (
            "it is for other processors",
            json!({"vmi": with("ErrImagePull", "image registry.example/guest:9 has no variant for linux/amd64; it offers linux/arm64")}),
            "work does not run: the image registry.example/guest:9 is made for other processors than its node's.",
            "linux/arm64",
            "kubernetes.io/arch",
        ),
        (
            "it was cut short",
            json!({"vmi": with("ErrImagePull", "cannot pull image registry.example/guest:9: layer sha256:ab has 5 bytes instead of 7; it was cut short or replaced on its way")}),
            "work does not run: the image registry.example/guest:9 is broken.",
            "5 bytes",
            "Push the image again",
        ),
        (
            "its name sounds like another fault",
            json!({"vmi": with_volumes(unsynchronized("Scheduling", "ErrImagePull", "r.example/dns-timeout@sha256:4013: manifest unknown"),
                json!([{"name": "d", "containerDisk": {"image": "r.example/dns-timeout@sha256:4013"}}]))}),
            "work does not run: the image r.example/dns-timeout@sha256:4013 does not exist.",
            "manifest unknown",
            "containerDisk.image",
        ),
        (
            "its name is none",
            json!({"vmi": with("InvalidImageName", "couldn't parse image name")}),
            "work does not run: the image registry.example/guest:9 has a name that no registry can have.",
            "parse",
            "Correct",
        ),
        (
            "only the Pod says it",
            json!({"vmi": with_volumes(instance("Scheduling", json!([])), volumes.clone()), "pods": [pod(json!({"initContainerStatuses": [
                {"name": "volumed", "state": {"waiting": {"reason": "ErrImagePull", "message": "pull access denied"}}}]}))]}),
            "work does not run: the registry does not give the image registry.example/guest:9 to it.",
            "Pod virt-launcher-work-x",
            "imagePullSecret",
        ),
    ]);
}

#[test]
fn machines_without_a_node() {
    let asking = |message: &str| json!({"vmi": unscheduled(message), "pods": [pod(json!({}))]});
    let mut other =
        unscheduled("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.");
    other["spec"]["architecture"] = "arm64".into();
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
            "changes wait for a restart",
            json!({"vm": {"spec": {"runStrategy": "Always"}, "status": {"conditions": [{"type": "RestartRequired", "status": "True",
                "message": "The specification changed in what only a restart applies"}]}}, "vmi": running(json!([]))}),
            "work runs with an older definition than is written down.",
            "only a restart",
            "virtctl restart work",
        ),
    ]);
}

#[test]
fn a_machine_that_runs_well_has_nothing_to_mend() {
    let mut instance = instance(
        "Running",
        json!([{"type": "AgentConnected", "status": "True"}, {"type": "Ready", "status": "True"}]),
    );
    instance["status"]["nodeName"] = "node-0".into();
    instance["status"]["phaseTransitionTimestamps"] =
        json!([{"phase": "Running", "phaseTransitionTimestamp": "2026-11-23T11:00:00Z"}]);
    let told = explain(&facts(json!({"vmi": instance})));
    assert_eq!(told.sentence, "work runs on node node-0, for 60m: its guest agent is connected.");
    assert!(told.next.starts_with("Nothing"), "{}", told.next);
}

#[test]
fn the_story_is_told_in_the_order_of_time() {
    let mut given = facts(json!({
        "vmi": unsynchronized("Scheduling", "ErrImagePull", "manifest unknown"),
        "events": [
            warning("Pod", "p", "Failed", "failed\nto pull image"),
            {"type": "Normal", "reason": "SuccessfulCreate", "message": "Created", "count": 2,
             "lastTimestamp": "2026-11-22T23:59:59Z", "involvedObject": {"kind": "VirtualMachine"}},
        ],
    }));
    given.instance["status"]["conditions"][0]["lastTransitionTime"] = "2026-11-23T11:59:40Z".into();
    given.unread.push("Node node-0: forbidden".to_owned());
    let told = explain(&given);
    let text = told.text();
    let story = "Timeline:
  2026-11-22 (UTC)
  23:59:59  VirtualMachine          SuccessfulCreate: Created (2 times)
  2026-11-23 (UTC)
  11:50:00  VirtualMachine          created
  11:59:00  VirtualMachineInstance  created
  11:59:30  Pod                     Failed: failed to pull image
  11:59:40  VirtualMachineInstance  Synchronized=False ErrImagePull: manifest unknown

Not looked at:
  Node node-0: forbidden
";
    assert!(text.ends_with(story), "{text}");
    assert!(
        text.starts_with("work does not run: an image does not exist.\n\nCause:\n  ErrImagePull: "),
        "{text}"
    );
    let document = told.document();
    assert_eq!(document["timeline"][0]["object"], "VirtualMachine");
    assert_eq!(document["nextStep"], told.next);
}
