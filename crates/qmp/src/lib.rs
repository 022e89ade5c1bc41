//! Client of QEMU's machine protocol (QMP) and of the guest agent's.
//!
//! Both are lines of JSON over a Unix socket. [`Client`] speaks QMP: it multiplexes commands by id, passes
//! descriptors, and hands out events, unknown ones raw. [`agent::Agent`] speaks to the agent inside the guest,
//! whose every word is untrusted: answers are bounded in size and time.
//!
//! Only the commands that are used have types; see [`command`].

pub mod agent;
mod client;
pub mod command;
mod event;
mod greeting;
mod line;
pub mod program;
mod send;

pub use client::{Client, Error, Events};
pub use command::Command;
pub use event::{Event, Timestamp};
pub use greeting::Version;
