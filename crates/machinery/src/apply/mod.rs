//! Server-side apply: who owns which field, and what happens when owners disagree.
//!
//! Every writer of an object is a manager; `metadata.managedFields` says which fields each one set. An *update*
//! (create, replace, patch) takes the fields that it changed, from whoever had them. An *apply* states all fields
//! that its manager wants: fields that others own and that would change are conflicts, unless forced; fields that
//! the manager stated before and no longer states are removed, unless others own them too.
//!
//! ```text
//! update: old object, new object  -> compare -> changed fields to the writer, removed fields from all
//! apply:  live object, stated fields -> merge -> drop what was given up -> compare -> conflicts or new owners
//! ```
//!
//! The functions here are pure; `now` comes from the caller. The applied object is neither defaulted nor
//! validated: the caller does that, as for any other write.

mod compare;
mod engine;
mod extract;
mod last_applied;
mod managed;
mod merge;
mod path;
mod remove;
mod set;
#[cfg(test)]
mod tests;

pub use engine::{Scope, Writer, apply, keep_times_if_unchanged, update};
pub use managed::MANAGER_BEFORE_FIRST_APPLY;
pub use set::{FieldSet, SetError};

use thiserror::Error;

use crate::status::{Cause, Reason, Status};

/// One field that another manager owns and that the apply would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager, as messages name it.
    pub manager: String,
    /// The field's path, for example `.spec.containers[name="a"].image`.
    pub path: String,
}

/// Why an apply was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// The applied object says who owns what, which is not for it to say.
    #[error("metadata.managedFields must be nil")]
    HasManagedFields,
    /// The applied object does not fit the schema.
    #[error("failed to create typed patch object: {path}: {why}")]
    NotTyped {
        /// Where.
        path: String,
        /// What is wrong there.
        why: String,
    },
    /// Other managers own fields that would change.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
}

impl ApplyError {
    /// The answer to the client.
    pub fn status(&self) -> Status {
        match self {
            Self::HasManagedFields => Status::bad_request(self.to_string()),
            // The reference answers this with a bare 500.
            Self::NotTyped { .. } => Status::unexplained(500, self.to_string()),
            Self::Conflicts(conflicts) => {
                let cause = |conflict: &Conflict| Cause {
                    reason: "FieldManagerConflict".to_owned(),
                    message: format!("conflict with {}", conflict.manager),
                    field: conflict.path.clone(),
                };
                Status::failure(Reason::Conflict, self.to_string())
                    .with_causes(conflicts.iter().map(cause).collect())
            }
        }
    }
}

/// The sentence for people: managers with the fields that each one owns. kubectl prints it as it is.
fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [only] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", only.manager, only.path);
    }
    let mut message = format!("Apply failed with {} conflicts: ", conflicts.len());
    let mut managers: Vec<&str> = conflicts.iter().map(|c| c.manager.as_str()).collect();
    managers.sort_unstable();
    managers.dedup();
    let mut lines = Vec::new();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(conflicts.iter().filter(|c| c.manager == manager).map(|c| format!("- {}", c.path)));
    }
    message.push_str(&lines.join("\n"));
    message
}
