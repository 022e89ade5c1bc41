//! Keeps containers' logs from growing without end, whatever their writers do.
//!
//! The space of a log's beginning is given back to the file system while the file itself stays: its writer notices
//! nothing, no line is lost or doubled, and who follows the log stays where it is. File systems that cannot do that get
//! the file emptied instead.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use effects::Clock;
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

/// Bytes that a log may have, as Kubernetes' agent has it.
const LIMIT: u64 = 10 << 20;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);
/// File systems give space back in whole blocks.
const BLOCK: u64 = 4096;
/// Unit of the space that a file takes up.
const SECTOR: u64 = 512;

/// Bounds the logs of all containers of the Pods in `pods`, for ever.
pub(crate) async fn keep_bounded(pods: &Path, clock: &dyn Clock) {
    loop {
        clock.sleep(LOOK).await;
        let pods = pods.to_owned();
        // A look that breaks off is made up for by the next one.
        let _ = tokio::task::spawn_blocking(move || {
            let logs = entries(&pods).flat_map(|pod| entries(&pod.join("containers")));
            for log in logs.map(|container| container.join("0.log")) {
                match bound(&log, LIMIT) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(%error, log = %log.display(), "cannot bound a log");
                    }
                    _ => {}
                }
            }
        })
        .await;
    }
}

fn entries(directory: &Path) -> impl Iterator<Item = std::path::PathBuf> + use<> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Cuts a log that takes up more than `limit` bytes down to half of that.
pub(super) fn bound(path: &Path, limit: u64) -> io::Result<()> {
    let data = std::fs::metadata(path)?;
    if data.len() <= limit || data.blocks() * SECTOR <= limit {
        return Ok(());
    }
    let file = File::options().write(true).open(path)?;
    let cut = (data.len() - limit / 2) / BLOCK * BLOCK;
    match fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, cut) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => file.set_len(0),
        other => Ok(other?),
    }
}

/// Finds where a log begins: what is before was cut off.
pub(super) async fn start(file: &tokio::fs::File) -> io::Result<u64> {
    let data = file.metadata().await?;
    // A file that takes up as much as it holds has no hole.
    if data.blocks() * SECTOR >= data.len() {
        return Ok(0);
    }
    match seek(file, SeekFrom::Data(0)) {
        Ok(start) => Ok(start),
        // No data at all, or nobody can tell.
        Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_stays_within_its_bound_while_its_writer_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut writer = File::options().create(true).append(true).open(&path).unwrap();
        for _ in 0..40 {
            writer.write_all("x".repeat(100_000).as_bytes()).unwrap();
            bound(&path, 1 << 20).unwrap();
            let size = std::fs::metadata(&path).unwrap().blocks() * SECTOR;
            assert!(size <= (1 << 20) + 200_000, "{size}");
        }
    }

    #[test]
    fn a_short_log_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        std::fs::write(&path, vec![b'x'; 5000]).unwrap();
        bound(&path, 5000).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), vec![b'x'; 5000]);
    }
}
