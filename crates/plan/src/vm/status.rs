//! The status of a machine: what its instance is, and one word for people.

use api::names::{condition as kind, phase, printable_status as printable, reason};
use jiff::Timestamp;

use super::strategy::is_overtaken;
use super::{Instance, Observed, Ownership, RunStrategy, StartFailure, StateChange, Status, Vm, failure};
use crate::condition::{self, Condition};

/// Conditions that belong to the machine; all others are the instance's.
const OWN: [&str; 3] = [kind::FAILURE, kind::RESTART_REQUIRED, kind::MANUAL_RECOVERY_REQUIRED];

/// Returns the status as it should be. `starting` says that the instance is being created right now, `restart`
/// that a start has to be requested.
pub(super) fn of(observed: &Observed, starting: bool, restart: bool, now: Timestamp) -> Status {
    let vm = &observed.vm;
    let instance = observed.owned_instance();
    let mut status = vm.status.clone();
    status.created = instance.is_some().then_some(true);
    status.ready = instance.filter(|i| condition::is_true(&i.conditions, kind::READY)).map(|_| true);
    status.start_failure = failure::count(observed, now);
    // Counted from the first start on.
    if instance.is_some() || status.desired_generation.is_some() {
        status.desired_generation = Some(vm.generation);
        status.observed_generation = instance.and_then(|i| i.generation).or(Some(vm.generation));
    }
    // Remembered from the first start on, so that a change of strategy can be told from the first one.
    if instance.is_some() || status.run_strategy.is_some() {
        status.run_strategy = Some(vm.strategy);
    }
    status.state_change_requests.retain(|request| !is_overtaken(vm, request));
    consume_requests(&mut status, instance);
    if restart {
        status.state_change_requests.push(StateChange::start());
    }
    status.conditions = conditions(observed, status.start_failure.as_ref(), now);
    status.printable_status = Some(printable_status(observed, &status, starting).to_owned());
    status
}

/// Tells whether the only news is that a start is on its way.
pub(super) fn is_only_progress(before: &Status, after: &Status) -> bool {
    let under_way = |word: Option<&str>| {
        matches!(
            word,
            Some(printable::STARTING | printable::PROVISIONING | printable::WAITING_FOR_VOLUME_BINDING)
        )
    };
    let word = before.printable_status.as_deref();
    let early = under_way(word) || matches!(word, None | Some(printable::STOPPED));
    let failing = |status: &Status| condition::find(&status.conditions, kind::FAILURE).cloned();
    early
        && under_way(after.printable_status.as_deref())
        && before.state_change_requests == after.state_change_requests
        && before.start_failure == after.start_failure
        && failing(before) == failing(after)
}

/// Drops requests that have been met: a stop whose instance is gone, a start whose instance is there.
fn consume_requests(status: &mut Status, instance: Option<&Instance>) {
    let requests = &mut status.state_change_requests;
    let ending = instance.is_some_and(|instance| {
        instance.is_final()
            || instance.deleting
            || requests.iter().any(|request| request.stops(&instance.uid))
    });
    requests.retain(|request| match instance {
        Some(instance) if !request.is_start() => request.stops(&instance.uid),
        Some(_) => ending,
        None => request.is_start(),
    });
}

fn conditions(observed: &Observed, failures: Option<&StartFailure>, now: Timestamp) -> Vec<Condition> {
    let vm = &observed.vm;
    let instance = observed.owned_instance();
    let mut conditions = vm.status.conditions.clone();
    let mirrored = |kind: &str| instance.is_some_and(|i| condition::find(&i.conditions, kind).is_some());
    conditions.retain(|c| c.kind == kind::READY || OWN.contains(&c.kind.as_str()) || mirrored(&c.kind));
    match instance {
        None => {
            let missing = Condition::new(kind::READY, false, "VMINotExists", "VMI does not exist");
            let news =
                condition::find(&conditions, kind::READY).is_none_or(|known| known.reason != missing.reason);
            condition::set(&mut conditions, missing, now);
            if let Some(ready) = conditions.iter_mut().find(|entry| news && entry.kind == kind::READY) {
                ready.last_probe_time = Some(crate::time::stamp(now));
            }
        }
        Some(instance) => {
            for mirror in &instance.conditions {
                if !OWN.contains(&mirror.kind.as_str()) {
                    condition::set(&mut conditions, mirror.clone(), now);
                    if let Some(entry) = conditions.iter_mut().find(|entry| entry.kind == mirror.kind) {
                        entry.last_transition_time = mirror.last_transition_time;
                        entry.last_probe_time = mirror.last_probe_time;
                    }
                }
            }
            if condition::find(&instance.conditions, kind::READY).is_none() {
                let unknown = Condition::new(
                    kind::READY,
                    false,
                    reason::GUEST_NOT_RUNNING,
                    "The guest is not reported as running",
                );
                condition::set(&mut conditions, unknown, now);
            }
        }
    }
    match (trouble(observed), failures) {
        (Some((reason, message)), _) => {
            condition::set(&mut conditions, Condition::new(kind::FAILURE, true, &reason, message), now);
        }
        (None, Some(failures)) if instance.is_none_or(|instance| instance.phase != "Running") => {
            last_failure(&mut conditions, instance, failures, now);
        }
        _ => condition::remove(&mut conditions, kind::FAILURE),
    }
    if observed.rollout.restart_required && instance.is_some() {
        let message = "The specification changed in what only a restart applies; restart the virtual machine";
        let required = Condition::new(kind::RESTART_REQUIRED, true, "RestartRequired", message);
        condition::set(&mut conditions, required, now);
    } else {
        condition::remove(&mut conditions, kind::RESTART_REQUIRED);
    }
    conditions
}

/// Says how the last instance failed, and goes on saying so until another one runs: the instance itself is gone by then.
fn last_failure(
    conditions: &mut Vec<Condition>,
    instance: Option<&Instance>,
    failures: &StartFailure,
    now: Timestamp,
) {
    let Some(failed) = instance.filter(|instance| instance.is_failed()) else {
        let known = condition::find(conditions, kind::FAILURE);
        if known.is_some_and(|known| known.reason() != reason::INSTANCE_FAILED) {
            condition::remove(conditions, kind::FAILURE);
        }
        return;
    };
    let why = if failed.why.is_empty() { "no reason is known" } else { &failed.why };
    let times = match failures.consecutive_fail_count {
        1 => "The instance failed".to_owned(),
        times => format!("The instance failed {times} times in a row, the last time"),
    };
    let message = format!("{times}: {why}");
    condition::set(conditions, Condition::new(kind::FAILURE, true, reason::INSTANCE_FAILED, message), now);
}

fn trouble(observed: &Observed) -> Option<(String, String)> {
    if let Some(trouble) = &observed.trouble {
        return Some((trouble.reason.clone(), trouble.message.clone()));
    }
    let foreign = observed.instance.as_ref().is_some_and(|instance| match instance.owner {
        Ownership::Ours => false,
        Ownership::Nobodys => instance.deleting,
        Ownership::Others => true,
    });
    let vm = &observed.vm;
    let ordinary = observed.owned_instance().filter(|instance| !instance.receiver && !instance.received);
    if vm.strategy == RunStrategy::WaitAsReceiver && ordinary.is_some_and(|instance| !instance.is_final()) {
        let message = "The instance was not made to receive a machine; stop the virtual machine before it waits as receiver";
        return Some((reason::FAILED_CREATE.to_owned(), message.to_owned()));
    }
    if foreign && !vm.deleting && vm.strategy != RunStrategy::Halted {
        let name = &vm.name;
        let message = format!(
            "An instance named {name} exists that this virtual machine does not own; delete it or rename the machine"
        );
        return Some((reason::FAILED_CREATE.to_owned(), message));
    }
    None
}

/// Returns the one word; the first that fits, in the order of the API.
fn printable_status(observed: &Observed, status: &Status, starting: bool) -> &'static str {
    let vm = &observed.vm;
    let instance = observed.owned_instance();
    let is = |kind: &str| instance.is_some_and(|i| condition::is_true(&i.conditions, kind));
    let because = |kind: &str, reason: &str| {
        instance
            .and_then(|i| condition::find(&i.conditions, kind))
            .is_some_and(|c| c.is_false() && c.reason() == reason)
    };
    let live = instance.filter(|instance| !instance.is_final());
    let stop_asked = live.is_some_and(|i| vm.status.state_change_requests.iter().any(|r| r.stops(&i.uid)));
    if vm.deleting {
        printable::TERMINATING
    } else if live.is_some_and(|instance| instance.deleting) || stop_asked {
        printable::STOPPING
    } else if live.is_some_and(|instance| instance.migrating) {
        printable::MIGRATING
    } else if live.is_some() && is(kind::PAUSED) {
        printable::PAUSED
    } else if live.is_some_and(|instance| instance.phase == "Running") {
        printable::RUNNING
    } else if live.is_some() && because(kind::SYNCHRONIZED, reason::FAILED_PVC_NOT_FOUND) {
        printable::PVC_NOT_FOUND
    } else if live.is_some() && (because(kind::POD_SCHEDULED, "Unschedulable") || is(kind::UNSUPPORTED)) {
        printable::UNSCHEDULABLE
    } else if live.is_some() && is(kind::PROVISIONING) {
        printable::PROVISIONING
    } else if vm.unbound_claims && is_set_to_start(vm, instance) {
        printable::WAITING_FOR_VOLUME_BINDING
    } else if live.is_some() && because(kind::SYNCHRONIZED, printable::ERR_IMAGE_PULL) {
        printable::ERR_IMAGE_PULL
    } else if live.is_some() && because(kind::SYNCHRONIZED, printable::IMAGE_PULL_BACK_OFF) {
        printable::IMAGE_PULL_BACK_OFF
    } else if live.is_some_and(|i| EARLY.contains(&i.phase.as_str())) || starting {
        printable::STARTING
    } else if live.is_none() && status.start_failure.is_some() && vm.strategy.counts_starts() {
        printable::CRASH_LOOP_BACK_OFF
    } else if live.is_none() {
        printable::STOPPED
    } else if vm.strategy == RunStrategy::WaitAsReceiver
        && live.is_some_and(|i| i.phase == phase::WAITING_FOR_SYNC)
    {
        printable::WAITING_FOR_RECEIVER
    } else {
        printable::UNKNOWN
    }
}

/// Phases of an instance whose machine is still to start.
const EARLY: [&str; 4] = ["", phase::PENDING, phase::SCHEDULING, phase::SCHEDULED];

/// Tells whether the machine runs or will, as far as its strategy and its requests say.
fn is_set_to_start(vm: &Vm, instance: Option<&Instance>) -> bool {
    let requests = &vm.status.state_change_requests;
    match vm.strategy {
        RunStrategy::Always => true,
        RunStrategy::Halted | RunStrategy::WaitAsReceiver => false,
        RunStrategy::Manual => match instance {
            Some(instance) => !requests.iter().any(|request| request.stops(&instance.uid)),
            None => requests.iter().any(StateChange::is_start),
        },
        RunStrategy::RerunOnFailure => instance.is_none_or(|instance| instance.phase != phase::SUCCEEDED),
        RunStrategy::Once => instance.is_none_or(|instance| !instance.is_final()),
    }
}
