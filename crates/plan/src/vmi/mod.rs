//! A `VirtualMachineInstance`: from a specification to a launcher Pod, and back from a Pod to a status.
//!
//! ```text
//!              Pod created         Pod runs                    machine runs
//!   Pending ---------------> Scheduling -----> Scheduled - - - - - - - - - - -> Running
//!      |  cannot run here:       |                 |                               |
//!      |  stays, and says why    | Pod failed      | Pod gone                      | - - > Succeeded
//!      v                         v                 v                               v
//!   (Unsupported)              Failed            Failed                          Failed
//! ```
//!
//! Up to Scheduled the phase is this controller's; the dashed moves are the node's agent's, who owns the instance
//! from then on. This controller takes it back only when the Pod is gone. An instance that is deleted before it was
//! handed over loses its Pod at once; afterwards the agent ends the guest first. The finalizers go when no Pod is
//! left.

mod action;
pub mod launcher;
mod observed;
mod status;
pub(crate) mod template;

use std::time::Duration;

use api::names::{condition as kind, event, finalizer, phase, reason};
use jiff::Timestamp;

pub use self::action::Action;
pub use self::observed::{
    Facts, Gate, Instance, Labels, Observed, PhaseTime, Pod, PodPhase, Refusal, Status, Waiting,
};
use crate::condition::Condition;
use crate::{Notice, Plan, condition, name, patch, time};

/// How long news that only say "on its way" may wait. A start that is quicker is written once, as handed over.
const COALESCE: Duration = Duration::from_secs(2);
/// How long the node's agent may take to report the end of a machine whose Pod has ended in order.
const AGENT_PATIENCE: Duration = Duration::from_secs(15);
/// How much longer than its own grace an instance may take to go before its Pod is deleted under it.
const DELETE_PATIENCE: Duration = Duration::from_secs(60);

/// Decides what an instance needs now.
pub fn step(observed: &Observed, now: Timestamp) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let instance = &observed.instance;
    if instance.deleting_since.is_some() {
        // Nobody needs to read how far the end has come.
        end(observed, now, &mut plan);
        return plan;
    }
    if instance.is_final() {
        for pod in observed.pods.iter().filter(|pod| pod.is_live() && !pod.deleting) {
            plan.push(Action::DeletePod { name: pod.name.clone(), uid: pod.uid.clone() });
        }
    } else if observed.pods.is_empty() && instance.awaits_pod() && observed.refusals.is_empty() {
        if observed.pod_refused.is_some() {
            // The next attempt may be refused as well; first say what is wrong.
            report(observed, now, &mut plan);
        }
        plan.push(Action::CreatePod { name: name::launcher_pod(&instance.name, &instance.uid) });
        plan.push(Action::Tell(Notice::normal(
            event::SUCCESSFUL_CREATE,
            format!("Created the launcher Pod {}", name::launcher_pod(&instance.name, &instance.uid)),
        )));
        // Its arrival calls for the next look.
        return plan;
    }
    report(observed, now, &mut plan);
    gate(observed, &mut plan);
    plan
}

/// Keeps the Pod's gate open for a guest that runs, and closed for one that stands still.
fn gate(observed: &Observed, plan: &mut Plan<Action>) {
    let instance = &observed.instance;
    let paused = condition::find(&instance.facts.status.conditions, kind::PAUSED).filter(|c| c.is_true());
    // With the reason: who stands still by order or for want of a disk is not ended for its silence, a dead one is.
    let wanted =
        Gate { open: paused.is_none(), reason: paused.map_or("NotPaused", Condition::reason).to_owned() };
    for pod in observed.pods.iter().filter(|pod| pod.is_live() && !pod.deleting && pod.launcher_runs) {
        if !instance.is_final() && !pod.gate.as_ref().is_some_and(|gate| gate.says(&wanted)) {
            let Gate { open, reason } = wanted.clone();
            plan.push(Action::SetGate { name: pod.name.clone(), uid: pod.uid.clone(), open, reason });
        }
    }
}

/// Deletes what is left of a deleted instance, then lets it go.
fn end(observed: &Observed, now: Timestamp, plan: &mut Plan<Action>) {
    let instance = &observed.instance;
    if observed.pods.is_empty() {
        let ours = [finalizer::INSTANCE, finalizer::VIRTUAL_MACHINE];
        if instance.finalizers.iter().any(|known| ours.contains(&known.as_str())) {
            plan.push(Action::RemoveFinalizers);
        }
        return;
    }
    let patience = Duration::from_secs(instance.grace_seconds) + DELETE_PATIENCE;
    let left = instance.deleting_since.and_then(|since| time::left(since, patience, now));
    let agent_works = instance.is_handed_over() && !instance.is_final() && left.is_some();
    if agent_works && observed.pods.iter().any(Pod::is_live) {
        plan.look_again(left.unwrap_or_default(), "the node's agent ends the guest first");
        return;
    }
    for pod in observed.pods.iter().filter(|pod| !pod.deleting) {
        plan.push(Action::DeletePod { name: pod.name.clone(), uid: pod.uid.clone() });
    }
}

/// Writes labels and status, if they say something new.
fn report(observed: &Observed, now: Timestamp, plan: &mut Plan<Action>) {
    let instance = &observed.instance;
    if let Some(left) = status::agent_has_time(observed, now) {
        plan.look_again(left, "the node's agent reports how the machine ended");
        return;
    }
    let wanted = status::of(observed, now);
    let Some(change) = patch::between(&instance.facts, &wanted) else { return };
    if status::is_only_progress(&instance.facts, &wanted) {
        let since = observed.pods.first().map_or(instance.created, |pod| pod.created);
        if let Some(left) = time::left(since, COALESCE, now) {
            plan.look_again(left, "a start under way is reported when it takes longer");
            return;
        }
    }
    plan.push(Action::Write { patch: change });
    let (before, after) = (&instance.facts, &wanted);
    let unsupported = |facts: &Facts| condition::is_true(&facts.status.conditions, kind::UNSUPPORTED);
    if before.phase() != phase::FAILED && after.phase() == phase::FAILED {
        let why = after.status.reason.clone().unwrap_or_else(|| "The instance failed".to_owned());
        plan.push(Action::Tell(Notice::warning(event::STOPPED, why)));
    } else if let Some(refusal) =
        observed.refusals.first().filter(|_| !unsupported(before) && unsupported(after))
    {
        plan.push(Action::Tell(Notice::warning(event::SYNC_FAILED, refusal.to_string())));
    } else {
        // What keeps the Pod from starting is told where people look, at the instance.
        let synchronized = condition::find(&after.status.conditions, kind::SYNCHRONIZED);
        let refused = synchronized.is_some_and(|stuck| stuck.reason() == reason::FAILED_CREATE);
        let kinds = [
            (kind::SYNCHRONIZED, if refused { event::FAILED_CREATE } else { event::SYNC_FAILED }),
            (kind::POD_SCHEDULED, event::FAILED_SCHEDULING),
        ];
        for (kind, event) in kinds {
            let stuck = |facts: &Facts| condition::find(&facts.status.conditions, kind)?.message.clone();
            if let Some(message) = stuck(after).filter(|message| stuck(before).as_ref() != Some(message)) {
                plan.push(Action::Tell(Notice::warning(event, message)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_says_why_it_is_closed() {
        let set_for = |paused: Option<&str>, known: Option<(bool, &str)>| {
            let known = known.map(|(open, reason)| Gate { open, reason: reason.to_owned() });
            let pod = Pod { phase: PodPhase::Running, launcher_runs: true, gate: known, ..Pod::default() };
            let mut observed = Observed {
                instance: Instance::default(),
                pods: vec![pod],
                refusals: Vec::new(),
                pod_refused: None,
                node_problems: Vec::new(),
                launcher_version: String::new(),
            };
            let paused = paused.map(|reason| Condition::new(kind::PAUSED, true, reason, ""));
            observed.instance.facts.status.conditions = paused.into_iter().collect();
            let mut plan = Plan::nothing();
            gate(&observed, &mut plan);
            plan.actions.into_iter().next()
        };
        let set = |open, reason: &str| {
            Some(Action::SetGate { name: String::new(), uid: String::new(), open, reason: reason.into() })
        };
        assert_eq!(set_for(Some("PausedIOError"), Some((true, "NotPaused"))), set(false, "PausedIOError"));
        assert_eq!(set_for(Some("Stopped"), None), set(false, "Stopped"));
        assert_eq!(set_for(Some("Stopped"), Some((false, "Stopped"))), None);
        assert_eq!(set_for(Some("Stopped"), Some((false, "PausedByUser"))), set(false, "Stopped"));
        assert_eq!(set_for(None, Some((false, "Stopped"))), set(true, "NotPaused"));
        assert_eq!(set_for(None, Some((true, ""))), None);
    }
}
