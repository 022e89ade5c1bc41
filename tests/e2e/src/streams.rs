//! Streams as any client of KubeVirt's API sees them: websockets with plain bytes, through `kubectl proxy`, as web
//! interfaces come.

#![allow(clippy::panic, clippy::unwrap_in_result, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use kit::{Installation, kubectl};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, HandshakeError, Message, WebSocket, client};

const PATIENCE: Duration = Duration::from_secs(180);
/// How long a stream that is said to be quiet is listened to at a time.
const PULSE: Duration = Duration::from_millis(200);
const PROTOCOL: &str = "plain.kubevirt.io";

/// Path of the instances of the namespace `default`.
pub const INSTANCES: &str = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances";

/// `kubectl proxy`, which ends with the value.
#[derive(Debug)]
pub struct Proxy {
    process: Child,
    address: String,
}

impl Proxy {
    /// Starts it for the installation's administrator.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(installation: &Installation) -> Self {
        let mut process = installation
            .client_program(&kubectl())
            .args(["proxy", "--port=0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl proxy");
        let mut line = String::new();
        let output = process.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
        Self { process, address }
    }

    /// Opens a stream, or returns the code with which that is refused.
    ///
    /// # Errors
    /// The code.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn try_open(&self, path: &str) -> Result<Stream, u16> {
        let mut request =
            format!("ws://{}{INSTANCES}{path}", self.address).into_client_request().expect("a request");
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(PROTOCOL));
        let connection = TcpStream::connect(&self.address).expect("the proxy");
        match client(request, connection) {
            Ok((socket, response)) => {
                let protocol = response.headers().get("Sec-WebSocket-Protocol");
                assert_eq!(protocol.map(HeaderValue::as_bytes), Some(PROTOCOL.as_bytes()));
                socket.get_ref().set_read_timeout(Some(PULSE)).expect("a timeout");
                Ok(Stream { socket, read: Vec::new() })
            }
            Err(HandshakeError::Failure(Error::Http(response))) => Err(response.status().as_u16()),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Opens a stream.
    ///
    /// # Panics
    /// When that is refused.
    pub fn open(&self, path: &str) -> Stream {
        self.try_open(path).unwrap_or_else(|code| panic!("{path} is refused with {code}"))
    }

    /// Returns the code with which a stream is refused.
    ///
    /// # Panics
    /// When it is not.
    pub fn refused(&self, path: &str) -> u16 {
        self.try_open(path).err().unwrap_or_else(|| panic!("{path} is refused"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.process.kill().expect("ending the proxy");
        self.process.wait().expect("its end");
    }
}

/// An open stream.
#[derive(Debug)]
pub struct Stream {
    /// The websocket.
    pub socket: WebSocket<TcpStream>,
    /// What came and was not looked at yet.
    read: Vec<u8>,
}

impl Stream {
    /// Types.
    ///
    /// # Panics
    /// When the stream is closed.
    pub fn send(&mut self, bytes: &'static [u8]) {
        self.socket.send(Message::Binary(bytes.into())).expect("sending");
    }

    /// Reads until `text` has come and returns all up to its end.
    ///
    /// # Panics
    /// When it does not come.
    pub fn read_until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.read.windows(text.len()).position(|window| window == text.as_bytes()) {
                let rest = self.read.split_off(at + text.len());
                let read = std::mem::replace(&mut self.read, rest);
                return String::from_utf8_lossy(&read).into_owned();
            }
            let so_far = String::from_utf8_lossy(&self.read).into_owned();
            assert!(Instant::now() < deadline, "{text:?} does not come; there was {so_far:?}");
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => self.read.extend_from_slice(&bytes),
                Ok(Message::Close(frame)) => panic!("{text:?} does not come: {frame:?} after {so_far:?}"),
                Ok(_) => {}
                Err(Error::Io(error)) if is_pause(&error) => {}
                Err(error) => panic!("{text:?} does not come: {error}"),
            }
        }
    }

    /// Reads until the other side has closed the stream in order.
    ///
    /// # Panics
    /// When it does not.
    pub fn read_to_close(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "the stream is not closed");
            match self.socket.read() {
                Ok(Message::Close(frame)) => {
                    assert_eq!(u16::from(frame.expect("a reason").code), 1000);
                    return;
                }
                Ok(_) => {}
                Err(Error::Io(error)) if is_pause(&error) => {}
                Err(error) => panic!("the stream is not closed in order: {error}"),
            }
        }
    }
}

fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
