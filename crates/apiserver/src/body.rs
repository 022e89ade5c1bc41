//! Bodies of requests and answers.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use machinery::status::Status;
use serde_json::Value;

use crate::Result;

/// An error of a body's transport.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request or answer body: bytes at once, or a stream.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The largest request body accepted, in bytes.
pub const LIMIT: usize = 3 << 20;

/// So many bytes of a body that is too large are read all the same, so that its client hears the answer: while it sends,
/// it may not listen, and to be cut off tells it nothing.
const HEARD_OUT: usize = 16 * LIMIT;

/// The media type of almost every answer.
pub const JSON: &str = "application/json";

/// A body of bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An empty body.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// Reads a request body to its end.
///
/// # Errors
/// Refuses bodies above [`LIMIT`], and those whose transport breaks off.
pub async fn read(mut body: Body) -> Result<Bytes> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Status::bad_request(format!("the request body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > LIMIT {
            drop(read);
            hear_out(body).await;
            return Err(Status::too_large(format!("Request entity too large: limit is {LIMIT}")).into());
        }
        if read.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.into())
}

async fn hear_out(mut body: Body) {
    let mut heard = 0;
    while heard < HEARD_OUT {
        let Some(Ok(frame)) = body.frame().await else { return };
        heard += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// An answer of bytes with a media type.
pub fn answer(status: StatusCode, media_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let bytes = bytes.into();
    let length = HeaderValue::from(bytes.len());
    let mut response = Response::new(full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// An answer that is a JSON object.
pub fn json(status: StatusCode, value: &Value) -> Response<Body> {
    answer(status, JSON, serde_json::to_vec(value).unwrap_or_default())
}

/// Writes a value as YAML, fields in the order of their names.
pub fn yaml(value: &Value) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    serde_saphyr::to_string(&sorted).unwrap_or_default()
}

/// The answer that tells a refusal.
pub fn refusal(status: &Status) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, &status.to_value());
    let wait = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if wait > 0 {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn who_sends_too_much_is_heard_out_within_bounds() {
        for (pieces, heard) in
            [((2 * LIMIT) >> 20, (2 * LIMIT) >> 20), (1000, ((LIMIT + HEARD_OUT) >> 20) + 1)]
        {
            let taken = Arc::new(AtomicUsize::new(0));
            let counting = Arc::clone(&taken);
            let body = stream::iter(0..pieces).map(move |_| {
                counting.fetch_add(1, Ordering::Relaxed);
                Ok::<_, BodyError>(Frame::data(Bytes::from(vec![b'x'; 1 << 20])))
            });
            let refused = read(StreamBody::new(body).boxed_unsync()).await.expect_err("it is too large");
            assert_eq!(refused.code, 413);
            assert_eq!(refused.message, "Request entity too large: limit is 3145728");
            assert_eq!(taken.load(Ordering::Relaxed), heard);
        }
    }
}
