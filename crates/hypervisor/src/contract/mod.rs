//! The behaviour that every backend's machines show, as a reusable suite.
//!
//! A backend's tests implement [`Harness`] over its real hypervisor and run every [`Case`]. The guest is
//! [`guest::kernel`] or anything else that does what [`Trial`] asks of it.

use std::time::Duration;

use async_trait::async_trait;
use wire::machine::{MachineRecord, PanicDevice};

use crate::{Attached, Error, Event, Events, Machine, RunState, ShutdownCause};

pub mod guest;

/// Longest wait for anything; a working backend takes milliseconds, an emulated boot seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes machines to try.
#[async_trait]
pub trait Harness: Sync {
    /// Executes a fresh hypervisor process that runs `record` with [`guest::kernel`] under the name
    /// [`guest::KERNEL`], and does not attach to it.
    async fn execute(&self, record: MachineRecord) -> Result<Box<dyn Trial>, String>;
}

/// One hypervisor process under trial. Dropping it ends the process.
#[async_trait]
pub trait Trial: Send + Sync {
    /// Attaches to the control socket.
    async fn attach(&self) -> Result<Attached, Error>;
    /// Returns when the (resumed) guest has come up and listens to its power button.
    async fn guest_up(&self) -> Result<(), String>;
    /// Has the guest power itself off.
    async fn guest_powers_off(&self) -> Result<(), String>;
    /// Has the guest reset itself.
    async fn guest_resets(&self) -> Result<(), String>;
    /// Has the guest tell its panic device that it has panicked.
    async fn guest_panics(&self) -> Result<(), String>;
    /// Returns when the process has ended.
    async fn ended(&self) -> Result<(), String>;
}

/// One promise of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// An executed machine waits with its processors stopped.
    MadeStopped,
    /// Resuming twice is resuming once.
    ResumeTwice,
    /// Pausing stops the machine, also twice, and resuming continues it.
    PauseAndResume,
    /// A reset is told and leaves the machine running.
    Reset,
    /// A guest that heeds its power button ends the machine, by the guest's doing.
    PowerButton,
    /// A guest that powers itself off ends the machine.
    GuestPowersOff,
    /// A guest that resets itself goes on in the same machine, and that is told.
    GuestResets,
    /// A machine that is told to stand still when its guest powers off does, and can be reset and resumed.
    StandsStill,
    /// Where a restart ends the machine, a guest that resets itself does.
    RestartEnds,
    /// A guest's panic is told, and ends the machine.
    GuestPanics,
    /// Quitting ends the process, running or not.
    Quit,
    /// The control connection may go and come back; the machine does not notice.
    Reattach,
    /// A machine that has ended answers every command with an error, never with silence.
    CommandsAfterEnd,
}

impl Case {
    /// Every case.
    pub const ALL: &'static [Self] = &[
        Self::MadeStopped,
        Self::ResumeTwice,
        Self::PauseAndResume,
        Self::Reset,
        Self::PowerButton,
        Self::GuestPowersOff,
        Self::GuestResets,
        Self::StandsStill,
        Self::RestartEnds,
        Self::GuestPanics,
        Self::Quit,
        Self::Reattach,
        Self::CommandsAfterEnd,
    ];
}

/// A broken promise.
#[derive(Debug, thiserror::Error)]
#[error("{case:?}: {what}")]
pub struct Violation {
    /// The promise.
    pub case: Case,
    /// How it was broken.
    pub what: String,
}

/// Runs one case on a fresh machine.
pub async fn run(case: Case, harness: &dyn Harness) -> Result<(), Violation> {
    let tried = tokio::time::timeout(PATIENCE, attempt(case, harness)).await;
    tried
        .unwrap_or_else(|_| Err(format!("took longer than {PATIENCE:?}")))
        .map_err(|what| Violation { case, what })
}

async fn attempt(case: Case, harness: &dyn Harness) -> Result<(), String> {
    let mut record = guest::record(guest::KERNEL).map_err(text)?;
    record.reboot_ends = case == Case::RestartEnds;
    if case == Case::GuestPanics {
        record.panic_devices.push(PanicDevice::Isa);
    }
    let trial = harness.execute(record).await?;
    let Attached { machine, mut events } = trial.attach().await.map_err(text)?;
    match case {
        Case::MadeStopped => expect_state(&*machine, RunState::Created).await,
        Case::ResumeTwice => {
            machine.resume().await.map_err(text)?;
            until(&mut events, |event| *event == Event::Resumed).await?;
            machine.resume().await.map_err(text)?;
            expect_state(&*machine, RunState::Running).await
        }
        Case::PauseAndResume => {
            machine.resume().await.map_err(text)?;
            for _ in 0..2 {
                machine.pause().await.map_err(text)?;
                expect_state(&*machine, RunState::Paused).await?;
            }
            until(&mut events, |event| *event == Event::Paused).await?;
            machine.resume().await.map_err(text)?;
            until(&mut events, |event| *event == Event::Resumed).await?;
            expect_state(&*machine, RunState::Running).await
        }
        Case::Reset => {
            machine.resume().await.map_err(text)?;
            machine.reset().await.map_err(text)?;
            until(&mut events, |event| matches!(event, Event::Reset { .. })).await?;
            expect_state(&*machine, RunState::Running).await
        }
        Case::PowerButton => {
            machine.resume().await.map_err(text)?;
            trial.guest_up().await?;
            machine.press_power_button().await.map_err(text)?;
            ended_by_guest(&mut events).await?;
            trial.ended().await
        }
        Case::GuestPowersOff => {
            machine.resume().await.map_err(text)?;
            trial.guest_up().await?;
            trial.guest_powers_off().await?;
            ended_by_guest(&mut events).await?;
            trial.ended().await
        }
        Case::GuestResets => {
            machine.resume().await.map_err(text)?;
            trial.guest_up().await?;
            trial.guest_resets().await?;
            until(&mut events, |event| *event == Event::Reset { cause: ShutdownCause::Guest }).await?;
            expect_state(&*machine, RunState::Running).await
        }
        Case::StandsStill => {
            machine.stand_still_on_shutdown(true).await.map_err(text)?;
            machine.resume().await.map_err(text)?;
            trial.guest_up().await?;
            machine.press_power_button().await.map_err(text)?;
            until(&mut events, |event| matches!(event, Event::Shutdown { cause: ShutdownCause::Guest, .. }))
                .await?;
            machine.reset().await.map_err(text)?;
            until(&mut events, |event| matches!(event, Event::Reset { .. })).await?;
            machine.stand_still_on_shutdown(false).await.map_err(text)?;
            machine.resume().await.map_err(text)?;
            expect_state(&*machine, RunState::Running).await?;
            trial.guest_up().await?;
            machine.press_power_button().await.map_err(text)?;
            ended_by_guest(&mut events).await?;
            trial.ended().await
        }
        Case::RestartEnds => {
            machine.resume().await.map_err(text)?;
            trial.guest_up().await?;
            trial.guest_resets().await?;
            ended_by_guest(&mut events).await?;
            trial.ended().await
        }
        Case::GuestPanics => {
            machine.resume().await.map_err(text)?;
            trial.guest_up().await?;
            trial.guest_panics().await?;
            until(&mut events, |event| *event == Event::Panicked).await?;
            ended_by_guest(&mut events).await?;
            trial.ended().await
        }
        Case::Quit => {
            machine.quit().await.map_err(text)?;
            while events.recv().await.is_some() {}
            trial.ended().await
        }
        Case::Reattach => {
            machine.resume().await.map_err(text)?;
            drop((machine, events));
            let Attached { machine, events: _events } = trial.attach().await.map_err(text)?;
            expect_state(&*machine, RunState::Running).await
        }
        Case::CommandsAfterEnd => {
            machine.quit().await.map_err(text)?;
            trial.ended().await?;
            while events.recv().await.is_some() {}
            for answer in [machine.state().await.map(|_| ()), machine.resume().await, machine.pause().await] {
                if !matches!(answer, Err(Error::Gone)) {
                    return Err(format!("an ended machine answered {answer:?}"));
                }
            }
            Ok(())
        }
    }
}

async fn ended_by_guest(events: &mut Events) -> Result<(), String> {
    until(events, |event| matches!(event, Event::Shutdown { cause: ShutdownCause::Guest, .. })).await?;
    while events.recv().await.is_some() {}
    Ok(())
}

async fn expect_state(machine: &dyn Machine, expected: RunState) -> Result<(), String> {
    let state = machine.state().await.map_err(text)?;
    if state == expected { Ok(()) } else { Err(format!("the state is {state:?}, not {expected:?}")) }
}

async fn until(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Result<(), String> {
    let mut seen = Vec::new();
    while let Some(event) = events.recv().await {
        if wanted(&event) {
            return Ok(());
        }
        seen.push(event);
    }
    Err(format!("the events ended without the expected one, after {seen:?}"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
