//! Objects of custom kinds in other versions than the one that they are stored in.
//!
//! Versions that differ in `apiVersion` only are told apart where objects are written out
//! ([`registry::convert`](crate::registry::convert)). What a definition has a webhook for passes here first: reads and
//! watches get entries in the version that they show, writes store what the webhook makes of them.

mod webhook;

use std::sync::Arc;

use machinery::status::Status;
use serde_json::Value;

use crate::cache::{Entry, stored_bytes};
use crate::registry::{Resource, api_version, convert};
use crate::{ApiServer, Result};

pub(crate) use webhook::Converter;

/// The entry in the version of `resource`.
///
/// # Errors
/// Says why its webhook did not convert it.
pub(crate) async fn shown(server: &ApiServer, resource: &Resource, entry: &Arc<Entry>) -> Result<Arc<Entry>> {
    let mut entries = all_shown(server, resource, vec![Arc::clone(entry)]).await?;
    Ok(entries.pop().unwrap_or_else(|| Arc::clone(entry)))
}

/// Entries in the version of `resource`, asked for with one question.
///
/// # Errors
/// Says why the webhook did not convert them.
pub(crate) async fn all_shown(
    server: &ApiServer,
    resource: &Resource,
    mut entries: Vec<Arc<Entry>>,
) -> Result<Vec<Arc<Entry>>> {
    let Some(converter) = &resource.conversion else { return Ok(entries) };
    let version = resource.api_version();
    let others: Vec<usize> = (0..entries.len()).filter(|at| !entries[*at].is_in(&version)).collect();
    if others.is_empty() {
        return Ok(entries);
    }
    let objects: Result<Vec<Value>, _> = others.iter().map(|at| entries[*at].parse()).collect();
    let objects =
        objects.map_err(|error| Status::internal(format!("a stored object is damaged: {error}")))?;
    let shown = converter.convert(server, &version, objects).await?;
    for (at, mut object) in others.into_iter().zip(shown) {
        let old = &entries[at];
        prune(resource, &mut object);
        let facets = Arc::clone(&old.facets);
        entries[at] = Arc::new(Entry::new(old.key.clone(), old.revision, &stored_bytes(&object), facets));
    }
    Ok(entries)
}

/// Takes out of what a webhook made of an object what its version does not know. Defaults are not filled in, as on a
/// cluster: they are of the version that is written or stored.
fn prune(resource: &Resource, object: &mut Value) {
    // A value of a wrong type is shown as it is; whoever writes it is refused.
    let _ = resource.schema.settle(object);
}

/// An object of `resource` in the form that is stored.
///
/// # Errors
/// Says why the webhook did not convert it.
pub(crate) async fn stored(server: &ApiServer, resource: &Resource, object: Value) -> Result<Value> {
    let version = api_version(&resource.collection.group, &resource.storage_version);
    match &resource.conversion {
        Some(converter) if resource.api_version() != version => {
            let mut stored =
                converter.convert(server, &version, vec![object]).await?.pop().unwrap_or_default();
            if let Some(storage) = server.registry().snapshot().stored(&resource.collection) {
                prune(storage, &mut stored);
            }
            Ok(stored)
        }
        _ => Ok(convert::to_storage(resource, object)),
    }
}
