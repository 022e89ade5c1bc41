//! A websocket that carries plain bytes, as `plain.kubevirt.io` has them: binary frames, nothing around them.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{Response, request};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

/// Bytes read at once from this side.
const CHUNK: usize = 64 << 10;

/// Time between signs of life, so that nothing on the way takes an idle console for a dead one.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(30);

/// Why a tunnel ended before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunnelError {
    /// The other side is gone without a word.
    #[error("websocket: close 1006 (abnormal closure): unexpected EOF")]
    Lost,
    /// The other side said why.
    #[error("websocket: close {code} ({name}){}{reason}", if reason.is_empty() { "" } else { ": " }, name = name(*code))]
    Closed { code: u16, reason: String },
    #[error("websocket: {0}")]
    Protocol(tungstenite::Error),
    /// This side cannot be read or written.
    #[error(transparent)]
    Local(#[from] std::io::Error),
}

/// Why an answer with 101 opened no tunnel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the server changed to another protocol than websocket")]
    Other,
    #[error(transparent)]
    Upgrade(#[from] hyper::Error),
}

/// Makes the random key of a handshake.
pub(crate) fn key() -> String {
    generate_key()
}

/// Asks for a tunnel at `path`.
pub(crate) fn handshake(path: &str, key: &str) -> request::Builder {
    http::Request::get(path)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key)
        .header(SEC_WEBSOCKET_PROTOCOL, "plain.kubevirt.io")
}

/// Takes over the connection that the server has upgraded.
///
/// # Errors
/// When it was upgraded to something else, or is gone.
pub(crate) async fn accept(answer: Response<Body>, key: &str) -> Result<Tunnel, HandshakeError> {
    let proof = answer.headers().get(SEC_WEBSOCKET_ACCEPT);
    if proof.is_none_or(|proof| proof.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(HandshakeError::Other);
    }
    let upgraded = hyper::upgrade::on(answer).await?;
    Ok(Tunnel(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await))
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// An open tunnel.
#[derive(Debug)]
pub(crate) struct Tunnel(Socket);

impl Tunnel {
    /// Parts the two directions.
    pub(crate) fn split(self) -> (Sender, Receiver) {
        let (sink, stream) = self.0.split();
        (Sender(sink), Receiver(stream))
    }
}

/// The way there.
#[derive(Debug)]
pub(crate) struct Sender(SplitSink<Socket, Message>);

impl Sender {
    /// Sends bytes as one frame.
    pub(crate) async fn send(&mut self, bytes: Bytes) -> Result<(), TunnelError> {
        self.0.send(Message::Binary(bytes)).await.map_err(lost)
    }

    /// Shows that this side lives.
    pub(crate) async fn heartbeat(&mut self) -> Result<(), TunnelError> {
        self.0.send(Message::Ping(Bytes::new())).await.map_err(lost)
    }

    /// Says farewell. That the other side may have gone first does not matter.
    pub(crate) async fn close(&mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = self.0.send(Message::Close(Some(frame))).await;
    }
}

/// The way back.
#[derive(Debug)]
pub(crate) struct Receiver(SplitStream<Socket>);

impl Receiver {
    /// Waits for bytes; `None` when the other side has ended the tunnel in order.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, TunnelError> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes)),
                Some(Ok(Message::Close(Some(frame)))) if frame.code != CloseCode::Normal => {
                    let reason = frame.reason.as_str().to_owned();
                    return Err(TunnelError::Closed { code: frame.code.into(), reason });
                }
                Some(Ok(Message::Close(_))) => return Ok(None),
                // Text carries nothing in this protocol; pings are answered below.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(lost(error)),
                None => return Err(TunnelError::Lost),
            }
        }
    }
}

/// Carries bytes both ways until one side ends. Bytes that the other side sent before are written first.
pub(crate) async fn join<R, W>(tunnel: Tunnel, reader: R, writer: W) -> Result<(), TunnelError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    join_halves(tunnel.split(), reader, writer).await
}

/// The same for a tunnel whose directions are parted already.
pub(crate) async fn join_halves<R, W>(
    (mut sender, mut receiver): (Sender, Receiver),
    mut reader: R,
    mut writer: W,
) -> Result<(), TunnelError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let there = async {
        let mut buffer = BytesMut::new();
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            buffer.reserve(CHUNK);
            tokio::select! {
                read = reader.read_buf(&mut buffer) => match read? {
                    0 => return Ok(()),
                    _ => sender.send(buffer.split().freeze()).await?,
                },
                _ = heartbeat.tick() => sender.heartbeat().await?,
            }
        }
    };
    let back = async {
        while let Some(bytes) = receiver.next().await? {
            writer.write_all(&bytes).await?;
            writer.flush().await?;
        }
        Ok(())
    };
    let outcome = tokio::select! {
        outcome = there => outcome,
        outcome = back => outcome,
    };
    sender.close().await;
    outcome
}

fn lost(error: tungstenite::Error) -> TunnelError {
    match error {
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Io(_)
        | tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            TunnelError::Lost
        }
        other => TunnelError::Protocol(other),
    }
}

/// The names that RFC 6455 gives to codes.
fn name(code: u16) -> &'static str {
    match code {
        1000 => "normal",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unsupported data",
        1005 => "no status",
        1007 => "invalid payload data",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "mandatory extension missing",
        1011 => "internal server error",
        _ => "unknown",
    }
}
