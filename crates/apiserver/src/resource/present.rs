//! Turns stored objects into answers, in the form and version that the client asked for.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Response, StatusCode};
use machinery::status::Status;
use serde_json::{Value, json};

use super::Call;
use crate::cache::Entry;
use crate::registry::Resource;
use crate::registry::convert;
use crate::request::negotiate::{Accepted, Encoding, Form, MetaVersion, accepted};
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
    let accepted = accepted(&call.headers, true)?;
    if accepted == Accepted::default() {
        return Ok(body::answer(code, body::JSON, bytes_of(&call.resource, entry)));
    }
    Ok(value_in(call, accepted, code, &value_of(&call.resource, entry)?))
}

/// Answers a value that is not stored.
pub(crate) fn value(call: &Call, code: StatusCode, object: &Value) -> Result<Response<Body>> {
    Ok(value_in(call, accepted(&call.headers, true)?, code, object))
}

fn value_in(call: &Call, accepted: Accepted, code: StatusCode, object: &Value) -> Response<Body> {
    let shown = match accepted.form {
        Form::Object => encode(object, accepted.encoding),
        Form::Partial(version) => encode(&partial(object, version), accepted.encoding),
        Form::Table(version) => {
            let include = include_object(call);
            let objects = [object.clone()];
            let mut table =
                crate::table::table(&call.resource, &objects, version, include, call.server.now());
            table["metadata"] = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            encode(&table, accepted.encoding)
        }
    };
    body::answer(code, media_type(accepted.encoding), shown)
}

/// What a table's rows carry of their objects, as the `includeObject` parameter says.
pub(crate) fn include_object(call: &Call) -> crate::table::Include {
    match call.query.get("includeObject") {
        "None" => crate::table::Include::None,
        "Object" => crate::table::Include::Object,
        _ => crate::table::Include::Metadata,
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

/// The media type of an encoding.
pub(crate) const fn media_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => body::JSON,
        Encoding::Yaml => "application/yaml",
    }
}

/// Writes a value.
pub(crate) fn encode(value: &Value, encoding: Encoding) -> Bytes {
    match encoding {
        Encoding::Json => serde_json::to_vec(value).unwrap_or_default().into(),
        Encoding::Yaml => body::yaml(value).into(),
    }
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
    fn value(&self, resource: &Resource) -> Value {
        let mut meta = json!({"resourceVersion": self.revision.to_string()});
        match &self.next {
            Some(next) => meta["continue"] = next.as_str().into(),
            // Lists of custom resources always have the field.
            None if resource.custom => meta["continue"] = "".into(),
            None => {}
        }
        if let Some(remaining) = self.remaining {
            meta["remainingItemCount"] = remaining.into();
        }
        meta
    }
}

/// Answers a list.
pub(crate) fn list(call: &Call, entries: &[Arc<Entry>], meta: &ListMeta) -> Result<Response<Body>> {
    let accepted = accepted(&call.headers, true)?;
    let resource = &call.resource;
    if accepted == Accepted::default() {
        let mut out =
            BytesMut::with_capacity(entries.iter().map(|entry| entry.bytes.len() + 1).sum::<usize>() + 256);
        let head = json!({"kind": *resource.list_kind, "apiVersion": resource.api_version(), "metadata": meta.value(resource)});
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
    let shown = match accepted.form {
        Form::Object => json!({
            "kind": *resource.list_kind, "apiVersion": resource.api_version(), "metadata": meta.value(resource), "items": objects,
        }),
        Form::Partial(version) => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": version.api_version(), "metadata": meta.value(resource),
            "items": objects.iter().map(|object| partial(object, version)).collect::<Vec<_>>(),
        }),
        Form::Table(version) => {
            let include = include_object(call);
            let mut table = crate::table::table(resource, &objects, version, include, call.server.now());
            table["metadata"] = meta.value(resource);
            if let Some(fields) = table["metadata"].as_object_mut().filter(|_| meta.next.is_none()) {
                fields.shift_remove("continue");
            }
            table
        }
    };
    Ok(body::answer(StatusCode::OK, media_type(accepted.encoding), encode(&shown, accepted.encoding)))
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
