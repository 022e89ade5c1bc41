//! What was acknowledged is there after a restart, and served as before.

mod common;

use std::sync::Arc;

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
