//! Room that is kept for the write-ahead log.
//!
//! Guests fill the disk that the store shares with theirs. What makes room again, and what tells of it, are writes: the
//! deletion of a machine, the condition that says why it stands still. So the log has blocks beyond its end that nobody
//! else gets (fallocate(2), `FALLOC_FL_KEEP_SIZE`): SQLite writes into them, and writes the log anew from its beginning
//! once all of it is in the database.

use std::fs::OpenOptions;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

/// Bytes that the log may grow to without asking the file system for more: some hundred writes. It is cut off where
/// it is longer, so these are never given back.
pub(super) const SIZE: u64 = 16 << 20;

/// A small disk is not filled by the reserve itself: this many times its size must be free.
const SPARE: u64 = 4;

/// Sees to it that the log beside the database at `log` has its room, if the file system can do that and has enough.
pub(super) fn keep(log: &Path) {
    let kept = OpenOptions::new().write(true).open(log).and_then(|file| {
        let facts = fstatvfs(&file)?;
        if facts.f_bavail.saturating_mul(facts.f_frsize) >= SPARE * SIZE {
            fallocate(&file, FallocateFlags::KEEP_SIZE, 0, SIZE)?;
        }
        Ok(())
    });
    if let Err(error) = kept {
        tracing::debug!(path = %log.display(), %error, "no room is kept for the log");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn the_log_has_blocks_beyond_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        std::fs::write(&log, b"begun").unwrap();
        keep(&log);
        let facts = log.metadata().unwrap();
        assert_eq!(facts.len(), 5, "it is as long as it was");
        let space = rustix::fs::statvfs(directory.path()).unwrap();
        if space.f_bavail * space.f_frsize >= SPARE * SIZE {
            assert!(facts.blocks() * 512 >= SIZE, "{} blocks", facts.blocks());
        }
        keep(&directory.path().join("none"));
    }
}
