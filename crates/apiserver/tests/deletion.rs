//! Deletion: finalizers, grace, preconditions, propagation, namespaces.

mod common;

use common::{Api, CONFIG_MAPS, PODS, config_map, pod};
use serde_json::json;

#[tokio::test]
async fn finalizers_hold_an_object() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let mut object = config_map("a", json!({}));
    object["metadata"]["finalizers"] = json!(["example.test/hold"]);
    api.post(CONFIG_MAPS, object).await.expect(201);
    let marked = api.delete(&path, json!({})).await.expect(200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let added = json!({"metadata": {"finalizers": ["example.test/hold", "example.test/more"]}});
    api.merge(&path, added).await.expect(422);
    api.merge(&path, json!({"metadata": {"finalizers": null}})).await.expect(200);
    api.get(&path).await.expect(404);
}

#[tokio::test]
async fn preconditions_are_checked() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let made = api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(201);
    let refused = api.delete(&path, json!({"preconditions": {"uid": "other"}})).await.expect(409);
    let uid = made["metadata"]["uid"].as_str().expect("an identity");
    let why = format!(
        "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (other) does not match \
         the UID in record ({uid}). The object might have been deleted and then recreated"
    );
    assert_eq!(refused["message"], why);
    let refused = api.delete(&path, json!({"preconditions": {"resourceVersion": "1"}})).await.expect(409);
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.contains("the ResourceVersion in the precondition (1) does not match"), "{message}");
    let gone =
        api.delete(&path, json!({"preconditions": {"uid": made["metadata"]["uid"]}})).await.expect(200);
    assert_eq!((&gone["status"], &gone["details"]["uid"]), (&json!("Success"), &made["metadata"]["uid"]));
}

#[tokio::test]
async fn a_running_pod_gets_its_grace() {
    let api = Api::start().await;
    let path = format!("{PODS}/p");
    let mut object = pod("p");
    object["spec"]["nodeName"] = "n".into();
    api.post(PODS, object).await.expect(201);
    let marked = api.delete(&path, json!({})).await.expect(200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(
        api.delete(&path, json!({"gracePeriodSeconds": 5})).await.expect(200)["metadata"]["deletionGracePeriodSeconds"],
        5
    );
    api.delete(&path, json!({"gracePeriodSeconds": 0})).await.expect(200);
    api.get(&path).await.expect(404);
}

#[tokio::test]
async fn a_collection_is_deleted_page_by_page() {
    let api = Api::start().await;
    for name in ["a", "b", "c"] {
        let mut object = config_map(name, json!({}));
        object["metadata"]["labels"] = json!({"of": "this"});
        api.post(CONFIG_MAPS, object).await.expect(201);
    }
    let selected = format!("{CONFIG_MAPS}?labelSelector=of%3Dthis");
    let gone = api.delete(&format!("{selected}&limit=2&resourceVersion=0"), json!({})).await.expect(200);
    assert_eq!(gone["items"].as_array().map(Vec::len), Some(2));
    let token = gone["metadata"]["continue"].as_str().expect("there is more").to_owned();
    let gone = api.delete(&format!("{selected}&limit=2&continue={token}"), json!({})).await.expect(200);
    assert_eq!(
        (gone["items"][0]["metadata"]["name"].as_str(), gone["metadata"].get("continue")),
        (Some("c"), None)
    );
    let left = api.get(&selected).await.expect(200);
    assert_eq!(left["items"], json!([]));
}

#[tokio::test]
async fn propagation_leaves_its_finalizer() {
    let api = Api::start().await;
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        let name = policy.to_lowercase();
        api.post(CONFIG_MAPS, config_map(&name, json!({}))).await.expect(201);
        let marked = api
            .delete(&format!("{CONFIG_MAPS}/{name}"), json!({"propagationPolicy": policy}))
            .await
            .expect(200);
        assert_eq!(marked["metadata"]["finalizers"], json!([finalizer]));
    }
}

#[tokio::test]
async fn a_terminating_namespace_takes_nothing_new_and_goes_when_finalized() {
    let api = Api::start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    api.post("/api/v1/namespaces", namespace).await.expect(201);
    let marked = api.delete("/api/v1/namespaces/n", json!({})).await.expect(200);
    assert_eq!(marked["status"]["phase"], "Terminating");
    let refused = api.post("/api/v1/namespaces/n/configmaps", config_map("a", json!({}))).await.expect(403);
    assert_eq!(refused["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut finalized = marked;
    finalized["spec"] = json!({});
    api.put("/api/v1/namespaces/n/finalize", finalized).await.expect(200);
    api.get("/api/v1/namespaces/n").await.expect(404);
    api.post("/api/v1/namespaces/n/configmaps", config_map("a", json!({}))).await.expect(404);
}

#[tokio::test]
async fn collections_are_deleted_by_selection() {
    let api = Api::start().await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut object = config_map(name, json!({}));
        object["metadata"]["labels"] = json!({"l": label});
        api.post(CONFIG_MAPS, object).await.expect(201);
    }
    let gone = api.delete(&format!("{CONFIG_MAPS}?labelSelector=l%3Dx"), json!({})).await.expect(200);
    assert_eq!(gone["items"].as_array().map(Vec::len), Some(2));
    let left = api.get(CONFIG_MAPS).await.expect(200);
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1));
}
