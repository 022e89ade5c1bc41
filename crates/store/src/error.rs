//! What can go wrong in a store.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{Entry, Expected, Revision};

/// The failure of a store operation.
#[allow(clippy::error_impl_error, reason = "the one error of the crate, named by its path")]
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The expectation of a write did not hold; nothing was changed.
    #[error("the write to {key} expected {expected:?} but found {found}", found = found(.actual.as_deref()))]
    Conflict {
        /// The key of the write.
        key: Arc<str>,
        /// What it expected.
        expected: Expected,
        /// What is there.
        actual: Option<Box<Entry>>,
    },
    /// The revision asked for is older than what the log still keeps.
    #[error(
        "revision {requested} has been compacted away; the oldest that can be read is {floor}: list again"
    )]
    Compacted {
        /// The revision asked for.
        requested: Revision,
        /// The oldest revision that can be read.
        floor: Revision,
    },
    /// The revision asked for has not happened yet.
    #[error("revision {requested} lies in the future; the latest is {current}")]
    Future {
        /// The revision asked for.
        requested: Revision,
        /// The latest revision.
        current: Revision,
    },
    /// Another process has the store open.
    #[error("{path} is in use by another process; stop it, or use another data directory")]
    Locked {
        /// The database file.
        path: PathBuf,
    },
    /// The file is not a store, or not intact.
    #[error(
        "the store {path} is damaged ({detail}); restore it from a backup, or move it and the files beside it away to start empty"
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What the check found.
        detail: String,
    },
    /// There was a database, and it is not there any more.
    #[error(
        "the store {path} is gone or empty, and {revision} changes were written to it; put it back or restore a backup, \
        or remove {note} to start empty"
    )]
    Gone {
        /// The database file.
        path: PathBuf,
        /// The latest change that was written.
        revision: Revision,
        /// The file that remembers it.
        note: PathBuf,
    },
    /// The file was written by a newer release.
    #[error(
        "the store {path} has schema {found}, this release knows up to {known}; use the release that wrote it"
    )]
    TooNew {
        /// The database file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest schema version that this release knows.
        known: u32,
    },
    /// The disk is full; the write was not done.
    #[error("no space is left for the store {path}; free some, then try again")]
    NoSpace {
        /// The database file.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: Arc<std::io::Error>,
    },
    /// The database failed.
    #[error("cannot {doing} in the store {path}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The database file.
        path: PathBuf,
        /// Why it failed.
        source: Arc<rusqlite::Error>,
    },
    /// Nothing can be read or written any more.
    #[error("the store does not answer: {detail}")]
    Stopped {
        /// Why.
        detail: String,
    },
}

fn found(actual: Option<&Entry>) -> String {
    actual.map_or_else(|| "nothing".to_owned(), |entry| format!("revision {}", entry.modified))
}
