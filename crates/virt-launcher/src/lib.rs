//! One virtual machine's supervisor: the first process of a launcher Pod, and the launcher that it keeps alive.
//!
//! ```text
//! shim (PID 1, no runtime)
//! ├── virt-launcher        serves the agent; may die and is replaced
//! └── hypervisor           does not notice
//! ```
//!
//! The [`shim`] makes, reaps and outlives both; what the launcher would lose with its life (the serial port's
//! channel, the DHCP sockets) the shim keeps a copy of and hands to the next one. The [`launcher`] serves
//! `launcher-channel`, drives the hypervisor through its control socket, and can attach to one that runs
//! already. Only the Pod's own end, or the shim's, ends a guest.
//!
//! [`tail`] follows the console's log for a Pod's side container; [`probe`] asks the guest's agent for its kubelet.

mod clock;
mod files;
pub mod launcher;
pub mod options;
pub mod probe;
pub mod shim;
pub mod tail;

pub use options::{Mode, Options};
