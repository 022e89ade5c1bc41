//! Watches and logs by websocket, as pages in a browser read them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::auth::identity;
use apiserver::node::{LogOptions, NodeProxy};
use apiserver::serve::{Limits, listen};
use apiserver::{ApiServer, Body, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use certs::{Authority, Issued, Profile, Rotating};
use futures::StreamExt as _;
use http::{Request, StatusCode};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use store::MemoryStore;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A node all of whose containers say the same.
#[derive(Debug)]
struct Talkative;

#[async_trait::async_trait]
impl NodeProxy for Talkative {
    async fn logs(&self, _pod: &Value, _options: &LogOptions) -> Result<Body> {
        Ok(apiserver::body::full("one\ntwo\n"))
    }
}

/// A running server.
struct Fixture {
    server: ApiServer,
    address: SocketAddr,
    authority: Authority,
    shutdown: CancellationToken,
}

fn now() -> jiff::Timestamp {
    effects::Clock::now(&effects::SystemClock)
}

impl Fixture {
    async fn start() -> Self {
        let authority = Authority::create("test", now()).expect("an authority");
        let builder = ApiServer::builder(Arc::new(MemoryStore::new()));
        let server = builder.nodes(Arc::new(Talkative)).build().await.expect("a server");
        let own = authority.issue(&Profile::server("apiserver", ["localhost".to_owned()]), now());
        let own = own.expect("a certificate");
        let tls = certs::server_config(Rotating::new(own).expect("a pair"), Some(&authority)).expect("TLS");
        let listener = listen("127.0.0.1:0".parse().expect("an address"), false).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let (serving, ending) = (server.clone(), shutdown.clone());
        tokio::spawn(async move { serving.serve(listener, tls, Limits::default(), ending).await });
        Self { server, address, authority, shutdown }
    }

    fn administrator(&self) -> Issued {
        self.authority.issue(&Profile::client("admin", "system:masters"), now()).expect("a certificate")
    }

    /// Opens a websocket; returns it with the protocol that was agreed on.
    async fn open(&self, path: &str, protocols: &str) -> std::result::Result<(Socket, String), Error> {
        self.open_for(path, protocols, "application/json").await
    }

    /// The same, for a client that wants to be answered in `media_type`.
    async fn open_for(
        &self,
        path: &str,
        protocols: &str,
        media_type: &str,
    ) -> std::result::Result<(Socket, String), Error> {
        self.open_version(path, protocols, media_type, "13").await
    }

    /// The same, in a version of the protocol.
    async fn open_version(
        &self,
        path: &str,
        protocols: &str,
        media_type: &str,
        version: &str,
    ) -> std::result::Result<(Socket, String), Error> {
        let config = certs::client_config(&self.authority, Some(&self.administrator())).expect("TLS");
        let mut config = Arc::unwrap_or_clone(config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
        let mut request = format!("wss://localhost{path}").into_client_request()?;
        request.headers_mut().insert("accept", media_type.parse().expect("a value"));
        request.headers_mut().insert("sec-websocket-version", version.parse().expect("a value"));
        if !protocols.is_empty() {
            request.headers_mut().insert("sec-websocket-protocol", protocols.parse().expect("a value"));
        }
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
        let agreed = response.headers().get("sec-websocket-protocol");
        Ok((socket, agreed.map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()))
    }

    /// Whether one watch is counted that was answered so.
    async fn has_counted(&self, code: &str) -> bool {
        let request = Request::get("/metrics").body(apiserver::body::full("")).expect("a request");
        let service = self.server.in_process(identity::administrator("admin"));
        let answer = service.oneshot(request).await.expect("infallible");
        let text = http_body_util::BodyExt::collect(answer.into_body()).await.expect("a body").to_bytes();
        let of_watches = |line: &str| {
            line.starts_with(&format!("apiserver_request_total{{code=\"{code}\""))
                && line.contains("verb=\"WATCH\"")
                && line.ends_with(" 1")
        };
        String::from_utf8_lossy(&text).lines().any(of_watches)
    }

    async fn write(&self, path: &str, object: &Value) {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(apiserver::body::full(object.to_string())).expect("a request");
        let service = self.server.in_process(identity::administrator("admin"));
        let answer = service.oneshot(request).await.expect("infallible");
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    async fn config_map(&self, name: &str) {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        self.write("/api/v1/namespaces/default/configmaps", &object).await;
    }
}

async fn next(socket: &mut Socket) -> Message {
    socket.next().await.expect("a message").expect("fine")
}

async fn event(socket: &mut Socket) -> (String, String) {
    let message = next(socket).await.into_text().expect("text");
    let event: Value = serde_json::from_str(&message).expect("JSON");
    let part = |pointer| event.pointer(pointer).and_then(Value::as_str).expect("a string").to_owned();
    (part("/type"), part("/object/metadata/name"))
}

#[tokio::test]
async fn each_event_of_a_watch_is_a_message() {
    let fixture = Fixture::start().await;
    fixture.config_map("old").await;
    let path =
        "/api/v1/namespaces/default/configmaps?watch=true&fieldSelector=metadata.name!=kube-root-ca.crt";
    // Pages offer a token beside the protocol. What is agreed on is the protocol: nobody is sent a token back.
    let offer = format!(
        "base64url.bearer.authorization.k8s.io.{}, base64.binary.k8s.io",
        URL_SAFE_NO_PAD.encode("t")
    );
    let (mut socket, agreed) = fixture.open(path, &offer).await.expect("a websocket");
    assert_eq!(agreed, "base64.binary.k8s.io");
    assert_eq!(event(&mut socket).await, ("ADDED".to_owned(), "old".to_owned()));
    for name in ["a", "b"] {
        fixture.config_map(name).await;
    }
    for name in ["a", "b"] {
        assert_eq!(event(&mut socket).await, ("ADDED".to_owned(), name.to_owned()));
    }
    fixture.shutdown.cancel();
    let Message::Close(Some(farewell)) = next(&mut socket).await else { panic!("a closing") };
    assert_eq!(farewell.code, CloseCode::Normal);
}

#[tokio::test]
async fn what_is_no_stream_is_answered_as_ever() {
    let fixture = Fixture::start().await;
    let refused = |path: &'static str| {
        let fixture = &fixture;
        async move {
            match fixture.open(path, "").await {
                Err(Error::Http(response)) => response.status().as_u16(),
                other => panic!("an answer by HTTP, not {other:?}"),
            }
        }
    };
    assert_eq!(refused("/api/v1/namespaces/default/configmaps").await, 200);
    assert_eq!(refused("/api/v1/namespaces/default/flowers?watch=true").await, 404);
    assert_eq!(refused("/api/v1/configmaps?watch=true&resourceVersion=x").await, 500);
}

#[tokio::test]
async fn a_watch_ends_after_its_time_and_in_protobuf_its_messages_are_binary() {
    let fixture = Fixture::start().await;
    fixture.config_map("one").await;
    let path =
        "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Done";
    let (mut socket, agreed) = fixture.open(path, "").await.expect("a websocket");
    assert_eq!((agreed.as_str(), event(&mut socket).await.1.as_str()), ("", "one"));
    assert!(matches!(next(&mut socket).await, Message::Close(_)));
    let protobuf = "application/vnd.kubernetes.protobuf;stream=watch";
    let (mut socket, _) = fixture.open_for(path, "", protobuf).await.expect("a websocket");
    // Without a length in front of it: a message has its own. Field 1 is the type.
    let Message::Binary(event) = next(&mut socket).await else { panic!("binary") };
    assert!(event.starts_with(b"\x0a\x05ADDED"), "{event:?}");
    assert!(matches!(next(&mut socket).await, Message::Close(_)));
}

#[tokio::test]
async fn a_log_is_read_as_bytes_or_as_base64() {
    let fixture = Fixture::start().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    fixture.write("/api/v1/namespaces/default/serviceaccounts", &account).await;
    fixture
        .write("/api/v1/nodes", &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}))
        .await;
    let spec = json!({"nodeName": "n", "containers": [{"name": "c", "image": "i"}]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
    fixture.write("/api/v1/namespaces/default/pods", &pod).await;
    let path = "/api/v1/namespaces/default/pods/p/log";
    for (protocol, expected) in [
        ("", Message::Binary(Bytes::from_static(b"one\ntwo\n"))),
        ("binary.k8s.io", Message::Binary(Bytes::from_static(b"one\ntwo\n"))),
        ("base64.binary.k8s.io", Message::text("b25lCnR3bwo=")),
    ] {
        let (mut socket, agreed) = fixture.open(path, protocol).await.expect("a websocket");
        assert_eq!((agreed.as_str(), next(&mut socket).await), (protocol, expected));
        assert!(matches!(next(&mut socket).await, Message::Close(_)));
    }
    let (_, agreed) = fixture.open(path, "v9.example, base64.binary.k8s.io").await.expect("a websocket");
    assert_eq!(agreed, "base64.binary.k8s.io");
    let refused = fixture.open(path, "v9.example").await;
    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 400));
}

#[tokio::test]
async fn what_went_out_is_what_is_counted() {
    let fixture = Fixture::start().await;
    let path = "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=1";
    let refused =
        fixture.open_version(path, "", "application/json", "8").await.map(drop).expect_err("an old version");
    assert!(matches!(refused, Error::Http(answer) if answer.status() == 400));
    let (mut watching, _) = fixture.open(path, "").await.expect("a websocket");
    while watching.next().await.is_some_and(|message| message.is_ok()) {}
    // A stream is counted when it is over, which the server may notice after its client.
    let counted = async {
        for code in ["400", "101"] {
            while !fixture.has_counted(code).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), counted).await.expect("both are counted");
}
