//! The agent inside a guest, as far as every hypervisor can reach one.
//!
//! What an agent says is the guest's word: it is shown and never trusted. Implementations bound the size of
//! every answer and the time that it may take.

use std::time::Duration;

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

/// An agent of a guest: its release and what it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// Release.
    pub version: String,
    /// Commands that it knows, each with whether it obeys it.
    pub commands: Vec<(String, bool)>,
}

/// Somebody who is logged in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GuestUser {
    /// Name.
    pub name: String,
    /// Domain that the name is of; empty for most.
    pub domain: String,
    /// When the login was, in seconds since the epoch.
    pub login_time: f64,
}

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// Name of the device that it is on.
    pub device: String,
    /// Where it is mounted.
    pub mount_point: String,
    /// Type, for example `ext4`.
    pub kind: String,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Serial number and bus of each disk below it.
    pub disks: Vec<(String, String)>,
}

/// How a program of the guest ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramEnd {
    /// Exit code; 128 and the number for a signal.
    pub code: i32,
    /// The beginning of what it wrote.
    pub output: String,
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
    /// Returns the agent's release and what it can be told.
    async fn facts(&self) -> Result<AgentFacts, AgentError>;
    /// Returns the guest's time zone, for example `UTC`.
    async fn timezone(&self) -> Result<String, AgentError>;
    /// Returns who is logged in.
    async fn users(&self) -> Result<Vec<GuestUser>, AgentError>;
    /// Returns what is mounted.
    async fn file_systems(&self) -> Result<Vec<FileSystem>, AgentError>;
    /// Returns whether file systems are held.
    async fn is_frozen(&self) -> Result<bool, AgentError>;
    /// Flushes and holds all file systems.
    async fn freeze(&self) -> Result<(), AgentError>;
    /// Releases all file systems.
    async fn thaw(&self) -> Result<(), AgentError>;
    /// Replaces the authorized keys of one of the guest's users.
    async fn authorize_keys(&self, user: &str, keys: &[String]) -> Result<(), AgentError>;
    /// Sets the password of one of the guest's users.
    async fn set_password(&self, user: &str, password: &str) -> Result<(), AgentError>;
    /// Runs a program of the guest, its name first, and returns when it has ended, or after `limit`: then it goes on, and
    /// the agent is silent about it.
    async fn run(&self, command: &[String], limit: Duration) -> Result<ProgramEnd, AgentError>;
    /// Has the guest restart in order. Success means that it will, not that it has.
    async fn reboot(&self) -> Result<(), AgentError>;
}
