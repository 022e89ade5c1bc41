//! Large answers, compressed for clients that take them so.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderValue, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::{Body, body};

/// Answers of fewer bytes are sent as they are: what compressing them saves is not worth its time.
const THRESHOLD: u64 = 128 << 10;

/// Whether a client takes answers compressed by gzip.
pub(crate) fn wanted(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    offers.flat_map(|value| value.split(',')).any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
    })
}

/// Compresses an answer that is large and whole; streams go on as they come.
pub(super) async fn compressed(response: Response<Body>) -> Response<Body> {
    let large = response.body().size_hint().exact().is_some_and(|size| size >= THRESHOLD);
    if !large || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, whole) = response.into_parts();
    let plain = match whole.collect().await {
        Ok(whole) => whole.to_bytes(),
        // Nothing of the answer has been sent yet, so that its client sees a connection that breaks off.
        Err(error) => {
            return Response::from_parts(
                parts,
                http_body_util::StreamBody::new(futures::stream::iter([Err(error)])).boxed_unsync(),
            );
        }
    };
    let source = plain.clone();
    let squeezed = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(source.len() / 4), Compression::fast());
        encoder.write_all(&source).and_then(|()| encoder.finish())
    });
    match squeezed.await {
        Ok(Ok(bytes)) => {
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            Response::from_parts(parts, body::full(bytes))
        }
        _ => Response::from_parts(parts, body::full(plain)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(value).expect("a header"))])
    }

    #[test]
    fn clients_say_what_they_take() {
        for (value, takes) in
            [("gzip", true), ("br, gzip;q=0.5", true), ("gzip;q=0", false), ("identity", false), ("", false)]
        {
            assert_eq!(wanted(&headers(value)), takes, "{value}");
        }
    }

    #[tokio::test]
    async fn only_large_answers_are_compressed() {
        let answer = |size: usize| body::answer(http::StatusCode::OK, body::JSON, vec![b'a'; size]);
        let small = compressed(answer(100)).await;
        assert_eq!(small.headers().get(CONTENT_ENCODING), None);
        let large = compressed(answer(200 << 10)).await;
        assert_eq!(large.headers()[CONTENT_ENCODING], "gzip");
        let length: usize =
            large.headers()[CONTENT_LENGTH].to_str().expect("text").parse().expect("a number");
        let bytes = large.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(bytes.len(), length);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).expect("gzip");
        assert_eq!(plain.len(), 200 << 10);
    }
}
