//! Answers in the encoding that a client accepts: each is made as JSON, and translated here on its way out.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use machinery::status::Status;
use serde_json::Value;

use crate::request::negotiate::{Encoding, Offer, accepted};
use crate::request::query::Query;
use crate::{Body, body, protobuf};

const YAML: &str = "application/yaml";

/// Translates an answer that is one JSON object; streams, other media types and kinds without a form in `encoding` go
/// on as they are.
pub(crate) async fn translated(response: Response<Body>, encoding: Encoding) -> Response<Body> {
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|media_type| media_type == body::JSON);
    if encoding == Encoding::Json || !is_json || response.body().size_hint().exact().is_none() {
        return response;
    }
    let (mut parts, whole) = response.into_parts();
    // A body of bytes has no transport that could fail.
    let plain = whole.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let translated = serde_json::from_slice(&plain).ok().and_then(|object| encode(&object, encoding));
    let Some((media_type, bytes)) = translated else {
        return Response::from_parts(parts, body::full(plain));
    };
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Response::from_parts(parts, body::full(bytes))
}

/// Writes an object in an encoding, if it has a form in it.
fn encode(object: &Value, encoding: Encoding) -> Option<(&'static str, Vec<u8>)> {
    match encoding {
        Encoding::Json => serde_json::to_vec(object).ok().map(|bytes| (body::JSON, bytes)),
        Encoding::PrettyJson => serde_json::to_vec_pretty(object).ok().map(|bytes| (body::JSON, bytes)),
        Encoding::Yaml => Some((YAML, body::yaml(object).into_bytes())),
        Encoding::Protobuf => protobuf::encode(object).map(|bytes| (protobuf::MEDIA_TYPE, bytes)),
    }
}

/// The answer that tells a refusal, in the encoding that the client accepts for plain objects.
pub(crate) async fn refusal(headers: &HeaderMap, query: &Query, status: &Status) -> Response<Body> {
    // Who accepts none is told in one that people can read.
    let encoding =
        accepted(headers, query, Offer::Plain).map_or(Encoding::PrettyJson, |accepted| accepted.encoding);
    translated(body::refusal(status), encoding).await
}
