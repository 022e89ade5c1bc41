//! Messages of the launcher protocol, compiled from `proto/launcher.proto`.

use serde::{Deserialize, Serialize};

use self::v1::MachineState;
use self::v1::machine_state::Phase;

/// Version 1 of the protocol.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the documentation is in the .proto"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/ironclad.launcher.v1.rs"));
}

/// Protocol versions that this release speaks, newest first.
pub const VERSIONS: &[u32] = &[1];

/// File in a launcher's private directory with the secret of its sessions.
pub const SESSION: &str = "session";

/// File in a launcher's private directory that tells how its machine ended, as [`FinalState`] in JSON.
///
/// It is for an agent that was away when the launcher said so, and came back when the launcher was gone.
pub const FINAL_STATE: &str = "final-state.json";

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalState {
    /// Name of the phase, as in the protocol: `SHUT_OFF` or `CRASHED`.
    pub phase: String,
    /// One word for programs.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// Milliseconds since the epoch.
    pub changed_at_ms: u64,
}

impl FinalState {
    /// Keeps of `state` what tells how a machine ended.
    pub fn of(state: &MachineState) -> Self {
        Self {
            phase: state.phase().as_str_name().to_owned(),
            reason: state.reason.clone(),
            message: state.message.clone(),
            changed_at_ms: state.changed_at_ms,
        }
    }

    /// Returns the state that the launcher would report; `None` when the phase is not that of an end.
    pub fn into_state(self) -> Option<MachineState> {
        let phase = Phase::from_str_name(&self.phase)
            .filter(|phase| matches!(phase, Phase::ShutOff | Phase::Crashed))?;
        Some(MachineState {
            phase: phase.into(),
            reason: self.reason,
            message: self.message,
            changed_at_ms: self.changed_at_ms,
            ..MachineState::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_it_was_kept_and_nothing_else_is_one() {
        let state = |phase: Phase| MachineState {
            phase: phase.into(),
            reason: "HypervisorKilled".to_owned(),
            message: "the hypervisor was ended by SIGKILL".to_owned(),
            changed_at_ms: 7,
            ..MachineState::default()
        };
        let crashed = state(Phase::Crashed);
        assert_eq!(FinalState::of(&crashed).into_state(), Some(crashed));
        assert_eq!(FinalState::of(&state(Phase::Running)).into_state(), None);
        let kept: FinalState =
            serde_json::from_str(r#"{"phase":"NEVER_HEARD_OF","reason":"","message":"","changedAtMs":1}"#)
                .unwrap();
        assert_eq!(kept.into_state(), None);
    }
}
