//! Consoles, screens and ports as any client of KubeVirt's API sees them: websockets with plain bytes, here through
//! `kubectl proxy`, as web interfaces come.

#![allow(clippy::panic, clippy::unwrap_in_result, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use e2e::example;
use kit::{Installation, Options, kubectl, until};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, HandshakeError, Message, WebSocket, client};

const PATIENCE: Duration = Duration::from_secs(180);
/// How long a stream that is said to be quiet is listened to at a time.
const PULSE: Duration = Duration::from_millis(200);
const PROTOCOL: &str = "plain.kubevirt.io";
const INSTANCES: &str = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances";

#[test]
fn a_machine_is_reached_by_websockets() {
    let installation = Installation::start(Options::default());
    let proxy = Proxy::start(&installation);
    let manifest =
        example("hello.yaml").replace("autoattachGraphicsDevice: false", "autoattachGraphicsDevice: true");
    installation.apply(&manifest);

    // Refused before the upgrade, as an ordinary answer.
    assert_eq!(proxy.refused("/nobody/console"), 404);
    let absent = complaint(&installation, "/nobody/console");
    assert!(absent.contains("virtualmachineinstance.kubevirt.io \"nobody\" not found"), "{absent}");

    until("the machine runs", PATIENCE, || {
        let instance = installation.get("virtualmachineinstance", "default", "hello").unwrap_or_default();
        instance["status"]["phase"] == "Running"
    });
    screens_show_one_viewer(&installation, &proxy);
    consoles_are_shared(&proxy);
    ports_lead_into_the_guest(&installation, &proxy);
}

fn consoles_are_shared(proxy: &Proxy) {
    let mut first = proxy.open("/hello/console");
    assert!(first.read_until("hello login:").contains("hello login:"));
    // Somebody who comes later is shown what was there, and both see what follows.
    let mut second = proxy.open("/hello/console");
    second.read_until("hello login:");
    first.send(b"guest\n");
    second.read_until("Password:");
    first.send(b"guest\n");
    first.read_until("$ ");
    second.send(b"echo $((6*7))-times\n");
    first.read_until("42-times");
    second.read_until("42-times");
    // Text frames are no part of the protocol.
    first.socket.send(Message::Text("echo typed as text\n".into())).expect("sending");
    first.send(b"echo $((7*7))-times\n");
    let shown = first.read_until("49-times");
    assert!(!shown.contains("typed as text"), "{shown}");
    drop((first, second));
    let mut later = proxy.open("/hello/console");
    later.read_until("49-times");
}

fn screens_show_one_viewer(installation: &Installation, proxy: &Proxy) {
    let picture = installation
        .client_program(&kubectl())
        .args(["get", "--raw", &format!("{INSTANCES}/hello/vnc/screenshot")])
        .output()
        .expect("kubectl");
    assert!(picture.stdout.starts_with(b"\x89PNG\r\n"), "{}", String::from_utf8_lossy(&picture.stderr));

    let mut first = proxy.open("/hello/vnc");
    first.read_until("RFB 003.");
    assert_eq!(proxy.refused("/hello/vnc?preserveSession=true"), 500);
    let occupied = complaint(installation, "/hello/vnc?preserveSession=true");
    assert!(occupied.contains("the machine's screen has a viewer already"), "{occupied}");
    let mut second = proxy.open("/hello/vnc");
    second.read_until("RFB 003.");
    first.read_to_close();
}

fn ports_lead_into_the_guest(installation: &Installation, proxy: &Proxy) {
    let mut banner = String::new();
    until("the guest's SSH server answers", PATIENCE, || {
        let Ok(mut stream) = proxy.try_open("/hello/portforward/22") else { return false };
        banner = stream.read_until("\n");
        true
    });
    assert!(banner.starts_with("SSH-2.0-"), "{banner}");
    assert_eq!(proxy.refused("/hello/portforward/9"), 500);
    let closed = complaint(installation, "/hello/portforward/9");
    assert!(closed.contains("dialing VM: "), "{closed}");
}

/// What is said about a path that is refused, to a client that asks without a websocket.
fn complaint(installation: &Installation, path: &str) -> String {
    installation.kubectl(&["get", "--raw", &format!("{INSTANCES}{path}")]).stderr
}

/// `kubectl proxy`, which ends with the value.
struct Proxy {
    process: Child,
    address: String,
}

impl Proxy {
    fn start(installation: &Installation) -> Self {
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
    fn try_open(&self, path: &str) -> Result<Stream, u16> {
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

    fn open(&self, path: &str) -> Stream {
        self.try_open(path).unwrap_or_else(|code| panic!("{path} is refused with {code}"))
    }

    fn refused(&self, path: &str) -> u16 {
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
struct Stream {
    socket: WebSocket<TcpStream>,
    /// What came and was not looked at yet.
    read: Vec<u8>,
}

impl Stream {
    fn send(&mut self, bytes: &'static [u8]) {
        self.socket.send(Message::Binary(bytes.into())).expect("sending");
    }

    /// Reads until `text` has come and returns all up to its end.
    fn read_until(&mut self, text: &str) -> String {
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
    fn read_to_close(&mut self) {
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
