//! Files that are not complete yet.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};

use crate::digest::{Digest, Hasher};
use crate::error::Error;
use crate::limits::Limits;

/// How much is written between two looks at the free space.
const SPACE_INTERVAL: u64 = 32 << 20;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Returns a path in `staging` that nobody else uses.
pub(crate) fn unique(staging: &Path) -> PathBuf {
    staging.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Fails when less than the reserve is free on the file system of `path`.
pub(crate) fn check_space(path: &Path, limits: &Limits) -> Result<(), Error> {
    let state = rustix::fs::statvfs(path).map_err(|error| Error::system("measure", path)(error.into()))?;
    let free = state.f_bavail * state.f_frsize;
    if free < limits.reserve {
        return Err(Error::Space { path: path.to_owned(), free, reserve: limits.reserve });
    }
    Ok(())
}

/// A blob on its way into the store. It is deleted when it is dropped before it was finished.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
    staging: PathBuf,
    file: Option<File>,
    hasher: Hasher,
    limits: Limits,
    what: String,
    checked: u64,
}

impl Staged {
    /// Begins a blob that errors call `what`.
    pub(crate) fn new(staging: &Path, limits: Limits, what: String) -> Result<Self, Error> {
        check_space(staging, &limits)?;
        let (path, file) = begin(staging)?;
        Ok(Self {
            path,
            staging: staging.to_owned(),
            file: Some(file),
            hasher: Hasher::default(),
            limits,
            what,
            checked: 0,
        })
    }

    /// Adds `bytes`. `expected` is the size that was promised, if one was.
    pub(crate) fn write(&mut self, bytes: &[u8], expected: Option<u64>) -> Result<(), Error> {
        self.hasher.update(bytes);
        let length = self.hasher.length();
        if let Some(expected) = expected
            && length > expected
        {
            return Err(Error::Size { what: self.what.clone(), expected, found: length });
        }
        if length > self.limits.blob {
            return Err(Error::Limit {
                what: self.what.clone(),
                limit: format!("{} bytes", self.limits.blob),
            });
        }
        if length - self.checked > SPACE_INTERVAL {
            self.checked = length;
            check_space(&self.staging, &self.limits)?;
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes).map_err(|error| self.full(error)),
            None => Ok(()),
        }
    }

    fn full(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::StorageFull {
            return Error::Space { path: self.staging.clone(), free: 0, reserve: self.limits.reserve };
        }
        Error::system("write", &self.path)(error)
    }

    /// Checks size and digest, makes the content durable and gives it its name in `blobs`.
    pub(crate) fn finish(
        mut self,
        blobs: &Path,
        expected: Option<(Digest, u64)>,
    ) -> Result<(Digest, u64), Error> {
        let length = self.hasher.length();
        let found = std::mem::take(&mut self.hasher).finish();
        if let Some((digest, size)) = expected {
            if length != size {
                return Err(Error::Size { what: self.what.clone(), expected: size, found: length });
            }
            if digest != found {
                return Err(Error::Mismatch { what: self.what.clone(), expected: digest, found });
            }
        }
        // Its lock is held until it has its name.
        let file = self.file.take();
        if let Some(file) = &file {
            file.sync_data().map_err(|error| self.full(error))?;
        }
        let target = blobs.join(found.hex());
        fs::rename(&self.path, &target).map_err(Error::system("name", &target))?;
        sync_directory(blobs)?;
        Ok((found, length))
    }
}

/// Makes a file and locks it for as long as it is open: who opens a store clears away what nobody writes any more.
fn begin(staging: &Path) -> Result<(PathBuf, File), Error> {
    loop {
        let path = unique(staging);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::system("create", &path))?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| Error::system("lock", &path)(error.into()))?;
        // Somebody may have cleared it away before it was locked.
        if file.metadata().map_err(Error::system("look at", &path))?.nlink() > 0 {
            return Ok((path, file));
        }
    }
}

/// Tells whether somebody still writes to the file.
pub(crate) fn is_written(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| {
        flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK)
    })
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After finish() the name is gone, and there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the names in `directory` durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), Error> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(Error::system("sync", directory))
}

/// Writes a small file that is either there in full or not at all.
pub(crate) fn write_file(staging: &Path, target: &Path, content: &[u8]) -> Result<(), Error> {
    let path = unique(staging);
    // Its owner only: a record may tell logins apart.
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let written = opened.and_then(|mut file| {
        file.write_all(content)?;
        file.sync_data()
    });
    written.map_err(Error::system("write", &path))?;
    fs::rename(&path, target).map_err(Error::system("name", target))?;
    target.parent().map_or(Ok(()), sync_directory)
}
