//! A webhook server with TLS in this process, whose answers a test makes.
#![allow(dead_code, unreachable_pub, reason = "each test file that includes this uses a part of it")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::{Authority, Profile};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

type Answer = dyn Fn(&str, &Value) -> Value + Send + Sync;

/// A server that answers questions by path.
pub struct WebhookServer {
    pub port: u16,
    pub authority: Authority,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl WebhookServer {
    /// Starts a server that answers a question at a path with `response` fields that `answer` returns; null is no answer
    /// at all: the connection stays open.
    pub async fn start(answer: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Self {
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        let authority = Authority::create("webhooks", now).expect("an authority");
        let names = ["127.0.0.1", "hook.default.svc"].map(str::to_owned);
        let issued = authority.issue(&Profile::server("hook", names), now).expect("a certificate");
        let key =
            certs::provider().key_provider.load_private_key(issued.key().expect("a key")).expect("a key");
        let certificate = issued.certificate().expect("a certificate");
        let certified = CertifiedKey::new(vec![certificate, authority.certificate().clone()], key);
        let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        let tls = certs::server_config(resolver, None).expect("a configuration");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer, seen) =
                    (TlsAcceptor::from(Arc::clone(&tls)), Arc::clone(&answer), Arc::clone(&seen));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                        async move { Ok::<_, Infallible>(respond(request, &answer, &seen).await) }
                    });
                    let builder = hyper::server::conn::http1::Builder::new();
                    drop(builder.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { port, authority, asked, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    /// All questions so far, in order: path with query, and the review.
    pub fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().expect("nobody panicked").clone()
    }

    /// `clientConfig` of the path.
    pub fn client(&self, path: &str) -> Value {
        json!({"url": format!("https://127.0.0.1:{}{path}", self.port), "caBundle": self.bundle()})
    }

    pub fn bundle(&self) -> String {
        STANDARD.encode(self.authority.certificate_pem())
    }
}

async fn respond(
    request: Request<Incoming>,
    answer: &Arc<Answer>,
    seen: &Mutex<Vec<(String, Value)>>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let review: Value = serde_json::from_slice(&bytes).expect("JSON");
    seen.lock().expect("nobody panicked").push((parts.uri.to_string(), review.clone()));
    let mut response = answer(parts.uri.path(), &review["request"]);
    if response.is_null() {
        std::future::pending::<()>().await;
    }
    if let Some(code) = response["http"].as_u64() {
        let mut failed = Response::new(Full::new(Bytes::from_static(b"out of order")));
        *failed.status_mut() = http::StatusCode::from_u16(code as u16).expect("a code");
        return failed;
    }
    if response["uid"].is_null() {
        response["uid"] = review["request"]["uid"].clone();
    }
    let review = json!({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response});
    Response::new(Full::new(Bytes::from(review.to_string())))
}

/// An answer that changes the object by a JSON patch.
pub fn patching(patch: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string())})
}

/// A webhook for ConfigMaps with these fields changed.
pub fn webhook(name: &str, client: Value, changes: Value) -> Value {
    let mut webhook = json!({
        "name": format!("{name}.example.test"), "clientConfig": client, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "timeoutSeconds": 30,
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}],
    });
    let changes: HashMap<String, Value> = serde_json::from_value(changes).expect("fields");
    for (field, value) in changes {
        webhook[field] = value;
    }
    webhook
}

/// A configuration of these webhooks.
pub fn configuration(kind: &str, name: &str, webhooks: Vec<Value>) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": webhooks})
}

pub const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
pub const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
