//! The writer thread: takes what is waiting, commits it in one transaction, announces it, hands the outcomes over.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::lock::Lock;
use super::open::{self, Opened, failed};
use super::recent::Recent;
use super::{Retention, rows};
use crate::memory::holds;
use crate::{Change, Committed, Entry, Error, Event, Result, Revision, Then, Write};

/// How many writes share one transaction at most; bounds the time that one waits for the others.
const GROUP: usize = 512;
/// How long after a failure writes fail without another try.
const PAUSE: Duration = Duration::from_secs(1);

enum Request {
    Commit(Write, Then),
    Compact(Revision, oneshot::Sender<Result<()>>),
}

#[derive(Debug)]
pub(super) struct Writer {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    _lock: Arc<Lock>,
}

impl Writer {
    pub(super) fn start(opened: Opened, recent: Arc<Recent>, retention: Retention) -> Result<Self> {
        let (sender, requests) = channel();
        let Opened { path, connection, revision, floor, lock } = opened;
        let at = path.clone();
        let database = Database::Open(connection);
        let lock = Arc::new(lock);
        let worker = Worker { path, database, lock: Arc::clone(&lock), recent, retention, revision, floor };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || worker.run(&requests))
            .map_err(|source| Error::Io {
                doing: "start the writer of",
                path: at,
                source: Arc::new(source),
            })?;
        Ok(Self { requests: Some(sender), thread: Some(thread), _lock: lock })
    }

    pub(super) fn submit(&self, write: Write, then: Then) {
        if let Err(Request::Commit(_, then)) = self.send(Request::Commit(write, then)) {
            then(Err(Self::stopped()));
        }
    }

    pub(super) async fn compact(&self, revision: Revision) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Compact(revision, answer)).map_err(|_| Self::stopped())?;
        answered.await.unwrap_or_else(|_| Err(Self::stopped()))
    }

    /// Says why nothing is written any more.
    pub(super) fn stopped() -> Error {
        Error::Stopped { detail: "it was closed".to_owned() }
    }

    /// Hands a request to the thread; gives it back when nothing is written any more.
    fn send(&self, request: Request) -> Result<(), Request> {
        match &self.requests {
            Some(requests) => requests.send(request).map_err(|unsent| unsent.0),
            None => Err(request),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Closing the channel ends the thread after what is queued; the lock goes after the connection.
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

struct Worker {
    path: PathBuf,
    database: Database,
    lock: Arc<Lock>,
    recent: Arc<Recent>,
    retention: Retention,
    revision: Revision,
    floor: Revision,
}

/// The way to the file.
enum Database {
    Open(Connection),
    /// A write failed and could not be undone: only a new connection is sure of what the disk holds.
    Failed {
        error: Error,
        at: Instant,
    },
}

/// Writes of one transaction, not yet durable.
#[derive(Default)]
struct Group {
    events: Vec<Event>,
    outcomes: Vec<(Then, Result<Committed>)>,
    /// What this transaction made of each key it touched; saves reading back its own rows.
    touched: HashMap<Arc<str>, Option<Entry>>,
}

impl Worker {
    fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let mut waiting = vec![first];
            waiting.extend(requests.try_iter().take(GROUP - 1));
            let mut writes = Vec::with_capacity(waiting.len());
            let mut compactions = Vec::new();
            for request in waiting {
                match request {
                    Request::Commit(write, then) => writes.push((write, then)),
                    Request::Compact(revision, answer) => compactions.push((revision, answer)),
                }
            }
            if !writes.is_empty() {
                self.group(writes);
            }
            for (revision, answer) in compactions {
                // A caller that went away does not need its answer.
                let _ = answer.send(self.compact(revision));
            }
            self.retain();
        }
    }

    /// Returns the way to the file; after a failure it is opened and checked again, but not at every write.
    fn connection(&mut self) -> Result<Connection> {
        let none = Error::Stopped { detail: "it is being opened again".to_owned() };
        match std::mem::replace(&mut self.database, Database::Failed { error: none, at: Instant::now() }) {
            Database::Open(connection) => Ok(connection),
            Database::Failed { error, at } if at.elapsed() < PAUSE => {
                self.database = Database::Failed { error: error.clone(), at };
                Err(error)
            }
            Database::Failed { .. } => match open::reopen(&self.path, self.revision) {
                Ok(connection) => {
                    tracing::info!(path = %self.path.display(), "the store works again");
                    Ok(connection)
                }
                Err(error) => Err(self.fail(error)),
            },
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.database = Database::Failed { error: error.clone(), at: Instant::now() };
        error
    }

    /// Goes on with a connection whose write failed, or gives it up.
    ///
    /// A commit that did not reach the write-ahead log whole was not made: the end of the log has not moved, readers see
    /// nothing of it, and the next commit writes over it, so that what an earlier synchronisation lost in the kernel's
    /// cache is written anew (<https://www.sqlite.org/walformat.html>). A connection that cannot roll back is closed.
    fn after_failure(
        &mut self,
        connection: Connection,
        doing: &'static str,
        source: rusqlite::Error,
    ) -> Error {
        let is_damage =
            matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        let error = failed(&self.path, doing, source);
        let is_undone = connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
        if is_undone && !is_damage {
            tracing::warn!(%error, "the store could not write");
            self.database = Database::Open(connection);
            return error;
        }
        tracing::error!(%error, "the store could not write; it is opened again");
        // What is in the log stays there: it is judged by what the disk holds, when it is opened again.
        let kept = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        if let Err(error) = kept {
            tracing::warn!(%error, "the log is carried over as the connection is closed");
        }
        drop(connection);
        self.fail(error)
    }

    /// Commits a group and hands the outcomes over.
    fn group(&mut self, writes: Vec<(Write, Then)>) {
        let connection = match self.connection() {
            Ok(connection) => connection,
            Err(error) => {
                for (_, then) in writes {
                    then(Err(error.clone()));
                }
                return;
            }
        };
        let mut group = Group::default();
        let before = self.revision;
        match self.transact(&connection, writes, &mut group) {
            Ok(()) => {
                self.database = Database::Open(connection);
                self.lock.note(self.revision);
                self.recent.publish(group.events);
                for (then, outcome) in group.outcomes {
                    then(outcome);
                }
            }
            Err(source) => {
                self.revision = before;
                let error = self.after_failure(connection, "commit", source);
                // Conflicts fail too: what they were judged against may not have been stored.
                for (then, _) in group.outcomes {
                    then(Err(error.clone()));
                }
            }
        }
    }

    fn transact(
        &mut self,
        connection: &Connection,
        writes: Vec<(Write, Then)>,
        group: &mut Group,
    ) -> rusqlite::Result<()> {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut writes = writes.into_iter();
        let mut outcome = Ok(());
        for (write, then) in writes.by_ref() {
            match self.write(connection, write, group) {
                Ok(result) => group.outcomes.push((then, result)),
                Err(source) => {
                    let dropped = Error::Stopped { detail: source.to_string() };
                    group.outcomes.push((then, Err(dropped)));
                    outcome = Err(source);
                    break;
                }
            }
        }
        for (_, then) in writes {
            group.outcomes.push((then, Err(Error::Stopped { detail: "not tried".to_owned() })));
        }
        outcome?;
        connection.execute_batch("COMMIT")
    }

    fn write(
        &mut self,
        connection: &Connection,
        write: Write,
        group: &mut Group,
    ) -> rusqlite::Result<Result<Committed>> {
        let previous = match group.touched.get(&write.key) {
            Some(entry) => entry.clone(),
            None => rows::current(connection, &write.key)?,
        };
        if !holds(&write, previous.as_ref()) {
            let actual = previous.map(Box::new);
            return Ok(Err(Error::Conflict { key: write.key, expected: write.expected, actual }));
        }
        let revision = self.revision + 1;
        let value = match write.change {
            Change::Put(value) => Some(value),
            Change::Delete => None,
        };
        rows::append(connection, &write.key, value.as_deref(), revision, previous.as_ref())?;
        self.revision = revision;
        let created = previous.as_ref().map_or(revision, |entry| entry.created);
        let key = write.key;
        let current = value.map(|value| Entry { key: Arc::clone(&key), value, created, modified: revision });
        group.touched.insert(Arc::clone(&key), current.clone());
        group.events.push(Event { revision, key, current, previous: previous.clone() });
        Ok(Ok(Committed { revision, previous }))
    }

    fn compact(&mut self, floor: Revision) -> Result<()> {
        if floor > self.revision {
            return Err(Error::Future { requested: floor, current: self.revision });
        }
        if floor <= self.floor {
            return Ok(());
        }
        let connection = self.connection()?;
        // Announced first: a reader that finds rows missing finds the reason too.
        self.recent.set_floor(floor);
        let done = connection.unchecked_transaction().and_then(|transaction| {
            rows::compact(&transaction, floor, self.revision)?;
            transaction.commit()
        });
        if let Err(source) = done {
            return Err(self.after_failure(connection, "compact", source));
        }
        self.database = Database::Open(connection);
        self.floor = floor;
        Ok(())
    }

    /// Compacts when twice the history that is to be kept has gathered, so that the work comes seldom.
    fn retain(&mut self) {
        let keep = self.retention.revisions;
        if self.revision - self.floor > keep.saturating_mul(2)
            && let Err(error) = self.compact(self.revision - keep)
        {
            tracing::warn!(%error, "the history could not be shortened; trying again later");
        }
    }
}
