//! Between objects and the store: keys, loading at start, and durable writes that reach the cache in order.

use std::sync::Arc;

use bytes::Bytes;
use machinery::status::Status;
use serde_json::Value;
use store::{Expected, List, Write};

use crate::cache::{Change, ChangeKind, Entry, Facets, ObjectKey, selectable_fields, stored_bytes};
use crate::registry::{Collection, Resource};
use crate::server::StartError;
use crate::{ApiServer, Result};

const PREFIX: &str = "/registry/";

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

/// Reads the whole store into the caches.
pub(crate) async fn load(server: &ApiServer) -> Result<(), StartError> {
    let page = server.store().list(&List::all(PREFIX)).await.map_err(StartError::Store)?;
    let mut entries = Vec::with_capacity(page.entries.len());
    for entry in page.entries {
        let Some((collection, key)) = parse_key(&entry.key) else { continue };
        if !server.caches().of(&collection).keeps_objects() {
            continue;
        }
        let object: Value = serde_json::from_slice(&entry.value)
            .map_err(|source| StartError::Damaged { key: entry.key.to_string(), source })?;
        let facets = Arc::new(Facets::of(&object, &selectable_fields(&collection)));
        let loaded = Entry::new(key, entry.modified, &entry.value, facets);
        entries.push((collection, loaded));
    }
    server.caches().load(entries, page.revision);
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

/// Writes durably and waits until the cache shows it. Runs to its end even if the caller goes away.
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
            let facets = Arc::new(Facets::of(object, &cache.fields()));
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
    let (server, collection, key) = (server.clone(), collection.clone(), key.clone());
    let task = tokio::spawn(async move {
        let committed = server.store().commit(write).await?;
        let revision = committed.revision;
        let previous = committed.previous.is_some().then(|| Arc::clone(&facets));
        let entry = Arc::new(Entry::new(key, revision, &stored, facets));
        server.caches().apply(collection.clone(), Change { kind, entry: Arc::clone(&entry), previous });
        server.caches().wait_for(revision).await;
        server.recount().note(&server, &collection, &entry, kind, expected.is_none());
        Ok::<_, store::Error>(entry)
    });
    match task.await {
        Ok(Ok(entry)) => Ok(entry),
        Ok(Err(store::Error::Conflict { .. })) => Err(CommitError::Conflict),
        Ok(Err(error)) => Err(CommitError::Failed(store_failure(&error))),
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
    let object: Value = serde_json::from_slice(&entry.value)
        .map_err(|error| Status::internal(format!("the stored object {} is damaged: {error}", entry.key)))?;
    let facets = Arc::new(Facets::of(&object, fields));
    Ok(Arc::new(Entry::new(key, entry.modified, &entry.value, facets)))
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
