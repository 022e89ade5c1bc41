//! Restarting a guest in order, inside its running hypervisor.
//!
//! A guest whose agent answers restarts itself. Another one is asked by its power button, which makes it power off: so
//! the machine is told to stand still when that happens, and is then reset and let run again.

use hypervisor::{Machine, RunState};
use launcher_channel::Refusal;

use super::ending::Seen;
use super::supervisor::{Supervisor, failed};

/// How far a restart by the power button has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reboot {
    /// None is under way.
    #[default]
    None,
    /// The button was pressed; the guest will power off, or not.
    Asked,
    /// The guest powered off and the machine is being reset.
    Resetting,
}

impl Supervisor {
    /// Has the guest restart. Returns once that is under way.
    pub(super) async fn soft_reboot(&mut self) -> Result<(), Refusal> {
        let machine = self.undisturbed()?;
        if self.states.borrow().agent_connected
            && let Some(agent) = machine.agent()
        {
            match agent.reboot().await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::info!(%error, "the agent does not restart the guest; pressing the button");
                }
            }
        }
        if self.order.as_ref().is_some_and(|order| order.record.reboot_ends) {
            // A restart is to end this machine, and so does a power-off.
            return machine.press_power_button().await.map_err(failed);
        }
        machine.stand_still_on_shutdown(true).await.map_err(failed)?;
        if let Err(error) = machine.press_power_button().await {
            self.no_more_reboot().await;
            return Err(failed(error));
        }
        self.reboot = Reboot::Asked;
        Ok(())
    }

    /// The guest powered off; tells whether that belongs to a restart.
    pub(super) async fn powered_off_to_reboot(&mut self) -> bool {
        if self.reboot == Reboot::None || self.stage.is_ending() {
            return false;
        }
        let Ok(machine) = self.machine() else { return false };
        self.reboot = Reboot::Resetting;
        if let Err(error) = machine.reset().await {
            tracing::error!(%error, "reset a machine whose guest restarts; it is ended instead");
            end_standing(&*machine).await;
        }
        true
    }

    /// The machine was reset; one whose guest powered off for that runs on.
    pub(super) async fn reset_to_reboot(&mut self) {
        if self.reboot != Reboot::Resetting {
            return;
        }
        let Ok(machine) = self.machine() else { return };
        self.no_more_reboot().await;
        self.seen = Seen::default();
        if let Err(error) = machine.resume().await {
            tracing::error!(%error, "resume a machine whose guest restarts; it is ended instead");
            end_standing(&*machine).await;
        }
        self.refresh().await;
    }

    /// From now on a guest that powers off ends its machine again.
    pub(super) async fn no_more_reboot(&mut self) {
        self.reboot = Reboot::None;
        if let Ok(machine) = self.machine()
            && let Err(error) = machine.stand_still_on_shutdown(false).await
        {
            tracing::warn!(%error, "have a power-off end the machine again");
        }
    }

    /// A launcher that died in the middle of a restart may have left the machine standing: it is ended, and its owner
    /// decides what follows.
    pub(super) async fn forget_reboot(&mut self) {
        self.no_more_reboot().await;
        let Ok(machine) = self.machine() else { return };
        if matches!(machine.state().await, Ok(RunState::Ended)) {
            end_standing(&*machine).await;
        }
    }
}

/// Ends a machine whose guest is off already.
async fn end_standing(machine: &dyn Machine) {
    if let Err(error) = machine.quit().await {
        tracing::warn!(%error, "end a machine whose guest is off");
    }
}
