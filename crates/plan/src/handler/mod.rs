//! The node's agent and one instance: from the hand-over to the end of the machine.
//!
//! ```text
//!   Scheduled --- start ---> Running --- guest ends, or is asked to ---> Succeeded
//!       |                       |
//!       | cannot be made        | hypervisor dies
//!       v                       v
//!   stays, and says why       Failed
//! ```
//!
//! The launcher is the one who knows: every step compares what it reports with what the instance says. A launcher
//! that does not answer is being replaced or has ended with its Pod; virt-controller sees the latter.

mod action;
mod observed;
mod status;

use api::names::{event, phase};
use jiff::Timestamp;

pub use self::action::Action;
pub use self::observed::{
    GuestInterface, Instance, Launcher, Machine, MachinePhase, Observed, Status, Topology, Trouble, Volume,
};
use crate::{Notice, Plan, patch};

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
        plan.push(Action::Write { patch: serde_json::json!({ "status": change }) });
        tell(observed, &wanted, &mut plan);
    }
    if let Launcher::Connected(machine) = &observed.launcher {
        command(instance, machine, &mut plan);
    }
    plan
}

/// What the machine is told to do.
fn command(instance: &Instance, machine: &Machine, plan: &mut Plan<Action>) {
    match machine.phase {
        MachinePhase::Idle if !instance.deleting && instance.phase() == phase::SCHEDULED => plan.push(Action::Start),
        MachinePhase::Starting | MachinePhase::Running | MachinePhase::Paused if instance.deleting => {
            plan.push(Action::Shutdown { grace_seconds: instance.grace_seconds });
        }
        _ => {}
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
        phase::FAILED => plan.push(Action::Tell(Notice::warning(event::STOPPED, why()))),
        _ => {
            if let Some(trouble) = &observed.trouble {
                plan.push(Action::Tell(Notice::warning(event::SYNC_FAILED, trouble.message.clone())));
            }
        }
    }
}
