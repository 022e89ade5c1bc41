//! The machine's published state: one message per change.

use std::path::Path;

use tokio::sync::watch;
use wire::launcher::v1::{MachineState, machine_state::Phase};
use wire::launcher::{FINAL_STATE, FinalState};

use crate::clock::now_ms;
use crate::files;

/// Whether nothing follows this phase but idleness.
pub(super) fn is_final(phase: Phase) -> bool {
    matches!(phase, Phase::Idle | Phase::ShutOff | Phase::Crashed | Phase::Failed)
}

/// Applies `change`, tells watchers if it changed anything, and returns whether it did.
pub(super) fn publish(states: &watch::Sender<MachineState>, change: impl FnOnce(&mut MachineState)) -> bool {
    states.send_if_modified(|state| {
        let before = state.clone();
        change(state);
        if *state == before {
            return false;
        }
        state.changed_at_ms = now_ms();
        true
    })
}

/// Enters a phase, with one word for programs and one sentence for people.
pub(super) fn enter(states: &watch::Sender<MachineState>, phase: Phase, reason: &str, message: &str) {
    let changed = publish(states, |state| {
        state.set_phase(phase);
        reason.clone_into(&mut state.reason);
        message.clone_into(&mut state.message);
    });
    if changed {
        tracing::info!(phase = phase.as_str_name(), reason, "{message}");
    }
}

/// Keeps the final state in the run directory, for whoever was not watching when it came.
pub(super) fn keep_final(run_dir: &Path, state: &MachineState) {
    let written = serde_json::to_vec(&FinalState::of(state))
        .map_err(std::io::Error::from)
        .and_then(|bytes| files::write(&run_dir.join(FINAL_STATE), &bytes));
    if let Err(error) = written {
        tracing::warn!(%error, "keep the final state");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_hear_of_changes_only() {
        let states = watch::Sender::new(MachineState::default());
        let mut watcher = states.subscribe();
        enter(&states, Phase::Running, "Started", "it runs");
        assert!(watcher.has_changed().unwrap());
        assert_eq!(watcher.borrow_and_update().phase(), Phase::Running);
        enter(&states, Phase::Running, "Started", "it runs");
        assert!(!watcher.has_changed().unwrap());
    }
}
