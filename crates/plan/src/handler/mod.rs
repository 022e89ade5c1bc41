//! The node's agent and one instance: from the hand-over to the end of the machine.
//!
//! ```text
//!   Scheduled --- start ---> Running --- guest ends, or is asked to ---> Succeeded
//!       |                       |
//!       | cannot be made        | hypervisor dies
//!       v                       v
//!   stays, says why           Failed
//!   and tries again
//! ```
//!
//! The launcher is the one who knows: every step compares what it reports with what the instance says. A launcher
//! that does not answer is being replaced or has ended with its Pod; virt-controller sees the latter.

mod action;
mod credentials;
mod life;
mod links;
mod moving;
mod observed;
mod stall;
mod status;

use std::time::Duration;

use api::names::{annotation, condition, event, phase, reason};
use jiff::Timestamp;

pub use self::action::Action;
pub use self::credentials::{Credentials, Given};
pub use self::links::links_differ;
pub use self::moving::{Moving, Obstacle};
pub use self::observed::{
    GuestInterface, Instance, Launcher, Machine, MachinePhase, Observed, Status, Topology, Trouble, Volume,
};
pub use self::stall::Stall;
use crate::condition::Condition;
use crate::{Notice, Plan, patch, time};

/// Reason of a machine's end when its guest gave up.
const GUEST_PANICKED: &str = "GuestPanicked";

/// Longest wait between two attempts to start: a cause that is gone should not be waited for much longer.
pub const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Decides what an instance on this node needs now.
pub fn step(observed: &Observed, now: Timestamp) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let instance = &observed.instance;
    if instance.is_final() || !instance.is_handed_over() {
        return plan;
    }
    // The status comes first: a command that fails must not keep what is known from being said.
    let wanted = status::of(observed, now);
    if let Some(change) = patch::between(&instance.status, &wanted) {
        let mut patch = serde_json::json!({ "status": change });
        if let Some(places) = new_places(observed) {
            patch["metadata"] = serde_json::json!({ "annotations": { annotation::PLACES: places } });
        }
        plan.push(Action::Write { patch });
        tell(observed, &wanted, &mut plan);
        if let Some(message) = life::suspicion(observed, &wanted.conditions) {
            plan.push(Action::SuspectAccelerator { message });
        }
    }
    if let Launcher::Connected(machine) = &observed.launcher {
        command(observed, machine, now, &mut plan);
        links::command(observed, machine, now, &mut plan);
        credentials::command(observed, machine, now, &mut plan);
        if let Some(left) = life::time_left(observed, machine, now) {
            plan.look_again(left, "a guest that shows no sign of life is reported");
        }
    }
    plan
}

/// Returns where the machine's devices stand, if the instance does not say that yet. The machine's next instance is made
/// with it; it is told with other news, for it is never urgent.
fn new_places(observed: &Observed) -> Option<&String> {
    let Launcher::Connected(machine) = &observed.launcher else { return None };
    machine.places.as_ref().filter(|places| observed.instance.places.as_ref() != Some(places))
}

/// What the machine is told to do.
fn command(observed: &Observed, machine: &Machine, now: Timestamp, plan: &mut Plan<Action>) {
    let instance = &observed.instance;
    match machine.phase {
        // A start that failed is tried again in the same Pod, for as long as the instance is wanted.
        MachinePhase::Idle | MachinePhase::Failed
            if !instance.deleting && instance.phase() == phase::SCHEDULED =>
        {
            let trouble = observed.trouble.as_ref();
            match trouble.and_then(|trouble| time::until(trouble.retry_at, LONGEST_WAIT, now)) {
                Some(wait) => plan.look_again(wait, "the start is tried again"),
                None => plan.push(Action::Start),
            }
        }
        MachinePhase::Starting | MachinePhase::Running | MachinePhase::Paused if instance.deleting => {
            let grace_seconds = instance.grace_seconds;
            plan.push(Action::Shutdown { grace_seconds });
            if grace_seconds > 0 {
                let message =
                    format!("The power button was pressed; the guest has {grace_seconds} s to shut down");
                plan.push(Action::Tell(Notice::normal(event::SHUTTING_DOWN, message)));
            }
        }
        // Whoever loses his patience may shorten the grace; the launcher never makes it longer.
        MachinePhase::ShuttingDown
            if instance.deleting
                && machine.granted_seconds.is_none_or(|granted| instance.grace_seconds < granted) =>
        {
            plan.push(Action::Shutdown { grace_seconds: instance.grace_seconds });
        }
        _ => match stall::next(machine, &observed.stall, now) {
            stall::Next::Nothing => {}
            stall::Next::Resume => plan.push(Action::Resume),
            stall::Next::Wait(wait, why) => plan.look_again(wait, why),
        },
    }
}

fn tell(observed: &Observed, wanted: &Status, plan: &mut Plan<Action>) {
    let (before, after) = (observed.instance.phase(), wanted.phase.as_deref().unwrap_or_default());
    let why = || wanted.reason.clone().unwrap_or_default();
    match after {
        phase::RUNNING if before != phase::RUNNING => {
            plan.push(Action::Tell(Notice::normal(event::STARTED, "The machine runs")));
        }
        phase::SUCCEEDED => plan.push(Action::Tell(Notice::normal(event::STOPPED, why()))),
        phase::FAILED => {
            if matches!(&observed.launcher, Launcher::Connected(machine) if machine.reason == GUEST_PANICKED)
            {
                plan.push(Action::Tell(Notice::warning(event::GUEST_PANICKED, why())));
            }
            plan.push(Action::Tell(Notice::warning(event::STOPPED, why())));
        }
        _ => {}
    }
    let known = |kind: &str| crate::condition::find(&observed.instance.status.conditions, kind);
    let now = |kind: &str| crate::condition::find(&wanted.conditions, kind);
    for (kind, event) in
        [(condition::SYNCHRONIZED, event::SYNC_FAILED), (condition::BOOTING, event::NO_BOOT_PROGRESS)]
    {
        let told = |now: &&Condition| {
            known(kind).is_none_or(|known| known.message != now.message || known.reason != now.reason)
        };
        if let Some(now) = now(kind).filter(told) {
            plan.push(Action::Tell(Notice::warning(event, now.message())));
        }
    }
    let given = condition::ACCESS_CREDENTIALS_SYNCHRONIZED;
    if let Some(is) = now(given) {
        let was = known(given);
        // That an agent is still to come is no news.
        if is.is_true() && !was.is_some_and(Condition::is_true) {
            plan.push(Action::Tell(Notice::normal(event::CREDENTIALS_SET, "The guest has its credentials")));
        } else if is.reason() == credentials::NOT_SYNCHRONIZED
            && was.is_none_or(|was| was.message != is.message)
        {
            plan.push(Action::Tell(Notice::warning(event::CREDENTIALS_NOT_SET, is.message())));
        }
    }
    let (was, is) = (known(condition::PAUSED), now(condition::PAUSED));
    match (was, is) {
        // How much room is left changes; that there is too little is told once.
        (was, Some(is)) if was.is_none_or(|was| was.reason != is.reason) => {
            plan.push(Action::Tell(if is.reason() == reason::PAUSED_IO_ERROR {
                Notice::warning(event::IO_ERROR, is.message())
            } else {
                Notice::normal(event::PAUSED, "The machine stands still")
            }));
        }
        (Some(_), None) if after == phase::RUNNING => {
            plan.push(Action::Tell(Notice::normal(event::RESUMED, "The machine runs again")));
        }
        _ => {}
    }
}
