//! What the API server's extension asks of a node's agent about one machine.
//!
//! In one process these are arguments of a call; between hosts they travel as JSON in front of a stream.

use serde::{Deserialize, Serialize};

/// One instance on the agent's node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity: another instance of the same name is not meant.
    pub uid: String,
}

/// What a machine is told to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Command {
    /// Stop the processors.
    Pause,
    /// Let the processors run.
    Unpause,
    /// Press the reset button.
    Reset,
    /// Have the guest restart in order, by its agent or else by its power button.
    SoftReboot,
    /// Have the guest's agent flush and hold its file systems.
    Freeze {
        /// Seconds after which they are released by themselves; 0 never.
        unfreeze_after_seconds: u64,
    },
    /// Release held file systems.
    Unfreeze,
}

/// What is asked about a guest. The answer is the JSON object that the API shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Question {
    /// Everything that its agent tells.
    Guest,
    /// Who is logged in.
    Users,
    /// What is mounted.
    FileSystems,
}

/// Where a stream of bytes leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Channel {
    /// The first serial port.
    Console,
    /// The VNC server.
    Vnc {
        /// Be refused rather than end the session of somebody else.
        preserve_session: bool,
    },
    /// A TCP port of the guest.
    Tcp {
        /// The port.
        port: u16,
    },
    /// A UDP port of the guest: one datagram for each write and each read.
    Udp {
        /// The port.
        port: u16,
    },
}
