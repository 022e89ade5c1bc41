//! Replacing an object.

use bytes::Bytes;
use http::Response;
use machinery::gvk::Gvk;
use machinery::object;
use machinery::status::Status;

use super::ownership::Ownership;
use super::{Call, WriteOptions, decode, metadata, present, storage, strategy, write, written};
use crate::{Body, Result};

/// Answers an update.
pub(crate) async fn update(call: &mut Call, body: &Bytes) -> Result<Response<Body>> {
    let options = WriteOptions::parse(&call.query, "UpdateOptions", false)?;
    let decoded = decode::body(call, body)?;
    let object = write::accept(call, decoded, options.validation)?;
    let owner = Ownership::update(call);
    let key = call.key();
    metadata::check_name(object::name(&object), &key.name)?;
    let uid = object::uid(&object).to_owned();
    let version = object::resource_version(&object);
    if !version.is_empty() && version.parse::<u64>().is_err() {
        // The reference answers this with a bare 500.
        return Err(Status::unexplained(
            500,
            format!("resourceVersion: Invalid value: {version:?}: not a number"),
        )
        .into());
    }
    if strategy::creates_on_update(&call.resource) && call.sub().is_empty() {
        let missing = storage::current(&call.server, &call.resource, &key).await?.is_none();
        if missing && matches!(version, "" | "0") {
            let mut new = object;
            object::remove_meta(&mut new, "resourceVersion");
            let outcome = write::create(call, new, &options, &owner).await?;
            return present::object(call, written(outcome.created), &outcome.entry);
        }
    }
    let outcome = write::update(call, &key, &options, &owner, |call, old| {
        if !uid.is_empty() && uid != object::uid(old) {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                object::uid(old)
            );
            return Err(Status::conflict(&call.resource.gvr(), object::name(old), why).into());
        }
        if strategy::wants_version(&call.resource) && matches!(version, "" | "0") {
            use machinery::field::{FieldError, Path};
            let error = FieldError::invalid(
                Path::new("metadata.resourceVersion"),
                0,
                "must be specified for an update",
            );
            // It is the collection that refuses, not the kind.
            let named = Gvk::new(call.resource.group(), call.resource.version(), call.resource.plural());
            return Err(Status::invalid(&named, object::name(old), &[error]).into());
        }
        Ok(object.clone())
    })
    .await?;
    present::object(call, written(outcome.created), &outcome.entry)
}
