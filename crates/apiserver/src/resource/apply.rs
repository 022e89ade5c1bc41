//! Server-side apply: an object that says what one manager wants, merged into what others want.

use bytes::Bytes;
use http::Response;
use machinery::object;
use machinery::status::Status;
use serde_json::Value;

use super::decode::Decoded;
use super::ownership::{self, Ownership};
use super::{Call, WriteOptions, decode, present, storage, write, written};
use crate::{Body, Result};

/// How often an apply looks again when the object comes and goes meanwhile.
const ATTEMPTS: usize = 5;

/// Answers an apply patch. An object that is not there is created.
pub(crate) async fn apply(call: &mut Call, body: &Bytes, options: &WriteOptions) -> Result<Response<Body>> {
    let Decoded { value: stated, duplicates } = decode::yaml(body)?;
    check_kind(call, &stated)?;
    let gvk = call.resource.gvk.clone();
    write::strict(call, &gvk, duplicates, Vec::new(), options.validation)?;
    let (key, owner) = (call.key(), Ownership::apply(call));
    for _ in 0..ATTEMPTS {
        let exists = storage::current(&call.server, &call.resource, &key).await?.is_some();
        let outcome = if exists {
            let merge = |call: &mut Call, old: &Value| merged(call, old, &stated, &owner, options);
            write::update(call, &key, options, &owner, merge).await
        } else if call.sub().is_empty() {
            let draft = first(call, &stated, &owner, options)?;
            write::create(call, draft, options, &owner).await
        } else {
            return Err(call.not_found(&key.name));
        };
        match outcome {
            Err(status) if !exists && status.reason == "AlreadyExists" => {}
            Err(status) if exists && status.reason == "NotFound" && call.sub().is_empty() => {}
            Err(status) => return Err(status),
            Ok(outcome) => return present::object(call, written(outcome.created), &outcome.entry),
        }
    }
    Err(Status::stale(&call.resource.gvr(), &key.name).into())
}

fn check_kind(call: &Call, stated: &Value) -> Result<()> {
    if !stated.is_object() {
        return Err(Status::bad_request("error decoding YAML: an applied object must be one object").into());
    }
    let expected = &call.resource.gvk;
    let found = object::gvk(stated).map_err(|error| Status::bad_request(error.to_string()))?;
    if found != *expected {
        return Err(Status::bad_request(format!("invalid object type: {found}: this path takes {expected}")).into());
    }
    Ok(())
}

fn check_name(call: &Call, object: &Value) -> Result<()> {
    let (name, url) = (object::name(object), &*call.info.name);
    if name == url {
        return Ok(());
    }
    let message = if name.is_empty() {
        format!("the name of the object ({url} based on URL) was undeterminable: name must be provided")
    } else {
        format!("the name of the object ({name}) does not match the name on the URL ({url})")
    };
    Err(Status::bad_request(message).into())
}

fn merged(call: &Call, old: &Value, stated: &Value, owner: &Ownership, options: &WriteOptions) -> Result<Value> {
    let mut draft = ownership::merge(call, old, stated, owner, options.force)?;
    check_name(call, stated)?;
    settle(call, &mut draft)?;
    Ok(draft)
}

/// The object to create. A resourceVersion says which object is meant, and there is none.
fn first(call: &Call, stated: &Value, owner: &Ownership, options: &WriteOptions) -> Result<Value> {
    let mut draft = ownership::merge(call, &Value::Null, stated, owner, options.force)?;
    check_name(call, stated)?;
    let uid = object::uid(stated);
    if !uid.is_empty() {
        let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
        return Err(Status::conflict(&call.resource.gvr(), object::name(stated), why).into());
    }
    object::remove_meta(&mut draft, "resourceVersion");
    settle(call, &mut draft)?;
    Ok(draft)
}

fn settle(call: &Call, draft: &mut Value) -> Result<()> {
    let kind = &call.resource.gvk.kind;
    let readable = call.resource.schema.settle(draft).map(drop);
    readable.map_err(|why| Status::bad_request(format!("the applied {kind} is not readable: {why}")).into())
}
