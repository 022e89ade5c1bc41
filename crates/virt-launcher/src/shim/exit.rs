//! How a process ended.

use nix::sys::wait::WaitStatus;
use serde::{Deserialize, Serialize};

/// How the hypervisor ended, as it stands in the run directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Exit {
    /// Its process ID.
    pub(crate) pid: i32,
    /// Its exit code, if it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<i32>,
    /// Name of the signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<String>,
    /// Whether the shim was asked to kill it.
    pub(crate) killed_on_request: bool,
    /// When, in milliseconds since the epoch.
    pub(crate) at_ms: u64,
}

impl Exit {
    /// Reads a wait status; `None` for one that is no end.
    pub(crate) fn of(status: WaitStatus, killed_on_request: bool, at_ms: u64) -> Option<Self> {
        let (pid, code, signal) = match status {
            WaitStatus::Exited(pid, code) => (pid, Some(code), None),
            WaitStatus::Signaled(pid, signal, _) => (pid, None, Some(signal.as_str().to_owned())),
            _ => return None,
        };
        Some(Self { pid: pid.as_raw(), code, signal, killed_on_request, at_ms })
    }

    /// Whether the process said that all went well.
    pub(crate) fn success(&self) -> bool {
        self.code == Some(0)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.code, &self.signal) {
            (Some(code), _) => write!(f, "the hypervisor ended with code {code}"),
            (None, Some(signal)) => write!(f, "the hypervisor was ended by {signal}"),
            (None, None) => f.write_str("the hypervisor ended"),
        }
    }
}
