//! What a step of an instance may ask for.

use std::fmt;

use serde_json::Value;

use crate::{Notice, patch};

/// One thing to do for an instance.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create the launcher Pod (see [`launcher`](super::launcher)); already there: fine.
    CreatePod {
        /// Name of the Pod.
        name: String,
    },
    /// Delete a Pod, if it is still this one.
    DeletePod {
        /// Name of the Pod.
        name: String,
        /// Identity of the Pod.
        uid: String,
    },
    /// Say at the Pod whether the guest stands still, which takes it out of its Services.
    SetGate {
        /// Name of the Pod.
        name: String,
        /// Identity of the Pod.
        uid: String,
        /// Whether it may serve.
        open: bool,
        /// One word why; whoever probes the Pod tells by it a guest that will go on from one that has failed.
        reason: String,
    },
    /// Change labels and status in one write, provided that the instance has not changed since.
    Write {
        /// Merge patch of the instance.
        patch: Value,
    },
    /// Take the finalizers off, which lets the instance go.
    RemoveFinalizers,
    /// Tell what happened, once the actions before have succeeded.
    Tell(Notice),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreatePod { name } => write!(f, "create Pod {name}"),
            Self::DeletePod { name, .. } => write!(f, "delete Pod {name}"),
            Self::SetGate { name, open, .. } => {
                write!(f, "{} the gate of Pod {name}", if *open { "open" } else { "close" })
            }
            Self::Write { patch } => {
                f.write_str("write")?;
                patch::lines(patch, f)
            }
            Self::RemoveFinalizers => f.write_str("remove the finalizers"),
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}
