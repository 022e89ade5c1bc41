//! Reading and writing PEM files.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::{Error, Result};

/// Mode of files with private keys.
pub(crate) const PRIVATE: u32 = 0o600;
/// Mode of files that everyone may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Reads a file, or returns nothing when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { doing: "read", path: path.to_owned(), source }),
    }
}

/// Replaces a file as a whole: readers see the old text or the new one. The directory is made if need be.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let wrap = |source| Error::File { doing: "write", path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(wrap)?;
    }
    let temporary = path.with_extension("new");
    // A leftover of an interrupted write could have another mode.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(wrap(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).map_err(wrap)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrap)?;
    fs::rename(&temporary, path).map_err(wrap)
}

/// Reads the two files of a pair; both exist or neither.
pub(crate) fn read_pair(certificate: &Path, key: &Path) -> Result<Option<(String, String)>> {
    let half = |present: &Path, missing: &Path| Error::HalfPair {
        present: present.to_owned(),
        missing: missing.to_owned(),
    };
    match (read(certificate)?, read(key)?) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(half(certificate, key)),
        (None, Some(_)) => Err(half(key, certificate)),
    }
}
