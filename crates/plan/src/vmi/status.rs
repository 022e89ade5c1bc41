//! Phase, conditions and place of an instance, as its Pod shows them.

use std::time::Duration;

use api::names::{condition as kind, label, phase, reason};
use jiff::Timestamp;

use super::{AGENT_PATIENCE, Facts, Observed, PhaseTime, Pod, PodPhase};
use crate::condition::{self, Condition};
use crate::ending::OUT_OF_MEMORY;
use crate::time;

/// User of the launcher, as the API reports it.
const RUNTIME_USER: u64 = 107;

/// Returns labels and status as they should be.
pub(super) fn of(observed: &Observed, now: Timestamp) -> Facts {
    let mut facts = observed.instance.facts.clone();
    facts.metadata.annotations = crate::version::annotations();
    let pod = current_pod(observed);
    let (phase, why) = next_phase(observed, pod);
    let before = facts.phase().to_owned();
    if before != phase {
        passed_through(&mut facts, observed, pod, phase, now);
        facts.status.phase = Some(phase.to_owned());
        facts.status.reason = why;
    }
    if before != phase::SCHEDULED
        && phase == phase::SCHEDULED
        && let Some(pod) = pod
    {
        facts.metadata.labels.insert(label::NODE_NAME.to_owned(), pod.node.clone());
        facts.status.node_name = Some(pod.node.clone());
        facts.status.launcher_container_image_version = Some(observed.launcher_version.clone());
    }
    if let Some(pod) = pod {
        facts.status.qos_class.clone_from(&pod.qos_class);
        facts.status.runtime_user = Some(RUNTIME_USER);
    }
    facts.status.active_pods = observed
        .pods
        .iter()
        .filter(|pod| pod.is_live() && !pod.node.is_empty())
        .map(|pod| (pod.uid.clone(), pod.node.clone()))
        .collect();
    conditions(&mut facts, observed, pod, now);
    facts
}

/// Tells whether the only news is that a start is on its way.
pub(super) fn is_only_progress(before: &Facts, after: &Facts) -> bool {
    let early = |facts: &Facts| matches!(facts.phase(), "" | phase::PENDING | phase::SCHEDULING);
    let bad = |facts: &Facts| {
        [kind::POD_SCHEDULED, kind::SYNCHRONIZED, kind::UNSUPPORTED]
            .map(|kind| condition::find(&facts.status.conditions, kind).cloned())
    };
    early(before) && early(after) && bad(before) == bad(after)
}

/// The Pod that the instance lives in: the newest that is not on its way out, else any.
fn current_pod(observed: &Observed) -> Option<&Pod> {
    observed.pods.iter().max_by_key(|pod| (!pod.deleting, pod.is_live(), pod.created))
}

/// Returns how long the agent may still take to say how the machine ended whose Pod has ended. It knows better
/// than the Pod does, unless the Pod was killed: that leaves nobody to tell it anything.
pub(super) fn agent_has_time(observed: &Observed, now: Timestamp) -> Option<Duration> {
    let pod = current_pod(observed).filter(|pod| {
        !pod.is_live() && !pod.killed && pod.not_alive.is_none() && observed.instance.is_handed_over()
    })?;
    time::left(pod.ended_at.unwrap_or(pod.created), AGENT_PATIENCE, now)
}

fn next_phase<'a>(observed: &'a Observed, pod: Option<&Pod>) -> (&'a str, Option<String>) {
    let current = observed.instance.facts.phase();
    let keep = || (current, observed.instance.facts.status.reason.clone());
    let failed = |why: String| (phase::FAILED, Some(why));
    match current {
        phase::SUCCEEDED | phase::FAILED => keep(),
        "" | phase::PENDING | phase::SCHEDULING => match pod {
            None if current == phase::SCHEDULING => {
                failed("The launcher Pod was deleted before it ran".to_owned())
            }
            None if observed.instance.receiver => (phase::WAITING_FOR_SYNC, None),
            None => (phase::PENDING, None),
            Some(pod) if !pod.is_live() => {
                let how = pod.ended.as_deref().unwrap_or("no reason is known");
                failed(format!("The launcher Pod ended before it was ready: {how}"))
            }
            Some(pod) if pod.deleting => keep_or_scheduling(current),
            Some(pod) if pod.phase == PodPhase::Running && pod.launcher_runs && !pod.node.is_empty() => {
                (phase::SCHEDULED, None)
            }
            Some(_) => (phase::SCHEDULING, None),
        },
        phase::WAITING_FOR_SYNC if pod.is_none() => keep(),
        _ => match pod {
            None => failed("The launcher Pod is gone".to_owned()),
            Some(Pod { not_alive: Some(why), .. }) => failed(format!("{why}; the machine is ended")),
            Some(pod) if pod.is_live() => keep(),
            Some(pod) => failed(lost(pod)),
        },
    }
}

/// Says how the Pod of a machine that runs ended, and where to look when somebody killed it.
fn lost(pod: &Pod) -> String {
    let how = pod.ended.as_deref().unwrap_or("no reason is known");
    let advice = match how.contains(OUT_OF_MEMORY) {
        _ if !pod.killed || pod.deleting => "",
        true => {
            ", and the guest with it; raise spec.domain.resources.limits.memory above the guest's memory, or remove it"
        }
        false => {
            ", and the guest with it. Nothing here does that to a machine that is wanted: the node's kernel log (`dmesg`) \
             and whoever works on the node know more"
        }
    };
    format!("The launcher Pod ended: {how}{advice}")
}

/// A Pod that goes before it ran: the phase is decided when it is gone.
fn keep_or_scheduling(current: &str) -> (&str, Option<String>) {
    if current == phase::SCHEDULING { (current, None) } else { (phase::SCHEDULING, None) }
}

/// Records when the new phase began, and those that were passed without a write of their own.
fn passed_through(facts: &mut Facts, observed: &Observed, pod: Option<&Pod>, phase: &str, now: Timestamp) {
    let mut record = |phase: &str, at: Timestamp| {
        let times = &mut facts.status.phase_transition_timestamps;
        if !times.iter().any(|known| known.phase == phase) {
            times.push(PhaseTime {
                phase: phase.to_owned(),
                phase_transition_timestamp: Some(time::stamp(at)),
            });
        }
    };
    record(phase::PENDING, observed.instance.created);
    if let Some(pod) = pod {
        record(phase::SCHEDULING, pod.created);
    }
    record(phase, now);
}

fn conditions(facts: &mut Facts, observed: &Observed, pod: Option<&Pod>, now: Timestamp) {
    let running = facts.phase() == phase::RUNNING;
    let is_final = matches!(facts.phase(), phase::SUCCEEDED | phase::FAILED);
    let conditions = &mut facts.status.conditions;
    // How the Pod of an instance that has ended goes is no news about the guest.
    let ready = if is_final {
        not_ready(reason::GUEST_NOT_RUNNING, "The guest has ended")
    } else {
        ready(pod, running, condition::is_true(conditions, kind::PAUSED))
    };
    condition::set(conditions, ready, now);

    let unscheduled = pod.and_then(|pod| condition::find(&pod.conditions, kind::POD_SCHEDULED));
    match unscheduled.filter(|scheduled| scheduled.is_false() && !is_final) {
        Some(scheduled) => {
            let mut message = scheduled.message().to_owned();
            for problem in &observed.node_problems {
                message = format!("{}. {problem}", message.trim_end_matches('.'));
            }
            let copy = Condition::new(kind::POD_SCHEDULED, false, scheduled.reason(), message);
            condition::set(conditions, copy, now);
        }
        None => condition::remove(conditions, kind::POD_SCHEDULED),
    }

    if observed.refusals.is_empty() || pod.is_some() {
        condition::remove(conditions, kind::UNSUPPORTED);
    } else {
        let all: Vec<String> = observed.refusals.iter().map(ToString::to_string).collect();
        let unsupported = Condition::new(kind::UNSUPPORTED, true, reason::UNSUPPORTED_FIELDS, all.join(". "));
        condition::set(conditions, unsupported, now);
    }

    // After the hand-over this condition is the agent's.
    if observed.instance.is_handed_over() || is_final {
        return;
    }
    let waiting = pod.and_then(|pod| pod.waiting.as_ref());
    let missing =
        unscheduled.filter(|scheduled| scheduled.is_false()).and_then(|why| missing_claim(why.message()));
    match (waiting, &observed.pod_refused) {
        _ if missing.is_some() => {
            let claim = missing.unwrap_or_default();
            let message = format!(
                "The claim {claim} that a volume names does not exist in this namespace; create it, or name another"
            );
            let stuck = Condition::new(kind::SYNCHRONIZED, false, reason::FAILED_PVC_NOT_FOUND, message);
            condition::set(conditions, stuck, now);
        }
        (Some(waiting), _) => {
            let stuck = Condition::new(kind::SYNCHRONIZED, false, &waiting.reason, waiting.message.clone());
            condition::set(conditions, stuck, now);
        }
        (None, Some(refused)) if pod.is_none() => {
            let stuck = Condition::new(kind::SYNCHRONIZED, false, reason::FAILED_CREATE, refused.clone());
            condition::set(conditions, stuck, now);
        }
        _ => condition::remove(conditions, kind::SYNCHRONIZED),
    }
}

/// Returns the claim that is not there, out of a scheduler's words: schedulers say it in no other way.
fn missing_claim(words: &str) -> Option<&str> {
    let (_, rest) = words.split_once("persistentvolumeclaim \"")?;
    let (claim, rest) = rest.split_once('"')?;
    rest.starts_with(" not found").then_some(claim)
}

/// Whether the guest can be used: the machine runs and the Pod says that it is ready.
fn ready(pod: Option<&Pod>, running: bool, paused: bool) -> Condition {
    let Some(pod) = pod else {
        return not_ready(reason::POD_NOT_EXISTS, "There is no launcher Pod");
    };
    if pod.deleting {
        return not_ready(reason::POD_TERMINATING, "The launcher Pod is being deleted");
    }
    if !running {
        return not_ready(reason::GUEST_NOT_RUNNING, "The guest is not reported as running");
    }
    if paused {
        return condition::paused_is_not_ready();
    }
    match condition::find(&pod.conditions, kind::READY) {
        None => not_ready(reason::POD_CONDITION_MISSING, "The launcher Pod does not say whether it is ready"),
        Some(pod) => {
            let mut ready = Condition::new(kind::READY, false, pod.reason(), pod.message());
            ready.status.clone_from(&pod.status);
            ready
        }
    }
}

fn not_ready(reason: &str, message: &str) -> Condition {
    Condition::new(kind::READY, false, reason, message)
}
