//! The opening of a websocket: what a request must have, and the answer.

use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use machinery::status::Status;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::super::refusal::Refusal;
use super::super::{Body, full};

/// The one protocol that is offered.
const PROTOCOL: &str = "plain.kubevirt.io";

/// An accepted handshake: what becomes of the connection once it is answered, and what came with its request, for as long
/// as the stream lasts.
#[derive(Debug)]
pub(in super::super) struct Accepted(pub(super) OnUpgrade, pub(super) Extensions);

/// Checks a handshake and accepts it with the answer.
pub(in super::super) fn accept(request: &mut Request<Body>) -> Result<(Response<Body>, Accepted), Refusal> {
    let headers = request.headers();
    let refuse = |why: &str| Err(refusal(&format!("websocket: {why}")));
    if !has_token(headers, CONNECTION, "upgrade") {
        return refuse(
            "the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header",
        );
    }
    if !has_token(headers, UPGRADE, "websocket") {
        return refuse(
            "the client is not using the websocket protocol: 'websocket' token not found in 'Upgrade' header",
        );
    }
    if !has_token(headers, HeaderName::from_static("sec-websocket-version"), "13") {
        return refuse("unsupported version: 13 not found in 'Sec-Websocket-Version' header");
    }
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24).cloned() else {
        return refuse(
            "not a websocket handshake: 'Sec-WebSocket-Key' header must be Base64 encoded value of 16-byte in length",
        );
    };
    let wanted = has_token(headers, SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return refuse("this connection cannot be upgraded: use HTTP/1.1");
    };
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if wanted {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    Ok((response, Accepted(upgrade, std::mem::take(request.extensions_mut()))))
}

/// The reference answers with a status line's text and a `Status` behind it.
fn refusal(message: &str) -> Refusal {
    let status = Status::bad_request(message).to_value();
    let mut text = b"Bad Request\n".to_vec();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    // Writing a value of strings and numbers into memory does not fail.
    drop(serde::Serialize::serialize(&status, &mut serializer));
    Refusal::Text(StatusCode::BAD_REQUEST, String::from_utf8_lossy(&text).into_owned())
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    let mut tokens = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    tokens.any(|found| found.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(headers: &[(&str, &str)]) -> String {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match accept(&mut request.body(full(Bytes::new())).unwrap()) {
            Err(Refusal::Text(StatusCode::BAD_REQUEST, text)) => text,
            other => panic!("a refusal, not {other:?}"),
        }
    }

    #[test]
    fn what_is_no_handshake_is_refused_as_the_reference_does() {
        let connection = ("Connection", "keep-alive, Upgrade");
        let upgrade = ("Upgrade", "websocket");
        let version = ("Sec-WebSocket-Version", "13");
        let table: [(&[(&str, &str)], &str); 4] = [
            (&[], "'upgrade' token"),
            (&[connection], "'websocket' token"),
            (&[connection, upgrade], "unsupported version"),
            (&[connection, upgrade, version], "Sec-WebSocket-Key"),
        ];
        for (headers, expected) in table {
            let text = handshake(headers);
            assert!(text.starts_with("Bad Request\n{\n \"kind\": \"Status\",\n"), "{text}");
            assert!(text.contains(expected), "{text}");
        }
    }
}
