//! Creating an object.

use bytes::Bytes;
use http::Response;

use super::ownership::Ownership;
use super::{Call, WriteOptions, decode, present, write, written};
use crate::{Body, Result};

/// Answers a create.
pub(crate) async fn create(call: &mut Call, body: &Bytes) -> Result<Response<Body>> {
    let options = WriteOptions::parse(&call.query, "CreateOptions", false)?;
    let decoded = decode::body(call, body)?;
    let object = write::accept(call, decoded, options.validation)?;
    let owner = Ownership::update(call);
    let outcome = write::create(call, object, &options, &owner).await?;
    present::object(call, written(outcome.created), &outcome.entry)
}
