//! Telling clients what is served: `/api`, `/apis`, the lists of each group, and all of it in one answer.
//!
//! Everything is made from the registry's snapshot at the moment of the request, so that custom resources appear and
//! go with their definitions.

mod aggregated;
mod legacy;

use http::header::{ACCEPT, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::registry::Snapshot;
use crate::request::negotiate::is_known;
use crate::{Body, body, protobuf};

pub use legacy::storage_version_hash;

/// Answers a discovery path, or nothing when the path is none.
pub fn answer(snapshot: &Snapshot, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let document = match segments.as_slice() {
        [root @ ("api" | "apis")] => {
            if let Some((version, media_type)) = aggregated::wanted(headers) {
                let document = aggregated::document(snapshot, *root == "api", version);
                return Some(aggregate(&document, version, media_type, headers));
            }
            if *root == "api" { legacy::versions(snapshot) } else { legacy::groups(snapshot) }
        }
        ["api", version] => legacy::resources(snapshot, "", version)?,
        ["apis", group] => legacy::group(snapshot, group)?,
        ["apis", group, version] => legacy::resources(snapshot, group, version)?,
        _ => return None,
    };
    Some(body::json(StatusCode::OK, &document))
}

/// Whether an answer is the aggregated document, which is negotiated by itself.
pub fn is_aggregated(response: &Response<Body>) -> bool {
    response.headers().contains_key(ETAG)
}

/// Answers `/`: the paths that are worth looking at.
pub fn root(snapshot: &Snapshot) -> Response<Body> {
    let mut paths = vec![
        "/.well-known/openid-configuration".to_owned(),
        "/api".to_owned(),
        "/api/v1".to_owned(),
        "/apis".to_owned(),
        "/apis/".to_owned(),
    ];
    for group in snapshot.groups.iter().filter(|group| !group.name.is_empty()) {
        paths.push(format!("/apis/{}", group.name));
        paths
            .extend(group.versions.iter().map(|version| format!("/apis/{}/{}", group.name, version.version)));
    }
    let others = [
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    paths.extend(others.map(str::to_owned));
    paths.sort();
    body::json(StatusCode::OK, &json!({"paths": paths}))
}

/// The answer for paths that nothing is at.
pub fn not_found() -> Response<Body> {
    body::answer(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n")
}

/// Sends the aggregated document, or says that the client has it already.
fn aggregate(document: &Value, version: &str, media_type: &str, headers: &HeaderMap) -> Response<Body> {
    let bytes = document.to_string();
    let tag = hex::encode_upper(Sha256::digest(bytes.as_bytes()));
    let mut response = if is_known(headers, &tag) {
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let message = if media_type == protobuf::MEDIA_TYPE { protobuf::encode(document) } else { None };
        body::answer(StatusCode::OK, body::JSON, message.unwrap_or_else(|| bytes.into_bytes()))
    };
    let kind = format!("{media_type};g={};v={version};as=APIGroupDiscoveryList", aggregated::GROUP);
    let fields = response.headers_mut();
    for (name, value) in [(CONTENT_TYPE, kind), (ETAG, format!("\"{tag}\""))] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            fields.insert(name, value);
        }
    }
    fields.insert(VARY, HeaderValue::from_name(ACCEPT));
    response
}

#[cfg(test)]
mod tests {
    use http::header::IF_NONE_MATCH;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::registry::Registry;

    async fn get(path: &str, accept: &str, known: &str) -> (StatusCode, HeaderMap, Value) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("a header"));
        headers.insert(IF_NONE_MATCH, HeaderValue::from_str(known).expect("a header"));
        let response = answer(&Registry::new().snapshot(), path, &headers).expect("a discovery path");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[tokio::test]
    async fn resources_are_listed_with_their_subresources() {
        let (_, _, list) = get("/apis/apps/v1", "application/json", "").await;
        let deployments = list["resources"].as_array().expect("resources").iter();
        let scale =
            deployments.clone().find(|resource| resource["name"] == "deployments/scale").expect("scale");
        assert_eq!(scale["group"], "autoscaling");
        let main =
            deployments.clone().find(|resource| resource["name"] == "deployments").expect("deployments");
        assert_eq!((&main["singularName"], &main["shortNames"]), (&json!("deployment"), &json!(["deploy"])));
        let (_, _, core) = get("/api/v1", "application/json", "").await;
        assert!(core.get("apiVersion").is_none());
        let maps = core["resources"]
            .as_array()
            .expect("resources")
            .iter()
            .find(|resource| resource["name"] == "configmaps");
        assert_eq!(maps.expect("configmaps")["storageVersionHash"], "qFsyl6wFWjQ=");
    }

    #[tokio::test]
    async fn one_answer_holds_all_groups_and_can_be_kept() {
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let (status, headers, list) = get("/apis", accept, "").await;
        assert_eq!((status, &list["apiVersion"]), (StatusCode::OK, &json!("apidiscovery.k8s.io/v2")));
        assert!(
            headers[CONTENT_TYPE]
                .to_str()
                .expect("text")
                .starts_with("application/json;g=apidiscovery.k8s.io;v=v2")
        );
        let tag = headers[ETAG].to_str().expect("text");
        let (status, _, _) = get("/apis", accept, tag).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED);
        let (_, _, plain) = get("/apis", "application/json", "").await;
        assert_eq!(plain["kind"], "APIGroupList");
    }

    #[test]
    fn other_paths_are_not_discovery() {
        let snapshot = Registry::new().snapshot();
        for path in [
            "/",
            "/version",
            "/apis/apps/v1/deployments",
            "/apis/none.example.test",
            "/apis/apps/v9",
            "/api/v9",
        ] {
            assert!(answer(&snapshot, path, &HeaderMap::new()).is_none(), "{path}");
        }
    }
}
