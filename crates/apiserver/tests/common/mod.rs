//! A server in memory and a way to call it.
#![allow(dead_code, unreachable_pub, reason = "each test file includes this and uses a part of it")]

use std::sync::Arc;

use apiserver::auth::identity;
use apiserver::{ApiServer, Builder, body};
use effects::SeededEntropy;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use store::{MemoryStore, Store};
use tower::ServiceExt as _;

/// A server of its own for one test.
pub struct Api {
    pub server: ApiServer,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The object, which must have come with `status`.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// Texts of the Warning headers.
    pub fn warnings(&self) -> Vec<String> {
        let headers = self.headers.get_all(http::header::WARNING);
        headers.iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }
}

impl Api {
    /// Starts a server with nothing special.
    pub async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    /// Starts a server that `adjust` builds.
    pub async fn with(adjust: impl FnOnce(Builder) -> Builder) -> Self {
        Self::built(adjust(ApiServer::builder(Arc::new(MemoryStore::new())))).await
    }

    /// Starts a server with nothing special on a store that the test keeps.
    pub async fn on(store: Arc<dyn Store>) -> Self {
        Self::built(ApiServer::builder(store)).await
    }

    async fn built(builder: Builder) -> Self {
        let builder = builder.entropy(Arc::new(SeededEntropy::new(1)));
        let server = builder.build().await.expect("the server starts");
        let api = Self { server };
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        api.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);
        api
    }

    /// Sends a request as an administrator.
    pub async fn send(&self, method: &str, path: &str, media_type: &str, body: String) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, media_type)
            .header(http::header::USER_AGENT, "tests/1")
            .body(body::full(body))
            .expect("a request");
        let service = self.server.in_process(identity::administrator("admin"));
        let response = service.oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", String::new()).await
    }

    pub async fn post(&self, path: &str, object: Value) -> Answer {
        self.send("POST", path, body::JSON, object.to_string()).await
    }

    pub async fn put(&self, path: &str, object: Value) -> Answer {
        self.send("PUT", path, body::JSON, object.to_string()).await
    }

    pub async fn delete(&self, path: &str, options: Value) -> Answer {
        self.send("DELETE", path, body::JSON, options.to_string()).await
    }

    pub async fn merge(&self, path: &str, change: Value) -> Answer {
        self.send("PATCH", path, "application/merge-patch+json", change.to_string()).await
    }

    pub async fn apply(&self, path: &str, manager: &str, object: Value) -> Answer {
        let path = format!("{path}?fieldManager={manager}");
        self.send("PATCH", &path, "application/apply-patch+yaml", object.to_string()).await
    }

    /// Opens a watch; the lines that come are read one by one.
    pub async fn watch(&self, path: &str) -> Lines {
        let request = Request::get(path).body(body::empty()).expect("a request");
        let service = self.server.in_process(identity::administrator("admin"));
        let response = service.oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        Lines { body: response.into_body(), rest: Vec::new() }
    }
}

/// The events of a watch.
pub struct Lines {
    body: apiserver::Body,
    rest: Vec<u8>,
}

impl Lines {
    /// Waits for the next event; nothing when the watch has ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=at).collect();
                return Some(serde_json::from_slice(&line).expect("an event"));
            }
            let frame = self.body.frame().await?.expect("a frame");
            self.rest.extend_from_slice(&frame.into_data().expect("data"));
        }
    }

    /// Waits for the next event; returns its type and the object's name.
    pub async fn next_name(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const PODS: &str = "/api/v1/namespaces/default/pods";

/// A ConfigMap.
pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// A Pod of one container.
pub fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}], "automountServiceAccountToken": false}})
}

/// A definition of a namespaced kind with a status.
pub fn widgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.test"},
        "spec": {
            "group": "example.test", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wi"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.count", "statusReplicasPath": ".status.count"}},
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
                        "count": {"type": "integer", "minimum": 0}}},
                    "status": {"type": "object", "properties": {"count": {"type": "integer"}, "phase": {"type": "string"}}}}}},
            }],
        },
    })
}

pub const WIDGETS: &str = "/apis/example.test/v1/namespaces/default/widgets";

/// A Widget.
pub fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.test/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}
