//! Logs that never grow beyond a bound.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One file that is written and one before it: appends to `NAME`; when that would outgrow the limit it becomes `NAME.1` and a new one begins.
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
        Ok(Self { path: path.to_owned(), file, size, limit })
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

/// Reads the last bytes, `most` of them, of the log at `path`; a log that is not there is empty.
pub(super) fn last(path: &Path, most: usize) -> Vec<u8> {
    let mut previous = path.to_owned().into_os_string();
    previous.push(".1");
    let mut bytes = end(path, most).unwrap_or_default();
    if bytes.len() < most {
        let mut before = end(Path::new(&previous), most - bytes.len()).unwrap_or_default();
        before.append(&mut bytes);
        bytes = before;
    }
    bytes
}

fn end(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(most as u64)))?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Wait between two looks at a log that another process writes.
const LOOK: Duration = Duration::from_secs(60);

/// Empties the log at `path` whenever it has outgrown `limit` bytes, until dropped. Its writer appends, so it
/// goes on at the new end. A guest that makes its hypervisor grumble must not fill the node's disk.
pub(super) async fn bound(path: PathBuf, limit: u64) {
    loop {
        tokio::time::sleep(LOOK).await;
        let emptied = File::options().write(true).open(&path).and_then(|file| {
            let size = file.metadata()?.len();
            if size > limit { file.set_len(0) } else { Ok(()) }
        });
        if let Err(error) = emptied {
            tracing::warn!(%error, path = %path.display(), "bound a log");
        }
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
        assert_eq!((read("serial0.log.1").as_str(), read("serial0.log").as_str()), ("0123456789", "abc"));
        log.append(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ").unwrap();
        assert_eq!((read("serial0.log.1").as_str(), read("serial0.log").as_str()), ("KLMNOPQRST", "UVWXYZ"));
        assert_eq!(last(&path, 9), b"RSTUVWXYZ");
        assert_eq!(last(&path, 4), b"WXYZ");
        assert_eq!(last(&directory.path().join("absent"), 4), b"");
    }

    #[tokio::test(start_paused = true)]
    async fn another_writers_log_is_emptied_when_it_has_outgrown_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hypervisor.log");
        let mut writer = File::options().create(true).append(true).open(&path).unwrap();
        let bounded = tokio::spawn(bound(path.clone(), 10));
        writer.write_all(b"0123456789").unwrap();
        tokio::time::sleep(2 * LOOK).await;
        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
        writer.write_all(b"ab").unwrap();
        tokio::time::sleep(2 * LOOK).await;
        writer.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        bounded.abort();
    }
}
