//! Messages between the shim and its launcher, over a private SEQPACKET socket pair.
//!
//! Both ends are the same executable, so the messages carry no version.

use hypervisor::Invocation;
use serde::{Deserialize, Serialize};

use super::exit::Exit;

/// From the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Executes the hypervisor. Beside the message: the open sources of `invocation.descriptors` in their
    /// order, then one descriptor for each name in `keep`, which the shim holds for the next launcher.
    Execute {
        /// The process.
        invocation: Invocation,
        /// Names of what to keep.
        keep: Vec<String>,
        /// Seconds between the end of the Pod being asked for and the hypervisor's kill.
        grace_period_seconds: u64,
    },
    /// Kills the hypervisor.
    Kill,
    /// The machine has ended and everybody knows: ends the Pod with this code.
    Finish {
        /// Exit code of the shim.
        code: u8,
    },
}

/// From the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Notice {
    /// The first message to every launcher. Beside it: one descriptor for each name in `kept`.
    Hello {
        /// Number of this launcher process, from 1.
        incarnation: u32,
        /// The hypervisor that runs, if one does.
        running: Option<Running>,
        /// How it ended, if it did.
        exit: Option<Exit>,
        /// Names of what was kept.
        kept: Vec<String>,
        /// Whether the Pod's end was asked for already.
        terminating: bool,
    },
    /// The hypervisor was executed.
    Executed(Running),
    /// The hypervisor could not be executed.
    NotExecuted {
        /// Why.
        reason: String,
    },
    /// The hypervisor has ended.
    Exited(Exit),
    /// The Pod's end was asked for.
    Terminate,
}

/// A hypervisor that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Its process ID.
    pub(crate) pid: i32,
    /// When it was executed, in milliseconds since the epoch.
    pub(crate) executed_at_ms: u64,
}
