//! Websockets that carry plain bytes: binary frames both ways under the protocol `plain.kubevirt.io`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use effects::Clock;
use futures::{Sink, SinkExt as _, Stream as FrameStream, StreamExt as _};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use machinery::status::Status;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::node::Stream;
use super::refusal::Refusal;
use super::{Body, full};

/// The one protocol that is offered.
const PROTOCOL: &str = "plain.kubevirt.io";
/// The largest message that a client may send, in bytes; a UDP datagram fits.
const LARGEST: usize = 1 << 20;
/// Bytes that are read at a time, and so the largest message sent; a UDP datagram fits. With its header of ten bytes a
/// message is four of TLS's records, and as much as is encrypted and written at once.
const PIECE: usize = (64 << 10) - 10;
/// Between two signs of life: short enough for what forgets idle connections on the way.
const PING: Duration = Duration::from_secs(10);
/// After so many signs of life without any from the client it is taken for gone.
const PATIENCE: u32 = 6;
/// The same for a client that was seen to read slowly: what it answers to is behind all that it has not read yet.
const PATIENCE_WITH_THE_SLOW: u32 = 60;
const KEEP_ALIVE: &[u8] = b"keep alive";

/// An accepted handshake: what becomes of the connection once it is answered.
#[derive(Debug)]
pub(super) struct Accepted(OnUpgrade);

/// Checks a handshake and accepts it with the answer.
pub(super) fn accept(request: &mut Request<Body>) -> Result<(Response<Body>, Accepted), Refusal> {
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
    Ok((response, Accepted(upgrade)))
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

impl Accepted {
    /// Carries bytes between the client and `target` until either ends.
    pub(super) async fn carry(self, target: Box<dyn Stream>, clock: Arc<dyn Clock>) {
        let connection = match self.0.await {
            Ok(connection) => TokioIo::new(connection),
            Err(error) => {
                tracing::debug!(%error, "a connection was not upgraded");
                return;
            }
        };
        let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await;
        carry(socket, target, &*clock).await;
    }
}

/// Why a stream ends.
enum End {
    /// The machine's side has nothing more to say.
    Target,
    /// The client is done, or gone.
    Client,
}

async fn carry<S>(socket: WebSocketStream<S>, target: Box<dyn Stream>, clock: &dyn Clock)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, frames) = socket.split();
    let (output, input) = tokio::io::split(target);
    let heard = Heard::default();
    let end = tokio::select! {
        end = show(&mut sink, output, &heard, clock) => end,
        () = type_in(frames, input, &heard) => End::Client,
    };
    if let End::Target = end {
        let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        // A client that went away meanwhile needs no farewell; one that does not read is not waited for.
        tokio::select! {
            _ = sink.send(Message::Close(Some(close))) => {}
            () = clock.sleep(PING) => {}
        }
    }
}

/// What was heard of the client.
#[derive(Debug, Default)]
struct Heard {
    /// Frames that it sent: each is a sign of life.
    frames: AtomicU64,
    /// Whether the machine does not take what it sent: its other signs of life are behind that.
    stuck: AtomicBool,
}

/// Sends what the machine says, and signs of life.
async fn show(
    sink: &mut (impl Sink<Message, Error = Error> + Unpin),
    mut output: impl AsyncRead + Unpin,
    heard: &Heard,
    clock: &dyn Clock,
) -> End {
    let mut piece = vec![0; PIECE];
    let mut pulse = Pulse { heard, known: 0, silent: 0, slow: false };
    let mut ping = clock.sleep(PING);
    loop {
        let message = tokio::select! {
            read = output.read(&mut piece) => match read {
                Ok(0) | Err(_) => return End::Target,
                Ok(count) => Message::Binary(Bytes::copy_from_slice(&piece[..count])),
            },
            () = &mut ping => {
                ping = clock.sleep(PING);
                if pulse.is_gone(false) {
                    return End::Client;
                }
                Message::Ping(Bytes::from_static(KEEP_ALIVE))
            }
        };
        let mut sending = pin!(sink.send(message));
        let outcome = match futures::poll!(&mut sending) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => loop {
                tokio::select! {
                    outcome = &mut sending => {
                        pulse.has_read();
                        break outcome;
                    }
                    () = &mut ping => {
                        ping = clock.sleep(PING);
                        if pulse.is_gone(true) {
                            return End::Client;
                        }
                    }
                }
            },
        };
        if outcome.is_err() {
            return End::Client;
        }
    }
}

/// What is known of whether the client is still there.
struct Pulse<'a> {
    heard: &'a Heard,
    /// Frames that were heard at the last look.
    known: u64,
    /// Looks without a sign of life.
    silent: u32,
    /// Whether there was something to wait for since the last frame: the client reads, but is behind.
    slow: bool,
}

impl Pulse<'_> {
    /// What filled the way to the client went on: somebody reads there.
    fn has_read(&mut self) {
        (self.silent, self.slow) = (0, true);
    }

    /// Looks once more; `waiting` says that the way to the client is full now.
    fn is_gone(&mut self, waiting: bool) -> bool {
        let now = self.heard.frames.load(Ordering::Relaxed);
        if now == self.known {
            self.silent += 1;
        } else {
            (self.known, self.silent, self.slow) = (now, 0, waiting);
        }
        let behind = (self.slow && !waiting) || self.heard.stuck.load(Ordering::Relaxed);
        self.silent >= if behind { PATIENCE_WITH_THE_SLOW } else { PATIENCE }
    }
}

/// Passes on what the client sends, until it closes.
async fn type_in(
    mut frames: impl FrameStream<Item = Result<Message, Error>> + Unpin,
    mut input: impl AsyncWrite + Unpin,
    heard: &Heard,
) {
    while let Some(frame) = frames.next().await {
        heard.frames.fetch_add(1, Ordering::Relaxed);
        match frame {
            Ok(Message::Binary(bytes)) => {
                heard.stuck.store(true, Ordering::Relaxed);
                if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
                    return;
                }
                heard.stuck.store(false, Ordering::Relaxed);
            }
            Ok(Message::Close(_)) | Err(_) => return,
            // Text is no part of the protocol; pings are answered below us.
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use effects::SystemClock;
    use tokio::io::duplex;

    use super::*;

    async fn pair() -> (WebSocketStream<tokio::io::DuplexStream>, WebSocketStream<tokio::io::DuplexStream>) {
        let (ours, theirs) = duplex(1 << 16);
        let server = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        (server, WebSocketStream::from_raw_socket(theirs, Role::Client, None).await)
    }

    #[tokio::test]
    async fn bytes_go_both_ways_until_the_machine_is_done() {
        let (server, mut client) = pair().await;
        let (target, mut machine) = duplex(1 << 16);
        let carried = tokio::spawn(async move { carry(server, Box::new(target), &SystemClock).await });
        client.send(Message::Text("ignored".into())).await.unwrap();
        client.send(Message::Binary(Bytes::from_static(b"root\n"))).await.unwrap();
        let mut typed = [0; 5];
        machine.read_exact(&mut typed).await.unwrap();
        assert_eq!(&typed, b"root\n");
        machine.write_all(b"# ").await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Binary(Bytes::from_static(b"# ")));
        drop(machine);
        let Message::Close(Some(close)) = client.next().await.unwrap().unwrap() else { panic!("a close") };
        assert_eq!(close.code, CloseCode::Normal);
        carried.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_the_stream() {
        let (server, mut client) = pair().await;
        let (target, mut machine) = duplex(1 << 16);
        let carried = tokio::spawn(async move { carry(server, Box::new(target), &SystemClock).await });
        client.close(None).await.unwrap();
        assert_eq!(machine.read(&mut [0; 1]).await.unwrap(), 0);
        carried.await.unwrap();
    }

    /// A server whose client never reads or answers by itself, and all that is between them.
    async fn with_idle_client(
        buffer: usize,
    ) -> (tokio::task::JoinHandle<()>, tokio::io::DuplexStream, tokio::io::DuplexStream) {
        let (ours, theirs) = duplex(buffer);
        let server = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        let (target, machine) = duplex(1 << 16);
        let carried = tokio::spawn(async move { carry(server, Box::new(target), &SystemClock).await });
        (carried, theirs, machine)
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_console_lives_for_hours_while_its_client_answers() {
        let (carried, theirs, mut machine) = with_idle_client(1 << 16).await;
        let mut client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        let hours = tokio::time::Instant::now() + Duration::from_secs(8 * 3600);
        while tokio::time::Instant::now() < hours {
            let Message::Ping(_) = client.next().await.unwrap().unwrap() else { panic!("a ping") };
            // Reading goes on, and with it the answer.
            client.flush().await.unwrap();
        }
        machine.write_all(b"login:").await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Binary(Bytes::from_static(b"login:")));
        assert!(!carried.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_silent_is_gone_after_a_minute() {
        let started = tokio::time::Instant::now();
        let (carried, _theirs, _machine) = with_idle_client(1 << 16).await;
        carried.await.unwrap();
        assert_eq!(started.elapsed().as_secs() / 10, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_gone_after_a_minute_too() {
        let started = tokio::time::Instant::now();
        let (carried, _theirs, mut machine) = with_idle_client(4096).await;
        // More than fits into what is between.
        drop(machine.write_all(&vec![b'x'; 1 << 20]).await);
        carried.await.unwrap();
        assert!(started.elapsed().as_secs() <= 80, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_whose_machine_does_not_read_is_not_taken_for_gone() {
        let (ours, theirs) = duplex(1 << 22);
        let server = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        let (target, mut machine) = duplex(1 << 10);
        let carried = tokio::spawn(async move { carry(server, Box::new(target), &SystemClock).await });
        let mut client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        client.send(Message::Binary(vec![b'x'; 1 << 20].into())).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5 * 60)).await;
        assert!(!carried.is_finished());
        machine.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_not_taken_for_gone() {
        let (carried, mut theirs, mut machine) = with_idle_client(4096).await;
        let flood = tokio::spawn(async move {
            drop(machine.write_all(&vec![b'x'; 1 << 20]).await);
            machine
        });
        // Two thousand bytes a second: no answer to a ping comes for many minutes.
        let mut read = vec![0; 2000];
        for _ in 0..400 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            theirs.read_exact(&mut read).await.unwrap();
        }
        assert!(!carried.is_finished());
        drop(flood);
    }

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
