//! The words of the store: entries, writes, lists, events.

use std::sync::Arc;

use bytes::Bytes;

/// The number of a change. The first change of a store is revision 1.
pub type Revision = u64;

/// One key's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The value, shared and never copied on the way to readers.
    pub value: Bytes,
    /// The revision at which the key came into being.
    pub created: Revision,
    /// The revision of the change that gave it this value.
    pub modified: Revision,
}

/// One key's state in a store that is being opened, lent while it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: &'a [u8],
    /// The revision of the change that gave it this value.
    pub modified: Revision,
}

/// What a write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything, nothing included (but a deletion needs something to delete).
    Any,
    /// No entry.
    Absent,
    /// An entry whose [`Entry::modified`] is this.
    Revision(Revision),
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets the value.
    Put(Bytes),
    /// Removes the entry.
    Delete,
}

/// One conditional change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key to change.
    pub key: Arc<str>,
    /// The condition.
    pub expected: Expected,
    /// The change.
    pub change: Change,
}

impl Write {
    /// Creates an entry that must not exist yet.
    pub fn create(key: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), expected: Expected::Absent, change: Change::Put(value.into()) }
    }

    /// Replaces an entry that must still be at `revision`.
    pub fn update(key: impl Into<Arc<str>>, revision: Revision, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), expected: Expected::Revision(revision), change: Change::Put(value.into()) }
    }

    /// Sets an entry, whatever is there.
    pub fn put(key: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), expected: Expected::Any, change: Change::Put(value.into()) }
    }

    /// Removes an entry that must still be at `revision`.
    pub fn delete(key: impl Into<Arc<str>>, revision: Revision) -> Self {
        Self { key: key.into(), expected: Expected::Revision(revision), change: Change::Delete }
    }
}

/// The outcome of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The revision that the change got.
    pub revision: Revision,
    /// What the key held before.
    pub previous: Option<Entry>,
}

/// A request for entries in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only keys above this one (exclusive): the [`Page::next`] of the page before.
    pub after: Option<String>,
    /// At most this many; 0 means all.
    pub limit: usize,
    /// The state as of this revision; `None` means now.
    pub at: Option<Revision>,
}

impl List {
    /// Asks for everything below `prefix` as it is now.
    pub fn all(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries, ordered by key.
    pub entries: Vec<Entry>,
    /// The revision whose state this is; ask the following pages at the same one.
    pub revision: Revision,
    /// The key to continue after, when there is more.
    pub next: Option<String>,
    /// How many entries follow this page.
    pub remaining: u64,
}

/// One change, as a watcher sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The revision of the change.
    pub revision: Revision,
    /// The key that changed.
    pub key: Arc<str>,
    /// The entry after the change; `None` when it was deleted.
    pub current: Option<Entry>,
    /// The entry before the change; `None` when it was created, or when compaction forgot it.
    pub previous: Option<Entry>,
}
