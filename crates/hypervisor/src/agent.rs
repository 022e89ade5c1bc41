//! The agent inside a guest, as far as every hypervisor can reach one.
//!
//! What an agent says is the guest's word: it is shown and never trusted. Implementations bound the size of
//! every answer and the time that it may take.

use async_trait::async_trait;

/// Operating system of a guest, in the words of `os-release` and `uname`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestOs {
    /// `ID`, for example `debian`.
    pub id: String,
    /// `NAME`.
    pub name: String,
    /// `PRETTY_NAME`.
    pub pretty_name: String,
    /// `VERSION`.
    pub version: String,
    /// `VERSION_ID`.
    pub version_id: String,
    /// Kernel release.
    pub kernel_release: String,
    /// Kernel version.
    pub kernel_version: String,
    /// Hardware name, for example `x86_64`.
    pub machine: String,
}

/// Network interface as a guest sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestInterface {
    /// Name inside the guest.
    pub name: String,
    /// Hardware address, lower case; empty if it has none.
    pub mac: String,
    /// Addresses without prefix length.
    pub addresses: Vec<String>,
}

/// Why an agent did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The channel could not be used.
    #[error("reach the guest agent's channel: {0}")]
    Channel(String),
    /// No answer came in time: no agent runs, or the guest is busy.
    #[error("the guest agent does not answer")]
    Silent,
    /// The agent answered with an error.
    #[error("the guest agent refuses {command}: {reason}")]
    Refused {
        /// What it was asked.
        command: String,
        /// What it said.
        reason: String,
    },
    /// The answer makes no sense.
    #[error("the guest agent's answer to {command} does not parse: {reason}")]
    Garbage {
        /// What it was asked.
        command: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The agent inside a guest. Calls are answered one after the other.
#[async_trait]
pub trait GuestAgent: Send + Sync + std::fmt::Debug {
    /// Returns when the agent has answered.
    async fn ping(&self) -> Result<(), AgentError>;
    /// Returns the guest's operating system.
    async fn os(&self) -> Result<GuestOs, AgentError>;
    /// Returns the guest's host name.
    async fn hostname(&self) -> Result<String, AgentError>;
    /// Returns the guest's network interfaces.
    async fn interfaces(&self) -> Result<Vec<GuestInterface>, AgentError>;
}
