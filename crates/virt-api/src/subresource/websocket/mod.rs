//! Websockets that carry plain bytes: binary frames both ways under the protocol `plain.kubevirt.io`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use effects::Clock;
use futures::{Sink, SinkExt as _, Stream as FrameStream, StreamExt as _};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::node::Stream;

mod handshake;

pub(super) use handshake::{Accepted, accept};

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

impl Accepted {
    /// Carries bytes between the client and `target` until either ends.
    pub(super) async fn carry(self, target: Box<dyn Stream>, clock: Arc<dyn Clock>) {
        let Self(upgrade, _ongoing) = self;
        let connection = match upgrade.await {
            Ok(connection) => TokioIo::new(connection),
            Err(error) => {
                tracing::debug!(%error, "a connection was not upgraded");
                return;
            }
        };
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(limits())).await;
        carry(socket, target, &*clock).await;
    }
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST))
}

/// Why a stream ends.
#[derive(Debug)]
enum End {
    /// The machine's side has nothing more to say.
    Target,
    /// The client is done and waits for its closing to be answered (RFC 6455, section 5.5.1).
    Closed,
    /// The client sent what nobody may send, and is told (RFC 6455, section 7.4.1).
    Broken(CloseCode),
    /// The client is gone.
    Gone,
}

async fn carry<S>(socket: WebSocketStream<S>, target: Box<dyn Stream>, clock: &dyn Clock)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut frames) = socket.split();
    let (output, input) = tokio::io::split(target);
    let heard = Heard::default();
    let end = tokio::select! {
        end = show(&mut sink, output, &heard, clock) => end,
        end = type_in(&mut frames, input, &heard) => end,
    };
    let farewell = async {
        match end {
            End::Target => close(&mut sink, CloseCode::Normal).await,
            End::Broken(code) => close(&mut sink, code).await,
            // The answer is made where the closing was read; it has to be sent.
            End::Closed => sink.flush().await,
            End::Gone => return,
        }
        // A client that went away meanwhile needs no farewell.
        .ok();
        if let Ok(mut socket) = sink.reunite(frames) {
            hear_out(socket.get_mut()).await;
        }
    };
    // One that does not read is not waited for.
    tokio::select! {
        () = farewell => {}
        () = clock.sleep(PING) => {}
    }
}

async fn close(sink: &mut (impl Sink<Message, Error = Error> + Unpin), code: CloseCode) -> Result<(), Error> {
    sink.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await
}

/// Ends our half, and reads what is still on its way: a connection that is dropped with something unread is reset, and the
/// client loses the last words with it.
async fn hear_out(connection: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    if connection.shutdown().await.is_err() {
        return;
    }
    let mut piece = vec![0; 4096];
    let mut left = 4 * LARGEST;
    while left > 0 {
        match connection.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(count) => left = left.saturating_sub(count),
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
                    return End::Gone;
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
                            return End::Gone;
                        }
                    }
                }
            },
        };
        if outcome.is_err() {
            return End::Gone;
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
    frames: &mut (impl FrameStream<Item = Result<Message, Error>> + Unpin),
    mut input: impl AsyncWrite + Unpin,
    heard: &Heard,
) -> End {
    while let Some(frame) = frames.next().await {
        heard.frames.fetch_add(1, Ordering::Relaxed);
        match frame {
            Ok(Message::Binary(bytes)) => {
                heard.stuck.store(true, Ordering::Relaxed);
                if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
                    return End::Target;
                }
                heard.stuck.store(false, Ordering::Relaxed);
            }
            Ok(Message::Close(_)) => return End::Closed,
            // Text is no part of the protocol; pings are answered below us.
            Ok(_) => {}
            Err(Error::Capacity(_)) => return End::Broken(CloseCode::Size),
            Err(Error::Utf8(_)) => return End::Broken(CloseCode::Invalid),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return End::Gone,
            Err(Error::Protocol(_)) => return End::Broken(CloseCode::Protocol),
            Err(_) => return End::Gone,
        }
    }
    End::Gone
}

#[cfg(test)]
mod tests {
    use effects::SystemClock;
    use tokio::io::duplex;

    use super::*;

    async fn pair() -> (WebSocketStream<tokio::io::DuplexStream>, WebSocketStream<tokio::io::DuplexStream>) {
        let (ours, theirs) = duplex(1 << 16);
        let server = WebSocketStream::from_raw_socket(ours, Role::Server, Some(limits())).await;
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
        drop(client);
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
        let server = WebSocketStream::from_raw_socket(ours, Role::Server, Some(limits())).await;
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
        let server = WebSocketStream::from_raw_socket(ours, Role::Server, Some(limits())).await;
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

    /// What a server says to a client that sends these bytes and reads on: the rest of what it says, from the first byte.
    async fn answer_to(bytes: &[u8]) -> Vec<u8> {
        let (carried, mut client, _machine) = with_idle_client(1 << 22).await;
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        drop(client);
        carried.await.unwrap();
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn a_closing_is_answered_and_what_nobody_may_send_is_named() {
        let masked = |first: u8, length: &[u8], content: &[u8]| {
            let mut frame = vec![first];
            frame.extend(length);
            frame.extend([0; 4]);
            frame.extend(content);
            frame
        };
        let large = u64::try_from(2 * LARGEST).unwrap().to_be_bytes();
        let too_large = [&[0xff][..], &large].concat();
        let table = [
            ("a closing", masked(0x88, &[0x82], &1000u16.to_be_bytes()), Some(1000)),
            ("a closing without a code", masked(0x88, &[0x80], &[]), None),
            ("a closing of one byte", masked(0x88, &[0x81], &[3]), Some(1002)),
            ("a frame without a mask", vec![0x82, 1, b'x'], Some(1002)),
            ("an opcode that is reserved", masked(0x83, &[0x80], &[]), Some(1002)),
            ("text that is none", masked(0x81, &[0x81], &[0xff]), Some(1007)),
            ("too much", masked(0x82, &too_large, &vec![0; 2 * LARGEST]), Some(1009)),
        ];
        for (what, bytes, expected) in table {
            let answer = answer_to(&bytes).await;
            assert_eq!(answer.first(), Some(&0x88), "{what}: a closing");
            let code = answer.get(2..4).map(|code| u16::from_be_bytes([code[0], code[1]]));
            assert_eq!(code, expected, "{what}");
        }
    }
}
