//! What was acknowledged is there after a restart, and served as before.

mod common;

use std::sync::Arc;
use std::time::Duration;

use apiserver::ApiServer;
use common::{Api, CONFIG_MAPS, WIDGETS, config_map, widget, widgets};
use serde_json::json;
use store::{Retention, SqliteStore};

async fn start(directory: &std::path::Path) -> Api {
    let store =
        SqliteStore::open(&directory.join("store.db"), Retention::default()).expect("the store opens");
    let server =
        ApiServer::builder(Arc::new(store)).crds([widgets()]).build().await.expect("the server starts");
    Api { server }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_and_kinds_survive() {
    let directory = tempfile::tempdir().expect("a directory");
    let api = start(directory.path()).await;
    let made = api.post(CONFIG_MAPS, config_map("a", json!({"x": "1"}))).await.expect(201);
    let custom = api.post(WIDGETS, widget("w", json!({"color": "blue"}))).await.expect(201);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}});
    let service = api.post("/api/v1/namespaces/default/services", service).await.expect(201);
    drop(api);

    let api = start(directory.path()).await;
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/a")).await.expect(200), made);
    assert_eq!(api.get(&format!("{WIDGETS}/w")).await.expect(200), custom);
    let blue = api.get(&format!("{WIDGETS}?fieldSelector=spec.color%3Dblue")).await.expect(200);
    assert_eq!(blue["items"].as_array().map(Vec::len), Some(1));
    // Addresses that Services hold are not given out again.
    let mut other = service.clone();
    other["metadata"] = json!({"name": "t"});
    api.post("/api/v1/namespaces/default/services", other).await.expect(422);
    let old = made["metadata"]["resourceVersion"].as_str().expect("a revision");
    let patch = json!({"metadata": {"resourceVersion": old}, "data": {"x": "2"}});
    api.merge(&format!("{CONFIG_MAPS}/a"), patch).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_cluster_has_is_made_again_when_it_is_deleted() {
    const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1";
    let api = Api::start().await;
    let paths = [
        "/api/v1/namespaces/default/services/kubernetes".to_owned(),
        "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical".to_owned(),
        format!("{ROLES}/clusterroles/kubevirt.io:edit"),
        format!("{ROLES}/clusterroles/cluster-admin"),
        format!("{ROLES}/clusterrolebindings/cluster-admin"),
    ];
    let first = api.get(&paths[0]).await.expect(200);
    // What its users changed is theirs.
    let changed = json!({"metadata": {"labels": {"mine": "yes"}}});
    let view = format!("{ROLES}/clusterroles/kubevirt.io:view");
    api.merge(&view, changed).await.expect(200);
    for path in &paths {
        api.delete(path, json!({})).await.expect(200);
    }
    let patience = tokio::time::Instant::now() + Duration::from_secs(30);
    for path in &paths {
        while api.get(path).await.status != http::StatusCode::OK {
            assert!(tokio::time::Instant::now() < patience, "{path} stays away");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let again = api.get(&paths[0]).await.expect(200);
    assert_eq!(again["spec"], first["spec"]);
    assert_ne!(again["metadata"]["uid"], first["metadata"]["uid"]);
    assert_eq!(api.get(&view).await.expect(200)["metadata"]["labels"]["mine"], "yes");
    // Its address is nobody else's, as before.
    let mut other = first.clone();
    other["metadata"] = json!({"name": "thief"});
    api.post("/api/v1/namespaces/default/services", other).await.expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_missed_something_is_told_to_list_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let api = start(directory.path()).await;
    let seen = api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(201);
    let missed = api.post(CONFIG_MAPS, config_map("b", json!({}))).await.expect(201);
    drop(api);

    let api = start(directory.path()).await;
    let revision =
        |object: &serde_json::Value| object["metadata"]["resourceVersion"].as_str().expect("one").to_owned();
    let from = |revision: &str| format!("{CONFIG_MAPS}?watch=1&resourceVersion={revision}&timeoutSeconds=5");
    let mut lines = api.watch(&from(&revision(&seen))).await;
    let event = lines.next().await.expect("an event");
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)), "{event}");
    // Who has seen everything goes on, even if other kinds changed since.
    let latest = api.get(CONFIG_MAPS).await.expect(200)["metadata"]["resourceVersion"]
        .as_str()
        .expect("one")
        .to_owned();
    assert!(latest.parse::<u64>().expect("a number") >= revision(&missed).parse::<u64>().expect("a number"));
    let mut lines = api.watch(&from(&latest)).await;
    let made = api.post(CONFIG_MAPS, config_map("c", json!({}))).await.expect(201);
    let event = lines.next().await.expect("an event");
    assert_eq!((&event["type"], &event["object"]["metadata"]), (&json!("ADDED"), &made["metadata"]));
}
