//! Reads what a Pod's containers have written.
//!
//! Processes write straight into a file, so that they need nobody to run, and the node sees to it that the file does
//! not grow without end ([`bound`]). The time of a line is the one that it begins with (or has as JSON field
//! `timestamp`), else that of the line before it ([`lines`]).

pub(crate) mod bound;
mod lines;
mod source;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use jiff::Timestamp;

use self::lines::Lines;
use self::source::Source;
use crate::record::Record;

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);

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
    #[error("previous terminated container \"{container}\" in pod \"{pod}\" not found")]
    NoPrevious {
        /// Container.
        container: String,
        /// Pod.
        pod: String,
    },
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
        return Err(LogError::NoPrevious { container, pod: record.name });
    }
    let failed = |source| LogError::Read { container: container.clone(), source };
    let source = Source::open(&pods.join(uid), &log.file, options.tail_lines).await.map_err(failed)?;
    let lines = (options.timestamps || options.since.is_some())
        .then(|| Lines::new(record.started_at, options.since, options.timestamps));
    let reader = Reader {
        source,
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

struct Reader {
    source: Source,
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
            let chunk = self.source.read().await?;
            let read = chunk.len();
            let bytes = match &mut self.lines {
                Some(lines) => lines.take(&chunk, self.source.modified()),
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
        let file = pods.path().join("u/log");
        std::fs::create_dir(pods.path().join("u")).expect("the Pod's directory");
        std::fs::write(&file, TEXT).expect("a log");
        let record = Record {
            uid: "u".into(),
            namespace: "n".into(),
            name: "p".into(),
            process: None,
            executed: true,
            address: None,
            address6: None,
            started_at: Timestamp::UNIX_EPOCH,
            logs: vec![ContainerLog { container: "c".into(), file: file.clone() }],
            exit_code: None,
            terminating_since: None,
            end: end.then_some(End { code: Some(0), at: Timestamp::UNIX_EPOCH, starved: None }),
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
    async fn following_goes_on_in_the_next_file_and_what_was_before_is_shown_too() {
        let (pods, file) = pod(false);
        let previous = pods.path().join("u/log.1");
        std::fs::write(&previous, "1\n2\n").expect("a rotated log");
        std::fs::write(&file, "3\n4\n").expect("a log");
        let tail = |lines| LogOptions { tail_lines: Some(lines), ..LogOptions::default() };
        assert_eq!(text(pods.path(), LogOptions::default()).await, "1\n2\n3\n4\n");
        assert_eq!(text(pods.path(), tail(1)).await, "4\n");
        assert_eq!(text(pods.path(), tail(3)).await, "2\n3\n4\n");
        let options = LogOptions { container: "c".into(), follow: true, ..tail(2) };
        let stream = read(pods.path().to_owned(), "u", options).await.expect("a log");
        let mut stream = Box::pin(stream);
        assert_eq!(stream.try_next().await.expect("it is read"), Some(Bytes::from("3\n4\n")));
        // Its writer rotates, having written a last line.
        let mut log = std::fs::File::options().append(true).open(&file).expect("the log");
        writeln!(log, "5").expect("it grows");
        std::fs::rename(&file, &previous).expect("it is rotated");
        std::fs::write(&file, "6\n").expect("a new log");
        let mut seen = Vec::new();
        while seen.len() < 4 {
            seen.extend(stream.try_next().await.expect("it is read").expect("it goes on"));
        }
        assert_eq!(String::from_utf8_lossy(&seen), "5\n6\n");
    }

    #[tokio::test]
    async fn a_log_without_times_is_as_new_as_its_file() {
        let (pods, file) = pod(false);
        std::fs::write(&file, "login:\n").expect("a console's log");
        let since = |text: &str| LogOptions { since: text.parse().ok(), ..LogOptions::default() };
        assert_eq!(text(pods.path(), since("2020-01-01T00:00:00Z")).await, "login:\n");
        assert_eq!(text(pods.path(), since("2999-01-01T00:00:00Z")).await, "");
    }

    #[tokio::test]
    async fn a_bounded_log_begins_at_a_line_and_is_followed_on() {
        let (pods, file) = pod(false);
        let line = |number: usize| format!("line {number:04} of a long log\n");
        let all: String = (0..4000).map(line).collect();
        std::fs::write(&file, &all).expect("a long log");
        let options = LogOptions { container: "c".into(), follow: true, ..LogOptions::default() };
        let options = LogOptions { tail_lines: Some(1), ..options };
        let stream = read(pods.path().to_owned(), "u", options).await.expect("a log");
        let mut stream = Box::pin(stream);
        assert_eq!(stream.try_next().await.expect("it is read"), Some(Bytes::from(line(3999))));
        bound::bound(&file, 40_000).expect("it is bounded");
        let left = text(pods.path(), LogOptions::default()).await;
        assert!(left.len() < 40_000 && all.ends_with(&left) && left.starts_with("line "), "{}", left.len());
        let tail = LogOptions { tail_lines: Some(100_000), ..LogOptions::default() };
        assert_eq!(text(pods.path(), tail).await, left);
        let mut log = std::fs::File::options().append(true).open(file).expect("the log");
        write!(log, "{}", line(4000)).expect("it grows");
        assert_eq!(stream.try_next().await.expect("it is read"), Some(Bytes::from(line(4000))));
    }

    #[tokio::test]
    async fn a_link_in_the_place_of_a_log_shows_nothing() {
        let (pods, file) = pod(false);
        let secret = pods.path().join("secret");
        std::fs::write(&secret, "of the host").expect("a file of the host");
        let link = |at: &Path| std::os::unix::fs::symlink(&secret, at).expect("a link");
        let options = || LogOptions { container: "c".into(), tail_lines: Some(99), ..LogOptions::default() };
        link(&pods.path().join("u/log.1"));
        let read_all = async || match read(pods.path().to_owned(), "u", options()).await {
            Ok(stream) => stream.try_collect::<Vec<Bytes>>().await.is_ok(),
            Err(LogError::Read { .. }) => false,
            Err(error) => panic!("{error}"),
        };
        assert!(!read_all().await, "what was before the log");
        std::fs::remove_file(&file).expect("the log goes");
        link(&file);
        assert!(!read_all().await, "the log itself");
    }

    #[tokio::test]
    async fn what_is_not_there_is_told() {
        let (pods, _) = pod(false);
        let pods = pods.path();
        let options = |container: &str| LogOptions { container: container.into(), ..LogOptions::default() };
        assert!(matches!(read(pods.into(), "u", options("x")).await.err(), Some(LogError::NoContainer(_))));
        assert!(matches!(read(pods.into(), "v", options("c")).await.err(), Some(LogError::NotStarted(_))));
        let previous = LogOptions { previous: true, ..options("c") };
        assert!(matches!(read(pods.into(), "u", previous).await.err(), Some(LogError::NoPrevious { .. })));
    }
}
