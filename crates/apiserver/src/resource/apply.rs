//! Server-side apply: an object that says what one manager wants, merged into what others want.

use bytes::Bytes;
use http::Response;
use machinery::apply as engine;
use machinery::object;
use machinery::status::Status;
use serde_json::Value;

use super::ownership::{self, Ownership};
use super::{Call, WriteOptions, decode, present, storage, write, written};
use crate::{Body, Result, audit};

/// Answers an apply patch.
pub(crate) async fn apply(call: &mut Call, body: &Bytes, options: &WriteOptions) -> Result<Response<Body>> {
    let key = call.key();
    let stated = decode::yaml(body)?.value;
    audit::requested_change(&stated);
    check(call, &stated)?;
    let owner = Ownership::apply(call);
    // Whoever loses the race for a new name merges into what the winner made.
    let outcome = loop {
        let exists = storage::current(&call.server, &call.resource, &key).await?.is_some();
        if !exists {
            if !call.sub().is_empty() {
                return Err(call.not_found(&key.name));
            }
            if object::name(&stated).is_empty() {
                return Err(nameless(&call.info.name));
            }
            let uid = object::uid(&stated);
            if !uid.is_empty() {
                let why = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(Status::conflict(&call.resource.gvr(), &key.name, why).into());
            }
            let mut new = merge(call, &Value::Null, &stated, &owner, options)?;
            object::remove_meta(&mut new, "resourceVersion");
            match write::create(call, new, options, &owner).await {
                Err(status) if status.reason == "AlreadyExists" && !options.dry_run => continue,
                outcome => break outcome?,
            }
        }
        break write::update(call, &key, options, &owner, |call, old| {
            let mut merged = merge(call, old, &stated, &owner, options)?;
            let version = object::resource_version(&stated);
            if !version.is_empty() {
                object::set_meta(&mut merged, "resourceVersion", version);
            }
            Ok(merged)
        })
        .await?;
    };
    present::object(call, written(outcome.created), &outcome.entry)
}

/// Checks that the stated object is the one that the path names.
fn check(call: &Call, stated: &Value) -> Result<()> {
    let gvk = &call.resource.gvk;
    let refuse = |why: String| Err(Status::bad_request(why).into());
    if !stated.is_object() {
        return refuse("an apply patch must be one object".to_owned());
    }
    let found = (object::api_version(stated).to_owned(), object::kind(stated).to_owned());
    if found.0.is_empty() || found.1.is_empty() {
        return refuse("an apply patch must say apiVersion and kind".to_owned());
    }
    if found != (gvk.api_version(), gvk.kind.clone()) {
        return refuse(format!("an apply patch of {} {} cannot be applied to {gvk}", found.0, found.1));
    }
    let name = &call.info.name;
    let stated_name = object::name(stated);
    if !stated_name.is_empty() && stated_name != &**name {
        return refuse(format!(
            "the name of the object ({stated_name}) does not match the name on the URL ({name})"
        ));
    }
    let namespace = object::namespace(stated);
    if call.resource.namespaced && !namespace.is_empty() && namespace != call.namespace() {
        return refuse(
            "the namespace of the provided object does not match the namespace sent on the request"
                .to_owned(),
        );
    }
    Ok(())
}

/// Who makes an object must name it; what is there has its name already.
fn nameless(name: &str) -> Box<Status> {
    let why =
        format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
    Status::bad_request(why).into()
}

fn merge(
    call: &Call,
    live: &Value,
    stated: &Value,
    owner: &Ownership,
    options: &WriteOptions,
) -> Result<Value> {
    let merged = ownership::with_scope(call, |scope| {
        engine::apply(scope, live, stated, &owner.writer(), options.force)
    });
    merged.map_err(|error| Box::new(error.status()))
}
