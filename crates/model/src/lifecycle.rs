//! The life of an instance.
//!
//! ```text
//!   (new) ──> Pending ──> Scheduling ──> Scheduled ──> Running ──> Succeeded
//!                │             │             │            │
//!                └─────────────┴─────────────┴────────────┴──────> Failed
//! ```
//!
//! virt-controller moves an instance up to `Scheduled` (and to `Failed` while it has it), the node's agent from
//! `Scheduled` on. `Succeeded` and `Failed` are final. `Unknown` says that the agent has not been heard of; what
//! it last said still counts when it comes back. `WaitingForSync` comes before `Pending` for a machine that
//! arrives from another cluster.

use api::names::phase;
use wire::launcher::v1::machine_state;

/// Phase of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing has been done yet.
    Pending,
    /// The launcher Pod exists.
    Scheduling,
    /// The launcher Pod runs; the node's agent has the instance.
    Scheduled,
    /// The machine runs.
    Running,
    /// The machine ended in order.
    Succeeded,
    /// The machine ended otherwise.
    Failed,
    /// The machine's state comes from another cluster.
    WaitingForSync,
    /// The node's agent has not been heard of.
    Unknown,
}

impl Phase {
    /// Reads `status.phase`; empty text is [`Phase::Pending`].
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | phase::PENDING => Self::Pending,
            phase::SCHEDULING => Self::Scheduling,
            phase::SCHEDULED => Self::Scheduled,
            phase::RUNNING => Self::Running,
            phase::SUCCEEDED => Self::Succeeded,
            phase::FAILED => Self::Failed,
            phase::WAITING_FOR_SYNC => Self::WaitingForSync,
            phase::UNKNOWN => Self::Unknown,
            _ => return None,
        })
    }

    /// Returns the word for `status.phase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => phase::PENDING,
            Self::Scheduling => phase::SCHEDULING,
            Self::Scheduled => phase::SCHEDULED,
            Self::Running => phase::RUNNING,
            Self::Succeeded => phase::SUCCEEDED,
            Self::Failed => phase::FAILED,
            Self::WaitingForSync => phase::WAITING_FOR_SYNC,
            Self::Unknown => phase::UNKNOWN,
        }
    }

    /// Returns whether the machine has ended for good.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// Returns whether the node's agent writes the status.
    pub fn belongs_to_node(self) -> bool {
        matches!(self, Self::Scheduled | Self::Running | Self::Unknown)
    }

    /// Returns whether an instance may move from this phase to another.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::WaitingForSync => matches!(next, Self::Pending | Self::Running | Self::Failed),
            Self::Pending => matches!(next, Self::Scheduling | Self::WaitingForSync | Self::Failed),
            Self::Scheduling => matches!(next, Self::Scheduled | Self::Failed),
            Self::Scheduled => matches!(next, Self::Running | Self::Succeeded | Self::Failed | Self::Unknown),
            Self::Running => matches!(next, Self::Succeeded | Self::Failed | Self::Unknown),
            Self::Unknown => matches!(next, Self::Scheduled | Self::Running | Self::Succeeded | Self::Failed),
            Self::Succeeded | Self::Failed => false,
        }
    }
}

/// Word of the launcher for a hypervisor that somebody ended from outside.
const KILLED: &str = "HypervisorKilled";

/// Returns the phase of an instance whose launcher reports `state`; `None` while nothing has changed yet.
///
/// `acpi` tells whether the machine has a power button: one that has it and is killed ran out of its grace
/// period, which is a failure; one without has no other way to end.
pub fn phase_of(state: machine_state::Phase, reason: &str, acpi: bool) -> Option<Phase> {
    use machine_state::Phase as State;
    match state {
        State::Unspecified | State::Idle | State::Starting => None,
        State::Running | State::Paused | State::ShuttingDown => Some(Phase::Running),
        State::ShutOff if reason == KILLED && acpi => Some(Phase::Failed),
        State::ShutOff => Some(Phase::Succeeded),
        State::Crashed | State::Failed => Some(Phase::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Phase; 8] = [
        Phase::Pending,
        Phase::Scheduling,
        Phase::Scheduled,
        Phase::Running,
        Phase::Succeeded,
        Phase::Failed,
        Phase::WaitingForSync,
        Phase::Unknown,
    ];

    #[test]
    fn words_read_back() {
        for phase in ALL {
            assert_eq!(Phase::parse(phase.as_str()), Some(phase));
        }
        assert_eq!(Phase::parse(""), Some(Phase::Pending));
        assert_eq!(Phase::parse("Flying"), None);
    }

    #[test]
    fn what_has_ended_stays_so_and_everything_can_fail() {
        for from in ALL {
            for to in ALL {
                assert!(!(from.is_final() && from.may_become(to)), "{from:?} to {to:?}");
            }
            assert!(from.is_final() || from.may_become(Phase::Failed), "{from:?}");
        }
    }

    #[test]
    fn launcher_states_become_phases() {
        use machine_state::Phase as State;
        assert_eq!(phase_of(State::Starting, "", true), None);
        assert_eq!(phase_of(State::Paused, "", true), Some(Phase::Running));
        assert_eq!(phase_of(State::ShutOff, "GuestShutdown", true), Some(Phase::Succeeded));
        assert_eq!(phase_of(State::ShutOff, KILLED, true), Some(Phase::Failed));
        assert_eq!(phase_of(State::ShutOff, KILLED, false), Some(Phase::Succeeded));
        assert_eq!(phase_of(State::Crashed, "", false), Some(Phase::Failed));
    }
}
