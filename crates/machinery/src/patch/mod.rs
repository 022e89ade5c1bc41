//! Patches: JSON patch, JSON merge patch and strategic merge patch.
//!
//! Each takes the object as it is and the patch, and returns the patched object or says why it cannot.

pub mod json;
pub mod merge;
pub mod strategic;

use thiserror::Error;

use crate::status::{Reason, Status};

/// Why a patch was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatchError {
    /// The patch is not of its kind's form.
    #[error("error decoding patch: {0}")]
    Form(String),
    /// More operations than anybody needs.
    #[error("the allowed maximum operations in a JSON patch is {most}, got {found}")]
    TooMany {
        /// The limit.
        most: usize,
        /// What the patch has.
        found: usize,
    },
    /// The object does not have what the patch names, or a test failed.
    #[error("the patch does not apply to the object: {0}")]
    DoesNotApply(String),
    /// An element that is to be merged does not say which one it is.
    #[error("a list element of the patch does not contain the declared merge key {key:?}: {element}")]
    NoMergeKey {
        /// The key.
        key: String,
        /// The element.
        element: String,
    },
}

impl PatchError {
    /// The answer to the client.
    pub fn status(&self) -> Status {
        match self {
            Self::Form(_) => Status::bad_request(self.to_string()),
            Self::TooMany { .. } => Status::too_large(self.to_string()),
            Self::DoesNotApply(_) => Status::failure(Reason::Invalid, self.to_string()),
            // The reference answers this with a bare 500, and clients that retry on it rely on the code.
            Self::NoMergeKey { .. } => Status::unexplained(500, self.to_string()),
        }
    }
}
