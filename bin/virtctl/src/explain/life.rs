//! Whether the machine is wanted at all: switched off, going, ended, waiting for its next start.

use jiff::Timestamp;

use super::Verdict;
use super::facts::{Facts, condition, list, said, text, time};
use crate::age;

/// A start that takes longer than this without an instance is none.
const START: i64 = 30;

/// The machine or its instance is on its way out.
pub(super) fn going(facts: &Facts) -> Option<Verdict> {
    let instance_goes = !facts.instance["metadata"]["deletionTimestamp"].is_null();
    if let Some(since) = time(&facts.machine, "/metadata/deletionTimestamp") {
        let held: Vec<_> =
            list(&facts.machine, "/metadata/finalizers").filter_map(serde_json::Value::as_str).collect();
        let verdict = Verdict::new("is being deleted", "its objects go when its guest has ended")
            .because(format!("deleted {} ago; held by {}", age::since(since, facts.now), words(&held)));
        return Some(if facts.has_instance() {
            verdict.so(force(facts))
        } else {
            verdict.so(
                "Wait a moment. Where nothing happens, the owner of the finalizer does not do its part: mend it, or take \
                 the finalizer off",
            )
        });
    }
    if !instance_goes {
        return None;
    }
    let until = time(&facts.instance, "/metadata/deletionTimestamp").filter(|until| *until > facts.now);
    let left = until.map_or_else(
        || "its guest has had its grace period".to_owned(),
        |until| format!("its guest has {} to shut down", age::between(facts.now, until)),
    );
    let again = if again_by_itself(facts) { "; then it is started again" } else { "" };
    Some(
        Verdict::new("is stopping", format!("{left}{again}"))
            .because("VirtualMachineInstance has a deletionTimestamp")
            .so(force(facts)),
    )
}

fn force(facts: &Facts) -> String {
    let name = &facts.name;
    let command = if facts.machine.is_object() {
        format!("virtctl stop {name} --force --grace-period=0")
    } else {
        format!("kubectl delete vmi {name} --grace-period=0 --force")
    };
    format!("Wait for the guest, or take the power from it: {command}")
}

fn words(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn again_by_itself(facts: &Facts) -> bool {
    facts.machine["metadata"]["deletionTimestamp"].is_null() && facts.strategy() == "Always"
}

/// There is no instance: because none is wanted, because the last one failed, or because none can be made.
pub(super) fn off(facts: &Facts) -> Option<Verdict> {
    if facts.has_instance() || !facts.machine.is_object() {
        return None;
    }
    let name = &facts.name;
    let off = |why: &str| {
        Verdict::new("is switched off", why)
            .because(format!("spec.runStrategy is {} (VirtualMachine)", facts.strategy()))
            .so(format!("Start it: virtctl start {name}"))
    };
    let restore = text(&facts.machine, "/status/restoreInProgress");
    if !restore.is_empty() {
        return Some(
            Verdict::new("waits", "its disks are being restored from a snapshot")
                .because(format!("status.restoreInProgress is {restore} (VirtualMachine)"))
                .so(format!("Wait, or look at the restore: kubectl describe vmrestore {restore}")),
        );
    }
    if facts.strategy() == "Halted" {
        return Some(off("nobody has started it, or somebody stopped it"));
    }
    if let Some(found) = condition(&facts.machine, "ManualRecoveryRequired", "True") {
        return Some(
            Verdict::stuck("it needs to be recovered by hand first")
                .because(said("condition ManualRecoveryRequired of the VirtualMachine", found))
                .so("Do what the condition says; remove the condition then"),
        );
    }
    if let Some(waiting) = waiting(facts) {
        return Some(waiting);
    }
    if let Some(failure) = condition(&facts.machine, "Failure", "True") {
        return Some(not_made(facts, &said("condition Failure of the VirtualMachine", failure)));
    }
    let started =
        list(&facts.machine, "/status/stateChangeRequests").any(|request| request["action"] == "Start");
    match facts.strategy() {
        "Manual" if !started => Some(off("nobody has started it, or its guest has ended")),
        "RerunOnFailure" if has_run(facts) && !started => {
            Some(off("its guest shut itself down, which this run strategy leaves so"))
        }
        "Once" if has_run(facts) => Some(
            Verdict::new("has had its run", "its run strategy gives it only one")
                .because("spec.runStrategy is Once (VirtualMachine)")
                .so("To run it again, change spec.runStrategy, or make the machine anew"),
        ),
        "WaitAsReceiver" => Some(
            Verdict::new("waits", "it is to receive a machine that migrates here")
                .because("spec.runStrategy is WaitAsReceiver (VirtualMachine)")
                .so("Start the migration at the other side, or change spec.runStrategy"),
        ),
        _ => None,
    }
}

fn has_run(facts: &Facts) -> bool {
    text(&facts.machine, "/status/printableStatus") == "Stopped"
        && facts.machine["status"]["desiredGeneration"].is_number()
}

/// The last instances failed, and the next waits.
fn waiting(facts: &Facts) -> Option<Verdict> {
    let failures = facts.machine.pointer("/status/startFailure/consecutiveFailCount")?.as_i64()?;
    let retry = time(&facts.machine, "/status/startFailure/retryAfterTimestamp");
    let when = match retry.filter(|retry| *retry > facts.now) {
        Some(retry) => format!("it is started again in {}", age::between(facts.now, retry)),
        None => "it is started again now".to_owned(),
    };
    let runs = if failures == 1 {
        "its last run failed".to_owned()
    } else {
        format!("its last {failures} runs failed")
    };
    let failure = condition(&facts.machine, "Failure", "True");
    let event = || {
        let found = facts.warning(&["Stopped", "SyncFailed", "Failed", "FailedCreate"])?;
        Some(format!("{}: {} (Event)", text(found, "/reason"), text(found, "/message")))
    };
    let cause =
        failure.map(|failure| said("condition Failure of the VirtualMachine", failure)).or_else(event);
    let cause = cause.unwrap_or_else(|| "no object says how they failed".to_owned());
    let advice = if super::start::for_want_of_memory(&cause) {
        format!(
            "Raise {0}.domain.resources.limits.memory above the guest's memory, or remove it",
            facts.prefix()
        )
    } else {
        format!(
            "Look at what it last said: kubectl logs -l vmi.kubevirt.io/id={0} -c guest-console-log. To stop it from trying: \
             virtctl stop {0}",
            facts.name
        )
    };
    Some(Verdict::stuck(format!("{runs}, and {when}")).because(cause).so(advice))
}

/// The instance could not be created.
fn not_made(facts: &Facts, cause: &str) -> Verdict {
    let name = &facts.name;
    let lower = cause.to_lowercase();
    let absent = lower.contains("not found") || lower.contains("does not exist");
    let (why, next) = if lower.contains("exceeded quota") {
        (
            "the quota of its namespace has no room for it".to_owned(),
            "End other machines of the namespace, give this one less, or have the ResourceQuota raised: kubectl describe \
             resourcequota"
                .to_owned(),
        )
    } else if lower.contains("that this virtual machine does not own") || lower.contains("already exists") {
        (
            format!("an instance named {name} exists that is not its own"),
            format!(
                "Delete the other instance (kubectl delete vmi {name}), or give this machine another name"
            ),
        )
    } else if absent && (lower.contains("spec.preference") || lower.contains("preferences.instancetype")) {
        (
            "its preference does not exist".to_owned(),
            "Create the preference, or name another in spec.preference: kubectl get vmcp,vmpref".to_owned(),
        )
    } else if absent && lower.contains("instancetype") {
        (
            "its instance type does not exist".to_owned(),
            "Create the instance type, or name another in spec.instancetype: kubectl get vmclusterinstancetype,vminstancetype"
                .to_owned(),
        )
    } else if lower.contains("conflict") && lower.contains("instancetype")
        || lower.contains("vmfieldconflict")
        || lower.contains("the instance type decides")
    {
        (
            "it sets what its instance type sets, too".to_owned(),
            "Remove the fields that the cause names from spec.template.spec, or remove spec.instancetype"
                .to_owned(),
        )
    } else if lower.contains("denied the request") || lower.contains("forbidden") || lower.contains("invalid")
    {
        (
            "the server refuses the instance that it asks for".to_owned(),
            "Change what the cause names in spec.template".to_owned(),
        )
    } else {
        (
            "its instance cannot be made".to_owned(),
            "Change what the cause names; it is tried again by itself".to_owned(),
        )
    };
    Verdict::stuck(why).because(cause).so(next)
}

/// An instance should be there and is not.
pub(super) fn unmade(facts: &Facts) -> Option<Verdict> {
    if facts.has_instance() {
        return None;
    }
    let changed = wanted_since(facts).unwrap_or(facts.now);
    let silent = facts.machine["status"].as_object().is_none_or(serde_json::Map::is_empty);
    if seconds(changed, facts.now) < START {
        return Some(
            Verdict::new("is about to start", "its instance is made in a moment")
                .so(format!("Watch it: virtctl list {} --watch", facts.name)),
        );
    }
    let cause = if silent {
        "nobody has written the machine's status since it was created"
    } else {
        "no instance exists, and no condition says why"
    };
    Some(
        Verdict::stuck("its instance should exist and does not")
            .because(cause)
            .so("Look whether the controllers run: virtctl doctor"),
    )
}

/// When somebody last changed the machine, and so may have switched it on, or its last instance went. Other changes of the
/// status are not counted, but a start that is asked for there is.
fn wanted_since(facts: &Facts) -> Option<Timestamp> {
    let asks = list(&facts.machine, "/status/stateChangeRequests").next().is_some();
    let changes = list(&facts.machine, "/metadata/managedFields")
        .filter(|change| asks || text(change, "/subresource").is_empty())
        .filter_map(|change| time(change, "/time"));
    let gone = list(&facts.machine, "/status/conditions")
        .filter(|condition| condition["type"] == "Ready" && condition["status"] == "False")
        .filter_map(|condition| time(condition, "/lastTransitionTime"));
    changes.chain(gone).chain(time(&facts.machine, "/metadata/creationTimestamp")).max()
}

/// Seconds between two times.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.as_second() - from.as_second()
}

/// The instance has ended and is still there.
pub(super) fn ended(facts: &Facts) -> Option<Verdict> {
    if !facts.has_ended() {
        return None;
    }
    let name = &facts.name;
    if let Some(waiting) = waiting(facts) {
        return Some(waiting);
    }
    let reason = text(&facts.instance, "/status/reason");
    let event = facts.warning(&["Stopped", "SyncFailed", "LivenessProbeFailed", "NodeLost"]);
    let pod = facts.pod().map(super::start::end_of).filter(|end| !end.is_empty());
    let cause = match (reason, event, pod) {
        ("", Some(event), _) => format!("{} (Event {})", text(event, "/message"), text(event, "/reason")),
        ("", None, Some(end)) => format!("{end} (Pod)"),
        ("", None, None) => format!("phase {} (VirtualMachineInstance)", facts.phase()),
        (reason, ..) => format!("{reason} (VirtualMachineInstance)"),
    };
    let again = again_by_itself(facts);
    if facts.phase() == "Succeeded" {
        let next = if again {
            "Wait: its run strategy starts it again".to_owned()
        } else if facts.machine.is_object() {
            format!("Start it again: virtctl start {name}")
        } else {
            format!("An instance runs only once: delete it (kubectl delete vmi {name}) and make it anew")
        };
        return Some(Verdict::new("has ended", "its guest shut itself down").because(cause).so(next));
    }
    let next = if super::start::for_want_of_memory(&cause) {
        format!(
            "Raise {}.domain.resources.limits.memory above the guest's memory, or remove it",
            facts.prefix()
        )
    } else if again || facts.strategy() == "RerunOnFailure" {
        format!(
            "Wait: it is started again by itself. What it last said: kubectl logs -l vmi.kubevirt.io/id={name} -c guest-console-log"
        )
    } else if facts.machine.is_object() {
        format!("Look at the cause, then start it again: virtctl start {name}")
    } else {
        format!("Look at the cause, then delete the instance (kubectl delete vmi {name}) and make it anew")
    };
    Some(Verdict::stuck("its last run failed").because(cause).so(next))
}
