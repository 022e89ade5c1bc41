//! A machine that runs: what is wrong with it nevertheless, or that all is well.

use super::Verdict;
use super::facts::{Facts, condition, list, said, text, time};
use crate::age;

/// Says what is wrong with a machine that runs.
pub(super) fn wrong(facts: &Facts) -> Option<Verdict> {
    if facts.phase() != "Running" {
        return None;
    }
    paused(facts)
        .or_else(|| silent_node(facts))
        .or_else(|| failing(facts))
        .or_else(|| not_ready(facts))
        .or_else(|| moving(facts))
        .or_else(|| stale(facts))
}

fn paused(facts: &Facts) -> Option<Verdict> {
    let told = facts.condition("Paused", "True")?;
    let cause = said("condition Paused of the VirtualMachineInstance", told);
    let name = &facts.name;
    let kind = if facts.machine.is_object() { "vm" } else { "vmi" };
    Some(match told.reason() {
        "PausedIOError" | "PausedPVCFull" => {
            let full =
                ["No space", "no room", "full", "ENOSPC"].iter().any(|word| told.message().contains(word));
            if full || told.reason() == "PausedPVCFull" {
                Verdict::new("stands still", "there is no room for what its guest writes")
                    .because(cause)
                    .so("Free some space where its disk is, or enlarge the claim; it goes on by itself then")
            } else {
                Verdict::new("stands still", "one of its disks failed")
                    .because(cause)
                    .so("Mend the storage; it goes on by itself then")
            }
        }
        "PausedByUser" | "" => Verdict::new("is paused", "somebody paused it, or started it paused")
            .because(cause)
            .so(format!("Let it go on: virtctl unpause {kind} {name}")),
        _ => Verdict::new("stands still", "its processors were stopped")
            .because(cause)
            .so(format!("Do what the cause says, then: virtctl unpause {kind} {name}")),
    })
}

/// Says that nobody answers on the instance's node, or that the node itself says that it is not well.
pub(super) fn silent_node(facts: &Facts) -> Option<Verdict> {
    let node = text(&facts.node, "/metadata/name");
    let who = format!("condition Ready of Node {node}");
    if let Some(unknown) = condition(&facts.node, "Ready", "Unknown") {
        let next = format!(
            "Bring the node back: its guest may well go on. If its host will not come back, say so, and the machine starts \
             elsewhere: kubectl taint node {node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
        );
        return Some(
            Verdict::new("may or may not run", format!("its node {node} does not answer"))
                .because(said(&who, unknown))
                .so(next),
        );
    }
    // Whoever says so is there: to give the machine's disks away now would let two guests write to them.
    let told = condition(&facts.node, "Ready", "False")?;
    Some(
        Verdict::new("may not be looked after", format!("its node {node} says that it is not ready"))
            .because(said(&who, told))
            .so(format!("Mend what the node complains of: kubectl describe node {node}")),
    )
}

fn failing(facts: &Facts) -> Option<Verdict> {
    let name = &facts.name;
    if let Some(told) = facts.condition("Booting", "True") {
        return Some(
            Verdict::new("runs", "but its guest shows no sign of life")
                .because(said("condition Booting of the VirtualMachineInstance", told))
                .so(format!("Look at its console (virtctl console {name}) or screen (virtctl vnc {name}): is there something to boot on its disk?")),
        );
    }
    if let Some(told) = facts.condition("Synchronized", "False") {
        return Some(
            Verdict::new("runs", "but a change of its definition cannot be brought about")
                .because(said("condition Synchronized of the VirtualMachineInstance", told))
                .so("Change what the cause names; it is tried again by itself"),
        );
    }
    let told = facts.condition("AccessCredentialsSynchronized", "False")?;
    Some(
        Verdict::new("runs", "but its keys or passwords cannot be put in")
            .because(said("condition AccessCredentialsSynchronized of the VirtualMachineInstance", told))
            .so("Look whether the guest agent runs in the guest, and whether the user exists there"),
    )
}

fn not_ready(facts: &Facts) -> Option<Verdict> {
    let told = facts.condition("Ready", "False")?;
    let probed = facts.warning(&["Unhealthy"]).map(|event| text(event, "/message"));
    let cause = said("condition Ready of the VirtualMachineInstance", told);
    let definition = facts.definition();
    if definition["readinessProbe"].is_object() {
        let heard = probed.map(|message| format!("; {message} (Event Unhealthy)")).unwrap_or_default();
        return Some(
            Verdict::new("runs", "but does not answer its readiness probe")
                .because(format!("{cause}{heard}"))
                .so(format!(
                    "Look in the guest whether what the probe asks for runs (virtctl console {}); else correct {}.readinessProbe",
                    facts.name,
                    facts.prefix()
                )),
        );
    }
    Some(
        Verdict::new("runs", "but is not ready")
            .because(cause)
            .so(format!("Look at its Pod: kubectl describe pod -l vmi.kubevirt.io/id={}", facts.name)),
    )
}

fn moving(facts: &Facts) -> Option<Verdict> {
    let state = facts.instance.pointer("/status/migrationState")?;
    if state["completed"] == true || state["startTimestamp"].is_null() {
        return None;
    }
    let (source, target) = (text(state, "/sourceNode"), text(state, "/targetNode"));
    Some(
        Verdict::new("runs", format!("and is moving from node {source} to node {target}"))
            .because(format!(
                "status.migrationState (VirtualMachineInstance), since {}",
                text(state, "/startTimestamp")
            ))
            .so(format!("Wait; or stay: virtctl migrate-cancel {}", facts.name)),
    )
}

fn stale(facts: &Facts) -> Option<Verdict> {
    let told = condition(&facts.machine, "RestartRequired", "True")?;
    Some(
        Verdict::new("runs", "with an older definition than is written down")
            .because(said("condition RestartRequired of the VirtualMachine", told))
            .so(format!("Restart it when it suits: virtctl restart {}", facts.name)),
    )
}

/// Nothing is wrong.
pub(super) fn well(facts: &Facts) -> Verdict {
    let name = &facts.name;
    match facts.phase() {
        "Running" => {
            let node = text(&facts.instance, "/status/nodeName");
            let since = list(&facts.instance, "/status/phaseTransitionTimestamps")
                .find(|passed| passed["phase"] == "Running")
                .and_then(|passed| time(passed, "/phaseTransitionTimestamp"));
            let since =
                since.map(|since| format!(", for {}", age::since(since, facts.now))).unwrap_or_default();
            let agent = if facts.condition("AgentConnected", "True").is_some() {
                "its guest agent is connected"
            } else {
                "its guest agent is not connected, so what the guest does is not known"
            };
            Verdict::new(&format!("runs on node {node}{since}"), agent)
                .so(format!("Nothing needs to be done. Sit down at it: virtctl console {name}"))
        }
        phase => Verdict::new("is in an unknown state", format!("its phase is {phase:?}"))
            .because("no condition says why")
            .so(format!(
                "Look at its objects: kubectl describe vm,vmi {name}; and at the installation: virtctl doctor"
            )),
    }
}
