//! One lock file keeps removing apart from adding, across processes.

use std::fs::{File, OpenOptions};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::Error;

/// Holds the lock of a store until it is dropped (the descriptor's closing gives it back).
#[derive(Debug)]
pub(crate) struct Guard(#[allow(dead_code, reason = "held for its descriptor")] File);

/// Waits until nobody removes, and keeps removers out.
pub(crate) fn shared(root: &Path) -> Result<Guard, Error> {
    lock(root, FlockOperation::LockShared).map(Guard)
}

/// Waits until nobody adds, and keeps everybody out.
pub(crate) fn exclusive(root: &Path) -> Result<Guard, Error> {
    lock(root, FlockOperation::LockExclusive).map(Guard)
}

/// Keeps everybody out if nobody is in now.
pub(crate) fn exclusive_now(root: &Path) -> Option<Guard> {
    lock(root, FlockOperation::NonBlockingLockExclusive).ok().map(Guard)
}

fn lock(root: &Path, operation: FlockOperation) -> Result<File, Error> {
    let path = root.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::system("open the lock", &path))?;
    flock(&file, operation).map_err(|error| Error::system("lock", &path)(error.into()))?;
    Ok(file)
}
