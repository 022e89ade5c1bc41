//! The two sockets of a launcher: gRPC for commands, SEQPACKET for open descriptors.
//!
//! An agent holds a [`Client`]; the launcher runs a [`Server`] over its [`Supervisor`]. Both sockets lie in one
//! directory that only the agent and the Pod reach. The uid of a peer is checked, but it proves little (without
//! root all uids look alike), so a session secret decides: the first `Hello` that a launcher receives sets it,
//! and a launcher that replaces a dead one reads it back from the Pod's private directory.
//!
//! Descriptors go first, in one batch, and are answered with a token; the command that needs them names the
//! token. A batch that no command claims is closed again.

use std::os::fd::OwnedFd;

use wire::machine::DescriptorName;

mod batch;
mod client;
mod descriptors;
mod path;
mod peer;
mod rpc;
mod secret;
pub mod seqpacket;
mod server;
mod service;

pub use client::{Client, Error};
pub use secret::Secret;
pub use server::{BindError, Identity, Server};
pub use service::{Refusal, StartOrder, Supervisor};

/// Name of the command socket in the launcher's socket directory.
pub const COMMAND_SOCKET: &str = "launcher-sock";
/// Name of the descriptor socket in the launcher's socket directory.
pub const DESCRIPTOR_SOCKET: &str = "descriptor-sock";

/// Open descriptors under their names.
pub type Descriptors = Vec<(DescriptorName, OwnedFd)>;
