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
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::TokioIo;
use machinery::admission::UserInfo;
use serde_json::{Value, json};
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
            _ => {}
        }
        if path.ends_with("/pipe") {
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
    port: u16,
    bundle: String,
    _running: DropGuard,
}

fn listener_of(authority: &Authority, names: &[&str]) -> Arc<Rotating> {
    let names = names.iter().map(ToString::to_string);
    let issued = authority.issue(&Profile::server("server", names), now()).expect("a certificate");
    Rotating::new(issued).expect("usable")
}

impl Fixture {
    async fn start() -> Self {
        let create = |name: &str| Authority::create(name, now()).expect("an authority");
        let (authority, front, clients) = (create("backends"), create("front-proxy-ca"), create("ca"));
        let tls = certs::server_config(listener_of(&authority, &["metrics.default.svc"]), Some(&front))
            .expect("TLS");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let running = CancellationToken::new();
        tokio::spawn(serve(Backend, listener, tls, Limits::default(), running.clone()));
        let issued =
            front.issue(&Profile::client("front-proxy-client", "none"), now()).expect("a certificate");
        let shown =
            Front::new("front-proxy-client", front.certificate_pem(), clients.certificate_pem(), issued);
        let api = Api::with(|builder| builder.aggregation(Arc::new(Aggregation::new(shown)))).await;
        let bundle = STANDARD.encode(authority.certificate_pem());
        Self { api, port, bundle, _running: running.drop_guard() }
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
        let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "metrics-1", "labels": {"kubernetes.io/service-name": "metrics"}},
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
            "ports": [{"name": "", "port": self.port, "protocol": "TCP"}]});
        self.api.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await.expect(201);
    }

    /// Waits until the condition `Available` has a reason.
    async fn until(&self, name: &str, reason: &str) -> Value {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
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

    api.delete(&format!("{SERVICES}/v1.metrics.example.test"), json!({})).await.expect(200);
    for _ in 0..400 {
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
    assert!(message.contains("failed to verify certificate"), "{message}");
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
    for _ in 0..400 {
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
    let tls = certs::server_config(listener_of(&authority, &["127.0.0.1"]), Some(&authority)).expect("TLS");
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
