//! What a step of a replica set may ask for.

use std::fmt;

use serde_json::Value;

use crate::{Notice, patch};

/// One thing to do for a replica set.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Put annotations on the set that say which version of the API observed it.
    Mark,
    /// Make an instance that nobody controls the set's, if it is still this one.
    Claim {
        /// Its name.
        name: String,
        /// The instance.
        uid: String,
    },
    /// Let an instance go, if it is still this one.
    Release {
        /// Its name.
        name: String,
        /// The instance.
        uid: String,
    },
    /// Create an instance from the template.
    Create {
        /// Its name.
        name: String,
    },
    /// Delete an instance, if it is still this one.
    Delete {
        /// Its name.
        name: String,
        /// The instance.
        uid: String,
    },
    /// Change the status, provided that the set has not changed since.
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
            Self::Mark => f.write_str("add the observed API version"),
            Self::Claim { name, uid } => write!(f, "claim instance {name} ({uid})"),
            Self::Release { name, uid } => write!(f, "release instance {name} ({uid})"),
            Self::Create { name } => write!(f, "create instance {name}"),
            Self::Delete { name, uid } => write!(f, "delete instance {name} ({uid})"),
            Self::WriteStatus { patch } => {
                f.write_str("write status")?;
                patch::lines(patch, f)
            }
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}
