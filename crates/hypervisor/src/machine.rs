//! A running machine, driven through its control socket.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::GuestAgent;

/// What a machine does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Made, and never started.
    Created,
    /// Its processors run.
    Running,
    /// Its processors are stopped on request.
    Paused,
    /// Its processors are stopped because a disk failed under them.
    IoError,
    /// Its guest panicked and the processors are stopped.
    Panicked,
    /// It has ended; the process is about to go.
    Ended,
    /// A state without a neutral name, as the hypervisor calls it.
    Other(String),
}

/// What ended or restarted a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownCause {
    /// The guest itself.
    Guest,
    /// Somebody outside: a signal, a quit command.
    Host,
}

/// What happened to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The processors run.
    Resumed,
    /// The processors stopped.
    Paused,
    /// The power button reached the guest's hardware; the guest may ignore it.
    PowerButton,
    /// The machine was reset.
    Reset {
        /// By whom.
        cause: ShutdownCause,
    },
    /// The machine ended.
    Shutdown {
        /// By whom.
        cause: ShutdownCause,
        /// The hypervisor's own word.
        reason: String,
    },
    /// The guest reported a panic.
    Panicked,
    /// The guest's watchdog expired.
    Watchdog {
        /// What it does now, in the hypervisor's word.
        action: String,
    },
    /// A disk failed.
    IoError {
        /// Name of the disk in the record, where known.
        disk: String,
        /// What the system said.
        reason: String,
    },
    /// The guest opened or closed its agent channel.
    AgentChannel {
        /// Whether it is open now.
        open: bool,
    },
    /// Anything else, kept raw.
    Other {
        /// The hypervisor's name for it.
        name: String,
        /// Its data.
        data: serde_json::Value,
    },
}

/// Events of one machine. The stream ends with the control connection, which ends with the process.
pub type Events = mpsc::UnboundedReceiver<Event>;

/// A machine and what happens to it from now on.
#[derive(Debug)]
pub struct Attached {
    /// The machine.
    pub machine: Arc<dyn Machine>,
    /// Its events.
    pub events: Events,
}

/// Why a machine could not be driven.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens on the control socket, or not the expected hypervisor.
    #[error("attach to the machine's control socket: {0}")]
    Attach(String),
    /// The control connection is gone, and with it most likely the machine.
    #[error("the machine's control connection is closed")]
    Gone,
    /// The hypervisor did not answer in time.
    #[error("the hypervisor does not answer to {command}")]
    Timeout {
        /// What it was asked.
        command: String,
    },
    /// The hypervisor refused.
    #[error("the hypervisor refuses {command}: {reason}")]
    Refused {
        /// What it was asked.
        command: String,
        /// What it said.
        reason: String,
    },
}

/// One machine. Whoever can reach the control socket may attach, one at a time; detaching (dropping) leaves
/// the machine as it is.
#[async_trait]
pub trait Machine: Send + Sync + std::fmt::Debug {
    /// Returns the hypervisor and its version, for example `qemu 10.0.2`.
    fn hypervisor(&self) -> String;

    /// Returns what the machine does now.
    async fn state(&self) -> Result<RunState, Error>;

    /// Lets the processors run: starts a machine that was made, continues one that was paused. On a running
    /// machine it changes nothing. Afterwards the state is [`RunState::Running`].
    async fn resume(&self) -> Result<(), Error>;

    /// Stops the processors. On a paused machine it changes nothing. Afterwards no guest code runs and the
    /// state is not [`RunState::Running`].
    async fn pause(&self) -> Result<(), Error>;

    /// Presses the ACPI power button. The guest decides what that does.
    async fn press_power_button(&self) -> Result<(), Error>;

    /// Resets the machine as its reset button would; [`Event::Reset`] follows.
    async fn reset(&self) -> Result<(), Error>;

    /// Says what a guest's own power-off leads to from now on: the end of the process, or a machine that stands still
    /// and can be reset and resumed. [`Event::Shutdown`] comes in both cases.
    async fn stand_still_on_shutdown(&self, still: bool) -> Result<(), Error>;

    /// Writes a picture of the screen to `file` as PNG. Without a graphics adapter it is refused.
    async fn screenshot(&self, file: &Path) -> Result<(), Error>;

    /// Connects or disconnects the cable of the network interface `nic`, named as in the record.
    async fn set_link(&self, nic: &str, up: bool) -> Result<(), Error>;

    /// Ends the process. Data that the guest has not flushed is lost. The event stream ends.
    async fn quit(&self) -> Result<(), Error>;

    /// Returns the guest's agent, if the record gave the machine a channel to one.
    fn agent(&self) -> Option<Arc<dyn GuestAgent>>;

    /// Whether the guest has its agent channel open now; events tell of changes.
    async fn agent_channel_open(&self) -> Result<bool, Error>;
}
