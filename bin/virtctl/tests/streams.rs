//! What travels through tunnels, against a peer that speaks the server's side of the protocol and records what it is
//! asked for. The real server is met end to end, in `tests/e2e`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// What the peer does with a connection.
#[derive(Clone, Copy)]
enum Act {
    /// Refuses with a code and a Status.
    Refuse(u16),
    /// Greets, waits for one frame, answers it and ends in order.
    Talk,
    /// Sends back what comes.
    Echo,
    /// Greets, and breaks off without a word.
    Vanish,
    /// Ends with a code and a reason.
    Fail,
}

struct Peer {
    address: SocketAddr,
    paths: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Peer {
    /// Starts a peer that treats its connections as `acts` says, and all further ones like the last.
    fn start(acts: &'static [Act]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let paths = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&paths);
        runtime.spawn(async move {
            for index in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                let act = acts.get(index).or_else(|| acts.last()).expect("an act");
                tokio::spawn(serve(stream, *act, Arc::clone(&seen)));
            }
        });
        Self { address, paths, _runtime: runtime }
    }

    fn virtctl(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virtctl"));
        command.env_clear().arg(format!("--server=http://{}", self.address)).args(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end, with a standard input that stays open.
    fn run(&self, line: &[&str], input: &[u8]) -> Output {
        let mut child = self.virtctl(line).spawn().expect("virtctl starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input).expect("virtctl reads");
        let output = child.wait_with_output().expect("virtctl ends");
        drop(stdin);
        output
    }

    fn paths(&self) -> Vec<String> {
        self.paths.lock().expect("nobody panicked").clone()
    }
}

async fn serve(stream: tokio::net::TcpStream, act: Act, seen: Arc<Mutex<Vec<String>>>) {
    #[allow(clippy::result_large_err, reason = "tungstenite's own type")]
    let decide = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        seen.lock().expect("nobody panicked").push(request.uri().to_string());
        assert_eq!(request.headers()["sec-websocket-protocol"], "plain.kubevirt.io");
        if let Act::Refuse(code) = act {
            let status = r#"{"kind":"Status","status":"Failure","message":"not today"}"#;
            let refusal = http::Response::builder().status(code).header("content-type", "application/json");
            let refusal = refusal.header("content-length", status.len());
            return Err(refusal.body(Some(status.to_owned())).expect("a response"));
        }
        let protocol = "plain.kubevirt.io".parse().expect("a header");
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, decide).await else { return };
    match act {
        Act::Refuse(_) => {}
        Act::Talk => {
            send(&mut socket, b"login: ").await;
            // Text carries nothing, and a ping wants an answer.
            socket.send(Message::text("noise")).await.expect("a client");
            socket.send(Message::Ping("p".into())).await.expect("a client");
            let heard = next(&mut socket).await.expect("a frame");
            send(&mut socket, &[b"heard ", heard.as_slice()].concat()).await;
            let _ = socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).await;
            while socket.next().await.is_some() {}
        }
        Act::Echo => {
            while let Some(heard) = next(&mut socket).await {
                send(&mut socket, &heard).await;
            }
        }
        Act::Vanish => send(&mut socket, b"login: ").await,
        Act::Fail => {
            let frame = CloseFrame { code: CloseCode::Error, reason: "the launcher is gone".into() };
            let _ = socket.close(Some(frame)).await;
            while socket.next().await.is_some() {}
        }
    }
}

type Socket = WebSocketStream<tokio::net::TcpStream>;

async fn send(socket: &mut Socket, bytes: &[u8]) {
    socket.send(Message::binary(bytes.to_vec())).await.expect("a client");
}

async fn next(socket: &mut Socket) -> Option<Vec<u8>> {
    loop {
        match socket.next().await? {
            Ok(Message::Binary(bytes)) => return Some(bytes.to_vec()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_console_waits_for_its_machine_and_ends_with_it() {
    let peer = Peer::start(&[Act::Refuse(400), Act::Talk]);
    let output = peer.run(&["console", "vm1", "-n", "ns"], b"hello\r");
    assert_eq!(text(&output.stdout), "login: heard hello\r");
    assert!(text(&output.stderr).contains("Successfully connected to vm1 console. Press Ctrl+] or Ctrl+5"));
    assert!(output.status.success());
    let path = "/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachineinstances/vm1/console";
    assert_eq!(peer.paths(), [path, path]);
}

#[test]
fn a_console_is_left_by_its_escape_key() {
    let peer = Peer::start(&[Act::Echo]);
    let output = peer.run(&["console", "vm1"], b"\x1d");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_lost_console_says_what_may_have_happened() {
    let peer = Peer::start(&[Act::Vanish]);
    let output = peer.run(&["console", "vm1"], b"");
    let said = text(&output.stderr);
    assert!(said.contains("You were disconnected from the console."), "{said}");
    assert!(said.ends_with("websocket: close 1006 (abnormal closure): unexpected EOF\n"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn refusals_are_told_in_the_servers_words() {
    let peer = Peer::start(&[Act::Refuse(404)]);
    for (line, says) in [
        (["console", "vm1", "--timeout=0"], "not today\n"),
        (["vnc", "vm1", "--proxy-only"], "can't access VMI vm1: not today\n"),
        (["port-forward", "--stdio", "vm/vm1"], "port-forward requires at least 2 arg(s)"),
    ] {
        let output = peer.run(&line, b"");
        let said = text(&output.stderr);
        assert!(said.contains(says), "{line:?}: {said}");
        assert_eq!(output.status.code(), Some(1));
    }
    let failing = Peer::start(&[Act::Fail]);
    let output = failing.run(&["port-forward", "--stdio", "vm/vm1", "22"], b"");
    assert_eq!(text(&output.stderr), "websocket: close 1011 (internal server error): the launcher is gone\n");
}

#[test]
fn standard_input_and_output_carry_every_byte() {
    let peer = Peer::start(&[Act::Echo]);
    let mut child =
        peer.virtctl(&["port-forward", "--stdio=true", "vmi/vm1/ns", "22"]).spawn().expect("virtctl");
    let sent: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn({
        let sent = sent.clone();
        move || {
            stdin.write_all(&sent).expect("virtctl reads");
            stdin
        }
    });
    let mut heard = vec![0; sent.len()];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut heard).expect("virtctl writes");
    assert!(heard == sent, "the bytes differ");
    drop(writer.join().expect("the writer ends"));
    assert!(child.wait().expect("virtctl ends").success());
    assert!(peer.paths()[0].ends_with("/namespaces/ns/virtualmachineinstances/vm1/portforward/22/tcp"));
}

/// A virtctl that listens; it ends with the test.
struct Listening {
    child: Child,
    ports: Vec<u16>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listening(peer: &Peer, line: &[&str]) -> Listening {
    let count = line.len() - 2;
    let mut child = peer.virtctl(line).spawn().expect("virtctl starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let ports = (0..count)
        .map(|_| {
            let line = lines.next().expect("a line").expect("text");
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            let words = line["msg"].as_str().expect("a message").split(' ');
            let address = words.clone().nth(2).expect("an address").to_owned();
            address.rsplit(':').next().expect("a port").parse().expect("a number")
        })
        .collect();
    // What is told from now on must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Listening { child, ports }
}

#[test]
fn ports_are_forwarded_several_at_once_and_connection_by_connection() {
    let peer = Peer::start(&[Act::Echo]);
    let virtctl = listening(&peer, &["port-forward", "vm/vm1", "0:22", "udp/0:53"]);
    let [tcp, udp] = virtctl.ports[..] else { panic!("two ports") };
    let mut connections: Vec<_> =
        (0..3).map(|_| TcpStream::connect(("127.0.0.1", tcp)).expect("a connection")).collect();
    for (index, connection) in connections.iter_mut().enumerate() {
        let sent = format!("connection {index}");
        connection.write_all(sent.as_bytes()).expect("it takes bytes");
        let mut heard = vec![0; sent.len()];
        connection.read_exact(&mut heard).expect("it gives bytes");
        assert_eq!(text(&heard), sent);
    }
    for length in [1, 1400, 9000] {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.send_to(&vec![7; length], ("127.0.0.1", udp)).expect("a datagram leaves");
        let mut heard = [0; 10_000];
        assert_eq!(socket.recv(&mut heard).expect("a datagram comes"), length);
    }
    let paths = peer.paths();
    assert_eq!(
        paths.iter().filter(|path| path.ends_with("/virtualmachines/vm1/portforward/22/tcp")).count(),
        3
    );
    assert_eq!(
        paths.iter().filter(|path| path.ends_with("/virtualmachines/vm1/portforward/53/udp")).count(),
        3
    );
}

#[test]
fn a_screen_is_offered_at_a_port() {
    let peer = Peer::start(&[Act::Talk]);
    let mut child = peer.virtctl(&["vnc", "vm1", "--proxy-only"]).spawn().expect("virtctl starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let port = u16::try_from(told["port"].as_u64().expect("a number")).expect("a port");
    let mut viewer = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    viewer.write_all(b"RFB").expect("it takes bytes");
    let mut heard = Vec::new();
    viewer.read_to_end(&mut heard).expect("it ends");
    assert_eq!(text(&heard), "login: heard RFB");
    assert!(child.wait().expect("virtctl ends").success());
    assert!(peer.paths()[0].ends_with("/virtualmachineinstances/vm1/vnc?preserveSession=false"));
}

#[test]
fn a_screen_that_goes_before_anybody_looks_ends_the_wait() {
    let peer = Peer::start(&[Act::Vanish]);
    let output = peer.run(&["vnc", "vm1", "--proxy-only"], b"");
    assert_eq!(
        text(&output.stderr),
        "error encountered: websocket: close 1006 (abnormal closure): unexpected EOF\n"
    );
    assert_eq!(output.status.code(), Some(1));
}
