//! Where events go: a file, written line by line by a thread of its own.
//!
//! A request never waits for the disk. Lines wait in a bounded queue; while they cannot be written they are tried again,
//! and what finds the queue full is lost, counted and told in the program's own log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use effects::Clock;

use super::rotation::{self, Rotation};

/// Bytes of lines that may wait to be written.
const QUEUE: usize = 16 << 20;
/// Between two attempts to write what could not be written.
const PAUSE: Duration = Duration::from_secs(1);

enum Order {
    Line(Vec<u8>),
    /// Answer once all that came before is written.
    Flush(SyncSender<()>),
}

/// How many events a log has taken, and how many were lost because they could not be written in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Events taken, those lost included.
    pub events: u64,
    /// Events lost.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct State {
    waiting: AtomicUsize,
    events: AtomicU64,
    lost: AtomicU64,
}

/// An open log.
#[derive(Debug)]
pub struct Log {
    orders: Sender<Order>,
    state: Arc<State>,
}

impl Log {
    /// Opens a log, which only its owner may read; `-` is standard output.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn open(path: &Path, rotation: Rotation, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let output: Box<dyn Output> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            Box::new(Rotated::open(path, rotation, clock)?)
        };
        Self::to(output, path.display().to_string())
    }

    fn to(output: Box<dyn Output>, name: String) -> io::Result<Self> {
        let (orders, queue) = channel();
        let state = Arc::<State>::default();
        let writer = Writer { output, name, state: Arc::clone(&state), told_lost: 0 };
        std::thread::Builder::new().name("audit-log".to_owned()).spawn(move || writer.run(&queue))?;
        Ok(Self { orders, state })
    }

    /// Takes a line, which ends in a line feed.
    pub(super) fn write(&self, line: Vec<u8>) {
        self.state.events.fetch_add(1, Ordering::Relaxed);
        let length = line.len();
        if self.state.waiting.fetch_add(length, Ordering::Relaxed) + length > QUEUE
            || self.orders.send(Order::Line(line)).is_err()
        {
            self.state.waiting.fetch_sub(length, Ordering::Relaxed);
            self.state.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all events so far are written, or `limit` is over; returns whether they are. Blocks the thread.
    pub fn flush(&self, limit: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        self.orders.send(Order::Flush(done)).is_ok() && wait.recv_timeout(limit).is_ok()
    }

    /// What became of events so far.
    pub fn count(&self) -> Count {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Count { events: read(&self.state.events), lost: read(&self.state.lost) }
    }
}

/// Takes whole lines.
trait Output: Send {
    fn append(&mut self, line: &[u8]) -> io::Result<()>;
}

impl Output for io::Stdout {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.write_all(line).and_then(|()| self.flush())
    }
}

struct Writer {
    output: Box<dyn Output>,
    name: String,
    state: Arc<State>,
    told_lost: u64,
}

impl Writer {
    /// Writes until the log is closed.
    fn run(mut self, queue: &Receiver<Order>) {
        while let Ok(order) = queue.recv() {
            match order {
                Order::Line(line) => self.write(&line),
                // Who waits may have given up.
                Order::Flush(done) => drop(done.send(())),
            }
        }
    }

    fn write(&mut self, line: &[u8]) {
        let mut failed = false;
        while let Err(error) = self.output.append(line) {
            if !failed {
                let log = &self.name;
                tracing::error!(%error, log, "cannot write to the audit log; trying again every second, events wait meanwhile");
            }
            failed = true;
            if Arc::strong_count(&self.state) == 1 {
                // The log is closed: nobody will hear whether this is written.
                return;
            }
            std::thread::sleep(PAUSE);
        }
        self.state.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        let lost = self.state.lost.load(Ordering::Relaxed);
        if failed || lost > self.told_lost {
            let (now_lost, log) = (lost - self.told_lost, &self.name);
            tracing::error!(lost = now_lost, log, "the audit log is written again");
            self.told_lost = lost;
        }
    }
}

/// A file that is rotated.
struct Rotated {
    path: PathBuf,
    rotation: Rotation,
    clock: Arc<dyn Clock>,
    file: File,
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

impl Rotated {
    fn open(path: &Path, rotation: Rotation, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), rotation, clock, file: open(path)? })
    }
}

impl Output for Rotated {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        // Asked each time: somebody may have emptied it.
        let mut length = self.file.metadata()?.len();
        let most = self.rotation.bytes.unwrap_or(u64::MAX);
        if length > 0 && length.saturating_add(line.len() as u64) > most {
            let now = self.clock.now();
            rotation::retire(&self.path, now)?;
            self.file = open(&self.path)?;
            length = self.file.metadata()?.len();
            if let Err(error) = rotation::clear(&self.path, self.rotation, now) {
                let log = self.path.display();
                tracing::warn!(%error, %log, "earlier files of the audit log cannot be removed");
            }
        }
        self.file.write_all(line).or_else(|error| {
            // Half a line would spoil the next one, too. Standard output and pipes cannot take one back.
            self.file.set_len(length).and(Err(error))
        })
    }
}

#[cfg(test)]
mod tests {
    use effects::SystemClock;
    use parking_lot::Mutex;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn files_are_rotated_and_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let rotation = Rotation { bytes: Some(20), files: Some(2), age: None };
        let log = Log::open(&path, rotation, Arc::new(SystemClock)).expect("a log");
        for n in 0..8 {
            log.write(format!("{{\"number\":{n}}}\n").into_bytes());
        }
        assert!(log.flush(LONG));
        let entries = std::fs::read_dir(folder.path()).expect("a folder");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        let texts: Vec<String> =
            files.iter().map(|file| std::fs::read_to_string(file).expect("text")).collect();
        assert_eq!(texts, ["{\"number\":5}\n", "{\"number\":6}\n", "{\"number\":7}\n"]);
    }

    /// An output that fails while it is told to.
    struct Failing {
        fails: Arc<Mutex<bool>>,
        lines: Arc<Mutex<Vec<Vec<u8>>>>,
    }

    impl Output for Failing {
        fn append(&mut self, line: &[u8]) -> io::Result<()> {
            if *self.fails.lock() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.lines.lock().push(line.to_vec());
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_keeps_nobody_waiting_and_is_counted() {
        let (fails, lines) = (Arc::new(Mutex::new(true)), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let output = Failing { fails: Arc::clone(&fails), lines: Arc::clone(&lines) };
        let log = Log::to(Box::new(output), "test".to_owned()).expect("a log");
        let line = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            log.write(line.clone());
        }
        assert_eq!(log.count(), Count { events: 20, lost: 4 });
        assert!(!log.flush(Duration::from_millis(10)), "nothing can be written yet");
        *fails.lock() = false;
        assert!(log.flush(LONG));
        assert_eq!(lines.lock().len(), 16, "what waited is written");
        log.write(line);
        assert!(log.flush(LONG));
        assert_eq!(log.count(), Count { events: 21, lost: 4 });
    }
}
