//! Credentials that the guest's agent sets: when it is asked to, and what people are told.

use std::time::Duration;

use api::names::condition as kind;
use jiff::Timestamp;

use super::{Action, Launcher, Machine, MachinePhase, Observed};
use crate::condition::{self, Condition};
use crate::{Plan, time};

/// Between two looks at the Secrets that the credentials are made from.
const AGAIN: Duration = Duration::from_secs(15);
/// Reason of the condition after an attempt that failed.
pub(super) const NOT_SYNCHRONIZED: &str = "NotSynchronized";
const AGENT_SILENT: &str = "AgentNotConnected";

/// How the credentials of an instance stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// None go through the guest's agent.
    #[default]
    NotWanted,
    /// Some do.
    Wanted {
        /// Whether the agent is being asked now.
        under_way: bool,
        /// The last attempt with the agent that is connected.
        last: Option<Given>,
    },
}

/// An attempt to set credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// When it ended.
    pub at: Timestamp,
    /// Why it failed.
    pub problem: Option<String>,
}

/// Sets or removes the condition that tells whether the guest has its credentials.
pub(super) fn judge(conditions: &mut Vec<Condition>, observed: &Observed, live: bool, now: Timestamp) {
    let Credentials::Wanted { last, .. } = &observed.credentials else {
        condition::remove(conditions, kind::ACCESS_CREDENTIALS_SYNCHRONIZED);
        return;
    };
    if !live {
        condition::remove(conditions, kind::ACCESS_CREDENTIALS_SYNCHRONIZED);
        return;
    }
    let connected = matches!(&observed.launcher, Launcher::Connected(machine) if machine.agent_connected);
    // Whoever stands still answers nobody; what is known of the guest stays.
    let stands_still =
        matches!(&observed.launcher, Launcher::Connected(machine) if machine.phase == MachinePhase::Paused);
    let (given, reason, message) = match last {
        Some(Given { problem: None, .. }) => (true, "", String::new()),
        Some(Given { problem: Some(problem), .. }) => (false, NOT_SYNCHRONIZED, problem.clone()),
        None if connected || stands_still => return,
        None => (
            false,
            AGENT_SILENT,
            "The guest's agent, which sets the credentials, does not answer; it may not have started yet. A guest \
             without one needs the package qemu-guest-agent"
                .to_owned(),
        ),
    };
    let condition = Condition::new(kind::ACCESS_CREDENTIALS_SYNCHRONIZED, given, reason, message);
    condition::set(conditions, condition, now);
}

/// Has the agent asked when that is due.
pub(super) fn command(observed: &Observed, machine: &Machine, now: Timestamp, plan: &mut Plan<Action>) {
    let able =
        machine.phase == MachinePhase::Running && machine.agent_connected && !observed.instance.deleting;
    match &observed.credentials {
        Credentials::Wanted { under_way: false, last } if able => {
            let left = last.as_ref().and_then(|last| time::left(last.at, AGAIN, now));
            match left {
                Some(left) => plan.look_again(left, "Secrets of credentials may have changed"),
                None => plan.push(Action::GiveCredentials),
            }
        }
        Credentials::NotWanted | Credentials::Wanted { .. } => {}
    }
}
