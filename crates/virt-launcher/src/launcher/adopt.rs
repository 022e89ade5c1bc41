//! Taking over from a launcher that died: its machine runs on, or has ended meanwhile.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use hypervisor::RunState;
use wire::launcher::v1::machine_state::Phase;
use wire::machine::MachineRecord;

use super::start::NotAttached;
use super::status;
use super::supervisor::{Order, Supervisor};
use crate::files;
use crate::shim::exit::Exit;
use crate::shim::protocol::Running;

/// What the shim knows when a launcher starts.
#[derive(Debug)]
pub(super) struct Past {
    /// The hypervisor that runs.
    pub(super) running: Option<Running>,
    /// How it ended.
    pub(super) exit: Option<Exit>,
    /// What was kept for us.
    pub(super) kept: Vec<(String, OwnedFd)>,
    /// Whether the Pod's end was asked for.
    pub(super) terminating: bool,
}

impl Supervisor {
    /// Continues where an earlier launcher stopped. For the first one there is nothing to continue.
    pub(super) async fn take_over(&mut self, past: Past) {
        let Past { running, exit, kept, terminating } = past;
        if running.is_some() || exit.is_some() {
            self.order = self.recall();
            self.introduce();
        }
        if let Some(running) = running {
            self.adopt(running, kept.into_iter().collect()).await;
        } else if let Some(exit) = exit {
            self.ended(&exit).await;
            return;
        }
        if terminating {
            self.terminate().await;
        }
    }

    async fn adopt(&mut self, running: Running, kept: BTreeMap<String, OwnedFd>) {
        let message = "a new launcher attaches to the machine";
        status::enter(&self.states, Phase::Starting, "Adopting", message);
        let executed_at_ms = running.executed_at_ms;
        self.executed(running);
        let attached = match self.attach_or_end().await {
            Ok(attached) => attached,
            // It ended in the same moment as the earlier launcher.
            Err(NotAttached::Ended(exit)) => return self.ended(&exit).await,
            Err(NotAttached::Failed(failure)) => return self.fail(failure),
        };
        self.supervise(attached);
        self.begin(kept).await;
        // When exactly it printed first went with the earlier launcher; that it did is in the log.
        let printed = std::fs::metadata(self.options.run_dir.join(files::SERIAL_LOG));
        if printed.is_ok_and(|log| log.len() > 0) {
            self.heard(executed_at_ms);
        }
        // An earlier launcher died between making the machine and letting it run.
        let made = match self.machine() {
            Ok(machine) => matches!(machine.state().await, Ok(RunState::Created)),
            Err(_) => false,
        };
        self.forget_reboot().await;
        if made {
            if let Err(failure) = self.go().await {
                self.fail(failure);
            }
        } else {
            self.restore_links().await;
            self.refresh().await;
        }
    }

    /// Reads the record that an earlier launcher kept.
    fn recall(&self) -> Option<Order> {
        let bytes = match std::fs::read(self.options.run_dir.join(files::RECORD)) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, "read the machine's record; it can be ended but not described");
                return None;
            }
        };
        match serde_json::from_slice::<MachineRecord>(&bytes) {
            Ok(record) => Some(Order { record, bytes }),
            Err(error) => {
                tracing::error!(%error, "the machine's record does not parse");
                None
            }
        }
    }
}
