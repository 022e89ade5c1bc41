//! Lists: from the cache, or from the store when a past state is asked for.

use std::sync::Arc;

use http::Response;
use machinery::status::Status;
use store::List;

use super::options::{Continue, ListOptions, Match};
use super::present::{self, ListMeta};
use super::{Call, read, storage};
use crate::cache::Entry;
use crate::registry::crd;
use crate::{Body, Result, conversion};

/// Answers a list.
pub(crate) async fn list(call: &mut Call) -> Result<Response<Body>> {
    let options = ListOptions::parse(call, false)?;
    let (entries, meta) = select(call, &options).await?;
    let entries = conversion::all_shown(&call.server, &call.resource, entries).await?;
    present::list(call, &entries, &meta)
}

/// Finds the objects that a list asks for.
pub(crate) async fn select(call: &Call, options: &ListOptions) -> Result<(Vec<Arc<Entry>>, ListMeta)> {
    let past = match (&options.next, options.version_match) {
        (Some(next), _) => Some(next.revision),
        (None, Match::Exact) => {
            Some(options.version.parse().map_err(|_| read::invalid_revision(&options.version))?)
        }
        // The version of a limited list without a match rule is exact as well.
        (None, Match::Unset) if options.limit > 0 && !matches!(options.version.as_str(), "" | "0") => {
            Some(options.version.parse().map_err(|_| invalid(&options.version))?)
        }
        _ => {
            if !options.version.is_empty() && options.version.parse::<u64>().is_err() {
                return Err(invalid(&options.version));
            }
            read::wait_for_revision(call).await?;
            None
        }
    };
    let cache = call.server.caches().of(&call.resource.collection);
    if past.is_some() || !cache.keeps_objects() {
        return from_store(call, options, past).await;
    }
    let names = cache.fields();
    let (mut entries, revision) = match options.selection.name() {
        Some(name) if !options.selection.namespace.is_empty() || !call.resource.namespaced => {
            let revision = call.server.caches().applied();
            let key = crate::cache::ObjectKey::new(&options.selection.namespace, name);
            (cache.get(&key).into_iter().collect(), revision)
        }
        _ => cache.snapshot(&options.selection.namespace),
    };
    entries.retain(|entry| options.selection.matches(&entry.key, &entry.facets, &names));
    Ok(page(options, entries, revision))
}

fn invalid(text: &str) -> Box<Status> {
    Status::bad_request(format!("invalid resource version: {text:?} is not an unsigned decimal number"))
        .into()
}

/// Cuts a page off the selected objects.
fn page(options: &ListOptions, mut entries: Vec<Arc<Entry>>, revision: u64) -> (Vec<Arc<Entry>>, ListMeta) {
    let mut meta = ListMeta { revision, ..ListMeta::default() };
    if options.limit > 0 && entries.len() > options.limit {
        let rest = entries.len() - options.limit;
        entries.truncate(options.limit);
        if let Some(last) = entries.last() {
            let after = format!("{}/{}", last.key.namespace, last.key.name);
            meta.next = Some(Continue { revision, after }.token());
        }
        // With selectors the real server does not count what it has not looked at.
        if options.selection.labels.is_everything() && options.selection.fields.is_everything() {
            meta.remaining = Some(rest as u64);
        }
    }
    (entries, meta)
}

async fn from_store(
    call: &Call,
    options: &ListOptions,
    at: Option<u64>,
) -> Result<(Vec<Arc<Entry>>, ListMeta)> {
    let collection = &call.resource.collection;
    if let Some(at) = at.filter(|at| *at > call.server.store().revision()) {
        return Err(read::too_large(at, call.server.store().revision()));
    }
    let all = storage::prefix(collection, "");
    let list = List {
        prefix: storage::prefix(collection, &options.selection.namespace),
        after: options.next.as_ref().map(|next| format!("{all}{}", next.after)),
        limit: 0,
        at,
    };
    let found = call.server.store().list(&list).await.map_err(|error| storage::store_failure(&error))?;
    let names = call.server.caches().of(collection).fields();
    let registry = call.server.registry().snapshot();
    let stored = registry.stored(collection).filter(|stored| stored.custom);
    let mut entries = Vec::with_capacity(found.entries.len());
    for entry in &found.entries {
        let entry = storage::from_store(collection, entry, &names)?;
        let entry = stored.and_then(|stored| crd::shown(stored, &entry, &names)).map_or(entry, Arc::new);
        if options.selection.matches(&entry.key, &entry.facets, &names) {
            entries.push(entry);
        }
    }
    Ok(page(options, entries, found.revision))
}
