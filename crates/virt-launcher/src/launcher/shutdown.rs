//! Ending a machine: the power button, the grace period, the kill.

use hypervisor::RunState;
use launcher_channel::Refusal;
use tokio::time::{Duration, Instant};
use wire::launcher::v1::machine_state::Phase;

use super::ending::Wish;
use super::reboot::Reboot;
use super::status;
use super::supervisor::{Supervisor, failed};
use crate::shim::protocol::Request;

/// A guest that is still starting hears nothing of its power button, so it is pressed again.
const PRESS_AGAIN: Duration = Duration::from_secs(10);
/// How long the hypervisor may take to close its images before it is killed.
const CLOSING: Duration = Duration::from_secs(5);

/// How far the machine's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody wants it to end.
    None,
    /// The power button was pressed.
    Asked { press_at: Instant, deadline: Instant },
    /// The grace period is over and the hypervisor was told to quit.
    Quitting { deadline: Instant },
    /// It was killed.
    Killed,
}

impl Stage {
    pub(super) fn is_ending(self) -> bool {
        self != Self::None
    }

    /// When the next step is due.
    pub(super) fn next(self) -> Option<Instant> {
        match self {
            Self::None | Self::Killed => None,
            Self::Asked { press_at, deadline } => Some(press_at.min(deadline)),
            Self::Quitting { deadline } => Some(deadline),
        }
    }
}

impl Supervisor {
    /// Presses the power button; `grace` later the machine is killed. A second call can only shorten that.
    pub(super) async fn shut_down(&mut self, grace: Duration) -> Result<(), Refusal> {
        let machine = self.machine()?;
        if grace.is_zero() {
            return self.kill().await;
        }
        let now = Instant::now();
        match self.stage {
            Stage::None => {}
            Stage::Asked { press_at, deadline } => {
                self.stage = Stage::Asked { press_at, deadline: deadline.min(now + grace) };
                return Ok(());
            }
            Stage::Quitting { .. } | Stage::Killed => return Ok(()),
        }
        if self.reboot != Reboot::None {
            // What it was asked to restart by now ends it.
            self.no_more_reboot().await;
        }
        if matches!(machine.state().await, Ok(RunState::Ended)) {
            self.seen.wish = Some(Wish::Shutdown);
            self.stage = Stage::Quitting { deadline: now + CLOSING };
            return machine.quit().await.map_err(failed);
        }
        // A paused guest cannot hear its power button.
        machine.resume().await.map_err(failed)?;
        machine.press_power_button().await.map_err(failed)?;
        self.seen.wish = Some(Wish::Shutdown);
        self.stage = Stage::Asked { press_at: now + PRESS_AGAIN, deadline: now + grace };
        let message = format!("the guest was asked to shut down and has {} s", grace.as_secs());
        status::enter(&self.states, Phase::ShuttingDown, "ShutdownRequested", &message);
        Ok(())
    }

    /// Kills the hypervisor. Without one, nothing is left to do.
    pub(super) async fn kill(&mut self) -> Result<(), Refusal> {
        let runs = self.states.borrow().hypervisor_pid != 0;
        if runs && self.stage != Stage::Killed {
            self.seen.wish = Some(Wish::Kill);
            self.stage = Stage::Killed;
            self.ask_shim(&Request::Kill).await;
        }
        Ok(())
    }

    /// The Pod is to end.
    pub(super) async fn terminate(&mut self) {
        if self.live.is_none() {
            self.finish(0).await;
            return;
        }
        let grace = self.order.as_ref().map_or(0, |order| order.record.grace_period_seconds);
        if let Err(error) = self.shut_down(Duration::from_secs(grace)).await {
            tracing::warn!(%error, "shut the guest down because the Pod ends; killing it");
            // Nobody is left to tell but the log.
            let _ = self.kill().await;
        }
    }

    /// Does what is due.
    pub(super) async fn next_stage(&mut self) {
        let now = Instant::now();
        match self.stage {
            Stage::Asked { deadline, .. } if deadline <= now => {
                self.seen.wish = Some(Wish::GraceOver);
                self.stage = Stage::Quitting { deadline: now + CLOSING };
                let message = "the grace period is over; the machine is killed";
                status::enter(&self.states, Phase::ShuttingDown, "GracePeriodExceeded", message);
                self.tell_machine(async |machine| machine.quit().await).await;
            }
            Stage::Asked { deadline, .. } => {
                self.stage = Stage::Asked { press_at: now + PRESS_AGAIN, deadline };
                self.tell_machine(async |machine| machine.press_power_button().await).await;
            }
            Stage::Quitting { .. } => {
                self.stage = Stage::Killed;
                self.ask_shim(&Request::Kill).await;
            }
            Stage::None | Stage::Killed => {}
        }
    }

    async fn tell_machine(
        &self,
        what: impl AsyncFnOnce(&dyn hypervisor::Machine) -> Result<(), hypervisor::Error>,
    ) {
        if let Ok(machine) = self.machine()
            && let Err(error) = what(&*machine).await
        {
            tracing::warn!(%error, "end the machine");
        }
    }
}
