//! A log that never grows beyond a bound: one file that is written and one before it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Appends to `NAME`; when that would outgrow the limit it becomes `NAME.1` and a new one begins.
#[derive(Debug)]
pub(super) struct RotatedLog {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl RotatedLog {
    /// Opens the log at `path`, goes on where it ended, and keeps each of its two files within `limit` bytes.
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            limit,
        })
    }

    /// Appends `bytes`.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(self.limit as usize) {
            if self.size > 0 && self.size + piece.len() as u64 > self.limit {
                self.rotate()?;
            }
            self.file.write_all(piece)?;
            self.size += piece.len() as u64;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut previous = self.path.clone().into_os_string();
        previous.push(".1");
        std::fs::rename(&self.path, previous)?;
        self.file = File::options().create(true).append(true).open(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_within_its_bound_and_keeps_the_newest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("serial0.log");
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        let mut log = RotatedLog::open(&path, 10).unwrap();
        log.append(b"0123456").unwrap();
        drop(log);
        let mut log = RotatedLog::open(&path, 10).unwrap();
        log.append(b"789").unwrap();
        assert_eq!(read("serial0.log"), "0123456789");
        log.append(b"abc").unwrap();
        assert_eq!(
            (read("serial0.log.1").as_str(), read("serial0.log").as_str()),
            ("0123456789", "abc")
        );
        log.append(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ").unwrap();
        assert_eq!(
            (read("serial0.log.1").as_str(), read("serial0.log").as_str()),
            ("KLMNOPQRST", "UVWXYZ")
        );
    }
}
