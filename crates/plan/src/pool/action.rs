//! What a step of a pool may ask for.

use std::fmt;

use serde_json::Value;

use crate::{Notice, patch};

/// One thing to do for a pool.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Let a machine go that the pool controls, if it is still this one.
    Release {
        /// Its name.
        name: String,
        /// The machine.
        uid: String,
    },
    /// Keep the pool's specification as it is now as a revision.
    KeepRevision {
        /// Its name.
        name: String,
    },
    /// Create a machine from the template.
    Create {
        /// Its name.
        name: String,
        /// Its number.
        index: usize,
        /// The revision that it is made from.
        revision: String,
    },
    /// Take a machine off the owners of its disks, so that they stay.
    KeepDisks {
        /// Its name.
        name: String,
        /// The machine.
        uid: String,
    },
    /// Delete a machine, if it is still this one.
    Delete {
        /// Its name.
        name: String,
        /// The machine.
        uid: String,
        /// Whether what it owns goes before it, so that its successor meets nothing of it.
        clean: bool,
    },
    /// Make a machine what the template says now, if it is still this one.
    Update {
        /// Its name.
        name: String,
        /// The machine.
        uid: String,
        /// Its number.
        index: usize,
        /// The revision that it is then made from.
        revision: String,
    },
    /// Have a machine's instance replaced by a new one, if it is still this one.
    Restart {
        /// The machine's name.
        name: String,
        /// The machine.
        uid: String,
        /// The instance.
        instance: String,
    },
    /// Say on an instance that it is as a revision says.
    Relabel {
        /// The machine's name, and the instance's.
        name: String,
        /// The instance.
        instance: String,
        /// The revision.
        revision: String,
    },
    /// Change the status, provided that the pool has not changed since.
    WriteStatus {
        /// Merge patch of the status.
        patch: Value,
    },
    /// Remove a revision that nothing is made from any more.
    ForgetRevision {
        /// Its name.
        name: String,
    },
    /// Tell what happened, once the actions before have succeeded.
    Tell(Notice),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release { name, uid } => write!(f, "release machine {name} ({uid})"),
            Self::KeepRevision { name } => write!(f, "keep revision {name}"),
            Self::Create { name, revision, .. } => write!(f, "create machine {name} from {revision}"),
            Self::KeepDisks { name, uid } => write!(f, "keep the disks of machine {name} ({uid})"),
            Self::Delete { name, uid, clean: false } => write!(f, "delete machine {name} ({uid})"),
            Self::Delete { name, uid, clean: true } => {
                write!(f, "delete machine {name} ({uid}) after what it owns")
            }
            Self::Update { name, uid, revision, .. } => {
                write!(f, "update machine {name} ({uid}) to {revision}")
            }
            Self::Restart { name, instance, .. } => write!(f, "restart machine {name} (instance {instance})"),
            Self::Relabel { name, revision, .. } => write!(f, "label instance {name} with {revision}"),
            Self::WriteStatus { patch } => {
                f.write_str("write status")?;
                patch::lines(patch, f)
            }
            Self::ForgetRevision { name } => write!(f, "forget revision {name}"),
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}
