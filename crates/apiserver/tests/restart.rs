//! What was acknowledged is there after a restart, and served as before.

mod common;

use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, Initial};
use common::{Api, CONFIG_MAPS, WIDGETS, config_map, widget, widgets};
use serde_json::json;
use store::{Error, Found, List, Retention, SqliteStore, Store as _, Write};

async fn start(directory: &std::path::Path) -> Api {
    let mut initial = Initial::default();
    let store = open(directory, |found| initial.add(found)).await;
    let builder = ApiServer::builder(Arc::new(store)).initial(initial);
    Api { server: builder.crds([widgets()]).build().await.expect("the server starts") }
}

/// Opens the store. A server that was dropped may be at work for a moment longer.
async fn open(directory: &std::path::Path, mut each: impl FnMut(Found<'_>)) -> SqliteStore {
    let path = directory.join("store.db");
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        match SqliteStore::open_with(&path, Retention::default(), &mut each) {
            Err(Error::Locked { .. }) if tokio::time::Instant::now() < patience => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            opened => return opened.expect("the store opens"),
        }
    }
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

/// A kill may come between a policy and what is said of its types.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_was_left_unchecked_is_checked_at_the_next_start() {
    const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let directory = tempfile::tempdir().expect("a directory");
    let api = start(directory.path()).await;
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "typed"}, "spec": {"validations": [{"expression": "true"}],
            "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
                "operations": ["CREATE"], "resources": ["deployments"]}]}}});
    api.post(POLICIES, policy).await.expect(201);
    let checked = async |api: &Api| {
        let path = format!("{POLICIES}/typed");
        while api.get(&path).await.expect(200)["status"]["observedGeneration"] != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, checked(&api)).await.expect("it is checked when it is made");
    drop(api);

    let store = open(directory.path(), |_| ()).await;
    let found = store.list(&List::default()).await.expect("a list").entries;
    let entry = found.iter().find(|entry| entry.key.ends_with("/typed")).expect("the policy");
    let mut policy: serde_json::Value = serde_json::from_slice(&entry.value).expect("JSON");
    policy.as_object_mut().expect("an object").remove("status").expect("a status");
    let unchecked = Write::update(entry.key.clone(), entry.modified, policy.to_string());
    store.commit(unchecked).await.expect("writing");
    drop(store);

    let api = start(directory.path()).await;
    tokio::time::timeout(patience, checked(&api)).await.expect("it is checked at the start");
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
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
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
    let from = |revision: &str| format!("{CONFIG_MAPS}?watch=1&resourceVersion={revision}&timeoutSeconds=60");
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

/// An earlier release took what this one refuses: it can be changed and ended all the same, but not made worse.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_release_took_can_be_changed() {
    const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
    let directory = tempfile::tempdir().expect("a directory");
    let api = start(directory.path()).await;
    let container = json!({"name": "c", "image": "i", "env": [{"name": "a-good-name", "value": "x"}]});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "old"}, "spec": {
        "selector": {"matchLabels": {"app": "old"}},
        "template": {"metadata": {"labels": {"app": "old"}}, "spec": {"containers": [container]}}}});
    api.post(DEPLOYMENTS, deployment).await.expect(201);
    drop(api);
    let store = open(directory.path(), |_| ()).await;
    let found = store.list(&List::default()).await.expect("a list").entries;
    let entry =
        found.into_iter().find(|entry| entry.key.contains("deployments") && entry.key.ends_with("/old"));
    let entry = entry.expect("it is stored");
    let text = String::from_utf8(entry.value.to_vec()).expect("JSON").replace("a-good-name", "a=b");
    store.commit(Write::put(&*entry.key, text)).await.expect("writing");
    drop(store);

    let api = start(directory.path()).await;
    let path = format!("{DEPLOYMENTS}/old");
    api.merge(&path, json!({"metadata": {"labels": {"seen": "yes"}}})).await.expect(200);
    api.merge(&format!("{path}/status"), json!({"status": {"replicas": 0}})).await.expect(200);
    api.merge(&path, json!({"metadata": {"finalizers": ["example.test/keep"]}})).await.expect(200);
    let worse = json!([{"name": "c", "image": "i", "env": [{"name": "a=b", "value": "x"}, {"name": "c=d"}]}]);
    let refused =
        api.merge(&path, json!({"spec": {"template": {"spec": {"containers": worse}}}})).await.expect(422);
    let causes = refused["details"]["causes"].as_array().expect("causes");
    assert!(causes.iter().all(|cause| cause["message"].to_string().contains("c=d")), "{refused}");
    api.delete(&path, json!({})).await.expect(200);
    api.merge(&path, json!({"metadata": {"finalizers": null}})).await.expect(200);
    api.get(&path).await.expect(404);
}
