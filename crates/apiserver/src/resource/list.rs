//! Lists: from the cache, or from the store when a past state is asked for.

use std::sync::Arc;

use http::Response;
use machinery::status::Status;
use store::List;

use super::options::{Continue, ListOptions, Match};
use super::present::{self, ListMeta};
use super::{Call, read, storage};
use crate::cache::{Cache, Entry, ObjectKey, Part};
use crate::registry::crd;
use crate::{Body, Result, conversion};

/// Objects that are looked at together where a selector passes over some.
const SOME: usize = 500;

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
        (Some(Continue { revision: Some(revision), .. }), _) => Some(*revision),
        (None, Match::Exact) => Some(options.version.parse().map_err(|_| invalid(&options.version))?),
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
    if cache.keeps_objects()
        && let Some(found) = from_cache(call, &cache, options, past)
    {
        return Ok(found);
    }
    from_store(call, options, past).await
}

fn invalid(text: &str) -> Box<Status> {
    Status::bad_request(format!("invalid resource version: {text:?} is not an unsigned decimal number"))
        .into()
}

/// Finds them in the cache, if that shows the state asked for: pages of a list mostly show what is still there.
fn from_cache(
    call: &Call,
    cache: &Cache,
    options: &ListOptions,
    at: Option<u64>,
) -> Option<(Vec<Arc<Entry>>, ListMeta)> {
    let selection = &options.selection;
    let found = match selection.name() {
        Some(name) if at.is_none() && (!selection.namespace.is_empty() || !call.resource.namespaced) => {
            let revision = call.server.caches().applied();
            let found = cache.get(&ObjectKey::new(&selection.namespace, name));
            let names = cache.fields();
            let meant = found.filter(|entry| selection.matches(&entry.key, &entry.facets, &names));
            Part { entries: meant.into_iter().collect(), revision, ..Part::default() }
        }
        _ => {
            // Who takes any state takes it whole: the real server's cache knows no pages then.
            let limit = if at.is_none() && options.version == "0" { 0 } else { options.limit };
            cache.part(selection, options.after().as_ref(), limit, at)?
        }
    };
    Some(page(found))
}

/// Tells where a page ends, and what follows.
fn page(part: Part) -> (Vec<Arc<Entry>>, ListMeta) {
    let Part { entries, revision, has_more, rest } = part;
    let mut meta = ListMeta { revision, ..ListMeta::default() };
    if let Some(last) = entries.last().filter(|_| has_more) {
        let after = format!("{}/{}", last.key.namespace, last.key.name);
        meta.next = Some(Continue { revision: Some(revision), after }.token());
        // With selectors the real server does not count what it has not looked at.
        meta.remaining = rest;
    }
    (entries, meta)
}

/// What a list is told whose state the store has no longer. One that continues may go on with what is there now.
fn unreadable(error: &store::Error, options: &ListOptions) -> Box<Status> {
    let store::Error::Compacted { .. } = error else { return storage::store_failure(error) };
    let Some(next) = &options.next else {
        return Status::expired("The resourceVersion for the provided list is too old.").into();
    };
    let mut status = Status::expired(
        "The provided continue parameter is too old to show one state of the list. Start the list again without it, or get \
         the rest with the continue token in this answer: objects that came, changed or went meanwhile are then seen as they \
         are now, or not at all",
    );
    status.metadata.next = Continue { revision: None, after: next.after.clone() }.token();
    status.into()
}

/// Finds them in the store, in the state of revision `at`.
async fn from_store(
    call: &Call,
    options: &ListOptions,
    at: Option<u64>,
) -> Result<(Vec<Arc<Entry>>, ListMeta)> {
    let collection = &call.resource.collection;
    if let Some(at) = at.filter(|at| *at > call.server.store().revision()) {
        return Err(read::too_large(at, call.server.store().revision()));
    }
    let ListOptions { selection, limit, .. } = options;
    let all = storage::prefix(collection, "");
    let mut list = List {
        prefix: storage::prefix(collection, &selection.namespace),
        after: options.next.as_ref().map(|next| format!("{all}{}", next.after)),
        // Selectors pass over some: more than a few are asked for at a time.
        limit: if *limit == 0 || selection.is_everything() { *limit } else { (*limit).max(SOME) },
        at,
    };
    let names = call.server.caches().of(collection).fields();
    let registry = call.server.registry().snapshot();
    let stored = registry.stored(collection).filter(|stored| stored.custom);
    let mut part = Part::default();
    loop {
        let found = call.server.store().list(&list).await.map_err(|error| unreadable(&error, options))?;
        for entry in &found.entries {
            let entry = storage::from_store(collection, entry, &names)?;
            let entry = stored.and_then(|stored| crd::shown(stored, &entry, &names)).map_or(entry, Arc::new);
            if selection.matches(&entry.key, &entry.facets, &names) {
                part.entries.push(entry);
            }
        }
        part.revision = found.revision;
        let is_full = *limit > 0 && part.entries.len() >= *limit;
        if is_full && selection.is_everything() {
            part.has_more = found.next.is_some();
            part.rest = Some(found.remaining);
            break;
        }
        part.has_more = is_full && part.entries.len() > *limit;
        if part.has_more {
            part.entries.truncate(*limit);
            break;
        }
        let Some(next) = found.next else { break };
        (list.after, list.at) = (Some(next), Some(found.revision));
    }
    Ok(page(part))
}
