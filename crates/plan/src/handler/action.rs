//! What a step of the agent may ask for.

use std::fmt;

use serde_json::Value;

use crate::{Notice, patch};

/// One thing to do for an instance on this node.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Prepare disks and networks, and have the launcher start the machine.
    Start,
    /// Press the power button; the machine is killed when the grace is over.
    Shutdown {
        /// Seconds until then.
        grace_seconds: u64,
    },
    /// Let the processors run again.
    Resume,
    /// Connect or disconnect the cables of interfaces.
    SetLinks {
        /// Names of the interfaces, and whether the cable is to be connected.
        links: Vec<(String, bool)>,
    },
    /// Have the guest's agent set the credentials that the instance names, where they changed. Goes on by itself.
    GiveCredentials,
    /// Tell at the node that its accelerator may be what keeps guests from booting.
    SuspectAccelerator {
        /// What was seen.
        message: String,
    },
    /// Change the status, provided that the instance has not changed since.
    Write {
        /// Merge patch of the instance.
        patch: Value,
    },
    /// Tell what happened, once the actions before have succeeded.
    Tell(Notice),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start the machine"),
            Self::SuspectAccelerator { message } => write!(f, "suspect the accelerator: {message}"),
            Self::GiveCredentials => f.write_str("have the guest's agent set credentials"),
            Self::SetLinks { links } => {
                f.write_str("set cables:")?;
                links
                    .iter()
                    .try_for_each(|(name, up)| write!(f, " {name} {}", if *up { "up" } else { "down" }))
            }
            Self::Resume => f.write_str("resume the machine"),
            Self::Shutdown { grace_seconds } => {
                write!(f, "press the power button, kill after {grace_seconds} s")
            }
            Self::Write { patch } => {
                f.write_str("write")?;
                patch::lines(patch, f)
            }
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}
