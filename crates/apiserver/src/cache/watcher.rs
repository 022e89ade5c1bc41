//! A watcher's place in a collection's changes.
//!
//! A watcher pulls: it holds a revision and asks for what follows. It costs nothing while it waits, and a slow one
//! holds nobody up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Cache, Change, Entry};

/// How many changes one read fetches.
const BATCH: usize = 128;

/// The revision asked for is older than the changes still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revision {requested} is older than the oldest kept, {floor}: list again")]
pub struct Expired {
    /// The revision asked for.
    pub requested: u64,
    /// The oldest revision that can be followed.
    pub floor: u64,
}

/// Follows the changes of a cache.
#[derive(Debug)]
pub struct Watcher {
    cache: Arc<Cache>,
    cursor: Arc<AtomicU64>,
}

impl Cache {
    /// Follows the changes after `revision`.
    ///
    /// # Errors
    /// Fails when those changes are no longer all held.
    pub fn watch(self: &Arc<Self>, revision: u64) -> Result<Watcher, Expired> {
        let mut state = self.state.write();
        let floor = state.history.floor();
        if revision < floor {
            return Err(Expired { requested: revision, floor });
        }
        let cursor = Arc::new(AtomicU64::new(revision));
        state.history.follow(&cursor);
        drop(state);
        Ok(Watcher { cache: Arc::clone(self), cursor })
    }

    /// Returns the objects of a namespace (of all, when it is empty) and a watcher of what follows, without a gap.
    pub fn list_and_watch(self: &Arc<Self>, namespace: &str) -> (Vec<Arc<Entry>>, u64, Watcher) {
        let mut state = self.state.write();
        let entries = state.range(namespace).map(Arc::clone).collect();
        let revision = self.applied.get().max(state.history.latest());
        let cursor = Arc::new(AtomicU64::new(revision));
        state.history.follow(&cursor);
        drop(state);
        let watcher = Watcher { cache: Arc::clone(self), cursor };
        (entries, revision, watcher)
    }
}

impl Watcher {
    /// Waits for changes and returns some of them in order; an empty answer means that the collection was closed.
    ///
    /// Cancelling loses nothing.
    ///
    /// # Errors
    /// Fails when this watcher was so slow that changes it has not seen are gone.
    pub async fn next(&mut self) -> Result<Vec<Change>, Expired> {
        loop {
            let position = self.position();
            let seen = self.cache.changed.version();
            let (changes, closed, floor) = {
                let state = self.cache.state.read();
                (state.history.after(position, BATCH), state.closed, state.history.floor())
            };
            if position < floor {
                return Err(Expired { requested: position, floor });
            }
            if let Some(last) = changes.last() {
                self.cursor.store(last.entry.revision, Ordering::Relaxed);
                return Ok(changes);
            }
            if closed {
                return Ok(Vec::new());
            }
            self.cache.changed.beyond(seen).await;
        }
    }

    /// Returns the revision up to which this watcher has seen every change of its collection.
    pub fn position(&self) -> u64 {
        self.cursor.load(Ordering::Relaxed)
    }

    /// Returns the revision that a bookmark may carry: all changes up to it have been returned.
    ///
    /// When nothing of this collection is pending, that is the revision of the whole server.
    pub fn bookmark(&self) -> u64 {
        let state = self.cache.state.read();
        let position = self.position();
        if state.history.latest() > position { position } else { position.max(self.cache.applied.get()) }
    }
}
