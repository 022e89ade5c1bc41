//! Runs machines under QEMU: its command line from the record, its life over QMP.
//!
//! [`Qemu`] is the backend; [`attach`] drives a running process; [`probe()`] asks an installed binary what it
//! can do, [`probe_once`] only one that it does not know. The command line is built in `args`, one file per device area. Every name that a guest or a user
//! could see (PCI slots, MAC addresses, machine type) comes from the record; the names that only QEMU and we
//! see are made here:
//!
//! | what | name |
//! |---|---|
//! | root port in slot N | `rpN` |
//! | disk NAME | device `disk-NAME`, block nodes `dI-L` and `dI-L-file` (place I, layer L) |
//! | interface NAME | device `nic-NAME`, host end `net-NAME` |
//! | files in the run directory | [`CONTROL_SOCKET`], [`AGENT_SOCKET`], [`VARIABLES`], [`TPM_STATE`], [`TPM_LOG`] |
//! | files in the socket directory | [`VNC_SOCKET`] |

mod args;
mod attach;
mod backend;
mod guest_agent;
pub mod probe;
mod remembered;

pub use attach::attach;
pub use backend::{FirmwareFiles, Qemu};
pub use probe::probe;
pub use remembered::probe_once;

/// QMP socket in the run directory.
pub const CONTROL_SOCKET: &str = "qmp.sock";
/// Host end of the guest agent's channel in the run directory.
pub const AGENT_SOCKET: &str = "agent.sock";
/// VNC socket in the socket directory.
pub const VNC_SOCKET: &str = "vnc-sock";
/// What a machine's TPM keeps that does not outlive the machine, in the run directory.
pub const TPM_STATE: &str = "tpm";
/// Log of the TPM's emulator in the run directory.
pub const TPM_LOG: &str = "tpm.log";
/// UEFI variables of a machine whose variables do not outlive it, in the run directory.
pub const VARIABLES: &str = "firmware-variables.fd";
/// Channel of the first serial port in the invocation.
pub const SERIAL_CHANNEL: &str = "serial0";
