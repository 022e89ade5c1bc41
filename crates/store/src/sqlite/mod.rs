//! The store on disk: SQLite with a write-ahead log, full synchronisation, one writer and separate readers.
//!
//! The database is one file that a user can open with `sqlite3`. Writes go to one thread that commits all
//! that is waiting in a single transaction, so that many writers share one synchronisation of the disk.

mod check;
mod copy;
mod lock;
mod open;
mod reader;
mod recent;
mod reserve;
mod rows;
mod schema;
mod writer;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch::Receiver;

use crate::watch::{Batch, Feed};
use crate::{Entry, Error, Found, List, Page, Result, Revision, Store, Then, Watch, Write};
use reader::Readers;
use recent::Recent;
use writer::Writer;

/// How much history a store keeps on its own accord, apart from explicit compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// At least this many of the latest changes stay readable, and at most twice as many are kept.
    pub revisions: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { revisions: 20_000 }
    }
}

/// A [`Store`] in a SQLite file. Cloning shares it; the file is closed when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    latest: Receiver<Revision>,
}

#[derive(Debug)]
struct Shared {
    readers: Readers,
    recent: Arc<Recent>,
    // Dropped last: it ends the writer thread and then gives up the lock.
    writer: Writer,
}

impl SqliteStore {
    /// Opens the store in the file `path`, making it when there is none.
    ///
    /// Blocks while the file is checked. Fails with [`Error::Locked`] when another process has it open, and
    /// with [`Error::Damaged`] when it is not intact; then nothing in it is changed.
    pub fn open(path: &Path, retention: Retention) -> Result<Self> {
        Self::open_with(path, retention, |_| ())
    }

    /// Opens a store as [`open`](Self::open) does, and shows `each` its current entries in the order of their revisions, as
    /// they are checked: who wants them all need not have the file read twice. What was shown counts only on success.
    pub fn open_with(path: &Path, retention: Retention, mut each: impl FnMut(Found<'_>)) -> Result<Self> {
        let opened = open::open(path, &mut each)?;
        let recent = Arc::new(Recent::new(opened.revision, opened.floor));
        let latest = recent.subscribe();
        let readers = Readers::new(path);
        let writer = Writer::start(opened, Arc::clone(&recent), retention)?;
        Ok(Self { shared: Arc::new(Shared { readers, recent, writer }), latest })
    }
}

#[async_trait::async_trait]
impl Store for SqliteStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        let key = key.to_owned();
        self.shared.readers.run("read a key", move |reader| rows::current(reader, &key)).await
    }

    async fn list(&self, list: &List) -> Result<Page> {
        if let Some(at) = list.at {
            self.shared.recent.check(at)?;
        }
        let (list, floor) = (list.clone(), Arc::clone(&self.shared.recent));
        let page = self.shared.readers.run("list keys", move |reader| rows::page(reader, &list)).await?;
        // A compaction between the check and the read would have left holes.
        if page.revision < floor.floor() {
            return Err(Error::Compacted { requested: page.revision, floor: floor.floor() });
        }
        // The reader may see a transaction that the writer has not announced yet; a watch from this page's
        // revision must not find it in the future.
        let mut latest = self.latest.clone();
        let announced = latest.wait_for(|latest| *latest >= page.revision).await.map(|_| ());
        announced.map_err(|_| Writer::stopped())?;
        Ok(page)
    }

    fn submit(&self, write: Write, then: Then) {
        self.shared.writer.submit(write, then);
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch> {
        self.shared.recent.check(after)?;
        let feed: Arc<dyn Feed> = Arc::<Shared>::clone(&self.shared);
        Ok(Watch::new(feed, prefix, after, self.latest.clone()))
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.shared.writer.compact(revision).await
    }

    fn revision(&self) -> Revision {
        *self.latest.borrow()
    }
}

#[async_trait::async_trait]
impl Feed for Shared {
    async fn read(&self, prefix: &str, after: Revision, limit: usize) -> Result<Batch> {
        if let Some(batch) = self.recent.read(prefix, after, limit)? {
            return Ok(batch);
        }
        let (prefix, through) = (prefix.to_owned(), self.recent.latest());
        let read = move |reader: &rusqlite::Connection| rows::events(reader, &prefix, after, through, limit);
        let batch = self.readers.run("read the history", read).await?;
        // As above: what a compaction removed meanwhile must not pass as silence.
        self.recent.check(after)?;
        Ok(batch)
    }
}
