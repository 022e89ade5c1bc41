//! Answers and watches in the encodings that clients ask for.

mod common;

use apiserver::auth::identity;
use apiserver::{body, protobuf};
use common::Api;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const PROTOBUF: &str = protobuf::MEDIA_TYPE;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Sends a request; returns code, media type, and the bytes of the answer.
async fn send(api: &Api, method: &str, path: &str, accept: &str, body: Vec<u8>) -> (u16, String, Vec<u8>) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(ACCEPT, accept)
        .header(CONTENT_TYPE, PROTOBUF)
        .body(body::full(body))
        .expect("a request");
    let service = api.server.in_process(identity::administrator("admin"));
    let (parts, body) = service.oneshot(request).await.expect("an answer").into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes().to_vec();
    (parts.status.as_u16(), media_type(&parts.headers), bytes)
}

fn media_type(headers: &HeaderMap) -> String {
    headers[CONTENT_TYPE].to_str().expect("text").to_owned()
}

async fn get(api: &Api, path: &str, accept: &str) -> (u16, String, Vec<u8>) {
    send(api, "GET", path, accept, Vec::new()).await
}

fn decoded((code, media_type, bytes): (u16, String, Vec<u8>)) -> (u16, Value) {
    assert_eq!(media_type, PROTOBUF, "{}", String::from_utf8_lossy(&bytes));
    (code, protobuf::decode(&bytes).expect("a message"))
}

#[tokio::test]
async fn typed_clients_speak_protobuf_alone() {
    let api = Api::start().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    let message = protobuf::encode(&map).expect("a message");
    let (code, created) = decoded(send(&api, "POST", MAPS, PROTOBUF, message.clone()).await);
    assert_eq!((code, &created["data"]), (201, &map["data"]));
    let path = format!("{MAPS}/a");
    let shown = api.get(&path).await.expect(200);
    assert_eq!(decoded(get(&api, &path, PROTOBUF).await), (200, shown));
    let (_, list) = decoded(get(&api, MAPS, PROTOBUF).await);
    assert_eq!((&list["kind"], &list["items"][0]["data"]), (&json!("ConfigMapList"), &map["data"]));
    let (code, refusal) = decoded(send(&api, "POST", MAPS, PROTOBUF, message).await);
    assert_eq!((code, &refusal["reason"]), (409, &json!("AlreadyExists")));
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
    let options = protobuf::encode(&options).expect("a message");
    let (code, gone) = decoded(send(&api, "DELETE", &path, PROTOBUF, options).await);
    assert_eq!((code, &gone["kind"], &gone["status"]), (200, &json!("Status"), &json!("Success")));
    let (_, groups) = decoded(get(&api, "/apis", PROTOBUF).await);
    assert_eq!(groups["kind"], "APIGroupList");
}

#[tokio::test]
async fn scales_and_reviews_have_protobuf_forms() {
    let api = Api::start().await;
    let containers = json!([{"name": "c", "image": "example.test/c"}]);
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}}}});
    let path = "/apis/apps/v1/namespaces/default/deployments";
    api.post(path, deployment).await.expect(201);
    let path = format!("{path}/d/scale");
    let (_, mut scale) = decoded(get(&api, &path, PROTOBUF).await);
    scale["spec"]["replicas"] = 3.into();
    let message = protobuf::encode(&scale).expect("a message");
    let (code, scale) = decoded(send(&api, "PUT", &path, PROTOBUF, message).await);
    assert_eq!((code, &scale["spec"]["replicas"]), (200, &json!(3)));
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let message = protobuf::encode(&review).expect("a message");
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, review) = decoded(send(&api, "POST", path, PROTOBUF, message).await);
    assert_eq!((code, &review["status"]["userInfo"]["username"]), (201, &json!("admin")));
}

#[tokio::test]
async fn watches_send_frames() {
    let api = Api::start().await;
    api.post(MAPS, json!({"metadata": {"name": "a"}})).await.expect(201);
    let path = format!(
        "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=3"
    );
    let (code, media_type, bytes) = get(&api, &path, PROTOBUF).await;
    assert_eq!((code, &*media_type), (200, "application/vnd.kubernetes.protobuf;stream=watch"));
    let mut rest = &bytes[..];
    let mut events = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (frame, next) = after.split_at(u32::from_be_bytes(*length) as usize);
        let start = frame.windows(4).position(|window| window == b"k8s\0").expect("an object");
        let kind = String::from_utf8_lossy(&frame[2..2 + usize::from(frame[1])]).into_owned();
        let object = protobuf::decode(&frame[start..]).expect("a message");
        events.push((kind, object));
        rest = next;
    }
    let names: Vec<_> = events.iter().map(|(kind, object)| (&**kind, &object["metadata"]["name"])).collect();
    assert_eq!(names, [("ADDED", &json!("a")), ("BOOKMARK", &Value::Null)]);
    assert_eq!(events[1].1["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let (code, _, _) = get(&api, &path, "application/yaml").await;
    assert_eq!(code, 406);
}

#[tokio::test]
async fn custom_resources_have_protobuf_metadata_only() {
    let api = Api::start().await;
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.test"}, "spec": {
            "group": "example.test", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let message = protobuf::encode(&definition).expect("a message");
    let mut changes = api.server.registry().changes();
    let (code, created) = decoded(send(&api, "POST", path, PROTOBUF, message).await);
    assert_eq!(code, 201);
    let version = &created["spec"]["versions"][0];
    assert_eq!(
        version["schema"]["openAPIV3Schema"]["x-kubernetes-preserve-unknown-fields"], true,
        "{created}"
    );
    changes.changed().await.expect("a new kind");
    let foos = "/apis/example.test/v1/namespaces/default/foos";
    let foo =
        json!({"apiVersion": "example.test/v1", "kind": "Foo", "metadata": {"name": "f"}, "spec": {"a": 1}});
    api.post(foos, foo).await.expect(201);
    let one = format!("{foos}/f");
    let (code, refusal) = decoded(get(&api, &one, PROTOBUF).await);
    assert_eq!((code, &refusal["reason"]), (406, &json!("NotAcceptable")));
    let (code, media_type, _) = get(&api, &one, &format!("{PROTOBUF},application/json")).await;
    assert_eq!((code, &*media_type), (200, "application/json"));
    let only = |kind: &str| format!("{PROTOBUF};as={kind};g=meta.k8s.io;v=v1");
    let (_, partial) = decoded(get(&api, &one, &only("PartialObjectMetadata")).await);
    assert_eq!((&partial["kind"], partial.get("spec")), (&json!("PartialObjectMetadata"), None));
    let (_, list) = decoded(get(&api, foos, &only("PartialObjectMetadataList")).await);
    assert_eq!(list["items"][0]["metadata"]["name"], "f");
    let (code, _, _) = get(&api, foos, &only("PartialObjectMetadata")).await;
    assert_eq!(code, 406, "a list is not one object");
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    for (include, code) in [("None", 200), ("Bad", 400)] {
        let (answer, _, _) = get(&api, &format!("{foos}?includeObject={include}"), table).await;
        assert_eq!(answer, code, "{include}");
    }
    // What cannot be answered is not done.
    let (code, _, _) = send(&api, "DELETE", &one, "text/html", Vec::new()).await;
    assert_eq!(code, 406);
    api.get(&one).await.expect(200);
}

#[tokio::test]
async fn custom_resources_have_no_form_in_protobuf() {
    let api = Api::with(|builder| builder.crds([common::widgets()])).await;
    let options = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let message = protobuf::encode(&options).expect("a message");
    let (code, _, told) = send(&api, "POST", common::WIDGETS, body::JSON, message).await;
    let told: Value = serde_json::from_slice(&told).expect("a Status");
    assert_eq!((code, &told["reason"]), (415, &json!("UnsupportedMediaType")));
    assert!(!told["message"].as_str().unwrap_or_default().contains("protobuf"), "{told}");
}
