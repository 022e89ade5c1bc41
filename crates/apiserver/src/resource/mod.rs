//! One generic path for all kinds: create, read, list, watch, update, patch, delete and subresources.
//!
//! What differs between kinds is data (the registry) or a [`strategy`].

mod admit;
mod apply;
pub(crate) mod bootstrap;
mod call;
mod components;
mod create;
pub mod decode;
mod delete;
mod eviction;
mod initial;
mod list;
mod metadata;
mod options;
mod ownership;
mod patch;
mod present;
pub(crate) mod quota;
mod read;
mod scale;
pub mod service;
pub mod storage;
pub(crate) mod strategy;
mod subresource;
mod update;
mod watch;
mod write;

use http::{Response, StatusCode};
use machinery::status::Status;

pub use initial::Initial;

pub(crate) use call::{Call, FieldValidation, WriteOptions};

use crate::{Body, Result, body};

/// Answers a request for a resource.
pub(crate) async fn answer(call: &mut Call, request_body: Body) -> Result<Response<Body>> {
    let verb = call.info.verb.clone();
    let mut request_body = Some(request_body);
    if let Some(response) = subresource::answer(call, &verb, &mut request_body).await? {
        return Ok(response);
    }
    let request_body = request_body.unwrap_or_else(body::empty);
    match &*verb {
        "get" if components::are(&call.resource) => components::get(call).await,
        "list" if components::are(&call.resource) => components::list(call).await,
        "get" => read::get(call).await,
        "list" => list::list(call).await,
        "watch" => watch::watch(call).await,
        "create" => create::create(call, &body::read(request_body).await?).await,
        "update" => update::update(call, &body::read(request_body).await?).await,
        "patch" => patch::patch(call, &body::read(request_body).await?).await,
        "delete" => delete::delete(call, &body::read(request_body).await?).await,
        "deletecollection" => delete::delete_collection(call, &body::read(request_body).await?).await,
        _ => Err(Status::no_such_path().into()),
    }
}

/// The code of an answer to a write.
pub(crate) fn written(created: bool) -> StatusCode {
    if created { StatusCode::CREATED } else { StatusCode::OK }
}
