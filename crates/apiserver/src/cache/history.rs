//! The latest changes of a collection, for watchers that are behind.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::{Entry, Facets};

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created or changed.
    Put,
    /// It was removed; the entry is its last state, at the revision of the removal.
    Delete,
}

/// One applied change.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The object after the change.
    pub entry: Arc<Entry>,
    /// What selectors saw of the object before the change; nothing when it was created.
    pub previous: Option<Arc<Facets>>,
}

/// Changes that are kept in any case.
const KEPT: usize = 256;
/// Above this many bytes, changes that every watcher has seen are dropped.
const SOFT_BYTES: usize = 2 << 20;
/// Above this many bytes, changes are dropped whoever still needs them: such watchers must list again.
const HARD_BYTES: usize = 64 << 20;

/// A bounded queue of changes, oldest first.
#[derive(Debug)]
pub(super) struct History {
    changes: VecDeque<Change>,
    bytes: usize,
    /// Changes at or below this revision are forgotten.
    floor: u64,
    cursors: Vec<Weak<AtomicU64>>,
}

impl History {
    pub(super) fn new(floor: u64) -> Self {
        Self { changes: VecDeque::new(), bytes: 0, floor, cursors: Vec::new() }
    }

    /// The revision of the newest change known.
    pub(super) fn latest(&self) -> u64 {
        self.changes.back().map_or(self.floor, |change| change.entry.revision)
    }

    /// The oldest revision from which a watch can start.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// Registers a watcher's position, so that what it has not seen is kept for it within bounds.
    pub(super) fn follow(&mut self, cursor: &Arc<AtomicU64>) {
        self.cursors.retain(|cursor| cursor.strong_count() > 0);
        self.cursors.push(Arc::downgrade(cursor));
    }

    pub(super) fn push(&mut self, change: Change) {
        self.bytes += change.entry.bytes.len();
        self.changes.push_back(change);
        while self.changes.len() > KEPT && self.bytes > SOFT_BYTES {
            let oldest = self.changes.front().map_or(0, |change| change.entry.revision);
            if self.bytes < HARD_BYTES && self.slowest() < oldest {
                break;
            }
            if let Some(dropped) = self.changes.pop_front() {
                self.bytes -= dropped.entry.bytes.len();
                self.floor = dropped.entry.revision;
            }
        }
    }

    fn slowest(&self) -> u64 {
        let positions =
            self.cursors.iter().filter_map(Weak::upgrade).map(|cursor| cursor.load(Ordering::Relaxed));
        positions.min().unwrap_or(u64::MAX)
    }

    /// Returns up to `limit` changes after `revision`.
    pub(super) fn after(&self, revision: u64, limit: usize) -> Vec<Change> {
        let from = self.changes.partition_point(|change| change.entry.revision <= revision);
        self.changes.iter().skip(from).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::ObjectKey;

    fn change(revision: u64, size: usize) -> Change {
        let bytes = vec![b' '; size];
        let entry = Entry::new(ObjectKey::new("", "x"), revision, &bytes, Arc::default());
        Change { kind: ChangeKind::Put, entry: Arc::new(entry), previous: None }
    }

    #[test]
    fn old_changes_go_unless_a_watcher_needs_them() {
        let mut history = History::new(0);
        let cursor = Arc::new(AtomicU64::new(5));
        history.follow(&cursor);
        for revision in 1..=1000 {
            history.push(change(revision, 10_000));
        }
        assert_eq!(history.floor(), 5);
        assert_eq!(history.after(990, 100).len(), 10);
        cursor.store(900, Ordering::Relaxed);
        history.push(change(1001, 1));
        assert!(history.floor() > 700 && history.floor() <= 900);
        drop(cursor);
        for revision in 1002..=9000 {
            history.push(change(revision, 10_000));
        }
        assert_eq!(history.changes.len(), KEPT);
    }
}
