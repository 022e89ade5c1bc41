//! Objects of custom kinds in other versions than the one that they are stored in.
//!
//! Versions that differ in `apiVersion` only are told apart where objects are written out
//! ([`registry::convert`](crate::registry::convert)). Where versions have schemas of their own, or a webhook, objects pass
//! here first: reads and watches get entries in the version that they show, writes store what the stored version knows.

mod webhook;

use std::sync::Arc;

use machinery::status::Status;
use serde_json::Value;

use crate::cache::{Entry, stored_bytes};
use crate::registry::{Resource, api_version, convert};
use crate::{ApiServer, Result};

use webhook::Webhook;

/// How objects of one kind get from version to version.
#[derive(Debug)]
pub(crate) enum Converter {
    /// They keep the fields that the other version knows.
    Fields,
    /// A webhook makes them.
    Webhook(Webhook),
}

impl Converter {
    /// Reads it from a definition; nothing if versions differ in their names only.
    pub(crate) fn read(crd: &Value) -> Option<Arc<Self>> {
        let conversion = &crd["spec"]["conversion"];
        if conversion["strategy"] == "Webhook" {
            return Some(Arc::new(Self::Webhook(Webhook::read(&conversion["webhook"]))));
        }
        let versions = crd["spec"]["versions"].as_array().map_or(&[][..], Vec::as_slice);
        let differ = versions.windows(2).any(|pair| pair[0]["schema"] != pair[1]["schema"]);
        differ.then(|| Arc::new(Self::Fields))
    }

    async fn convert(&self, server: &ApiServer, wanted: &str, objects: Vec<Value>) -> Result<Vec<Value>> {
        match self {
            Self::Webhook(webhook) => webhook.convert(server, wanted, objects).await,
            Self::Fields => {
                Ok(objects.into_iter().map(|object| convert::with_api_version(object, wanted)).collect())
            }
        }
    }
}

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

/// Takes out of a converted object what its version does not know. Defaults are not filled in where objects are shown, as
/// on a cluster: they are of the version that is written or stored.
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
            // A version that is not served has no resource here: what it knows is not another version's to say.
            let registry = server.registry().snapshot();
            let storage = registry.stored(&resource.collection);
            if let Some(storage) = storage.filter(|storage| *storage.gvk.version == *resource.storage_version)
            {
                prune(storage, &mut stored);
                storage.schema.default(&mut stored);
            }
            Ok(stored)
        }
        _ => Ok(convert::to_storage(resource, object)),
    }
}
