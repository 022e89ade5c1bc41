//! A `VirtualMachine`: is there an instance when there should be one?
//!
//! ```text
//!                 start (strategy, or a Start request)
//!      no instance ----------------------------------> instance
//!          ^                                            |  alive
//!          |   the instance is gone                     |
//!          +--------------- deleting <------------------+  stop (strategy, Stop request, machine deleted),
//!                                                          or final and the strategy replaces it
//! ```
//!
//! An instance that failed is replaced after a back-off that grows with failures in a row (see [`failure`]).

mod action;
mod failure;
mod instance;
pub mod named;
mod observed;
mod rollout;
mod status;
mod strategy;

use std::time::Duration;

use api::names::{condition as kind, event, finalizer, reason};
use jiff::Timestamp;

pub use self::action::Action;
pub use self::failure::backoff;
pub use self::instance::instance;
pub use self::observed::{
    Instance, Observed, Ownership, RunStrategy, StartFailure, StateChange, Status, Trouble, Vm,
};
pub use self::rollout::Rollout;
use self::strategy::Want;
pub use self::strategy::rests;
use crate::{Notice, Plan, condition, name, patch};

/// How long news that only say "on its way" may wait. A start that is quicker is written once, as done.
const COALESCE: Duration = Duration::from_secs(2);

/// Why a step that has nothing but progress to report looks again.
const PROGRESS: &str = "a start under way is reported when it takes longer";

/// Decides what a machine needs now.
pub fn step(observed: &Observed, now: Timestamp) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let vm = &observed.vm;
    if vm.deleting {
        end(observed, &mut plan);
        if plan.actions.contains(&Action::RemoveFinalizer) {
            return plan;
        }
    } else {
        live(observed, now, &mut plan);
    }
    // What was just asked for changes the picture and calls for the next look, which reports it; what was refused
    // before may be refused again and is reported first.
    let moves = |action: &Action| {
        matches!(
            action,
            Action::CreateInstance { .. }
                | Action::ClaimInstance { .. }
                | Action::DeleteInstance { .. }
                | Action::SetStrategy(_)
        )
    };
    if !plan.actions.iter().any(moves) {
        report(observed, now, &mut plan);
    } else if observed.trouble.is_some() {
        let mut first = Plan::nothing();
        report(observed, now, &mut first);
        first.actions.append(&mut plan.actions);
        plan = first;
    }
    // Owner references hold meanwhile, so this can wait until the start is out of the way.
    let busy = plan.actions.iter().any(moves) || plan.again.is_some_and(|again| again.why == PROGRESS);
    let places = observed.owned_instance().and_then(|instance| instance.places.clone());
    let places = places.filter(|places| vm.places.as_ref() != Some(places));
    let adopted = vm.marked && vm.has_finalizer(finalizer::VIRTUAL_MACHINE) && places.is_none();
    if !vm.deleting && !busy && !adopted {
        // Who waits for the status finds the rest done.
        plan.actions.insert(0, Action::Adopt { places });
    }
    // What the machine names is held before an instance is made of it. All else goes first: it has to happen even if what
    // is named does not exist.
    if let Some(action) = named::action(vm, observed.instance.is_some()).filter(|_| !vm.deleting) {
        let makes =
            |action: &Action| matches!(action, Action::KeepRevision { .. } | Action::CreateInstance { .. });
        let at = plan.actions.iter().position(makes).unwrap_or(plan.actions.len());
        if action == Action::ExpandNames {
            // The machine is another one then, which is looked at again.
            plan.actions.truncate(at);
        }
        plan.actions.insert(at, action);
    }
    plan
}

/// Deletes the instance, then lets the machine go.
fn end(observed: &Observed, plan: &mut Plan<Action>) {
    let vm = &observed.vm;
    let orphans = vm.has_finalizer("orphan");
    match observed.owned_instance() {
        Some(instance) if !orphans && instance.deleting => {}
        Some(instance) if !orphans => plan.push(Action::DeleteInstance { uid: instance.uid.clone() }),
        _ if vm.has_finalizer(finalizer::VIRTUAL_MACHINE) => plan.push(Action::RemoveFinalizer),
        _ => {}
    }
}

fn live(observed: &Observed, now: Timestamp, plan: &mut Plan<Action>) {
    let vm = &observed.vm;
    match &observed.instance {
        // Somebody else's instance has the name; the status says so.
        Some(Instance { owner: Ownership::Others, .. }) => return,
        Some(instance) if instance.owner == Ownership::Nobodys => {
            if !instance.deleting {
                plan.push(Action::ClaimInstance { uid: instance.uid.clone() });
            }
            return;
        }
        _ => {}
    }
    match strategy::want(vm, observed.instance.as_ref()) {
        Want::Nothing => follow(observed, plan),
        Want::Switch(strategy) => plan.push(Action::SetStrategy(strategy)),
        Want::Start { paused } => {
            if let Some(wait) = failure::wait(&vm.status, now) {
                plan.look_again(wait, "start back-off after failures");
                return;
            }
            plan.push(Action::KeepRevision { name: name::machine_revision(&vm.uid, vm.generation) });
            plan.push(Action::CreateInstance { paused });
            plan.push(Action::Tell(Notice::normal(
                event::SUCCESSFUL_CREATE,
                format!("Started the virtual machine by creating the instance {}", vm.name),
            )));
        }
        Want::Stop { restart } => {
            // A request to start again, a failure, and the end of failures, must be on record before the old instance starts to go.
            let unrecorded = restart || failure::is_unrecorded(observed);
            if let Some(instance) = observed.instance.as_ref().filter(|_| !unrecorded) {
                plan.push(Action::DeleteInstance { uid: instance.uid.clone() });
                plan.push(Action::Tell(Notice::normal(
                    event::SUCCESSFUL_DELETE,
                    format!("Stopped the virtual machine by deleting the instance {}", instance.uid),
                )));
            }
        }
    }
}

/// Has a running instance follow what its template says now, unless it is on its way to another node.
fn follow(observed: &Observed, plan: &mut Plan<Action>) {
    let running = |instance: &&Instance| !instance.deleting && !instance.is_final() && !instance.migrating;
    if let (Some(patch), Some(instance)) =
        (&observed.rollout.follow, observed.owned_instance().filter(running))
    {
        plan.push(Action::UpdateInstance { uid: instance.uid.clone(), patch: patch.clone() });
    }
}

/// Writes the status, if it says something new.
fn report(observed: &Observed, now: Timestamp, plan: &mut Plan<Action>) {
    let starting = observed.instance.is_none()
        && !observed.vm.deleting
        && matches!(strategy::want(&observed.vm, None), Want::Start { .. })
        && failure::wait(&observed.vm.status, now).is_none();
    let restart = !observed.vm.deleting
        && matches!(strategy::want(&observed.vm, observed.owned_instance()), Want::Stop { restart: true });
    let wanted = status::of(observed, starting, restart, now);
    if let Some(left) = failure::clears_in(observed, now) {
        plan.look_again(left, "an instance that runs for long clears the failures before it");
    }
    let current = &observed.vm.status;
    let Some(change) = patch::between(current, &wanted) else { return };
    if status::is_only_progress(current, &wanted) {
        let since = observed.instance.as_ref().map(|instance| instance.created);
        if let Some(left) = since.and_then(|since| crate::time::left(since, COALESCE, now)) {
            plan.look_again(left, PROGRESS);
            return;
        }
    }
    plan.push(Action::WriteStatus { patch: change });
    let message = |status: &Status| condition::find(&status.conditions, kind::FAILURE)?.message.clone();
    if let Some(failed) = condition::find(&wanted.conditions, kind::FAILURE)
        && message(current) != message(&wanted)
    {
        let event = match failed.reason() {
            reason::INSTANCE_FAILED => event::STOPPED,
            reason::FAILED_DELETE => event::FAILED_DELETE,
            _ => event::FAILED_CREATE,
        };
        plan.push(Action::Tell(Notice::warning(event, failed.message())));
    }
}
