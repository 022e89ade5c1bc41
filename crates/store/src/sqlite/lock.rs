//! The file beside the database that keeps a second process out, and remembers how far the first one came.
//!
//! SQLite cannot tell a write-ahead log that lost its end, or was taken away, from one that was never longer. The number
//! of the latest change is therefore noted here before anybody is told of the change. The note is not synchronised: it
//! outlives every death of the process, and after a power failure it is at worst an older one, which finds less.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Error, Result, Revision};

/// Decimal digits of the largest revision.
const DIGITS: usize = 20;

/// The lock of a database, held for as long as this value lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of the database at `path`.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it.
    pub(super) fn take(path: &Path) -> Result<Self> {
        let mut name = OsString::from(path);
        name.push(".lock");
        let name = PathBuf::from(name);
        let io = |source| Error::Io { doing: "lock", path: name.clone(), source: Arc::new(source) };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&name)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path: name }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Returns the latest change that somebody may have been told of; `None` where nothing is noted.
    pub(super) fn noted(&self) -> Option<Revision> {
        let mut digits = [0; DIGITS];
        self.file.read_exact_at(&mut digits, 0).ok()?;
        std::str::from_utf8(&digits).ok()?.parse().ok()
    }

    /// Notes that the database ends at `revision`.
    pub(super) fn note(&self, revision: Revision) {
        let line = format!("{revision:0DIGITS$}\n");
        // Without the note less is noticed, nothing is lost.
        if let Err(error) = self.file.write_all_at(line.as_bytes(), 0) {
            tracing::warn!(path = %self.path.display(), %error, "the end of the store is not noted");
        }
    }
}
