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
/// What a log may go out in.
const PROTOCOLS_OF_LOGS: [&str; 2] = ["binary.k8s.io", BASE64];

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
pub(crate) struct Handshake {
    upgrade: OnUpgrade,
    key: Option<HeaderValue>,
    /// The protocols that the client offers, its first choice first.
    offered: Vec<String>,
}

/// An accepted one: a stream that is to be carried once its answer is sent.
pub(super) struct Carriage {
    upgrade: OnUpgrade,
    stream: Body,
    framing: Framing,
    as_text: bool,
}

impl Handshake {
    /// Reads what a request says of it.
    pub(crate) fn of(request: &Request<Body>) -> Option<Self> {
        let headers = request.headers();
        let wanted = request.method() == Method::GET
            && has_word(headers, CONNECTION, "upgrade")
            && has_word(headers, UPGRADE, "websocket");
        let upgrade = request.extensions().get::<OnUpgrade>().filter(|_| wanted)?.clone();
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24 && speaks(headers)).cloned();
        let offered = protocols(headers).map(str::to_owned).collect();
        Some(Self { upgrade, key, offered })
    }

    /// The protocol that is spoken; nothing if none was offered.
    ///
    /// # Errors
    /// A log goes out in one of two.
    fn protocol(&self, framing: Framing) -> Result<Option<&str>, Box<Status>> {
        let known = |word: &&String| framing != Framing::Bytes || PROTOCOLS_OF_LOGS.contains(&word.as_str());
        match self.offered.iter().find(known) {
            None if self.offered.is_empty() => Ok(None),
            None => Err(Status::bad_request(format!(
                "websocket: none of the protocols {:?} is spoken here: offer one of {PROTOCOLS_OF_LOGS:?}, or none",
                self.offered
            ))
            .into()),
            Some(word) => Ok(Some(word)),
        }
    }

    /// Judges it if the answer is a stream that goes out as messages: the answer says so then, or why not. Any other stays
    /// as it is.
    pub(crate) fn judge(&self, mut response: Response<Body>) -> Response<Body> {
        let Some(framing) = response.extensions().get::<Framing>().copied() else { return response };
        let accept = self.key.as_ref().map(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())));
        let Some(Ok(accept)) = accept else {
            let why = "not a websocket handshake: Sec-WebSocket-Version must be 13, and Sec-WebSocket-Key 16 bytes in base64";
            return body::refusal(&Status::bad_request(why));
        };
        let protocol = match self.protocol(framing) {
            Ok(protocol) => protocol,
            Err(status) => return body::refusal(&status),
        };
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.clear();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(Ok(protocol)) = protocol.map(HeaderValue::from_str) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }

    /// Takes the stream out of an answer that was judged to go out as messages.
    pub(super) fn carry(self, response: Response<Body>) -> (Response<Body>, Option<Carriage>) {
        let accepted = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let framing = response.extensions().get::<Framing>().copied().filter(|_| accepted);
        let Some(framing) = framing else { return (response, None) };
        let as_text = response.headers().get(SEC_WEBSOCKET_PROTOCOL).is_some_and(|word| word == BASE64);
        let (parts, stream) = response.into_parts();
        let carriage = Carriage { upgrade: self.upgrade, stream, framing, as_text };
        (Response::from_parts(parts, body::full(Bytes::new())), Some(carriage))
    }
}

impl Carriage {
    /// Sends what the stream says until it ends, or the client goes or does not take it.
    pub(super) async fn run(self) {
        let connection = match self.upgrade.await {
            Ok(connection) => TokioIo::new(connection),
            Err(error) => {
                tracing::debug!(%error, "a connection was not upgraded");
                return;
            }
        };
        let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await;
        if let Err(error) = carry(socket, self.stream, self.framing, self.as_text).await {
            tracing::debug!(%error, "a stream of messages broke off");
        }
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
                        in_time(socket.feed(message)).await?;
                    }
                    in_time(socket.flush()).await?;
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
                in_time(socket.send(Message::Ping(Bytes::new()))).await?;
            }
        }
    }
}

/// Waits for a client to take something, as long as for its signs of life.
async fn in_time(sending: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let taken = tokio::time::timeout(PING * PATIENCE, sending).await;
    taken.unwrap_or_else(|_| Err(Error::Io(std::io::ErrorKind::TimedOut.into())))
}

async fn close<S>(socket: &mut WebSocketStream<S>, code: CloseCode) -> Result<(), Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    in_time(socket.close(Some(CloseFrame { code, reason: Utf8Bytes::default() }))).await?;
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

    /// Carries a stream to a client whose connection takes `room` bytes; the client's side, and how that ends.
    fn carried(
        stream: impl futures::Stream<Item = Bytes> + Send + 'static,
        room: usize,
    ) -> (tokio::io::DuplexStream, tokio::task::JoinHandle<Result<(), Error>>) {
        let (ours, theirs) = tokio::io::duplex(room);
        let frames = stream.map(|bytes| Ok::<_, crate::body::BodyError>(http_body::Frame::data(bytes)));
        let body = http_body_util::StreamBody::new(frames).boxed_unsync();
        let carrying = tokio::spawn(async move {
            let socket = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
            carry(socket, body, Framing::Lines, false).await
        });
        (theirs, carrying)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_left() {
        let much = futures::stream::repeat_with(|| Bytes::from(vec![b'x'; 4096]));
        let (_theirs, carrying) = carried(much, 1024);
        let ended =
            tokio::time::timeout(PING * PATIENCE * 2, carrying).await.expect("an end").expect("no panic");
        assert!(matches!(ended, Err(Error::Io(_))), "{ended:?}");
        // The end of what is carried is no better taken than the rest.
        let (_theirs, carrying) = carried(futures::stream::empty(), 1);
        tokio::time::timeout(PING * PATIENCE * 3, carrying).await.expect("an end").expect("no panic").ok();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_gives_no_sign_of_life_is_left() {
        let (_theirs, carrying) = carried(futures::stream::pending(), 1 << 20);
        let ended = tokio::time::timeout(PING * (PATIENCE + 2), carrying).await.expect("an end");
        ended.expect("no panic").expect("in order");
        // One that answers is served on.
        let (theirs, carrying) = carried(futures::stream::pending(), 1 << 20);
        let client = tokio::spawn(async move {
            let mut socket = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
            while let Some(Ok(_)) = socket.next().await {}
        });
        assert!(tokio::time::timeout(PING * (PATIENCE + 20), carrying).await.is_err());
        client.abort();
    }

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
