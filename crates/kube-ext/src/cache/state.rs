//! What a cache knows, and which news change it. No waiting, no locks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::Key;

/// A change of the picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<P> {
    /// The object is new (`before` is `None`) or its projection changed.
    Applied {
        /// Which object.
        key: Key,
        /// What was known of it.
        before: Option<Arc<P>>,
        /// What is known of it now.
        after: Arc<P>,
    },
    /// The object is gone, or no longer has a projection.
    Removed {
        /// Which object.
        key: Key,
        /// What was last known of it.
        before: Arc<P>,
    },
}

impl<P> Change<P> {
    /// Returns the key of the object.
    pub fn key(&self) -> &Key {
        match self {
            Self::Applied { key, .. } | Self::Removed { key, .. } => key,
        }
    }

    /// Returns every known side of the change, old before new.
    pub fn sides(&self) -> impl Iterator<Item = &P> {
        let (before, after) = match self {
            Self::Applied { before, after, .. } => (before.as_deref(), Some(&**after)),
            Self::Removed { before, .. } => (Some(&**before), None),
        };
        before.into_iter().chain(after)
    }
}

/// Names the index value of a projection.
pub(super) type Indexer<P> = Arc<dyn Fn(&P) -> Option<String> + Send + Sync>;

/// What a cache knows.
pub(super) struct State<P> {
    pub(super) items: BTreeMap<Key, Item<P>>,
    pub(super) by_index: BTreeMap<String, BTreeSet<Key>>,
    /// Everything up to this revision has been told by list or watch.
    pub(super) told: u64,
    /// Keys seen by the list in progress.
    pub(super) listing: Option<BTreeSet<Key>>,
}

/// An object's projection, and the revision that it is true for.
pub(super) struct Item<P> {
    pub(super) revision: u64,
    pub(super) value: Arc<P>,
}

impl<P: PartialEq> State<P> {
    /// Knows nothing.
    pub(super) fn new() -> Self {
        Self { items: BTreeMap::new(), by_index: BTreeMap::new(), told: 0, listing: None }
    }

    /// Takes in what is known of an object as of `revision`, unless something newer is known.
    pub(super) fn apply(
        &mut self,
        key: Key,
        revision: u64,
        value: Option<P>,
        index: Option<&Indexer<P>>,
    ) -> Option<Change<P>> {
        let known = self.items.get_mut(&key);
        if let Some(known) = &known
            && revision != 0
            && revision < known.revision
        {
            return None;
        }
        let Some(value) = value else { return self.remove(key, index) };
        let before = match known {
            Some(known) if *known.value == value => {
                known.revision = revision;
                return None;
            }
            Some(known) => Some(known.value.clone()),
            None => None,
        };
        let after = Arc::new(value);
        if let Some(index) = index {
            let (old, new) = (before.as_deref().and_then(|p| index(p)), index(&after));
            if old != new {
                self.unindex(old, &key);
                if let Some(new) = new {
                    self.by_index.entry(new).or_default().insert(key.clone());
                }
            }
        }
        self.items.insert(key.clone(), Item { revision, value: after.clone() });
        Some(Change::Applied { key, before, after })
    }

    /// Forgets how new things are, so that the next list counts for all that is known.
    pub(super) fn rewind(&mut self) {
        self.told = 0;
        self.items.values_mut().for_each(|item| item.revision = 0);
    }

    /// Forgets an object.
    pub(super) fn remove(&mut self, key: Key, index: Option<&Indexer<P>>) -> Option<Change<P>> {
        let item = self.items.remove(&key)?;
        if let Some(index) = index {
            self.unindex(index(&item.value), &key);
        }
        Some(Change::Removed { key, before: item.value })
    }

    fn unindex(&mut self, value: Option<String>, key: &Key) {
        if let Some(value) = value
            && let Some(keys) = self.by_index.get_mut(&value)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.by_index.remove(&value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_projections_are_no_change_and_old_revisions_are_ignored() {
        let (mut state, key) = (State::new(), Key::new("a", "x"));
        assert!(state.apply(key.clone(), 5, Some(1), None).is_some());
        assert!(state.apply(key.clone(), 6, Some(1), None).is_none(), "same projection");
        assert!(state.apply(key.clone(), 4, Some(2), None).is_none(), "older revision");
        assert!(state.apply(key.clone(), 4, None, None).is_none(), "older removal");
        assert!(matches!(state.apply(key, 7, None, None), Some(Change::Removed { .. })));
    }

    #[test]
    fn what_was_known_before_revisions_began_anew_is_older_than_what_comes() {
        let (mut state, key) = (State::new(), Key::new("a", "x"));
        state.apply(key.clone(), 50, Some(1), None);
        state.told = 60;
        assert!(state.apply(key.clone(), 4, Some(2), None).is_none());
        state.rewind();
        assert!(state.apply(key, 4, Some(2), None).is_some());
        assert_eq!(state.told, 0);
    }

    #[test]
    fn the_index_follows_the_projection() {
        let (mut state, key) = (State::new(), Key::new("a", "x"));
        let index: Indexer<u32> = Arc::new(|n| (*n > 0).then(|| n.to_string()));
        state.apply(key.clone(), 1, Some(1), Some(&index));
        assert!(state.by_index["1"].contains(&key));
        state.apply(key.clone(), 2, Some(2), Some(&index));
        assert!(!state.by_index.contains_key("1") && state.by_index["2"].contains(&key));
        state.apply(key.clone(), 3, Some(0), Some(&index));
        assert!(state.by_index.is_empty());
    }
}
