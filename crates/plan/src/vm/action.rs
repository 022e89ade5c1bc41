//! What a step of a machine may ask for.

use std::fmt;

use serde_json::Value;

use super::RunStrategy;
use crate::{Notice, patch};

/// One thing to do for a machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Put this controller's finalizer on the machine, and annotations that say which version of the API observed it.
    Adopt {
        /// Where the devices of its instance stand, if the machine is to remember that.
        places: Option<String>,
    },
    /// Take this controller's finalizer off the machine, which lets it go.
    RemoveFinalizer,
    /// Keep what the machine names, as it is now, as ControllerRevisions, and refer to them in the status.
    HoldNames,
    /// Write what the machine names into it, in place of the names.
    ExpandNames,
    /// Let go of revisions that hold on to what the machine no longer names.
    ForgetNames,
    /// Keep the current specification as a ControllerRevision (already there: fine).
    KeepRevision {
        /// Name of the ControllerRevision.
        name: String,
    },
    /// Create the instance from the template.
    CreateInstance {
        /// Whether the guest stands still at first.
        paused: bool,
    },
    /// Make an instance that nobody controls the machine's, if it is still this one.
    ClaimInstance {
        /// The instance.
        uid: String,
    },
    /// Change the specification of the instance, if it is still this one.
    UpdateInstance {
        /// The instance.
        uid: String,
        /// Merge patch of the specification.
        patch: Value,
    },
    /// Delete the instance, if it is still this one.
    DeleteInstance {
        /// The instance.
        uid: String,
    },
    /// Change `spec.runStrategy`.
    SetStrategy(RunStrategy),
    /// Change the status, provided that the machine has not changed since.
    WriteStatus {
        /// Merge patch of the status.
        patch: Value,
    },
    /// Tell what happened, once the actions before have succeeded.
    Tell(Notice),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopt { places } => {
                f.write_str("add the finalizer and the observed API version")?;
                if places.is_some() { f.write_str(", and where the devices stand") } else { Ok(()) }
            }
            Self::RemoveFinalizer => f.write_str("remove the finalizer"),
            Self::HoldNames => f.write_str("hold the instance type and preference"),
            Self::ExpandNames => f.write_str("put the instance type and preference into the machine"),
            Self::ForgetNames => f.write_str("let go of the instance type and preference"),
            Self::KeepRevision { name } => write!(f, "keep revision {name}"),
            Self::CreateInstance { paused: false } => f.write_str("create the instance"),
            Self::CreateInstance { paused: true } => f.write_str("create the instance, standing still"),
            Self::ClaimInstance { uid } => write!(f, "claim instance {uid}"),
            Self::UpdateInstance { uid, patch } => {
                write!(f, "change instance {uid}")?;
                patch::lines(patch, f)
            }
            Self::DeleteInstance { uid } => write!(f, "delete instance {uid}"),
            Self::SetStrategy(strategy) => write!(f, "set run strategy {}", strategy.as_str()),
            Self::WriteStatus { patch } => {
                f.write_str("write status")?;
                patch::lines(patch, f)
            }
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}
