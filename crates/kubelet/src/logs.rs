//! Reads what a Pod's containers have written.
//!
//! Processes write straight into a file, so that they need nobody to run; the time of a line is therefore the
//! one that it begins with (or has as JSON field `timestamp`), else that of the line before it.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::record::Record;

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);
const CHUNK: usize = 64 * 1024;

/// What to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Name of the container.
    pub container: String,
    /// Go on as the log grows, until the Pod ends.
    pub follow: bool,
    /// The container's run before this one. Containers are never restarted here, so there is none.
    pub previous: bool,
    /// Only so many lines from the end.
    pub tail_lines: Option<u64>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
    /// Only lines from this time on.
    pub since: Option<Timestamp>,
    /// Begin each line with its time.
    pub timestamps: bool,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The Pod has not started, or is gone.
    #[error("container {0} has not started")]
    NotStarted(String),
    /// The Pod has no such container.
    #[error("the Pod has no container {0}")]
    NoContainer(String),
    /// Containers are not restarted.
    #[error("container {0} has no previous run: containers are never restarted on embedded nodes")]
    NoPrevious(String),
    /// The file cannot be read.
    #[error("cannot read the log of container {container}")]
    Read {
        /// Container.
        container: String,
        /// Cause.
        source: io::Error,
    },
}

/// Reads a container's log of the Pod `uid`, whose kubelet keeps its Pods in the directory `pods`.
///
/// The stream ends at the end of the log; when following, at the end of the Pod.
pub async fn read(
    pods: PathBuf,
    uid: &str,
    options: LogOptions,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, LogError> {
    let container = options.container.clone();
    let record = Record::load(&pods, uid).ok_or_else(|| LogError::NotStarted(container.clone()))?;
    let log = record.logs.iter().find(|log| log.container == container);
    let log = log.ok_or_else(|| LogError::NoContainer(container.clone()))?;
    if options.previous {
        return Err(LogError::NoPrevious(container));
    }
    let failed = |source| LogError::Read { container: container.clone(), source };
    let file = match File::open(&log.file).await {
        Ok(mut file) => {
            if let Some(lines) = options.tail_lines {
                let start = tail(&mut file, lines).await.map_err(failed)?;
                file.seek(SeekFrom::Start(start)).await.map_err(failed)?;
            }
            Some(file)
        }
        // Its writer has not come to it yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let lines = (options.timestamps || options.since.is_some()).then(|| Lines {
        time: record.started_at,
        since: options.since,
        timestamps: options.timestamps,
        pending: Vec::new(),
    });
    let reader = Reader {
        path: log.file.clone(),
        file,
        follow: options.follow,
        left: options.limit_bytes.unwrap_or(u64::MAX),
        lines,
        pods,
        uid: uid.to_owned(),
        last_look: false,
    };
    Ok(stream::try_unfold(reader, |mut reader| async move {
        Ok(reader.next().await?.map(|bytes| (bytes, reader)))
    }))
}

/// Finds where the last `lines` lines begin.
async fn tail(file: &mut File, lines: u64) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0)).await?;
    let mut left = lines;
    let mut first = true;
    while end > 0 {
        let size = end.min(CHUNK as u64);
        let start = end - size;
        file.seek(SeekFrom::Start(start)).await?;
        let mut block = vec![0u8; size as usize];
        file.read_exact(&mut block).await?;
        for (index, byte) in block.iter().enumerate().rev() {
            // The newline at the very end closes the last line, it does not begin another one.
            let closes_last = first && index + 1 == block.len();
            if *byte == b'\n' && !closes_last {
                if left <= 1 {
                    return Ok(if lines == 0 { end } else { start + index as u64 + 1 });
                }
                left -= 1;
            }
        }
        first = false;
        end = start;
    }
    if lines == 0 { file.seek(SeekFrom::End(0)).await } else { Ok(0) }
}

struct Reader {
    path: PathBuf,
    file: Option<File>,
    follow: bool,
    left: u64,
    lines: Option<Lines>,
    pods: PathBuf,
    uid: String,
    /// The Pod has ended: what is in the file now is all there will be.
    last_look: bool,
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.left > 0 {
            if self.file.is_none() {
                self.file = File::open(&self.path).await.ok();
            }
            let mut chunk = vec![0u8; CHUNK];
            let read = match &mut self.file {
                Some(file) => file.read(&mut chunk).await?,
                None => 0,
            };
            chunk.truncate(read);
            let bytes = match &mut self.lines {
                Some(lines) => lines.take(&chunk),
                None => chunk,
            };
            if !bytes.is_empty() {
                return Ok(Some(self.limit(bytes)));
            }
            if read > 0 {
                continue;
            }
            if !self.follow || self.last_look {
                let rest = self.lines.as_mut().map(Lines::rest).unwrap_or_default();
                self.follow = false;
                return Ok((!rest.is_empty()).then(|| self.limit(rest)));
            }
            if has_ended(&self.pods, &self.uid) {
                self.last_look = true;
            } else {
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(None)
    }

    fn limit(&mut self, mut bytes: Vec<u8>) -> Bytes {
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= bytes.len() as u64;
        bytes.into()
    }
}

fn has_ended(pods: &Path, uid: &str) -> bool {
    Record::load(pods, uid).is_none_or(|record| record.end.is_some())
}

/// Cuts bytes into lines and gives each its time.
struct Lines {
    time: Timestamp,
    since: Option<Timestamp>,
    timestamps: bool,
    pending: Vec<u8>,
}

impl Lines {
    /// Takes in more bytes; returns the lines that are complete and wanted.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pending.extend_from_slice(bytes);
        let mut out = Vec::new();
        let complete = self.pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.pending.drain(..complete).collect();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.add(line, &mut out);
        }
        out
    }

    /// Returns the last line, which has no end.
    fn rest(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let line = std::mem::take(&mut self.pending);
        if !line.is_empty() {
            self.add(&line, &mut out);
        }
        out
    }

    fn add(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if let Some(time) = time_of(line) {
            self.time = time;
        }
        if self.since.is_some_and(|since| self.time < since) {
            return;
        }
        if self.timestamps {
            out.extend_from_slice(format!("{:.9} ", self.time).as_bytes());
        }
        out.extend_from_slice(line);
    }
}

/// Reads the time that a line itself tells.
fn time_of(line: &[u8]) -> Option<Timestamp> {
    let line = std::str::from_utf8(line).ok()?.trim();
    if line.starts_with('{') {
        let object: serde_json::Value = serde_json::from_str(line).ok()?;
        return object.get("timestamp")?.as_str()?.parse().ok();
    }
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ContainerLog, End};
    use futures::TryStreamExt;
    use std::io::Write;

    const TEXT: &str =
        "begin\n2026-01-02T00:00:00Z one\n more of one\n{\"timestamp\":\"2026-01-03T00:00:00Z\"}\nrest";

    fn pod(end: bool) -> (tempfile::TempDir, PathBuf) {
        let pods = tempfile::tempdir().expect("a temporary directory");
        let file = pods.path().join("log");
        std::fs::write(&file, TEXT).expect("a log");
        let record = Record {
            uid: "u".into(),
            namespace: "n".into(),
            name: "p".into(),
            process: None,
            executed: true,
            address: None,
            started_at: Timestamp::UNIX_EPOCH,
            logs: vec![ContainerLog { container: "c".into(), file: file.clone() }],
            exit_code: None,
            terminating_since: None,
            end: end.then_some(End { code: Some(0), at: Timestamp::UNIX_EPOCH }),
        };
        record.save(pods.path()).expect("a record");
        (pods, file)
    }

    async fn text(pods: &Path, options: LogOptions) -> String {
        let options = LogOptions { container: "c".into(), ..options };
        let stream = read(pods.to_owned(), "u", options).await.expect("a log");
        let parts: Vec<Bytes> = stream.try_collect().await.expect("it is read");
        String::from_utf8(parts.concat()).expect("text")
    }

    #[tokio::test]
    async fn options_narrow_the_log() {
        let (pods, _) = pod(false);
        let tail = |lines| LogOptions { tail_lines: Some(lines), ..LogOptions::default() };
        assert_eq!(text(pods.path(), LogOptions::default()).await, TEXT);
        assert_eq!(text(pods.path(), tail(1)).await, "rest");
        assert_eq!(text(pods.path(), tail(0)).await, "");
        assert_eq!(text(pods.path(), tail(99)).await, TEXT);
        let limit = LogOptions { limit_bytes: Some(3), ..LogOptions::default() };
        assert_eq!(text(pods.path(), limit).await, "beg");
        let since = "2026-01-02T12:00:00Z".parse().ok();
        let since = LogOptions { since, ..LogOptions::default() };
        assert_eq!(text(pods.path(), since).await, "{\"timestamp\":\"2026-01-03T00:00:00Z\"}\nrest");
        let stamped = text(pods.path(), LogOptions { timestamps: true, ..LogOptions::default() }).await;
        let first: Vec<&str> = stamped.lines().take(3).collect();
        assert_eq!(first[0], "1970-01-01T00:00:00.000000000Z begin");
        assert_eq!(first[2], "2026-01-02T00:00:00.000000000Z  more of one");
    }

    #[tokio::test]
    async fn tails_of_closed_lines_count_lines() {
        let (pods, file) = pod(false);
        std::fs::write(file, "a\nb\nc\n").expect("a log");
        let options = LogOptions { tail_lines: Some(2), ..LogOptions::default() };
        assert_eq!(text(pods.path(), options).await, "b\nc\n");
    }

    #[tokio::test]
    async fn following_ends_with_the_pod() {
        let (pods, file) = pod(true);
        let mut log = std::fs::File::options().append(true).open(file).expect("the log");
        writeln!(log, " of it").expect("it grows");
        let options = LogOptions { follow: true, tail_lines: Some(1), ..LogOptions::default() };
        assert_eq!(text(pods.path(), options).await, "rest of it\n");
    }

    #[tokio::test]
    async fn what_is_not_there_is_told() {
        let (pods, _) = pod(false);
        let pods = pods.path();
        let options = |container: &str| LogOptions { container: container.into(), ..LogOptions::default() };
        assert!(matches!(read(pods.into(), "u", options("x")).await.err(), Some(LogError::NoContainer(_))));
        assert!(matches!(read(pods.into(), "v", options("c")).await.err(), Some(LogError::NotStarted(_))));
        let previous = LogOptions { previous: true, ..options("c") };
        assert!(matches!(read(pods.into(), "u", previous).await.err(), Some(LogError::NoPrevious(_))));
    }
}
