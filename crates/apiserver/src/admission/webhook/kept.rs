//! What is made of a collection's objects, until the collection changes.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::ApiServer;
use crate::admission::chain::GROUP;
use crate::registry::Collection;

/// Something made of the objects of a collection of this group, in the order of their names.
#[derive(Debug)]
pub(in crate::admission) struct Kept<T> {
    collection: Collection,
    made: Mutex<(Option<u64>, Arc<Vec<T>>)>,
}

impl<T> Kept<T> {
    pub(in crate::admission) fn new(plural: &str) -> Self {
        Self { collection: Collection::new(GROUP, plural), made: Mutex::new((None, Arc::new(Vec::new()))) }
    }

    /// Returns what `make` makes of the objects as they are now.
    pub(in crate::admission) fn current(
        &self,
        server: &ApiServer,
        make: impl Fn(&Value) -> Vec<T>,
    ) -> Arc<Vec<T>> {
        let cache = server.caches().of(&self.collection);
        // Read first: a change in between is seen the next time.
        let revision = cache.changed();
        let mut kept = self.made.lock();
        if kept.0 != Some(revision) {
            let (entries, _) = cache.snapshot("");
            let objects = entries.iter().filter_map(|entry| entry.parse().ok());
            *kept = (Some(revision), Arc::new(objects.flat_map(|object| make(&object)).collect()));
        }
        Arc::clone(&kept.1)
    }
}
