//! Between objects and the store: keys, loading at start, and durable writes that reach the cache in order.

use std::sync::Arc;

use bytes::Bytes;
use machinery::status::Status;
use serde_json::Value;
use store::{Committed, Expected, Found, List, Write};
use tokio::sync::oneshot;

use super::Initial;
use crate::cache::{Change, ChangeKind, Entry, Facets, ObjectKey, selectable_fields, stored_bytes};
use crate::registry::{Collection, Resource};
use crate::server::StartError;
use crate::{ApiServer, Result};

/// What all keys of the server begin with in the store.
pub(super) const PREFIX: &str = "/registry/";

/// The store's key of a collection's objects, of one namespace if it is not empty.
pub fn prefix(collection: &Collection, namespace: &str) -> String {
    let group = if collection.group.is_empty() { "core" } else { &collection.group };
    let plural = &collection.plural;
    if namespace.is_empty() {
        format!("{PREFIX}{group}/{plural}/")
    } else {
        format!("{PREFIX}{group}/{plural}/{namespace}/")
    }
}

/// The store's key of an object. Cluster-scoped objects have an empty namespace segment.
pub fn store_key(collection: &Collection, key: &ObjectKey) -> String {
    format!("{}{}/{}", prefix(collection, ""), key.namespace, key.name)
}

/// Reads a store key back.
pub fn parse_key(key: &str) -> Option<(Collection, ObjectKey)> {
    let mut parts = key.strip_prefix(PREFIX)?.splitn(4, '/');
    let (group, plural, namespace, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let group = if group == "core" { "" } else { group };
    Some((Collection::new(group, plural), ObjectKey::new(namespace, name)))
}

/// Puts the whole store into the caches: as it was taken in while it was opened, or read now.
pub(crate) async fn load(server: &ApiServer, initial: Option<Initial>) -> Result<(), StartError> {
    let (initial, revision) = if let Some(initial) = initial {
        (initial, server.store().revision())
    } else {
        let page = server.store().list(&List::all(PREFIX)).await.map_err(StartError::Store)?;
        let mut initial = Initial::default();
        for entry in &page.entries {
            initial.add(Found { key: &entry.key, value: &entry.value, modified: entry.modified });
        }
        (initial, page.revision)
    };
    server.caches().load(initial.collections()?, revision);
    Ok(())
}

/// Why a write did not happen.
#[derive(Debug)]
pub enum CommitError {
    /// The object is not as expected any more.
    Conflict,
    /// The store failed.
    Failed(Box<Status>),
}

/// What to write.
#[derive(Debug)]
pub enum Intent<'a> {
    /// Store this object, in its storage version.
    Put(&'a Value),
    /// Remove the object whose last state is this.
    Remove(&'a Entry),
}

/// Writes durably; then the cache shows it, which happens even if the caller goes away meanwhile.
///
/// `expected` is the revision of the object that the write was computed from; `None` means that it must not exist.
pub(crate) async fn commit(
    server: &ApiServer,
    collection: &Collection,
    key: &ObjectKey,
    expected: Option<u64>,
    intent: Intent<'_>,
) -> Result<Arc<Entry>, CommitError> {
    let cache = server.caches().of(collection);
    let (kind, change, stored, facets) = match intent {
        Intent::Put(object) => {
            let stored = Bytes::from(stored_bytes(object));
            let facets = Facets::of(object, &cache.fields()).share();
            (ChangeKind::Put, store::Change::Put(stored.clone()), stored, facets)
        }
        Intent::Remove(last) => {
            let stored = Bytes::from(crate::cache::without_revision(&last.bytes));
            (ChangeKind::Delete, store::Change::Delete, stored, Arc::clone(&last.facets))
        }
    };
    let write = Write {
        key: store_key(collection, key).into(),
        expected: expected.map_or(Expected::Absent, Expected::Revision),
        change,
    };
    let (collection, key, is_new) = (collection.clone(), key.clone(), expected.is_none());
    // Not the server itself: the store, which it holds, cannot end where it writes.
    let (caches, recount) = (Arc::clone(server.caches()), Arc::clone(server.recount()));
    let (tell, told) = oneshot::channel();
    let then = move |outcome: store::Result<Committed>| {
        let written = outcome.map(|committed| {
            let previous = committed.previous.is_some().then(|| Arc::clone(&facets));
            let entry = Arc::new(Entry::new(key, committed.revision, &stored, facets));
            caches.apply(&collection, Change { kind, entry: Arc::clone(&entry), previous });
            recount.note(&caches, &collection, &entry, kind, is_new);
            entry
        });
        // Who asked may have gone away.
        drop(tell.send(written));
    };
    let store = Arc::clone(server.store());
    // A task of its own gives others their turn also where the store is in memory and has answered at once.
    let told = tokio::spawn(async move {
        store.submit(write, Box::new(then));
        told.await
    });
    match told.await {
        Ok(Ok(Ok(entry))) => Ok(entry),
        Ok(Ok(Err(store::Error::Conflict { .. }))) => Err(CommitError::Conflict),
        Ok(Ok(Err(error))) => Err(CommitError::Failed(store_failure(&error))),
        Ok(Err(_)) => Err(CommitError::Failed(Status::internal("the store was closed").into())),
        Err(error) => {
            Err(CommitError::Failed(Status::internal(format!("the write was interrupted: {error}")).into()))
        }
    }
}

/// Tells a client that the store failed.
pub(crate) fn store_failure(error: &store::Error) -> Box<Status> {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(below) = cause {
        text += &format!(": {below}");
        cause = below.source();
    }
    tracing::error!(error = text, "the store failed");
    match error {
        store::Error::Compacted { requested, .. } => Status::expired(format!(
            "The provided continue parameter or resource version {requested} is too old"
        ))
        .into(),
        _ => Status::internal(text).into(),
    }
}

/// Returns the object as it is now, from cache or store.
pub(crate) async fn current(
    server: &ApiServer,
    resource: &Resource,
    key: &ObjectKey,
) -> Result<Option<Arc<Entry>>> {
    let cache = server.caches().of(&resource.collection);
    if cache.keeps_objects() {
        return Ok(cache.get(key));
    }
    let key_text = store_key(&resource.collection, key);
    let found = server.store().get(&key_text).await.map_err(|error| store_failure(&error))?;
    let fields = selectable_fields(&resource.collection);
    found.map(|entry| from_store(&resource.collection, &entry, &fields)).transpose()
}

/// Makes a cache entry of a store entry; selectors may name `fields`.
pub(crate) fn from_store(
    collection: &Collection,
    entry: &store::Entry,
    fields: &[Box<str>],
) -> Result<Arc<Entry>> {
    let (_, key) = parse_key(&entry.key).unwrap_or_else(|| (collection.clone(), ObjectKey::default()));
    let facets = Facets::read(&entry.value, fields)
        .map_err(|error| Status::internal(format!("the stored object {} is damaged: {error}", entry.key)))?;
    Ok(Arc::new(Entry::new(key, entry.modified, &entry.value, facets.share())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive() {
        for (group, plural, namespace, name) in
            [("", "pods", "a", "b"), ("apps", "deployments", "a", "x:y"), ("", "nodes", "", "n")]
        {
            let collection = Collection::new(group, plural);
            let key = ObjectKey::new(namespace, name);
            assert_eq!(parse_key(&store_key(&collection, &key)), Some((collection, key)));
        }
    }
}
