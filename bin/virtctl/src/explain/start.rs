//! What keeps a machine that is wanted from starting.

use serde_json::Value;

use super::facts::{Facts, condition, list, said, text, time};
use super::life::seconds;
use super::{Verdict, image, place};
use crate::age;

/// What the node's agent should need at most for a machine that has its Pod.
const HAND_OVER: i64 = 60;

/// Reasons of `Synchronized=False`, why that is so, and what to do, where `{}` is where the instance is defined.
const REASONS: [(&str, &str, &str); 21] = [
    (
        "SeedFailed",
        "its cloud-init or configuration disk cannot be made",
        "Create the Secret or ConfigMap that the cause names, or correct its name in {}.volumes",
    ),
    (
        "VolumeUnusable",
        "one of its volumes cannot be used",
        "Mend the volume that the cause names, or name another in {}.volumes; container disks are qcow2 or raw (qemu-img convert)",
    ),
    (
        "VolumeInUse",
        "another machine uses one of its volumes",
        "Stop the other machine, or give this one a volume of its own in {}.volumes",
    ),
    (
        "DiskCreationFailed",
        "one of its disks cannot be made on the node",
        "Free some space on the node, or ask for a smaller disk in {}.volumes",
    ),
    ("NoSpace", "the node has no room for its disks", "Free some space there; it starts by itself then"),
    ("KernelUnusable", "its kernel cannot be booted", "Correct {}.domain.firmware.kernelBoot"),
    (
        "NetworkFailed",
        "its network cannot be made",
        "Correct {0}.networks and {0}.domain.devices.interfaces, or mend the node's network as the cause says",
    ),
    (
        "NotInstalled",
        "its node lacks a file that it needs",
        "Install what the cause names; the start is tried again by itself",
    ),
    ("MachineImpossible", "no machine can be as it is defined", "Change the field that the cause names"),
    (
        "HypervisorNotExecuted",
        "the hypervisor cannot be executed on its node",
        "Install it there (Debian: qemu-system-x86), or mend what the cause says; `ironclad doctor` tells more",
    ),
    (
        "HypervisorFailed",
        "the hypervisor ends at once",
        "Change what its last words name; they stand in the cause and in: kubectl logs -l vmi.kubevirt.io/id=NAME -c compute",
    ),
    (
        "HypervisorKilled",
        "the hypervisor was killed",
        "Look who killed it: the node's kernel log (dmesg) knows",
    ),
    ("GuestPanicked", "its guest's kernel panicked", "Look at the guest's last words: virtctl console NAME"),
    (
        "LauncherFailed",
        "its launcher does not do what it is asked",
        "Look at the launcher: kubectl logs -l vmi.kubevirt.io/id=NAME -c compute",
    ),
    (
        "LauncherSilent",
        "its launcher does not answer",
        "Look at the Pod, and delete it if it does not recover: kubectl get pods -l vmi.kubevirt.io/id=NAME",
    ),
    (
        "ApiUnavailable",
        "its node's agent cannot reach the server",
        "Mend the way between them; it is tried again by itself",
    ),
    (
        "StateDirectoryFailed",
        "its node's agent cannot write down what it does",
        "Free some space on the node, or mend the directory that the cause names",
    ),
    ("PreparationFailed", "its preparation was broken off", "Wait: it is tried again by itself"),
    (
        "StatusNotTaken",
        "its node's agent has no right to write the status",
        "Give the agent its own credentials, as the cause says",
    ),
    (
        "CreateContainerConfigError",
        "its Pod names what does not exist",
        "Create the Secret or ConfigMap that the cause names",
    ),
    (
        "CreateContainerError",
        "its Pod's containers cannot be made",
        "Look at the Pod: kubectl describe pod -l vmi.kubevirt.io/id=NAME",
    ),
];

/// The instance is there and does not run.
pub(super) fn stuck(facts: &Facts) -> Option<Verdict> {
    if !facts.has_instance() || facts.has_ended() || facts.phase() == "Running" {
        return None;
    }
    if let Some(unsupported) = facts.condition("Unsupported", "True") {
        return Some(
            Verdict::stuck("it asks for something that is not honoured here")
                .because(said("condition Unsupported of the VirtualMachineInstance", unsupported))
                .so("Remove the field that the cause names, or write what it says instead"),
        );
    }
    if let Some(told) = facts.condition("PodScheduled", "False") {
        return Some(place::verdict(
            facts,
            told.message(),
            "condition PodScheduled of the VirtualMachineInstance",
        ));
    }
    if let Some(told) = facts.condition("Synchronized", "False") {
        let who = "condition Synchronized of the VirtualMachineInstance";
        return Some(unsynchronized(facts, told.reason(), told.message(), who));
    }
    of_pod(facts).or_else(|| in_events(facts)).or_else(|| Some(under_way(facts)))
}

/// Tells what the server says it cannot do.
pub(super) fn unsynchronized(facts: &Facts, reason: &str, message: &str, who: &str) -> Verdict {
    if image::is_about(reason) {
        return image::verdict(facts, reason, message, who);
    }
    let cause = format!("{reason}: {message} ({who})");
    if matches!(reason, "FailedCreate" | "FailedCreatePod") {
        let (why, next) = refused(facts, message);
        return Verdict::stuck(why).because(cause).so(next);
    }
    if let Some((_, why, next)) = REASONS.iter().find(|(known, ..)| *known == reason) {
        let next =
            next.replace("{0}", facts.prefix()).replace("{}", facts.prefix()).replace("NAME", &facts.name);
        return Verdict::stuck(*why).because(cause).so(next);
    }
    let (why, next) = hypervisor(facts, message);
    Verdict::stuck(why).because(cause).so(next)
}

/// The launcher Pod was refused.
fn refused(facts: &Facts, message: &str) -> (String, String) {
    let (prefix, lower) = (facts.prefix(), message.to_lowercase());
    let says = |any: &[&str]| any.iter().any(|part| lower.contains(part));
    if says(&["exceeded quota", "failed quota"]) {
        (
            "the quota of its namespace has no room for it".to_owned(),
            "End other machines of the namespace, give this one less, or have the quota raised: kubectl describe resourcequota"
                .to_owned(),
        )
    } else if says(&["violates podsecurity"]) {
        (
            "its namespace allows no Pods like its launcher".to_owned(),
            "Let the namespace take privileged Pods: kubectl label namespace NAMESPACE pod-security.kubernetes.io/enforce=privileged"
                .to_owned(),
        )
    } else if says(&["usage per container", "usage per pod", "limitrange"]) {
        (
            "it asks for more or less than a LimitRange of its namespace allows".to_owned(),
            format!(
                "Change {prefix}.domain.memory and {prefix}.domain.cpu, or the LimitRange: kubectl describe limitrange"
            ),
        )
    } else if says(&["limits.memory", "memory limit"]) {
        (
            "its memory limit is below what its guest has".to_owned(),
            format!("Raise {prefix}.domain.resources.limits.memory above the guest's memory, or remove it"),
        )
    } else if says(&["network-attachment-definition", "networkattachmentdefinition"]) {
        (
            "a network that it names does not exist".to_owned(),
            format!(
                "Create the NetworkAttachmentDefinition, or correct {prefix}.networks[].multus.networkName"
            ),
        )
    } else if says(&["priorityclass", "priority class"]) {
        (
            "its priority class does not exist".to_owned(),
            format!("Create the PriorityClass, or correct {prefix}.priorityClassName"),
        )
    } else if says(&["serviceaccount"]) {
        (
            "a service account that it names does not exist".to_owned(),
            format!("Create it, or correct {prefix}.volumes[].serviceAccount.serviceAccountName"),
        )
    } else {
        (
            "the server refuses its launcher Pod".to_owned(),
            "Change what the cause names; the Pod is tried again by itself".to_owned(),
        )
    }
}

/// Tells what a hypervisor or an agent said, when no reason of ours says it.
fn hypervisor(facts: &Facts, message: &str) -> (String, String) {
    // Agents quote what they quote.
    let (prefix, lower) = (facts.prefix(), message.to_lowercase().replace('\\', ""));
    let says = |any: &[&str]| any.iter().any(|part| lower.contains(part));
    if says(&["no space left"]) {
        return ("the node has no room for its disks".to_owned(), "Free some space on the node".to_owned());
    }
    if says(&["failed to get \"write\" lock", "is another process using"]) {
        return (
            "another machine uses one of its disks".to_owned(),
            format!("Stop the other machine, or give this one a disk of its own in {prefix}.volumes"),
        );
    }
    if says(&["kvm", "/dev/kvm", "hardware virtualization"]) {
        return (
            "its node cannot run it under KVM".to_owned(),
            "Look at the node: `ironclad doctor` there, or whether /dev/kvm exists".to_owned(),
        );
    }
    if says(&["cpu model", "unsupported configuration: cpu", "guest cpu", "host-passthrough"]) {
        return (
            "its node cannot give it the processor that it asks for".to_owned(),
            format!("Change {prefix}.domain.cpu.model and features, or leave them out"),
        );
    }
    if says(&["cloud-init", "cloudinit", "secret", "configmap"]) {
        return (
            "something that one of its volumes is made of is missing or wrong".to_owned(),
            format!("Correct what the cause names in {prefix}.volumes, or create it"),
        );
    }
    if says(&["cannot allocate memory"]) {
        return (
            "its node has no memory left for it".to_owned(),
            "End other machines on that node, or give this one less memory".to_owned(),
        );
    }
    (
        "its node cannot bring about what its definition says".to_owned(),
        format!(
            "Change what the cause names; the launcher's log has more: kubectl logs -l vmi.kubevirt.io/id={} -c compute",
            facts.name
        ),
    )
}

/// What the Pod itself shows.
fn of_pod(facts: &Facts) -> Option<Verdict> {
    let pod = facts.pod()?;
    let who = format!("Pod {}", text(pod, "/metadata/name"));
    if let Some(unscheduled) =
        condition(pod, "PodScheduled", "False").filter(|told| told.reason() != "SchedulingGated")
    {
        return Some(place::verdict(facts, unscheduled.message(), &who));
    }
    let statuses = list(pod, "/status/initContainerStatuses").chain(list(pod, "/status/containerStatuses"));
    for status in statuses {
        let waiting = &status["state"]["waiting"];
        let (reason, message) = (text(waiting, "/reason"), text(waiting, "/message"));
        if !matches!(reason, "" | "ContainerCreating" | "PodInitializing") {
            return Some(match reason {
                "CrashLoopBackOff" => Verdict::stuck("a container of its Pod ends again and again")
                    .because(format!("{}: {message} {} ({who})", reason, last_end(status)))
                    .so(format!(
                        "Look at its log: kubectl logs {} -c {} --previous",
                        text(pod, "/metadata/name"),
                        text(status, "/name")
                    )),
                _ => unsynchronized(facts, reason, message, &who),
            });
        }
    }
    None
}

fn last_end(status: &Value) -> String {
    ended(&status["lastState"]["terminated"])
}

/// Says how a Pod ended; empty when it has not.
pub(super) fn end_of(pod: &Value) -> String {
    let reason = text(pod, "/status/reason");
    let message = text(pod, "/status/message");
    if !reason.is_empty() {
        return format!("{reason}: {message}");
    }
    let ends = list(pod, "/status/containerStatuses").map(|status| ended(&status["state"]["terminated"]));
    ends.filter(|end| !end.is_empty()).max_by_key(String::len).unwrap_or_default()
}

fn ended(terminated: &Value) -> String {
    if terminated.is_null() || terminated["exitCode"] == 0 {
        return String::new();
    }
    let (reason, message) = (text(terminated, "/reason"), text(terminated, "/message"));
    format!("{reason}, exit code {} {message}", terminated["exitCode"]).trim_end().to_owned()
}

/// Whether words tell of an end for want of memory.
pub(super) fn for_want_of_memory(words: &str) -> bool {
    ["OOMKilled", "want of memory", "OutOfMemory"].iter().any(|known| words.contains(known))
}

/// Reasons of Events about Pods that wait, why that is so, and what to do.
const EVENTS: [(&str, &str, &str); 4] = [
    ("FailedMount", "a volume cannot be mounted on its node", "Create or mend what the cause names"),
    (
        "FailedAttachVolume",
        "a volume cannot be attached to its node",
        "Free the volume from the node that still has it, or mend the storage: kubectl get volumeattachments",
    ),
    ("FailedMapVolume", "a volume cannot be given to its Pod", "Mend what the cause names"),
    (
        "FailedCreatePodSandBox",
        "its Pod's network or sandbox cannot be made",
        "Correct {}.networks, or mend the node's network as the cause says",
    ),
];

/// What only Events tell.
fn in_events(facts: &Facts) -> Option<Verdict> {
    for (reason, why, next) in EVENTS {
        let Some(event) = facts.warning(&[reason]) else { continue };
        let message = text(event, "/message");
        let cause = format!("{reason}: {message} (Event)");
        let (why, next) = if message.to_lowercase().contains("network-attachment-definition") {
            refused(facts, message)
        } else {
            (why.to_owned(), next.replace("{}", facts.prefix()))
        };
        return Some(Verdict::stuck(why).because(cause).so(next));
    }
    let known = ["FailedCreate", "SyncFailed", "FailedScheduling"];
    let event = facts.warning(&known).filter(|_| facts.pod().is_none() || facts.phase() == "Scheduled")?;
    // What kept an earlier instance may be mended.
    let begun = time(&facts.instance, "/metadata/creationTimestamp");
    if begun.zip(super::facts::when(event)).is_some_and(|(begun, when)| when < begun) {
        return None;
    }
    let (reason, message) = (text(event, "/reason"), text(event, "/message"));
    Some(match reason {
        "FailedScheduling" => place::verdict(facts, message, "Event FailedScheduling"),
        reason => unsynchronized(facts, reason, message, "Event"),
    })
}

/// Nothing is wrong yet: how far the start has come.
fn under_way(facts: &Facts) -> Verdict {
    let since = time(&facts.instance, "/metadata/creationTimestamp").unwrap_or(facts.now);
    let watch = || format!("Watch it: virtctl list {} --watch", facts.name);
    let starting = |stage: &str| {
        let ago = age::since(since, facts.now);
        Verdict::new("is starting", format!("{stage}, {ago} after its instance was made")).so(watch())
    };
    let Some(pod) = facts.pod() else {
        return if seconds(since, facts.now) > HAND_OVER {
            Verdict::stuck("its launcher Pod should exist and does not")
                .because("no object says why")
                .so("Look whether the controllers run: virtctl doctor")
        } else {
            starting("its launcher Pod is being made")
        };
    };
    if facts.condition("Provisioning", "True").is_some()
        || facts.condition("DataVolumesReady", "False").is_some()
    {
        return starting("its volumes are being filled");
    }
    if let Some(silent) = super::run::silent_node(facts) {
        return silent;
    }
    let handed = list(&facts.instance, "/status/phaseTransitionTimestamps")
        .find(|passed| passed["phase"] == "Scheduled")
        .and_then(|passed| time(passed, "/phaseTransitionTimestamp"));
    match facts.phase() {
        "Scheduled" if handed.is_some_and(|at| seconds(at, facts.now) > HAND_OVER) => {
            let node = text(&facts.instance, "/status/nodeName");
            Verdict::stuck(format!("the agent of node {node} has not started it"))
                .because("phase Scheduled, and no condition says why (VirtualMachineInstance)")
                .so(format!("Look whether virt-handler runs on {node}: virtctl doctor"))
        }
        "Scheduled" => starting("its hypervisor is being started"),
        "WaitingForSync" => Verdict::new("waits", "it is to receive a machine that migrates here")
            .because("phase WaitingForSync (VirtualMachineInstance)")
            .so("Start the migration at the other side"),
        _ if text(pod, "/spec/nodeName").is_empty() => starting("a node is being chosen"),
        _ => starting("its Pod is being started"),
    }
}
