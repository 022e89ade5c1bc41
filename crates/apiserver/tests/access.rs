//! Who gets in over the network, and what they may do there.

use std::net::SocketAddr;
use std::sync::Arc;

use apiserver::auth::{Settings, identity};
use apiserver::serve::{Limits, ListenError, listen};
use apiserver::{ApiServer, Body};
use bytes::Bytes;
use certs::{Authority, Issued, Profile, Rotating, SigningKey};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use machinery::admission::UserInfo;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use store::MemoryStore;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

/// A running server, with an authority that both sides trust.
struct Fixture {
    server: ApiServer,
    address: SocketAddr,
    authority: Authority,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

/// Credentials of a request.
#[derive(Clone, Copy)]
enum By<'a> {
    Nobody,
    Certificate(&'a Issued),
    Token(&'a str),
}

fn now() -> jiff::Timestamp {
    effects::Clock::now(&effects::SystemClock)
}

impl Fixture {
    async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let authority = Authority::create("ca", now()).expect("an authority");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let own = authority.issue(&Profile::server("apiserver", names), now()).expect("a certificate");
        let token_key = Some(Arc::new(SigningKey::create().expect("a key")));
        let server = ApiServer::builder(Arc::new(MemoryStore::new()))
            .auth(Settings { token_key, ..Settings::default() })
            .build()
            .await
            .expect("a server");
        let tls = certs::server_config(Rotating::new(own).expect("a pair"), Some(&authority)).expect("TLS");
        let listener = listen("127.0.0.1:0".parse().expect("an address"), false).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (serving, shutdown) = (server.clone(), CancellationToken::new());
        let ending = shutdown.clone();
        let serving = tokio::spawn(async move { serving.serve(listener, tls, limits, ending).await });
        Self { server, address, authority, shutdown, serving }
    }

    fn certificate(&self, user: &str, group: &str) -> Issued {
        self.authority.issue(&Profile::client(user, group), now()).expect("a certificate")
    }

    async fn connect(&self, by: By<'_>) -> SendRequest<Full<Bytes>> {
        let shown = if let By::Certificate(issued) = by { Some(issued) } else { None };
        let config = certs::client_config(&self.authority, shown).expect("TLS");
        // One request a connection, in the older protocol: the newer one is tried by real clients.
        let mut config = Arc::unwrap_or_clone(config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        sender
    }

    async fn send(&self, by: By<'_>, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.connect(by).await.send_request(request).await.expect("an answer")
    }

    async fn call(&self, by: By<'_>, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if let By::Token(token) = by {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let response = self.send(by, request.body(Full::new(bytes)).expect("a request")).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Calls the server inside the process.
    async fn inside(&self, user: UserInfo, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let body: Body = apiserver::body::full(body.to_string());
        let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", content);
        let answer = self.server.in_process(user).call(request.body(body).expect("a request")).await;
        let response = answer.expect("infallible");
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn create(&self, path: &str, body: Value) -> Value {
        let (status, created) = self.inside(identity::administrator("root"), "POST", path, &body).await;
        assert_eq!(status, StatusCode::CREATED, "{path}: {created}");
        created
    }
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";

fn bind(name: &str, role: &str, user: &str) -> Value {
    json!({
        "metadata": {"name": name}, "subjects": [{"kind": "User", "name": user}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
    })
}

fn pod(name: &str, node: &str, secret: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "nodeName": node, "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "secret": {"secretName": secret}}],
        },
    })
}

#[tokio::test]
async fn certificates_and_nothing_open_different_doors() {
    let api = Fixture::start().await;
    let (admin, bob) = (api.certificate("admin", "system:masters"), api.certificate("bob", "staff"));
    let by = By::Certificate;
    assert_eq!(api.call(By::Nobody, "GET", PODS, &Value::Null).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(api.call(By::Token("garbage"), "GET", PODS, &Value::Null).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(api.call(by(&admin), "GET", PODS, &Value::Null).await.0, StatusCode::OK);
    let (status, refusal) = api.call(by(&bob), "GET", PODS, &Value::Null).await;
    assert_eq!((status, &refusal["reason"]), (StatusCode::FORBIDDEN, &json!("Forbidden")));
    let message = refusal["message"].as_str().expect("a message");
    assert!(message.contains("User \"bob\" cannot list resource \"pods\""), "{message}");
    api.create(BINDINGS, bind("bob", "view", "bob")).await;
    assert_eq!(api.call(by(&bob), "GET", PODS, &Value::Null).await.0, StatusCode::OK);
    assert_eq!(api.call(by(&bob), "GET", "/api/v1/pods", &Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(api.call(by(&bob), "DELETE", PODS, &Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(api.call(by(&bob), "GET", "/apis", &Value::Null).await.0, StatusCode::OK);
    assert_eq!(api.call(by(&bob), "GET", "/metrics", &Value::Null).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn tokens_live_as_long_as_what_they_are_bound_to() {
    let api = Fixture::start().await;
    let account = api.create(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await;
    let ask = json!({"spec": {"expirationSeconds": 600}});
    let issued = api.create(&format!("{ACCOUNTS}/robot/token"), ask.clone()).await;
    let token = issued["status"]["token"].as_str().expect("a token");
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let review = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    let (status, answer) = api.call(By::Token(token), "POST", whoami, &review).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let user = &answer["status"]["userInfo"];
    assert_eq!(user["username"], "system:serviceaccount:default:robot");
    assert_eq!(user["uid"], account["metadata"]["uid"]);
    assert_eq!(api.call(By::Token(token), "GET", PODS, &Value::Null).await.0, StatusCode::FORBIDDEN);
    // For another audience it is no credential here.
    let elsewhere = json!({"spec": {"audiences": ["elsewhere"]}});
    let issued = api.create(&format!("{ACCOUNTS}/robot/token"), elsewhere).await;
    let other = issued["status"]["token"].as_str().expect("a token");
    assert_eq!(api.call(By::Token(other), "GET", PODS, &Value::Null).await.0, StatusCode::UNAUTHORIZED);
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let ask = |audiences: Value| json!({"spec": {"token": other, "audiences": audiences}});
    assert_eq!(
        api.create(reviews, ask(json!(["elsewhere", "x"]))).await["status"]["audiences"],
        json!(["elsewhere"])
    );
    assert_eq!(api.create(reviews, ask(json!([]))).await["status"].get("authenticated"), None);
    // The account that comes back under the same name is another.
    let path = format!("{ACCOUNTS}/robot");
    let root = identity::administrator("root");
    assert_eq!(api.inside(root, "DELETE", &path, &json!({})).await.0, StatusCode::OK);
    assert_eq!(api.call(By::Token(token), "POST", whoami, &review).await.0, StatusCode::UNAUTHORIZED);
    api.create(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await;
    assert_eq!(api.call(By::Token(token), "POST", whoami, &review).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn nobody_gives_away_or_takes_on_more_than_they_hold() {
    let api = Fixture::start().await;
    api.create(BINDINGS, bind("carol", "admin", "carol")).await;
    let carol = || identity::user("carol", []);
    let role = |name: &str, resource: &str| {
        let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource]});
        json!({"metadata": {"name": name}, "rules": [rule]})
    };
    assert_eq!(api.inside(carol(), "POST", ROLES, &role("fine", "pods")).await.0, StatusCode::CREATED);
    let (status, refusal) = api.inside(carol(), "POST", ROLES, &role("more", "nodes")).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{refusal}");
    let more = json!({"rules": role("", "nodes")["rules"]});
    let path = format!("{ROLES}/fine");
    assert_eq!(api.inside(carol(), "PATCH", &path, &more).await.0, StatusCode::FORBIDDEN);
    assert_eq!(
        api.inside(carol(), "POST", BINDINGS, &bind("up", "cluster-admin", "carol")).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        api.inside(carol(), "POST", BINDINGS, &bind("ok", "view", "dave")).await.0,
        StatusCode::CREATED
    );
    let mut request = Request::builder().uri(PODS).header("impersonate-user", "root");
    request = request.header("impersonate-group", "system:masters");
    let request = request.body(apiserver::body::empty()).expect("a request");
    let answer = api.server.in_process(carol()).call(request).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn agents_of_nodes_stay_on_their_node() {
    let api = Fixture::start().await;
    api.create(ACCOUNTS, json!({"metadata": {"name": "default"}})).await;
    let secrets = "/api/v1/namespaces/default/secrets";
    for (node, secret) in [("a", "sa"), ("b", "sb")] {
        api.create("/api/v1/nodes", json!({"metadata": {"name": node}})).await;
        api.create(secrets, json!({"metadata": {"name": secret}})).await;
        api.create(PODS, pod(&format!("on-{node}"), node, secret)).await;
    }
    let label = json!({"metadata": {"labels": {"x": "y"}}});
    let phase = json!({"status": {"phase": "Running"}});
    let table = [
        ("PATCH", "/api/v1/nodes/a".to_owned(), &label, StatusCode::OK),
        ("PATCH", "/api/v1/nodes/b".to_owned(), &label, StatusCode::FORBIDDEN),
        ("PATCH", format!("{PODS}/on-a/status"), &phase, StatusCode::OK),
        ("PATCH", format!("{PODS}/on-b/status"), &phase, StatusCode::FORBIDDEN),
        ("DELETE", format!("{PODS}/on-b"), &Value::Null, StatusCode::FORBIDDEN),
        ("GET", format!("{PODS}/on-b"), &Value::Null, StatusCode::OK),
        ("GET", format!("{secrets}/sa"), &Value::Null, StatusCode::OK),
        ("GET", format!("{secrets}/sb"), &Value::Null, StatusCode::FORBIDDEN),
        ("GET", secrets.to_owned(), &Value::Null, StatusCode::FORBIDDEN),
    ];
    for (method, path, body, expected) in table {
        let (status, answer) = api.inside(identity::node("a"), method, &path, body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn shutting_down_ends_watches() {
    let api = Fixture::start().await;
    let admin = api.certificate("admin", "system:masters");
    let watch = format!("{PODS}?watch=true");
    let request =
        Request::builder().uri(watch).header("host", "localhost").body(Full::default()).expect("a request");
    let response = api.send(By::Certificate(&admin), request).await;
    assert_eq!(response.status(), StatusCode::OK);
    api.shutdown.cancel();
    // Both end by themselves: the stream in order, and the server once its connections have.
    response.into_body().collect().await.expect("an orderly end");
    api.serving.await.expect("an orderly end");
}

#[tokio::test]
async fn other_machines_are_let_in_only_on_request() {
    let everywhere = "0.0.0.0:0".parse().expect("an address");
    assert!(matches!(listen(everywhere, false).await, Err(ListenError::Exposed { .. })));
    assert!(listen(everywhere, true).await.is_ok());
}

#[tokio::test]
async fn no_client_takes_every_connection() {
    let limits = Limits { connections_of_client: 2, handshakes: 4, ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let (alice, bob) = (fixture.certificate("alice", "people"), fixture.certificate("bob", "people"));
    let code = async |sender: &mut SendRequest<Full<Bytes>>| {
        let request = Request::get("/version").header("host", "localhost");
        let request = request.body(Full::new(Bytes::new())).expect("a request");
        sender.send_request(request).await.expect("an answer").status()
    };
    let mut first = fixture.connect(By::Certificate(&alice)).await;
    let mut second = fixture.connect(By::Certificate(&alice)).await;
    assert_eq!((code(&mut first).await, code(&mut second).await), (StatusCode::OK, StatusCode::OK));
    let mut third = fixture.connect(By::Certificate(&alice)).await;
    assert_eq!(code(&mut third).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(code(&mut fixture.connect(By::Certificate(&bob)).await).await, StatusCode::OK);
    let nobody = code(&mut fixture.connect(By::Nobody).await).await;
    assert_ne!(nobody, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(code(&mut first).await, StatusCode::OK, "those that are there go on");

    // Who begins and does not go on makes room for who does.
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(TcpStream::connect(fixture.address).await.expect("a connection"));
    }
    assert_eq!(code(&mut fixture.connect(By::Certificate(&bob)).await).await, StatusCode::OK);

    drop(first);
    while code(&mut fixture.connect(By::Certificate(&alice)).await).await != StatusCode::OK {
        // The server hears of the end in its own time.
        tokio::task::yield_now().await;
    }
    drop(silent);
}
