//! The file that a container's output goes to, read across its changes.
//!
//! A log may be rotated by its writer (`NAME` becomes `NAME.1`, and a new `NAME` begins), cut at its beginning by the
//! node ([`super::bound`]), or emptied. A reader that follows it sees each line once all the same.

use std::io::{self, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::bound;
use crate::inside;

const CHUNK: usize = 64 * 1024;

/// A place in a log.
pub(super) struct Source {
    /// The Pod's directory, which the log is in.
    pod: PathBuf,
    path: PathBuf,
    /// The file that is read, and the place in it; none before its writer has come to it.
    file: Option<(File, u64)>,
    modified: Option<Timestamp>,
}

impl Source {
    /// Opens the log at `path` in the Pod's directory `pod`, `tail` lines before its end or at its beginning.
    pub(super) async fn open(pod: &Path, path: &Path, tail: Option<u64>) -> io::Result<Self> {
        let mut file = None;
        if let Some(mut current) = existing(pod, path).await? {
            let (start, missing) = begin(&mut current, tail).await?;
            file = Some((current, start));
            // The lines before those are in the file before this one.
            if missing != Some(0)
                && let Some(mut previous) = existing(pod, &before(path)).await?
            {
                let (start, _) = begin(&mut previous, missing).await?;
                file = Some((previous, start));
            }
        }
        Ok(Self { pod: pod.to_owned(), path: path.to_owned(), file, modified: None })
    }

    /// Returns when the file that was read last was last written to.
    pub(super) fn modified(&self) -> Option<Timestamp> {
        self.modified
    }

    /// Reads on; nothing at the end.
    pub(super) async fn read(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let Some((file, place)) = &mut self.file else {
                let Some(mut file) = existing(&self.pod, &self.path).await? else { return Ok(Vec::new()) };
                let (start, _) = begin(&mut file, None).await?;
                self.file = Some((file, start));
                continue;
            };
            let data = file.metadata().await?;
            self.modified = data.modified().ok().and_then(|time| time.try_into().ok());
            if data.len() < *place {
                *place = 0;
            }
            *place = (*place).max(bound::start(file).await?);
            file.seek(SeekFrom::Start(*place)).await?;
            let mut chunk = vec![0u8; CHUNK];
            let read = file.read(&mut chunk).await?;
            chunk.truncate(read);
            *place += read as u64;
            if read > 0 {
                return Ok(chunk);
            }
            // A writer that rotated writes no more to this one.
            let is_current = match existing(&self.pod, &self.path).await? {
                Some(now) => {
                    let now = now.metadata().await?;
                    (now.dev(), now.ino()) == (data.dev(), data.ino())
                }
                None => true,
            };
            if is_current || file.metadata().await?.len() > *place {
                return Ok(chunk);
            }
            self.file = None;
        }
    }
}

/// Name of the file that was the log before this one.
fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

async fn existing(pod: &Path, path: &Path) -> io::Result<Option<File>> {
    let (pod, path) = (pod.to_owned(), path.to_owned());
    let opened = tokio::task::spawn_blocking(move || inside::open(&pod, &path)).await;
    match opened.map_err(io::Error::from).flatten() {
        Ok(file) => Ok(Some(File::from_std(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Finds where the last `lines` lines of a file begin, and how many lines it lacks to that number. Without a number it is
/// the beginning, and all that is before is missing.
async fn begin(file: &mut File, lines: Option<u64>) -> io::Result<(u64, Option<u64>)> {
    let first = first_line(file).await?;
    let Some(lines) = lines else { return Ok((first, None)) };
    let mut end = file.seek(SeekFrom::End(0)).await?;
    if lines == 0 {
        return Ok((end, Some(0)));
    }
    let (mut left, mut at_end) = (lines, true);
    while end > first {
        let start = end.saturating_sub(CHUNK as u64).max(first);
        file.seek(SeekFrom::Start(start)).await?;
        let mut block = vec![0u8; (end - start) as usize];
        file.read_exact(&mut block).await?;
        for (index, byte) in block.iter().enumerate().rev() {
            // The newline at the very end closes the last line, it does not begin another one.
            let closes_last = at_end && index + 1 == block.len();
            if *byte == b'\n' && !closes_last {
                left -= 1;
                if left == 0 {
                    return Ok((start + index as u64 + 1, Some(0)));
                }
            }
        }
        at_end = false;
        end = start;
    }
    // The first line has no newline before it.
    Ok((first, Some(if at_end { left } else { left - 1 })))
}

/// Finds the first whole line: what was cut off a log may have ended in the middle of one.
async fn first_line(file: &mut File) -> io::Result<u64> {
    let start = bound::start(file).await?;
    if start == 0 {
        return Ok(0);
    }
    let mut place = start;
    file.seek(SeekFrom::Start(start)).await?;
    let mut block = vec![0u8; CHUNK];
    loop {
        let read = file.read(&mut block).await?;
        if let Some(at) = block[..read].iter().position(|byte| *byte == b'\n') {
            return Ok(place + at as u64 + 1);
        }
        place += read as u64;
        if read == 0 {
            return Ok(start);
        }
    }
}
