//! OpenAPI documents of both versions: that they tell all that is served, lead nowhere into the void, and can be kept by
//! clients.

mod common;

use std::collections::BTreeSet;
use std::io::Read as _;

use apiserver::auth::identity;
use apiserver::body;
use common::Api;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
    VARY,
};
use http::{HeaderMap, HeaderName, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

async fn get(api: &Api, path: &str, headers: &[(HeaderName, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let service = api.server.in_process(identity::administrator("admin"));
    let response = service.oneshot(request.body(body::empty()).expect("a request")).await.expect("an answer");
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.expect("a body").to_bytes().to_vec())
}

/// Posts a definition and waits until its kind is served.
async fn define(api: &Api, definition: Value) {
    let mut changes = api.server.registry().changes();
    api.post(DEFINITIONS, definition).await.expect(201);
    changes.changed().await.expect("a new kind");
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> &str {
    headers[name].to_str().expect("text")
}

/// Every reference in a value.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.insert(reference);
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn assert_no_reference_dangles(document: &Value) {
    let mut found = BTreeSet::new();
    references(document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a place in the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    document["paths"].as_object().expect("paths").iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("a path").iter();
        methods
            .filter(|(method, _)| *method != "parameters")
            .map(|(method, told)| (path.as_str(), method.as_str(), told))
    })
}

/// Group, version and resources of every version that is served.
async fn served(api: &Api) -> Vec<(String, Value)> {
    let mut versions = vec!["/api/v1".to_owned()];
    for group in api.get("/apis").await.expect(200)["groups"].as_array().expect("groups") {
        let of_group = group["versions"].as_array().expect("versions").iter();
        versions.extend(
            of_group.map(|version| format!("/apis/{}", version["groupVersion"].as_str().expect("text"))),
        );
    }
    let mut served = Vec::new();
    for path in versions {
        for resource in api.get(&path).await.expect(200)["resources"].as_array().expect("resources") {
            served.push((path.clone(), resource.clone()));
        }
    }
    served
}

#[tokio::test]
async fn version_2_tells_all_that_is_served() {
    let api = Api::start().await;
    define(&api, common::widgets()).await;
    let document = api.get("/openapi/v2").await.expect(200);
    assert_eq!((&document["swagger"], &document["info"]["title"]), (&json!("2.0"), &json!("Kubernetes")));
    assert_no_reference_dangles(&document);

    let mut kinds = BTreeSet::new();
    for schema in document["definitions"].as_object().expect("definitions").values() {
        for kind in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            kinds.insert(format!("{}/{}/{}", kind["group"], kind["version"], kind["kind"]));
        }
    }
    for (root, resource) in served(&api).await {
        let (name, verbs) =
            (resource["name"].as_str().expect("a name"), resource["verbs"].as_array().expect("verbs"));
        let (resource_name, part) = name.split_once('/').map_or((name, ""), |(name, part)| (name, part));
        let namespaces = if resource["namespaced"] == true { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{root}{namespaces}/{resource_name}");
        let path = match part {
            "" if verbs.contains(&json!("list")) || !verbs.contains(&json!("get")) => collection,
            "" => format!("{collection}/{{name}}"),
            part => format!("{collection}/{{name}}/{part}"),
        };
        assert!(document["paths"][&path].is_object(), "{path}");
        if part.is_empty() {
            let (group, version) = match root.split('/').collect::<Vec<_>>()[..] {
                ["", "api", version] => ("", version),
                ["", "apis", group, version] => (group, version),
                _ => panic!("{root}"),
            };
            let kind = format!("{}/{}/{}", json!(group), json!(version), resource["kind"]);
            assert!(kinds.contains(&kind), "{kind}");
        }
    }
    let identifiers: Vec<_> = operations(&document).map(|(.., told)| &told["operationId"]).collect();
    let different: BTreeSet<_> = identifiers.iter().map(ToString::to_string).collect();
    assert_eq!(identifiers.len(), different.len());
    // By these, older kubectls know whether the server can refuse unknown fields and try writes out.
    for (method, name) in [("patch", "fieldValidation"), ("patch", "dryRun"), ("post", "dryRun")] {
        let path = if method == "post" {
            "/api/v1/namespaces/{namespace}/pods"
        } else {
            "/api/v1/namespaces/{namespace}/pods/{name}"
        };
        let parameters = document["paths"][path][method]["parameters"].as_array().expect("parameters");
        assert!(parameters.iter().any(|parameter| parameter["name"] == name), "{method} {name}");
    }
}

#[tokio::test]
async fn version_2_says_of_custom_resources_what_it_can() {
    let api = Api::start().await;
    let mut definition = common::widgets();
    definition["spec"]["versions"][0]["selectableFields"] = json!([]);
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({"type": "object", "properties": {"spec": {
        "type": "object", "required": ["a", "b"], "properties": {
            "a": {"type": "string", "nullable": true}, "b": {"type": "integer", "default": 3, "minimum": 1},
            "c": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "d": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"e": {"type": "string"}}},
            "f": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}}}}}});
    define(&api, definition).await;
    let document = api.get("/openapi/v2").await.expect(200);
    let told = &document["definitions"]["test.example.v1.Widget"];
    assert_eq!(
        told["x-kubernetes-group-version-kind"],
        json!([{"group": "example.test", "version": "v1", "kind": "Widget"}])
    );
    assert_eq!(
        told["properties"]["spec"],
        json!({"type": "object", "required": ["b"], "properties": {
            "a": {}, "b": {"type": "integer", "minimum": 1}, "c": {"x-kubernetes-int-or-string": true},
            "d": {"x-kubernetes-preserve-unknown-fields": true},
            "f": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}}}})
    );
    let list = &document["paths"]["/apis/example.test/v1/namespaces/{namespace}/widgets"]["get"];
    assert_eq!(list["operationId"], "listExampleTestV1NamespacedWidget");
    assert_eq!(list["responses"]["200"]["schema"]["$ref"], "#/definitions/test.example.v1.WidgetList");
    api.delete(&format!("{DEFINITIONS}/widgets.example.test"), json!({})).await.expect(200);
    for _ in 0..1200 {
        if api.get("/openapi/v2").await.expect(200)["definitions"].get("test.example.v1.Widget").is_none() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("a kind that is gone is still told");
}

#[tokio::test]
async fn version_2_can_be_kept_and_comes_in_every_form() {
    let api = Api::start().await;
    let (status, headers, plain) = get(&api, "/openapi/v2", &[]).await;
    assert_eq!(
        (status, &headers[CONTENT_TYPE]),
        (StatusCode::OK, &"application/json".parse().expect("a header"))
    );
    let vary: Vec<_> = headers.get_all(VARY).iter().collect();
    assert_eq!(vary, ["accept-encoding", "accept"]);
    let tag = headers[ETAG].to_str().expect("text").to_owned();
    let (status, headers, none) = get(&api, "/openapi/v2", &[(IF_NONE_MATCH, &tag)]).await;
    assert_eq!(
        (status, none.len(), headers[ETAG].to_str().expect("text")),
        (StatusCode::NOT_MODIFIED, 0, tag.as_str())
    );

    let (_, headers, packed) = get(&api, "/openapi/v2", &[(ACCEPT_ENCODING, "gzip")]).await;
    assert_eq!(headers[CONTENT_ENCODING], "gzip");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).expect("gzip");
    assert!(unpacked == plain && packed.len() * 5 < plain.len());

    for accept in [PROTOBUF, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"] {
        let (status, headers, _) = get(&api, "/openapi/v2", &[(ACCEPT, accept)]).await;
        let media_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        assert_eq!((status, headers[CONTENT_TYPE].to_str().expect("text")), (StatusCode::OK, media_type));
        assert_eq!(headers[ETAG].to_str().expect("text"), tag);
    }
    let (status, ..) = get(&api, "/openapi/v2", &[(ACCEPT, "text/html")]).await;
    assert_eq!(status, StatusCode::NOT_ACCEPTABLE);

    define(&api, common::widgets()).await;
    let (status, headers, _) = get(&api, "/openapi/v2", &[(IF_NONE_MATCH, &tag)]).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(headers[ETAG].to_str().expect("text"), tag);
}

#[tokio::test]
async fn version_3_has_an_address_for_each_document() {
    let api = Api::start().await;
    define(&api, common::widgets()).await;
    let index = api.get("/openapi/v3").await.expect(200);
    let index = index["paths"].as_object().expect("paths");
    for name in ["api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "apis/example.test/v1", "version"] {
        assert!(index.contains_key(name), "{name}");
    }
    let mut identifiers = 0;
    for (name, place) in index {
        let address = place["serverRelativeURL"].as_str().expect("an address");
        let (status, headers, text) = get(&api, address, &[]).await;
        assert_eq!(
            (status, text_of(&headers, CACHE_CONTROL)),
            (StatusCode::OK, "public, immutable"),
            "{name}"
        );
        let document: Value = serde_json::from_slice(&text).expect("JSON");
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        if !found.is_empty() {
            assert_no_reference_dangles(&document);
        }
        identifiers += operations(&document).count();
        let tag = headers[ETAG].to_str().expect("text");
        assert_eq!(address, format!("/openapi/v3/{name}?hash={}", tag.trim_matches('"')));
        let (status, ..) = get(&api, &format!("/openapi/v3/{name}"), &[(IF_NONE_MATCH, tag)]).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED);
    }
    let (status, headers, _) = get(&api, "/openapi/v3/apis/apps/v1?hash=old", &[]).await;
    assert_eq!(status, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(text_of(&headers, LOCATION), index["apis/apps/v1"]["serverRelativeURL"]);
    let (status, headers, bytes) = get(
        &api,
        "/openapi/v3/apis/apps/v1",
        &[(ACCEPT, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf")],
    )
    .await;
    assert_eq!((status, bytes.starts_with(b"\x0a\x053.0.0")), (StatusCode::OK, true));
    assert_eq!(headers[CONTENT_TYPE], "application/com.github.proto-openapi.spec.v3.v1.0+protobuf");
    // One document and many say the same.
    let whole = api.get("/openapi/v2").await.expect(200);
    assert_eq!(operations(&whole).count(), identifiers);
    let (status, ..) = get(&api, "/openapi/v3/apis/none.example.test/v1", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
