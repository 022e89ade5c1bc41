//! Watches and logs by websocket, as pages in a browser read them: what a stream would say goes out as messages, one for
//! each event. What a client sends is read and forgotten. Kubernetes, `apiserver/pkg/endpoints/handlers/watch` and
//! `apimachinery/pkg/util/httpstream/wsstream`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes};
use futures::{SinkExt as _, StreamExt as _};
use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use machinery::status::Status;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::auth::websocket::{has_word, protocols};
use crate::{Body, body};

/// The largest message that a client may send, in bytes. Nothing of it is of use.
const LARGEST: usize = 64 << 10;
/// Between two signs of life, without which a client that vanished would be served for ever.
const PING: Duration = Duration::from_secs(30);
/// After so many without an answer the client is taken for gone.
const PATIENCE: u32 = 4;
/// The protocol of those who can only read text.
const BASE64: &str = "base64.binary.k8s.io";

/// How a stream is cut into messages; stands in the extensions of an answer that may go out as messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Lines of text; a piece of the body ends with a line.
    Lines,
    /// Frames of binary data behind their length, four bytes in network order; a piece of the body ends with a frame.
    Lengths,
    /// Bytes as they come.
    Bytes,
}

/// A request to change to a websocket.
#[derive(Debug)]
pub(super) struct Handshake {
    upgrade: OnUpgrade,
    key: Option<HeaderValue>,
    /// The protocol that is spoken, if the client offers any.
    protocol: Option<HeaderValue>,
}

impl Handshake {
    /// Reads what a request says of it.
    pub(super) fn of(request: &Request<Body>) -> Option<Self> {
        let headers = request.headers();
        let wanted = request.method() == Method::GET
            && has_word(headers, CONNECTION, "upgrade")
            && has_word(headers, UPGRADE, "websocket");
        let upgrade = request.extensions().get::<OnUpgrade>().filter(|_| wanted)?.clone();
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24 && speaks(headers)).cloned();
        let protocol = protocols(headers).next().and_then(|protocol| HeaderValue::from_str(protocol).ok());
        Some(Self { upgrade, key, protocol })
    }

    /// Accepts it if the answer is a stream that goes out as messages; any other is sent as it is.
    pub(super) fn answer(self, response: Response<Body>) -> Response<Body> {
        let Some(framing) = response.extensions().get::<Framing>().copied() else { return response };
        let accept = self.key.as_ref().map(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())));
        let Some(Ok(accept)) = accept else {
            let why = "not a websocket handshake: Sec-WebSocket-Version must be 13, and Sec-WebSocket-Key 16 bytes in base64";
            return body::refusal(&Status::bad_request(why));
        };
        let (mut parts, stream) = response.into_parts();
        let as_text = self.protocol.as_ref().is_some_and(|protocol| protocol == BASE64);
        parts.status = StatusCode::SWITCHING_PROTOCOLS;
        parts.headers.clear();
        parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        parts.headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = self.protocol {
            parts.headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        let upgrade = self.upgrade;
        tokio::spawn(async move {
            match upgrade.await {
                Ok(connection) => {
                    let config = WebSocketConfig::default()
                        .max_message_size(Some(LARGEST))
                        .max_frame_size(Some(LARGEST));
                    let connection = TokioIo::new(connection);
                    let socket =
                        WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await;
                    if let Err(error) = carry(socket, stream, framing, as_text).await {
                        tracing::debug!(%error, "a stream of messages broke off");
                    }
                }
                Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
            }
        });
        Response::from_parts(parts, body::full(Bytes::new()))
    }
}

fn speaks(headers: &HeaderMap) -> bool {
    has_word(headers, SEC_WEBSOCKET_VERSION, "13")
}

/// Sends what the stream says until it ends or the client goes.
async fn carry<S>(
    mut socket: WebSocketStream<S>,
    mut stream: Body,
    framing: Framing,
    as_text: bool,
) -> Result<(), Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut ping = tokio::time::interval(PING);
    ping.reset();
    let mut silent = 0;
    loop {
        tokio::select! {
            frame = stream.frame() => match frame {
                Some(Ok(frame)) => {
                    for message in messages(frame.into_data().unwrap_or_default(), framing, as_text) {
                        socket.feed(message).await?;
                    }
                    socket.flush().await?;
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "a stream ended early");
                    return close(&mut socket, CloseCode::Error).await;
                }
                None => return close(&mut socket, CloseCode::Normal).await,
            },
            heard = socket.next() => match heard {
                // The answer to a closing is sent where the closing was read; what follows is the end.
                Some(Ok(_)) => silent = 0,
                Some(Err(Error::ConnectionClosed)) | None => return Ok(()),
                Some(Err(error)) => return Err(error),
            },
            _ = ping.tick() => {
                if silent == PATIENCE {
                    return Ok(());
                }
                silent += 1;
                socket.send(Message::Ping(Bytes::new())).await?;
            }
        }
    }
}

async fn close<S>(socket: &mut WebSocketStream<S>, code: CloseCode) -> Result<(), Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    socket.close(Some(CloseFrame { code, reason: Utf8Bytes::default() })).await?;
    // Until the client has said the same, or is gone: what it has not read would be lost with the connection.
    let answered = async { while let Some(Ok(_)) = socket.next().await {} };
    tokio::time::timeout(PING, answered).await.ok();
    Ok(())
}

/// Cuts a piece of a stream into messages.
fn messages(mut piece: Bytes, framing: Framing, as_text: bool) -> Vec<Message> {
    let mut messages = Vec::new();
    while !piece.is_empty() {
        messages.push(match framing {
            Framing::Lines => {
                let end = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |at| at + 1);
                let line = piece.split_to(end);
                // JSON is UTF-8.
                Utf8Bytes::try_from(line.clone()).map_or(Message::Binary(line), Message::Text)
            }
            Framing::Lengths if piece.len() > 4 => {
                let length = piece.get_u32() as usize;
                Message::Binary(piece.split_to(length.min(piece.len())))
            }
            Framing::Bytes if as_text => Message::text(STANDARD.encode(piece.split_to(piece.len()))),
            Framing::Lengths | Framing::Bytes => Message::Binary(piece.split_to(piece.len())),
        });
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_an_event() {
        let table: [(&[u8], Framing, bool, Vec<Message>); 5] = [
            (
                b"{\"a\":1}\n{}\n",
                Framing::Lines,
                true,
                vec![Message::text("{\"a\":1}\n"), Message::text("{}\n")],
            ),
            (
                b"\0\0\0\x02ab\0\0\0\x01c",
                Framing::Lengths,
                false,
                vec![Message::binary(&b"ab"[..]), Message::binary(&b"c"[..])],
            ),
            (b"a\nb", Framing::Bytes, false, vec![Message::binary(&b"a\nb"[..])]),
            (b"a\nb", Framing::Bytes, true, vec![Message::text("YQpi")]),
            (b"", Framing::Bytes, true, vec![]),
        ];
        for (piece, framing, as_text, expected) in table {
            assert_eq!(messages(Bytes::from_static(piece), framing, as_text), expected);
        }
    }
}
