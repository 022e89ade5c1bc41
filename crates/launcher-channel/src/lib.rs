//! The two sockets of a launcher: gRPC for commands, SEQPACKET for open descriptors.
//!
//! An agent holds a [`Client`]; the launcher serves with `serve` (see `server.rs`).

use std::os::fd::OwnedFd;

use wire::machine::{DescriptorName, MachineRecord};

/// Name of the command socket in the launcher's socket directory.
pub const COMMAND_SOCKET: &str = "launcher-sock";
/// Name of the descriptor socket in the launcher's socket directory.
pub const DESCRIPTOR_SOCKET: &str = "descriptor-sock";

/// Open descriptors under their names.
pub type Descriptors = Vec<(DescriptorName, OwnedFd)>;

#[allow(missing_docs, dead_code, clippy::all, clippy::pedantic, reason = "placeholder")]
pub mod client_contract {
    //! CONTRACT (to be replaced by the real `client` module, same signatures).
    use super::*;
    use std::path::Path;
    use wire::launcher::v1 as v1;

    #[derive(Debug, thiserror::Error)]
    #[error("placeholder")]
    pub struct Error;
    #[derive(Clone, Debug)]
    pub struct Client;
    impl Client {
        /// Connects to the sockets in `directory` and says hello with `secret`.
        pub async fn connect(_directory: &Path, _secret: &[u8]) -> Result<Self, Error> { todo!() }
        /// Process ID of the launcher as the caller's PID namespace sees it (SO_PEERCRED).
        pub fn peer_pid(&self) -> i32 { todo!() }
        pub fn hello(&self) -> &v1::HelloResponse { todo!() }
        pub async fn start(&self, _record: &MachineRecord, _descriptors: Descriptors) -> Result<v1::MachineState, Error> { todo!() }
        pub async fn shutdown(&self, _grace_period_seconds: u64) -> Result<(), Error> { todo!() }
        pub async fn kill(&self) -> Result<(), Error> { todo!() }
        pub async fn pause(&self) -> Result<(), Error> { todo!() }
        pub async fn resume(&self) -> Result<(), Error> { todo!() }
        pub async fn reset(&self) -> Result<(), Error> { todo!() }
        pub async fn state(&self) -> Result<v1::MachineState, Error> { todo!() }
        /// The stream ends when the launcher goes away.
        pub async fn watch(&self) -> Result<tokio_stream::wrappers::ReceiverStream<v1::MachineState>, Error> { todo!() }
    }
}
