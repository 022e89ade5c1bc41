//! API groups that another program answers.

mod common;

use std::sync::Arc;
use std::time::Duration;

use apiserver::aggregation::{Aggregation, Front};
use apiserver::serve::{Answer, Limits, serve};
use apiserver::{ApiServer, Body, body};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::{Authority, Issued, Profile, Rotating};
use common::Api;
use effects::{Clock, SystemClock};
use futures::StreamExt as _;
use http::header::{CONNECTION, LOCATION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::TokioIo;
use machinery::admission::UserInfo;
use serde_json::{Value, json};
use store::MemoryStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

fn now() -> jiff::Timestamp {
    SystemClock.now()
}

/// Answers `metrics.example.test`, and tells what it was asked.
#[derive(Clone)]
struct Backend;

#[async_trait::async_trait]
impl Answer for Backend {
    async fn answer(&self, peer: Option<&UserInfo>, mut request: Request<Body>) -> Response<Body> {
        let path = request.uri().to_string();
        match path.as_str() {
            "/apis/metrics.example.test/v1" => {
                let resources = json!([{"name": "loads", "singularName": "load", "namespaced": true, "kind": "Load", "verbs": ["get", "list"]}]);
                return body::json(
                    StatusCode::OK,
                    &json!({"kind": "APIResourceList", "apiVersion": "v1",
                    "groupVersion": "metrics.example.test/v1", "resources": resources}),
                );
            }
            "/openapi/v3" => {
                let document =
                    json!({"serverRelativeURL": "/openapi/v3/apis/metrics.example.test/v1?hash=1"});
                return body::json(
                    StatusCode::OK,
                    &json!({"paths": {"apis/metrics.example.test/v1": document}}),
                );
            }
            "/openapi/v2" => {
                let list = json!({"operationId": "listLoads", "responses": {"200": {"description": "OK",
                    "schema": {"$ref": "#/definitions/LoadList"}}}});
                let document = json!({"swagger": "2.0", "info": {"title": "metrics", "version": "1"},
                    "paths": {"/apis/metrics.example.test/v1/loads": {"get": list}, "/apis/other.example.test/v1/loads": {"get": list}},
                    "definitions": {"LoadList": {"type": "object", "properties": {
                        "metadata": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"}}},
                        "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta": {"type": "object", "properties": {"x": {"type": "string"}}}}});
                return body::json(StatusCode::OK, &document);
            }
            _ => {}
        }
        if path.ends_with("/elsewhere") {
            let mut response = Response::new(body::full("elsewhere"));
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(LOCATION, HeaderValue::from_static("https://example.test/evil"));
            return response;
        }
        if path.ends_with("/pipe") {
            let users = request.headers().get_all("x-remote-user").iter();
            let users: Vec<&str> = users.map(|user| user.to_str().expect("text")).collect();
            let users = HeaderValue::from_str(&users.join(",")).expect("text");
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut pipe = TokioIo::new(upgrade.await.expect("an upgrade"));
                let mut said = [0; 4];
                pipe.read_exact(&mut said).await.expect("four bytes");
                said.reverse();
                pipe.write_all(&said).await.expect("written");
            });
            let mut response = Response::new(body::empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            response.headers_mut().insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
            response.headers_mut().insert("x-told", users);
            return response;
        }
        if path.contains("watch=true") {
            let first =
                futures::stream::iter([Ok(Frame::data("{\"type\":\"ADDED\",\"object\":{}}\n".into()))]);
            return Response::new(StreamBody::new(first.chain(futures::stream::pending())).boxed_unsync());
        }
        let headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
            .collect();
        let (method, peer) = (request.method().to_string(), peer.map(|peer| peer.username.clone()));
        let sent = request.into_body().collect().await.expect("a body").to_bytes();
        let told = json!({"path": path, "method": method, "peer": peer, "headers": headers,
            "sent": String::from_utf8_lossy(&sent)});
        body::json(StatusCode::CREATED, &told)
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
}

struct Fixture {
    api: Api,
    store: Arc<MemoryStore>,
    front: Arc<Authority>,
    port: u16,
    bundle: String,
    _running: DropGuard,
}

fn listener_of(authority: &Authority, name: &str, then: jiff::Timestamp) -> Arc<Rotating> {
    let profile = Profile::server("server", [name.to_owned()]);
    Rotating::new(authority.issue(&profile, then).expect("a certificate")).expect("usable")
}

/// A server with aggregation, which shows itself by a certificate of `front`.
async fn server(store: &Arc<MemoryStore>, front: &Authority) -> ApiServer {
    let clients = Authority::create("ca", now()).expect("an authority");
    let issued = front.issue(&Profile::client("front-proxy-client", "none"), now()).expect("a certificate");
    let shown = Front::new("front-proxy-client", front.certificate_pem(), clients.certificate_pem(), issued);
    let builder = ApiServer::builder(store.clone()).aggregation(Arc::new(Aggregation::new(shown)));
    builder.build().await.expect("the server starts")
}

impl Fixture {
    async fn start() -> Self {
        Self::with_certificate_of(now()).await
    }

    /// The program's certificate was issued at `then`.
    async fn with_certificate_of(then: jiff::Timestamp) -> Self {
        let authority = Authority::create("backends", then).expect("an authority");
        let front = Authority::create("front-proxy-ca", now()).expect("an authority");
        let shown = listener_of(&authority, "metrics.default.svc", then);
        let tls = certs::server_config(shown, Some(&front)).expect("TLS");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let running = CancellationToken::new();
        tokio::spawn(serve(Backend, listener, tls, Limits::default(), running.clone()));
        let store = Arc::new(MemoryStore::new());
        let api = Api { server: server(&store, &front).await };
        let bundle = STANDARD.encode(authority.certificate_pem());
        Self { api, store, front: Arc::new(front), port, bundle, _running: running.drop_guard() }
    }

    /// Ends the server and starts another one with what it has stored.
    async fn restart(&mut self) {
        // One store has one server: the first is gone before the other begins.
        let gone =
            Api { server: ApiServer::builder(Arc::new(MemoryStore::new())).build().await.expect("a server") };
        drop(std::mem::replace(&mut self.api, gone));
        self.api = Api { server: server(&self.store, &self.front).await };
    }

    async fn register(&self, changes: Value) {
        let mut object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": "v1.metrics.example.test"},
            "spec": {"group": "metrics.example.test", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 10,
                "service": {"namespace": "default", "name": "metrics"}}});
        for (field, value) in changes.as_object().expect("fields") {
            object["spec"][field.as_str()] = value.clone();
        }
        self.api.post(SERVICES, object).await.expect(201);
    }

    /// Writes the Service, and what stands behind it.
    async fn service(&self) {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "metrics"},
            "spec": {"ports": [{"port": 443, "targetPort": self.port}]}});
        self.api.post("/api/v1/namespaces/default/services", service).await.expect(201);
    }

    async fn slice(&self) {
        self.slice_of("metrics-1", self.port).await;
    }

    async fn slice_of(&self, name: &str, port: u16) {
        let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "metrics"}},
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
            "ports": [{"name": "", "port": port, "protocol": "TCP"}]});
        self.api.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await.expect(201);
    }

    /// Writes something that concerns nobody.
    async fn something(&self, name: &str) {
        self.api.post(common::CONFIG_MAPS, common::config_map(name, json!({}))).await.expect(201);
    }

    /// Looks whether an object stays as it is over several looks, while other things are written.
    async fn stays(&self, object: &Value) {
        for at in 0..4 {
            self.something(&format!("of-nobody-{at}")).await;
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
        let name = object["metadata"]["name"].as_str().expect("a name");
        assert_eq!(self.api.get(&format!("{SERVICES}/{name}")).await.expect(200), *object);
    }

    /// Waits until the condition `Available` has a reason.
    async fn until(&self, name: &str, reason: &str) -> Value {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let last = self.api.get(&format!("{SERVICES}/{name}")).await.body;
            if last["status"]["conditions"][0]["reason"] == reason {
                return last;
            }
            assert!(std::time::Instant::now() < deadline, "{name} is not {reason}: {last}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn another_program_answers_with_the_user_in_headers() {
    let fixture = Fixture::start().await;
    let api = &fixture.api;
    fixture.register(json!({"caBundle": fixture.bundle})).await;
    fixture.until("v1.metrics.example.test", "ServiceNotFound").await;
    let refused = api.get("/apis/metrics.example.test/v1/loads").await;
    assert_eq!(
        (refused.status, refused.body),
        (StatusCode::SERVICE_UNAVAILABLE, json!("service unavailable\n"))
    );
    fixture.service().await;
    fixture.until("v1.metrics.example.test", "EndpointsNotFound").await;
    fixture.slice().await;
    let passed = fixture.until("v1.metrics.example.test", "Passed").await;
    assert_eq!(passed["status"]["conditions"][0]["status"], "True");

    let told =
        api.post("/apis/metrics.example.test/v1/namespaces/a/loads?x=1", json!({"k": "v"})).await.expect(201);
    assert_eq!(
        (&told["method"], &told["path"], &told["peer"], &told["sent"]),
        (
            &json!("POST"),
            &json!("/apis/metrics.example.test/v1/namespaces/a/loads?x=1"),
            &json!("front-proxy-client"),
            &json!("{\"k\":\"v\"}")
        )
    );
    let headers = told["headers"].as_array().expect("headers");
    for wanted in [
        json!(["x-remote-user", "admin"]),
        json!(["x-remote-group", "system:masters"]),
        json!(["x-remote-group", "system:authenticated"]),
        json!(["host", "metrics.default.svc:443"]),
    ] {
        assert!(headers.contains(&wanted), "{wanted} of {headers:?}");
    }
    let mut watch = api.watch("/apis/metrics.example.test/v1/loads?watch=true").await;
    assert_eq!(watch.next().await.expect("an event")["type"], "ADDED");

    let groups = api.get("/apis").await.expect(200);
    let at = |name: &str| {
        groups["groups"].as_array().expect("groups").iter().position(|group| group["name"] == name)
    };
    assert!(at("metrics.example.test") > at("flowcontrol.apiserver.k8s.io"), "{groups}");
    let list = api.get("/apis/metrics.example.test/v1").await.expect(200);
    assert_eq!(list["resources"][0]["name"], "loads");
    let index = api.get("/openapi/v3").await.expect(200);
    assert_eq!(
        index["paths"]["apis/metrics.example.test/v1"]["serverRelativeURL"],
        "/openapi/v3/apis/metrics.example.test/v1?hash=1"
    );

    let whole = api.get("/openapi/v2").await.expect(200);
    let list = &whole["paths"]["/apis/metrics.example.test/v1/loads"]["get"];
    assert_eq!(list["operationId"], "listLoads");
    assert!(whole["paths"].get("/apis/other.example.test/v1/loads").is_none());
    // Of what is called alike and is not, both are told.
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
    assert!(whole["definitions"][meta]["properties"]["continue"].is_object());
    assert!(whole["definitions"][format!("{meta}_v2")]["properties"]["x"].is_object());
    let told = &whole["definitions"]["LoadList"]["properties"]["metadata"]["$ref"];
    assert_eq!(*told, format!("#/definitions/{meta}_v2"));

    api.delete(&format!("{SERVICES}/v1.metrics.example.test"), json!({})).await.expect(200);
    for _ in 0..1200 {
        if api.get("/apis/metrics.example.test").await.status == StatusCode::NOT_FOUND {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the group is still served");
}

#[tokio::test]
async fn who_is_not_who_it_should_be_is_not_asked() {
    let fixture = Fixture::start().await;
    fixture.service().await;
    fixture.slice().await;
    let other = Authority::create("others", now()).expect("an authority");
    fixture.register(json!({"caBundle": STANDARD.encode(other.certificate_pem())})).await;
    let failed = fixture.until("v1.metrics.example.test", "FailedDiscoveryCheck").await;
    let message = failed["status"]["conditions"][0]["message"].as_str().expect("text");
    assert!(message.contains("x509: certificate signed by unknown authority"), "{message}");
    let path = format!("{SERVICES}/v1.metrics.example.test");
    fixture
        .api
        .merge(&path, json!({"spec": {"caBundle": null, "insecureSkipTLSVerify": true}}))
        .await
        .expect(200);
    fixture.until("v1.metrics.example.test", "Passed").await;
}

#[tokio::test]
async fn what_is_answered_here_is_listed_and_others_can_read_whom_to_trust() {
    let fixture = Fixture::start().await;
    let local = fixture.until("v1.apps", "Local").await;
    assert_eq!(
        (&local["spec"], &local["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"]),
        (
            &json!({"version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15, "group": "apps"}),
            &json!("onstart")
        )
    );
    fixture.until("v1.", "Local").await;
    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let published = fixture.api.get(path).await.expect(200);
    assert_eq!(published["data"]["requestheader-allowed-names"], "[\"front-proxy-client\"]");
    assert!(
        published["data"]["requestheader-client-ca-file"].as_str().expect("PEM").starts_with("-----BEGIN")
    );
    fixture
        .api
        .post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", common::widgets())
        .await
        .expect(201);
    let widgets = fixture.until("v1.example.test", "Local").await;
    assert_eq!(widgets["spec"]["versionPriority"], 100);
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.test";
    fixture.api.delete(definition, json!({})).await.expect(200);
    for _ in 0..1200 {
        if fixture.api.get(&format!("{SERVICES}/v1.example.test")).await.status == StatusCode::NOT_FOUND {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the APIService of a definition that is gone stays");
}

/// Asks `server` over the network, as an administrator, for a connection of another protocol.
async fn upgraded(server: &ApiServer, path: &str) -> TokioIo<hyper::upgrade::Upgraded> {
    let authority = Authority::create("ca", now()).expect("an authority");
    let tls =
        certs::server_config(listener_of(&authority, "127.0.0.1", now()), Some(&authority)).expect("TLS");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = server.clone();
    tokio::spawn(
        async move { server.serve(listener, tls, Limits::default(), CancellationToken::new()).await },
    );
    let admin: Issued =
        authority.issue(&Profile::client("admin", "system:masters"), now()).expect("a certificate");
    let tls = certs::client_config(&authority, Some(&admin)).expect("TLS");
    let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let name = rustls_pki_types::ServerName::try_from("127.0.0.1").expect("a name");
    let mut tls = (*tls).clone();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await.expect("TLS");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection.with_upgrades());
    let request =
        Request::post(path).header(CONNECTION, "Upgrade").header(UPGRADE, "SPDY/3.1").header("host", "a");
    let request = request.header("x-remote-user", "forged").body(body::empty()).expect("a request");
    let mut response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()[UPGRADE], "SPDY/3.1");
    assert_eq!(response.headers()["x-told"], "admin", "who it is is found out here");
    TokioIo::new(hyper::upgrade::on(&mut response).await.expect("an upgrade"))
}

#[tokio::test]
async fn streams_go_both_ways() {
    let fixture = Fixture::start().await;
    fixture.service().await;
    fixture.slice().await;
    fixture.register(json!({"caBundle": fixture.bundle})).await;
    fixture.until("v1.metrics.example.test", "Passed").await;
    let mut pipe =
        upgraded(&fixture.api.server, "/apis/metrics.example.test/v1/namespaces/a/loads/l/pipe").await;
    pipe.write_all(b"abcd").await.expect("written");
    let mut answer = [0; 4];
    pipe.read_exact(&mut answer).await.expect("four bytes");
    assert_eq!(&answer, b"dcba");
}

#[tokio::test]
async fn redirects_lead_nobody_away() {
    let fixture = Fixture::start().await;
    fixture.service().await;
    fixture.slice().await;
    fixture.register(json!({"caBundle": fixture.bundle})).await;
    fixture.until("v1.metrics.example.test", "Passed").await;
    let refused = fixture.api.get("/apis/metrics.example.test/v1/namespaces/a/loads/elsewhere").await;
    assert_eq!(refused.status, StatusCode::BAD_GATEWAY);
    assert!(!refused.headers.contains_key(LOCATION), "{:?}", refused.headers);
    assert_eq!(refused.body, json!("the backend attempted to redirect this request, which is not permitted"));
}

#[tokio::test]
async fn what_is_asked_for_is_what_was_judged() {
    let fixture = Fixture::start().await;
    let api = &fixture.api;
    fixture.service().await;
    fixture.slice().await;
    fixture.register(json!({"caBundle": fixture.bundle})).await;
    fixture.until("v1.metrics.example.test", "Passed").await;
    for (asked, sent) in [
        (
            "/apis/metrics.example.test/v1//namespaces/a%2Floads?x=%2F",
            "/apis/metrics.example.test/v1/namespaces/a/loads?x=%2F",
        ),
        ("/apis/metrics.example.test/v1/%6Coads/a%20b/", "/apis/metrics.example.test/v1/loads/a%20b/"),
    ] {
        assert_eq!(api.get(asked).await.expect(201)["path"], sent, "{asked}");
    }
    for path in [
        "/apis/metrics.example.test/v1/namespaces/a/loads/../../b/loads",
        "/apis/metrics.example.test/v1/loads/%2e%2E/loads",
        "/apis/metrics.example.test/v1/./loads",
    ] {
        api.get(path).await.expect(400);
    }
    // Everybody may read documents: nothing but documents is below their addresses.
    api.get("/openapi/v3/apis/metrics.example.test/v1").await.expect(201);
    for path in ["loads", "../../../../apis/metrics.example.test/v1/loads"] {
        api.get(&format!("/openapi/v3/apis/metrics.example.test/v1/{path}")).await.expect(404);
    }
}

#[tokio::test]
async fn a_condition_that_says_the_same_is_written_once() {
    let fixture = Fixture::start().await;
    fixture.service().await;
    // Two endpoints where nobody listens, and nobody else comes to.
    let unused = [(); 2].map(|()| tokio::net::TcpSocket::new_v4().expect("a socket"));
    for (name, socket) in ["metrics-1", "metrics-2"].into_iter().zip(&unused) {
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        fixture.slice_of(name, socket.local_addr().expect("an address").port()).await;
    }
    fixture.register(json!({"caBundle": fixture.bundle})).await;
    let failed = fixture.until("v1.metrics.example.test", "FailedDiscoveryCheck").await;
    let message = failed["status"]["conditions"][0]["message"].as_str().expect("text");
    assert_eq!(message.matches("connection refused").count(), 2, "{message}");
    fixture.stays(&failed).await;
}

#[tokio::test]
async fn an_expired_certificate_is_told_once() {
    let long_ago = now() - jiff::SignedDuration::from_hours(24 * 365 * 12);
    let fixture = Fixture::with_certificate_of(long_ago).await;
    fixture.service().await;
    fixture.slice().await;
    fixture.register(json!({"caBundle": fixture.bundle})).await;
    let failed = fixture.until("v1.metrics.example.test", "FailedDiscoveryCheck").await;
    let message = failed["status"]["conditions"][0]["message"].as_str().expect("text");
    assert!(message.contains("certificate has expired"), "{message}");
    fixture.stays(&failed).await;
}

#[tokio::test]
async fn an_endpoint_that_hangs_holds_nobody_up() {
    let fixture = Fixture::start().await;
    fixture.service().await;
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    fixture.slice_of("metrics-0", silent.local_addr().expect("an address").port()).await;
    fixture.slice().await;
    fixture.register(json!({"caBundle": fixture.bundle})).await;
    fixture.until("v1.metrics.example.test", "Passed").await;
    // Each write has another endpoint be asked first.
    for at in 0..4 {
        fixture.something(&format!("turn-{at}")).await;
        let asked = fixture.api.get("/apis/metrics.example.test/v1/namespaces/a/loads");
        tokio::time::timeout(Duration::from_secs(30), asked).await.expect("an answer").expect(201);
    }
}

#[tokio::test]
async fn programs_do_not_wait_for_each_other() {
    let fixture = Fixture::start().await;
    fixture.service().await;
    // Registered before the one that answers, and listed before it.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    fixture.slice_of("metrics-0", silent.local_addr().expect("an address").port()).await;
    let hangs = |at: usize| {
        json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("v1.a{at}.example.test")},
        "spec": {"group": format!("a{at}.example.test"), "version": "v1", "groupPriorityMinimum": 2000,
            "versionPriority": 10, "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "metrics"}}})
    };
    for at in 0..4 {
        fixture.api.post(SERVICES, hangs(at)).await.expect(201);
    }
    let began = std::time::Instant::now();
    for at in 0..4 {
        fixture.until(&format!("v1.a{at}.example.test"), "FailedDiscoveryCheck").await;
    }
    // One after the other they take twenty seconds.
    assert!(began.elapsed() < Duration::from_secs(19), "{:?}", began.elapsed());
}

#[tokio::test]
async fn versions_of_others_are_there_from_the_first_moment() {
    let mut fixture = Fixture::start().await;
    fixture.register(json!({"caBundle": fixture.bundle})).await;
    fixture.until("v1.metrics.example.test", "ServiceNotFound").await;
    fixture.restart().await;
    let loads = "/apis/metrics.example.test/v1/namespaces/a/loads";
    assert_eq!(fixture.api.get(loads).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let groups = fixture.api.get("/apis").await.expect(200);
    let mut groups = groups["groups"].as_array().expect("groups").iter();
    assert!(groups.any(|group| group["name"] == "metrics.example.test"), "{groups:?}");
    // Who answered before goes on.
    fixture.service().await;
    fixture.slice().await;
    fixture.until("v1.metrics.example.test", "Passed").await;
    fixture.restart().await;
    fixture.api.get(loads).await.expect(201);
}

#[tokio::test]
async fn what_the_server_stands_on_is_not_given_away() {
    let mut fixture = Fixture::start().await;
    let api = &fixture.api;
    fixture.until("v1.apps", "Local").await;
    let service = json!({"spec": {"service": {"namespace": "default", "name": "metrics", "port": 443}}});
    for name in ["v1.apps", "v1."] {
        let refused = api.merge(&format!("{SERVICES}/{name}"), service.clone()).await.expect(422);
        assert_eq!(refused["details"]["causes"][0]["field"], "spec.service", "{refused}");
    }
    // What was changed is put right by the next start; a definition's at once.
    let changed = json!({"spec": {"versionPriority": 7}});
    api.merge(&format!("{SERVICES}/v1.apps"), changed.clone()).await.expect(200);
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    api.post(definitions, common::widgets()).await.expect(201);
    fixture.until("v1.example.test", "Local").await;
    api.merge(&format!("{SERVICES}/v1.example.test"), changed).await.expect(200);
    until_priority(api, "v1.example.test", 100).await;
    assert_eq!(api.get(&format!("{SERVICES}/v1.apps")).await.expect(200)["spec"]["versionPriority"], 7);
    fixture.restart().await;
    until_priority(&fixture.api, "v1.apps", 15).await;
}

async fn until_priority(api: &Api, name: &str, wanted: i64) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let object = api.get(&format!("{SERVICES}/{name}")).await.expect(200);
        if object["spec"]["versionPriority"] == wanted {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{object}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
