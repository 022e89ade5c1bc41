//! A registry over real HTTP on a loopback port: what the OCI distribution specification asks of pulls.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::{Built, digest};

/// What a registry serves, and how often it was asked.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Manifests by `REPOSITORY@TAG` or digest.
    pub(crate) manifests: Mutex<HashMap<String, Vec<u8>>>,
    pub(crate) blobs: Mutex<HashMap<String, Vec<u8>>>,
    /// Requests by path.
    pub(crate) asked: Mutex<HashMap<String, usize>>,
    /// `Authorization` that every request must carry.
    pub(crate) authorization: Option<String>,
}

/// A running registry.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
}

impl Registry {
    pub(crate) async fn start(authorization: Option<&str>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { authorization: authorization.map(str::to_owned), ..State::default() });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&state, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, state }
    }

    /// Publishes `image` as `repository:tag`.
    pub(crate) fn push(&self, repository: &str, tag: &str, image: &Built) {
        let mut manifests = self.state.manifests.lock().unwrap();
        manifests.insert(format!("{repository}@{tag}"), image.manifest.clone());
        manifests.insert(format!("{repository}@{}", digest(&image.manifest)), image.manifest.clone());
        let mut blobs = self.state.blobs.lock().unwrap();
        for content in image.layers.iter().chain([&image.config]) {
            blobs.insert(digest(content), content.clone());
        }
    }

    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Returns how often a path that ends so was asked for.
    pub(crate) fn asked(&self, end: &str) -> usize {
        let asked = self.state.asked.lock().unwrap();
        asked.iter().filter(|(path, _)| path.ends_with(end)).map(|(_, count)| count).sum()
    }
}

fn answer(state: &State, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    *state.asked.lock().unwrap().entry(path.clone()).or_default() += 1;
    let plain = |status| Response::builder().status(status).body(Full::default()).unwrap();
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if state.authorization.is_some() && given != state.authorization.as_deref() {
        let challenge = Response::builder().status(StatusCode::UNAUTHORIZED);
        return challenge
            .header(header::WWW_AUTHENTICATE, "Basic realm=\"test\"")
            .body(Full::default())
            .unwrap();
    }
    let Some(rest) = path.strip_prefix("/v2/") else {
        return plain(StatusCode::NOT_FOUND);
    };
    let (content, media_type) = if let Some((repository, name)) = rest.split_once("/manifests/") {
        let content = state.manifests.lock().unwrap().get(&format!("{repository}@{name}")).cloned();
        let media_type = content.as_deref().map(media_type).unwrap_or_default();
        (content, media_type)
    } else if let Some((_, digest)) = rest.split_once("/blobs/") {
        (state.blobs.lock().unwrap().get(digest).cloned(), "application/octet-stream".to_owned())
    } else {
        return plain(if rest.is_empty() { StatusCode::OK } else { StatusCode::NOT_FOUND });
    };
    match content {
        None => plain(StatusCode::NOT_FOUND),
        Some(content) => Response::builder()
            .header(header::CONTENT_TYPE, media_type)
            .body(Full::new(Bytes::from(content)))
            .unwrap(),
    }
}

fn media_type(document: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(document).unwrap_or_default();
    value["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json").to_owned()
}
