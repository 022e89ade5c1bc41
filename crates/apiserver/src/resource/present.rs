//! Turns stored objects into answers, in the form and version that the client asked for, as JSON.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Response, StatusCode};
use machinery::status::{Reason, Status};
use serde_json::{Value, json};

use super::Call;
use crate::cache::Entry;
use crate::registry::Resource;
use crate::registry::convert;
use crate::request::negotiate::{Form, MetaVersion};
use crate::table::Include;
use crate::{ApiServer, Body, Result, body, conversion};

/// Returns the object as the version of `resource` shows it.
pub(crate) fn bytes_of(resource: &Resource, entry: &Entry) -> Bytes {
    if convert::renames_only(resource) {
        return entry.bytes_as(&resource.api_version());
    }
    match entry.parse() {
        Ok(stored) => serde_json::to_vec(&convert::from_storage(resource, stored)).unwrap_or_default().into(),
        Err(_) => entry.bytes.clone(),
    }
}

/// Returns the object as the version of `resource` shows it, parsed.
///
/// # Errors
/// Fails when the stored object is damaged.
pub(crate) fn value_of(resource: &Resource, entry: &Entry) -> Result<Value> {
    let stored =
        entry.parse().map_err(|error| Status::internal(format!("a stored object is damaged: {error}")))?;
    Ok(convert::from_storage(resource, stored))
}

/// Returns the object as the version of `resource` shows it, also where a webhook has to convert it.
///
/// # Errors
/// Fails when the stored object is damaged, and when the webhook fails.
pub(crate) async fn current(server: &ApiServer, resource: &Resource, entry: &Arc<Entry>) -> Result<Value> {
    value_of(resource, &*conversion::shown(server, resource, entry).await?)
}

/// Answers one object.
pub(crate) fn object(call: &Call, code: StatusCode, entry: &Entry) -> Result<Response<Body>> {
    if call.accepted.form == Form::Object {
        return Ok(body::answer(code, body::JSON, bytes_of(&call.resource, entry)));
    }
    value(call, code, &value_of(&call.resource, entry)?)
}

/// Answers a value that is not stored.
pub(crate) fn value(call: &Call, code: StatusCode, object: &Value) -> Result<Response<Body>> {
    Ok(match call.accepted.form {
        Form::Object => body::json(code, object),
        Form::Partial(version) => body::json(code, &partial(object, version)),
        Form::PartialList(_) => {
            return Err(other_form("PartialObjectMetadataList", "not a list", call.resource.kind()));
        }
        Form::Table(version) => {
            let include = include_object(call)?;
            let objects = [object.clone()];
            let mut table =
                crate::table::table(&call.resource, &objects, version, include, call.server.now());
            table["metadata"] = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            body::json(code, &table)
        }
    })
}

/// The refusal of a form that one object or a list does not have.
fn other_form(asked: &str, what: &str, kind: &str) -> Box<Status> {
    let message = format!("you requested {asked}, but the requested object is {what} ({kind})");
    Status::failure(Reason::NotAcceptable, message).into()
}

/// What a table's rows carry of their objects, as the `includeObject` parameter says.
pub(crate) fn include_object(call: &Call) -> Result<Include> {
    match call.query.get("includeObject") {
        "None" => Ok(Include::None),
        "Object" => Ok(Include::Object),
        "" | "Metadata" => Ok(Include::Metadata),
        _ if !matches!(call.accepted.form, Form::Table(_)) => Ok(Include::Metadata),
        other => {
            let message = format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
            );
            Err(Status::bad_request(message).into())
        }
    }
}

/// Returns only an object's metadata.
pub(crate) fn partial(object: &Value, version: MetaVersion) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": version.api_version(),
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// Metadata of a list answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListMeta {
    /// Revision of the state shown.
    pub(crate) revision: u64,
    /// Token for the next page.
    pub(crate) next: Option<String>,
    /// How many objects follow.
    pub(crate) remaining: Option<u64>,
}

impl ListMeta {
    fn value(&self) -> Value {
        let mut meta = json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = &self.next {
            meta["continue"] = next.as_str().into();
        }
        if let Some(remaining) = self.remaining {
            meta["remainingItemCount"] = remaining.into();
        }
        meta
    }
}

/// Answers a list.
pub(crate) fn list(call: &Call, entries: &[Arc<Entry>], meta: &ListMeta) -> Result<Response<Body>> {
    let resource = &call.resource;
    if call.accepted.form == Form::Object {
        let mut out =
            BytesMut::with_capacity(entries.iter().map(|entry| entry.bytes.len() + 1).sum::<usize>() + 256);
        let mut metadata = meta.value();
        // Whole lists of custom resources always have the field.
        if resource.custom && meta.next.is_none() {
            metadata["continue"] = "".into();
        }
        let head =
            json!({"kind": *resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata});
        let head = head.to_string();
        out.put_slice(head.trim_end_matches('}').as_bytes());
        // The metadata object was the last value of the head, so exactly its brace must come back.
        out.put_slice(b"},\"items\":[");
        for (at, entry) in entries.iter().enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            out.put_slice(&item_bytes(resource, entry));
        }
        out.put_slice(b"]}");
        return Ok(body::answer(StatusCode::OK, body::JSON, out.freeze()));
    }
    let objects = entries.iter().map(|entry| value_of(resource, entry)).collect::<Result<Vec<_>>>()?;
    let shown = match call.accepted.form {
        Form::Object | Form::Partial(_) => {
            return Err(other_form("PartialObjectMetadata", "a list", &resource.list_kind));
        }
        Form::PartialList(version) => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": version.api_version(), "metadata": meta.value(),
            "items": objects.iter().map(|object| partial(object, version)).collect::<Vec<_>>(),
        }),
        Form::Table(version) => {
            let include = include_object(call)?;
            let mut table = crate::table::table(resource, &objects, version, include, call.server.now());
            table["metadata"] = meta.value();
            table
        }
    };
    Ok(body::json(StatusCode::OK, &shown))
}

/// An item of a list of built-in objects has no kind of its own; an item of a custom resource does.
fn item_bytes(resource: &Resource, entry: &Entry) -> Bytes {
    let bytes = bytes_of(resource, entry);
    if resource.custom {
        return bytes;
    }
    let head = format!("{{\"apiVersion\":\"{}\",\"kind\":\"{}\",", resource.api_version(), resource.kind());
    match bytes.strip_prefix(head.as_bytes()) {
        Some(rest) => {
            let mut out = BytesMut::with_capacity(rest.len() + 1);
            out.put_u8(b'{');
            out.put_slice(rest);
            out.freeze()
        }
        None => bytes,
    }
}
