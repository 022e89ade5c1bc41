//! A watcher's place in the log.
//!
//! A watch pulls: it holds a cursor and asks its store for what follows. A slow watcher therefore costs
//! nothing and loses nothing; only compaction can overtake it, and then it is told.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch::Receiver;

use crate::{Error, Event, Result, Revision};

/// How many events a watch fetches at a time.
const BATCH: usize = 256;

/// Where a watch gets its events from.
#[async_trait::async_trait]
pub(crate) trait Feed: Send + Sync + std::fmt::Debug {
    /// Returns up to `limit` changes of keys below `prefix` with a revision above `after`.
    async fn read(&self, prefix: &str, after: Revision, limit: usize) -> Result<Batch>;
}

/// Some consecutive events of a feed.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The events, ordered by revision.
    pub(crate) events: Vec<Event>,
    /// Every matching change up to here is in `events`.
    pub(crate) through: Revision,
}

/// An ordered, gapless sequence of changes; see [`Store::watch`](crate::Store::watch).
#[derive(Debug)]
pub struct Watch {
    feed: Arc<dyn Feed>,
    prefix: String,
    cursor: Revision,
    latest: Receiver<Revision>,
    buffer: VecDeque<Event>,
}

impl Watch {
    pub(crate) fn new(
        feed: Arc<dyn Feed>,
        prefix: &str,
        after: Revision,
        latest: Receiver<Revision>,
    ) -> Self {
        Self { feed, prefix: prefix.to_owned(), cursor: after, latest, buffer: VecDeque::new() }
    }

    /// Returns the next change, waiting for it if need be. Cancelling loses nothing.
    ///
    /// Fails with [`Error::Compacted`] when compaction overtook this watch, and with [`Error::Stopped`] when
    /// the store was closed; every later call fails too.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.buffer.pop_front() {
                return Ok(event);
            }
            self.fill().await?;
            if self.buffer.is_empty() {
                let cursor = self.cursor;
                let waited = self.latest.wait_for(|latest| *latest > cursor).await.map(|_| ());
                waited.map_err(|_| Error::Stopped { detail: "it was closed".to_owned() })?;
            }
        }
    }

    /// Returns the next change if it has already happened.
    pub async fn try_next(&mut self) -> Result<Option<Event>> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(self.buffer.pop_front())
    }

    /// Returns the revision up to which this watch has yielded every change: a place to resume from.
    pub fn position(&self) -> Revision {
        self.buffer.front().map_or(self.cursor, |event| event.revision - 1)
    }

    /// Fetches what has happened since the cursor, until something matches or the present is reached.
    async fn fill(&mut self) -> Result<()> {
        loop {
            let latest = *self.latest.borrow();
            if self.cursor >= latest {
                return Ok(());
            }
            let batch = self.feed.read(&self.prefix, self.cursor, BATCH).await?;
            self.cursor = self.cursor.max(batch.through);
            self.buffer.extend(batch.events);
            if !self.buffer.is_empty() {
                return Ok(());
            }
        }
    }
}
