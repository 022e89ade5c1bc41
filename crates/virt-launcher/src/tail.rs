//! Follows a console's log, as the Pod's `guest-console-log` container does in a cluster.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Wait between two looks at a log that has not grown.
const PAUSE: Duration = Duration::from_millis(250);

/// Copies the log at `path` to `out` as it grows, through its rotations, until `out` is closed. Waits for a
/// log that does not exist yet.
pub fn run(path: &Path, out: &mut dyn Write) -> io::Result<()> {
    let mut open: Option<File> = None;
    loop {
        if let Some(file) = &mut open {
            copy(file, out)?;
        }
        let current = match std::fs::metadata(path) {
            Ok(metadata) => Some((metadata.dev(), metadata.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let held =
            open.as_ref().map(File::metadata).transpose()?.map(|metadata| (metadata.dev(), metadata.ino()));
        if current.is_some() && current != held {
            // What was written between the last look and the rotation.
            if let Some(file) = &mut open {
                copy(file, out)?;
            }
            open = Some(File::open(path)?);
        } else {
            std::thread::sleep(PAUSE);
        }
    }
}

fn copy(file: &mut File, out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return out.flush();
        }
        out.write_all(&buffer[..count])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Closes when it has seen enough, and rotates the log on the way.
    struct Sink<'a> {
        seen: Vec<u8>,
        log: &'a Path,
    }

    impl Write for Sink<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.seen.extend_from_slice(bytes);
            if self.seen.ends_with(b"one\n") {
                std::fs::rename(self.log, self.log.with_extension("1"))?;
                std::fs::write(self.log, "two\n")?;
            }
            if self.seen.ends_with(b"two\n") {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_rotation_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("serial0.log");
        std::fs::write(&log, "one\n").unwrap();
        let mut sink = Sink { seen: Vec::new(), log: &log };
        let ended = run(&log, &mut sink).unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(sink.seen, b"one\ntwo\n");
    }
}
