//! One QMP connection: commands out, answers and events in.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::greeting::Greeting;
use crate::line::Lines;
use crate::{Command, Event, Version, send};

/// Longest line that is read. The longest that QEMU sends is a description of its devices, some 100 KiB.
const LONGEST_LINE: usize = 8 << 20;
/// How long QEMU may take to greet and to negotiate.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);
/// How long a command may take unless the caller says otherwise.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

/// Events of one connection; the stream ends with it.
pub type Events = mpsc::UnboundedReceiver<Event>;

/// Why QEMU could not be commanded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens on the socket.
    #[error("connect to QMP at {path}: {source}")]
    Connect {
        /// Path of the socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The peer does not begin as QEMU does.
    #[error("the peer at the QMP socket does not speak QMP: {0}")]
    Handshake(String),
    /// The connection is closed; QEMU has ended, or soon will have.
    #[error("the QMP connection is closed")]
    Closed,
    /// No answer came in time.
    #[error("QEMU does not answer to {0}")]
    Timeout(&'static str),
    /// QEMU refused.
    #[error("QEMU refuses {command}: {description} ({class})")]
    Refused {
        /// The command.
        command: &'static str,
        /// QEMU's error class.
        class: String,
        /// QEMU's own sentence.
        description: String,
    },
    /// The answer is not what the command promises.
    #[error("QEMU's answer to {command} does not parse: {source}")]
    Answer {
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

#[derive(Debug, Deserialize)]
struct Refusal {
    class: String,
    desc: String,
}

type Answer = Result<Box<RawValue>, Refusal>;

#[derive(Debug)]
struct Shared {
    stream: UnixStream,
    /// Commands that wait for their answer; `None` once the connection is closed.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection to one QEMU. Commands may be given from several tasks; dropping the last user closes it.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    /// Whole lines must not mix: held while one is written.
    writing: tokio::sync::Mutex<()>,
    issued: AtomicU64,
    version: Version,
    reader: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Client {
    /// Connects to the socket at `path` and negotiates.
    pub async fn connect(path: &Path) -> Result<(Self, Events), Error> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| Error::Connect { path: path.to_owned(), source })?;
        Self::new(stream).await
    }

    /// Negotiates over a connected stream.
    pub async fn new(stream: UnixStream) -> Result<(Self, Events), Error> {
        let mut lines = Lines::new(LONGEST_LINE);
        let greeted = tokio::time::timeout(GREETING_PATIENCE, greeting(&stream, &mut lines)).await;
        let greeting = greeted.map_err(|_| Error::Handshake("no greeting came".to_owned()))??;

        let shared = Arc::new(Shared { stream, waiting: Mutex::new(Some(HashMap::new())) });
        let (sender, events) = mpsc::unbounded_channel();
        let reader = tokio::spawn(read(Arc::clone(&shared), lines, sender));
        let client = Self {
            shared,
            writing: tokio::sync::Mutex::new(()),
            issued: AtomicU64::new(0),
            version: greeting.qmp.version,
            reader,
        };
        client.run(&crate::command::QmpCapabilities {}).await?;
        Ok((client, events))
    }

    /// Returns the version that QEMU greeted with.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Gives a command and returns its answer.
    pub async fn run<C: Command>(&self, command: &C) -> Result<C::Answer, Error> {
        self.give(command, None, COMMAND_PATIENCE).await
    }

    /// Gives a command that may take up to `patience`.
    pub async fn run_within<C: Command>(&self, command: &C, patience: Duration) -> Result<C::Answer, Error> {
        self.give(command, None, patience).await
    }

    /// Gives a command with an open descriptor beside it (`getfd`, `add-fd`).
    pub async fn run_with_descriptor<C: Command>(
        &self,
        command: &C,
        descriptor: impl AsFd,
    ) -> Result<C::Answer, Error> {
        self.give(command, Some(descriptor.as_fd()), COMMAND_PATIENCE).await
    }

    async fn give<C: Command>(
        &self,
        command: &C,
        descriptor: Option<BorrowedFd<'_>>,
        patience: Duration,
    ) -> Result<C::Answer, Error> {
        let unreadable = |source| Error::Answer { command: C::NAME, source };
        let id = self.issued.fetch_add(1, Ordering::Relaxed);
        let mut line = serde_json::to_vec(&serde_json::json!({
            "execute": C::NAME, "arguments": command, "id": id,
        }))
        .map_err(unreadable)?;
        line.push(b'\n');

        let (sender, answer) = oneshot::channel();
        self.shared.waiting().as_mut().ok_or(Error::Closed)?.insert(id, sender);
        let exchange = async {
            {
                let _line = self.writing.lock().await;
                send::all(&self.shared.stream, &line, descriptor).await.map_err(|_| Error::Closed)?;
            }
            answer.await.map_err(|_| Error::Closed)
        };
        let answered = tokio::time::timeout(patience, exchange).await;
        if let Some(waiting) = self.shared.waiting().as_mut() {
            waiting.remove(&id);
        }
        match answered.map_err(|_| Error::Timeout(C::NAME))?? {
            Ok(value) => serde_json::from_str(value.get()).map_err(unreadable),
            Err(Refusal { class, desc }) => {
                Err(Error::Refused { command: C::NAME, class, description: desc })
            }
        }
    }
}

async fn greeting(stream: &UnixStream, lines: &mut Lines) -> Result<Greeting, Error> {
    loop {
        match lines.next() {
            Ok(Some(line)) => {
                return serde_json::from_slice(&line).map_err(|error| Error::Handshake(error.to_string()));
            }
            Ok(None) => {}
            Err(_) => return Err(Error::Handshake("the greeting has no end".to_owned())),
        }
        if !fill(stream, lines).await.map_err(|error| Error::Handshake(error.to_string()))? {
            return Err(Error::Handshake("the connection closed before the greeting".to_owned()));
        }
    }
}

/// Reads what there is; false at the end of the stream.
async fn fill(stream: &UnixStream, lines: &mut Lines) -> std::io::Result<bool> {
    // On the heap and only while reading: a connection is idle nearly always.
    loop {
        stream.readable().await?;
        let mut buffer = vec![0; 4096];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                lines.push(&buffer[..count]);
                return Ok(true);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Everything that QEMU sends after its greeting.
#[derive(Deserialize)]
struct Message {
    id: Option<u64>,
    #[serde(rename = "return")]
    value: Option<Box<RawValue>>,
    error: Option<Refusal>,
}

async fn read(shared: Arc<Shared>, mut lines: Lines, events: mpsc::UnboundedSender<Event>) {
    loop {
        match lines.next() {
            Ok(Some(line)) => dispatch(&shared, &line, &events),
            Ok(None) => match fill(&shared.stream, &mut lines).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::debug!(%error, "the QMP connection broke");
                    break;
                }
            },
            Err(_) => tracing::warn!("dropped a line from QEMU that is longer than {LONGEST_LINE} bytes"),
        }
    }
    // Whoever waits learns that no answer will come.
    *shared.waiting() = None;
}

fn dispatch(shared: &Shared, line: &[u8], events: &mpsc::UnboundedSender<Event>) {
    if let Ok(event) = serde_json::from_slice::<Event>(line) {
        // Nobody has to listen to events.
        let _ = events.send(event);
        return;
    }
    let message = match serde_json::from_slice::<Message>(line) {
        Ok(message) => message,
        Err(error) => {
            tracing::warn!(%error, "dropped a line from QEMU that is no message");
            return;
        }
    };
    let answer = match message {
        Message { error: Some(refusal), .. } => Err(refusal),
        Message { value: Some(value), .. } => Ok(value),
        _ => return,
    };
    let waiting = message.id.and_then(|id| shared.waiting().as_mut().and_then(|waiting| waiting.remove(&id)));
    if let Some(waiting) = waiting {
        // A caller that gave up is no concern here.
        drop(waiting.send(answer));
    } else {
        tracing::debug!("dropped an answer from QEMU that nobody waits for");
    }
}
