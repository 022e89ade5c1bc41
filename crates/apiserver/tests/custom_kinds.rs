//! CustomResourceDefinitions: kinds that come and go.

mod common;

use std::sync::Arc;

use apiserver::admission::AdmissionPlugin;
use base64::Engine as _;
use common::{Api, WIDGETS, widget, widgets};
use machinery::admission::{Request, Response};
use machinery::status::{Reason, Status};
use serde_json::json;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

#[tokio::test]
async fn a_kind_is_served_while_its_definition_stands() {
    let api = Api::start().await;
    let mut changes = api.server.registry().changes();
    let mut definitions = api.watch(&format!("{DEFINITIONS}?watch=true")).await;
    api.post(DEFINITIONS, widgets()).await.expect(201);
    changes.changed().await.expect("a new kind");
    let made = api.post(WIDGETS, widget("w", json!({}))).await.expect(201);
    assert_eq!((&made["spec"]["color"], &made["metadata"]["generation"]), (&json!("red"), &json!(1)));
    api.post(WIDGETS, widget("x", json!({"color": "green"}))).await.expect(422);
    let path = format!("{WIDGETS}/w");
    let merged = api.merge(&path, json!({"spec": {"count": 3}, "status": {"phase": "no"}})).await.expect(200);
    assert_eq!((&merged["metadata"]["generation"], &merged["status"]), (&json!(2), &json!(null)));
    let status = api
        .merge(&format!("{path}/status"), json!({"status": {"phase": "Up"}, "spec": {"count": 9}}))
        .await
        .expect(200);
    assert_eq!(
        (&status["status"]["phase"], &status["spec"]["count"], &status["metadata"]["generation"]),
        (&json!("Up"), &json!(3), &json!(2))
    );
    assert_eq!(api.get(&format!("{path}/scale")).await.expect(200)["spec"]["replicas"], 3);
    let blue = api.get(&format!("{WIDGETS}?fieldSelector=spec.color%3Dblue")).await.expect(200);
    assert_eq!(blue["items"], json!([]));

    let marked = api.delete(&format!("{DEFINITIONS}/widgets.example.test"), json!({})).await.expect(200);
    assert_eq!(marked["metadata"]["finalizers"][0], "customresourcecleanup.apiextensions.k8s.io");
    while definitions.next_name().await.0 != "DELETED" {}
    api.get(&path).await.expect(404);
    api.get(&format!("{DEFINITIONS}/widgets.example.test")).await.expect(404);
}

#[tokio::test]
async fn definitions_given_at_start_are_served_at_once() {
    let api = Api::with(|builder| builder.crds([widgets()])).await;
    api.post(WIDGETS, widget("w", json!({}))).await.expect(201);
    let definition = api.get(&format!("{DEFINITIONS}/widgets.example.test")).await.expect(200);
    let conditions = definition["status"]["conditions"].as_array().expect("conditions");
    assert!(
        conditions
            .iter()
            .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
    );
}

/// Colours what has no colour, and refuses what counts too far.
#[derive(Debug)]
struct Painter;

#[async_trait::async_trait]
impl AdmissionPlugin for Painter {
    fn name(&self) -> &'static str {
        "painter.example.test"
    }

    fn concerns(&self, group: &str, resource: &str, _: &str) -> bool {
        (group, resource) == ("example.test", "widgets")
    }

    async fn mutate(&self, request: &Request) -> Response {
        let patch = json!([{"op": "add", "path": "/spec/color", "value": "blue"}]).to_string();
        let patch = base64::engine::general_purpose::STANDARD.encode(patch);
        Response { patch: Some(patch), patch_type: Some("JSONPatch".into()), ..Response::allow(&request.uid) }
    }

    async fn validate(&self, request: &Request) -> Response {
        match request.object["spec"]["count"].as_i64() {
            Some(count) if count > 9 => {
                Response::deny(&request.uid, Status::failure(Reason::Invalid, "spec.count: at most 9"))
            }
            _ => Response::allow(&request.uid).warn("ironclad: painted"),
        }
    }
}

#[tokio::test]
async fn plugins_change_refuse_and_warn() {
    let api = Api::with(|builder| builder.crds([widgets()]).admission(Arc::new(Painter))).await;
    let answer = api.post(WIDGETS, widget("w", json!({"count": 1}))).await;
    assert_eq!(answer.warnings(), ["299 - \"ironclad: painted\""]);
    assert_eq!(answer.expect(201)["spec"]["color"], "blue");
    let refusal = api.post(WIDGETS, widget("x", json!({"count": 10}))).await.expect(422);
    assert!(refusal["message"].as_str().is_some_and(|message| message.contains("at most 9")), "{refusal}");
}
