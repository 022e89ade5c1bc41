//! The files of a run directory.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

pub(crate) use wire::launcher::SESSION;

/// Record of the machine, as it was given; written before the hypervisor is executed.
pub(crate) const RECORD: &str = "machine.json";
/// The hypervisor's process, while it runs.
pub(crate) const HYPERVISOR: &str = "hypervisor.json";
/// How the hypervisor's process ended.
pub(crate) const EXIT: &str = "hypervisor-exit.json";
/// Exit code of the shim itself, which is the Pod's.
pub(crate) const EXIT_CODE: &str = "exit-code";
/// What the hypervisor wrote to its standard output and error.
pub(crate) const HYPERVISOR_LOG: &str = "hypervisor.log";
/// Output of the first serial port.
pub(crate) const SERIAL_LOG: &str = "serial0.log";
/// Console of the first serial port, in the socket directory.
pub(crate) const SERIAL_SOCKET: &str = "serial0-sock";

/// Writes a file so that readers see the old content or the new, never a part. Only its owner may read it.
pub(crate) fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    draft(path)?.write_all(content)?;
    std::fs::rename(draft_path(path), path)
}

/// A file whose room was made before its content is known: a disk that fills up meanwhile does not keep it from being written.
#[derive(Debug)]
pub(crate) struct Reserved {
    path: PathBuf,
    draft: File,
}

impl Reserved {
    /// Bytes that there is room for.
    const ROOM: u64 = 64;

    /// Makes room beside `path`, which comes to be when it is filled.
    pub(crate) fn make(path: &Path) -> std::io::Result<Self> {
        let draft = draft(path)?;
        match rustix::fs::fallocate(&draft, FallocateFlags::KEEP_SIZE, 0, Self::ROOM) {
            // Where a file system knows no such thing, or is full already, writing is tried all the same.
            Err(Errno::OPNOTSUPP | Errno::NOSPC) | Ok(()) => Ok(Self { path: path.to_owned(), draft }),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the file its content.
    pub(crate) fn fill(mut self, content: &[u8]) -> std::io::Result<()> {
        self.draft.write_all(content)?;
        std::fs::rename(draft_path(&self.path), &self.path)
    }
}

fn draft_path(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn draft(path: &Path) -> std::io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(draft_path(path))
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn room_is_there_before_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exit-code");
        let reserved = Reserved::make(&path).unwrap();
        assert!(!path.exists(), "nobody may take it for an exit code");
        let draft = reserved.draft.metadata().unwrap();
        assert_eq!(draft.len(), 0);
        assert!(draft.blocks() > 0, "the file system has set room aside");
        reserved.fill(b"143").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"143");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
