//! The host's side of Pods, behind a trait so that decisions are tested without one.

mod dial;
mod jail;
mod jailed;
mod mend;
mod remove;
mod stop;
mod turns;

use std::path::PathBuf;
use std::sync::Arc;

use effects::Clock;
use tokio::net::TcpStream;

use crate::plan::PodPlan;
use crate::record::{Record, Starved};

pub use dial::Unreached;
pub use jailed::{Jails, PrepareError};
pub use remove::{end_everything, remove_everything};
pub use stop::stop_everything;

/// A Pod to start: who it is, what it becomes, and its unpacked images by volume.
#[derive(Clone, Debug)]
pub struct Order {
    /// Identity.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What it becomes.
    pub plan: PodPlan,
    /// Unpacked images: name of the volume, directory.
    pub images: Vec<(String, PathBuf)>,
    /// Tells when it starts.
    pub clock: Arc<dyn Clock>,
}

/// Why the host could not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RuntimeError {
    /// One word, for `state.waiting.reason`.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// What is known of a Pod's first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Running,
    /// It has ended; the code is absent when nobody was there to see it.
    Ended(Option<i32>),
}

/// Runs Pods.
#[async_trait::async_trait]
pub trait Runtime: Send + Sync {
    /// Returns the records of Pods that an earlier kubelet process started, and removes what has no record.
    async fn adopt(&self) -> Vec<Record>;
    /// Starts a Pod. On failure nothing of it is left.
    async fn start(&self, order: Order) -> Result<Record, RuntimeError>;
    /// Tells whether the first process runs.
    async fn life(&self, record: &Record) -> Life;
    /// Tells of the memory of a Pod in which the kernel killed somebody for want of it; before it is released.
    async fn starved(&self, record: &Record) -> Option<Starved>;
    /// Waits for the end of the first process.
    async fn ended(&self, record: &Record);
    /// Opens a TCP connection to a port of a Pod, or of a host as the Pod sees it; on failure says why.
    async fn dial(&self, record: &Record, host: Option<&str>, port: u16) -> Result<TcpStream, Unreached>;
    /// Asks the first process to end; keeps a changed record.
    async fn terminate(&self, record: &Record) -> Result<(), RuntimeError>;
    /// Ends every process of the Pod.
    async fn kill(&self, record: &Record) -> Result<(), RuntimeError>;
    /// Frees network and control group of a Pod that has ended; keeps a changed record.
    async fn release(&self, record: &Record) -> Result<(), RuntimeError>;
    /// Removes all that the machine has of a Pod.
    async fn forget(&self, uid: &str) -> Result<(), RuntimeError>;
}
