//! A revisioned key-value log: the one place where the embedded API server keeps its objects.
//!
//! Every change gets the next revision, and the log of changes is kept for a while, so that a watcher that
//! knows a revision can resume after it without a gap. [`Store`] is the contract; [`SqliteStore`] keeps it on
//! disk, [`MemoryStore`] keeps it in memory for tests and simulations. Both pass the same contract suite
//! (`tests/contract.rs`).
//!
//! Keys are opaque here and ordered as bytes. Values are opaque bytes; they are never interpreted.

mod entry;
mod error;
mod memory;
mod prefix;
mod sqlite;
mod watch;

pub use entry::{Change, Committed, Entry, Event, Expected, Found, List, Page, Revision, Write};
pub use error::Error;
pub use memory::MemoryStore;
pub use sqlite::{Retention, SqliteStore};
pub use watch::Watch;

/// The result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is done with the outcome of a write, where the store writes: it is quick, and waits for nothing.
pub type Then = Box<dyn FnOnce(Result<Committed>) + Send>;

/// A revisioned key-value log.
///
/// Changes are totally ordered by revision. A successful [`commit`](Store::commit) is durable when it returns
/// (as far as the implementation is durable at all) and visible to every later call.
#[async_trait::async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Returns the entry of `key` as it is now, or nothing when there is none.
    async fn get(&self, key: &str) -> Result<Option<Entry>>;

    /// Lists entries in key order; see [`List`]. Fails with [`Error::Compacted`] when the revision asked for
    /// has been compacted away, and with [`Error::Future`] when it has not happened yet.
    async fn list(&self, list: &List) -> Result<Page>;

    /// Applies one change if its expectation holds, else fails with [`Error::Conflict`] and changes nothing.
    ///
    /// Deleting a key that is absent under [`Expected::Any`] is a conflict too: every revision is a change.
    async fn commit(&self, write: Write) -> Result<Committed> {
        let (tell, told) = tokio::sync::oneshot::channel();
        // A caller that went away does not need its answer.
        self.submit(write, Box::new(move |outcome| drop(tell.send(outcome))));
        told.await.unwrap_or_else(|_| Err(Error::Stopped { detail: "it was closed".to_owned() }))
    }

    /// Does what [`commit`](Store::commit) does, whether or not somebody waits for it, and hands the outcome to `then`.
    ///
    /// Changes are handed over one by one in the order of their revisions, each when it is durable.
    fn submit(&self, write: Write, then: Then);

    /// Watches the keys that begin with `prefix` (all, when it is empty): yields every change with a revision
    /// above `after`, in order and without gaps. Fails with [`Error::Compacted`] when changes after `after`
    /// are no longer kept, and with [`Error::Future`] when `after` has not happened yet.
    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch>;

    /// Forgets what was superseded at or before `revision`; reads and watches from before it fail from then on.
    /// Current entries are never touched. A revision below the present floor changes nothing.
    async fn compact(&self, revision: Revision) -> Result<()>;

    /// Returns the revision of the latest change, 0 for a store that never saw one.
    fn revision(&self) -> Revision;
}
