//! The paths of virt-api's port.

use std::sync::Arc;

use apiserver::admission::AdmissionPlugin as _;
use apiserver::body::{self, Body};
use apiserver::serve::Answer;
use effects::Clock;
use http::{Method, Request, Response, StatusCode};
use machinery::admission::{Review, UserInfo};
use machinery::status::Status;
use serde_json::{Value, json};
use virt_api::subresource::{self, GROUP, Subresources, VERSIONS};

use super::front::Front;
use crate::up::admission::VirtApi;

/// Where objects are completed.
pub(super) const MUTATE: &str = "/mutate";
/// Where objects are judged.
pub(super) const VALIDATE: &str = "/validate";

/// Answers the API server.
#[derive(Clone, Debug)]
pub(super) struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    admission: Arc<VirtApi>,
    subresources: Subresources,
    front: Front,
    clock: Arc<dyn Clock>,
}

impl Server {
    pub(super) fn new(
        admission: Arc<VirtApi>,
        subresources: Subresources,
        front: Front,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner { admission, subresources, front, clock }))
    }

    /// Answers an admission question. Anybody may ask: answers tell nothing that the question does not.
    async fn review(&self, path: &str, request: Request<Body>) -> Result<Value, Status> {
        let sent = body::read(request.into_body()).await.map_err(|refusal| *refusal)?;
        let unreadable =
            |why: String| Status::bad_request(format!("the AdmissionReview cannot be read: {why}"));
        let review: Review = serde_json::from_slice(&sent).map_err(|error| unreadable(error.to_string()))?;
        let question = review.request.ok_or_else(|| unreadable("it has no request".to_owned()))?;
        let answer = if path == MUTATE {
            self.0.admission.mutate(&question).await
        } else {
            self.0.admission.validate(&question).await
        };
        serde_json::to_value(Review::answer(answer)).map_err(|error| Status::internal(error.to_string()))
    }
}

#[async_trait::async_trait]
impl Answer for Server {
    async fn answer(&self, peer: Option<&UserInfo>, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if let Some(document) = discovery(&path) {
            return body::json(StatusCode::OK, &document);
        }
        match (request.method(), path.as_str()) {
            (&Method::POST, MUTATE | VALIDATE) => match self.review(&path, request).await {
                Ok(answer) => body::json(StatusCode::OK, &answer),
                Err(status) => body::refusal(&status),
            },
            (_, "/healthz" | "/livez" | "/readyz") => body::answer(StatusCode::OK, "text/plain", "ok"),
            _ if path.starts_with("/apis/") => match self.0.front.user(peer, request.headers()) {
                Some(user) => self.0.subresources.handle(&user, request).await,
                None => body::refusal(&Status::unauthorized()),
            },
            _ => body::refusal(&Status::no_such_path()),
        }
    }

    fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }
}

/// The documents that show the group to the API server, which fetches them by itself.
fn discovery(path: &str) -> Option<Value> {
    let version = |name: &str| json!({"groupVersion": format!("{GROUP}/{name}"), "version": name});
    let group = || {
        json!({
            "name": GROUP,
            "versions": VERSIONS.map(version),
            "preferredVersion": version(VERSIONS[0]),
        })
    };
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        ["apis"] => Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group()]})),
        ["apis", GROUP] => {
            let mut document = group();
            document["kind"] = "APIGroup".into();
            document["apiVersion"] = "v1".into();
            Some(document)
        }
        ["apis", GROUP, name] if VERSIONS.contains(name) => Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{name}"),
            "resources": subresource::resources(),
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_shown_from_the_top_to_its_versions() {
        assert_eq!(discovery("/apis").unwrap()["groups"][0]["name"], GROUP);
        let group = discovery("/apis/subresources.kubevirt.io").unwrap();
        assert_eq!(group["preferredVersion"]["groupVersion"], "subresources.kubevirt.io/v1");
        for version in VERSIONS {
            let list = discovery(&format!("/apis/{GROUP}/{version}")).unwrap();
            assert!(
                list["resources"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|entry| entry["name"] == "virtualmachines/start")
            );
        }
        assert_eq!(discovery("/apis/other"), None);
        assert_eq!(discovery("/apis/subresources.kubevirt.io/v1/namespaces/a"), None);
    }
}
