//! Content on its way: what a pull has brought already, and no name needs yet.
//!
//! A pull takes as long as its registry likes. It must not keep anybody from making room for so long, and who makes room
//! must not take away what it has brought. So a pull writes down which content it is after, in a file that it keeps locked;
//! a lock ends with its process, whatever ends that.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::digest::Digest;
use crate::error::Error;
use crate::lock::Guard;
use crate::staging::unique;

/// Folder of a store that holds the leases.
pub(crate) const FOLDER: &str = "pulls";

/// Keeps content until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    path: PathBuf,
    /// Held for its lock.
    _file: File,
}

impl Lease {
    /// Keeps `wanted` in the store at `root`, whether it is there yet or not. The guard keeps removers out meanwhile.
    pub(crate) fn take(
        root: &Path,
        wanted: impl Iterator<Item = Digest>,
        _guard: &Guard,
    ) -> Result<Self, Error> {
        let path = unique(&root.join(FOLDER));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::system("create", &path))?;
        let lines: String = wanted.flat_map(|digest| [digest.hex(), "\n".to_owned()]).collect();
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| Error::system("lock", &path)(error.into()))?;
        file.write_all(lines.as_bytes()).map_err(Error::system("write", &path))?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // One that stays is removed by the next one who makes room.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns what is kept, and forgets leases whose holders are gone. Nobody else may be in.
pub(crate) fn leased(root: &Path, _guard: &Guard) -> Result<BTreeSet<Digest>, Error> {
    let folder = root.join(FOLDER);
    let mut kept = BTreeSet::new();
    for entry in fs::read_dir(&folder).map_err(Error::system("list", &folder))? {
        let path = entry.map_err(Error::system("list", &folder))?.path();
        // Its holder has just ended.
        let Ok(mut file) = File::open(&path) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            fs::remove_file(&path).map_err(Error::system("remove", &path))?;
            continue;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(Error::system("read", &path))?;
        kept.extend(text.lines().filter_map(Digest::from_hex));
    }
    Ok(kept)
}
