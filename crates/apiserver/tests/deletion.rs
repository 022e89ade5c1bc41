//! Deletion: finalizers, grace, preconditions, propagation, namespaces.

mod common;

use common::{Api, CONFIG_MAPS, PODS, config_map, pod};
use serde_json::{Value, json};

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

const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

fn eviction(name: &str) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}})
}

async fn running(api: &Api, name: &str, is_ready: bool) -> String {
    let mut object = pod(name);
    object["metadata"]["labels"] = json!({"app": "a"});
    object["spec"]["nodeName"] = "n".into();
    api.post(PODS, object).await.expect(201);
    let path = format!("{PODS}/{name}");
    let ready = if is_ready { "True" } else { "False" };
    let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]});
    api.merge(&format!("{path}/status"), json!({"status": status})).await.expect(200);
    path
}

/// A budget as its keeper has counted it.
async fn budget(api: &Api, name: &str, spec: Value, status: Value) {
    let mut budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}});
    for (field, value) in spec.as_object().expect("fields") {
        budget["spec"][field] = value.clone();
    }
    api.post(BUDGETS, budget).await.expect(201);
    if status.is_object() {
        api.merge(&format!("{BUDGETS}/{name}/status"), json!({"status": status})).await.expect(200);
    }
}

fn counted(allowed: i64, current: i64, desired: i64) -> Value {
    json!({"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": current, "desiredHealthy": desired,
        "expectedPods": current})
}

fn cause(refused: &Value) -> &str {
    refused["details"]["causes"][0]["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_pod_that_may_not_be_deleted_is_no_target_of_disruption_any_more() {
    let api = Api::start().await;
    let one = running(&api, "one", true).await;
    let rules =
        json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["pods"]}]);
    let admission = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "keep"},
        "spec": {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": "false"}]}});
    api.post(&format!("{admission}/validatingadmissionpolicies"), policy).await.expect(201);
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "keep"}, "spec": {"policyName": "keep", "validationActions": ["Deny"]}});
    api.post(&format!("{admission}/validatingadmissionpolicybindings"), binding).await.expect(201);
    let refused = api.post(&format!("{one}/eviction"), eviction("one")).await;
    assert!(refused.status.is_client_error(), "{}", refused.status);
    let pod = api.get(&one).await.expect(200);
    let said = pod["status"]["conditions"].as_array().expect("conditions").last().expect("one").clone();
    assert_eq!((&said["type"], &said["status"]), (&json!("DisruptionTarget"), &json!("False")), "{said}");
}

#[tokio::test]
async fn an_eviction_spends_what_the_budget_allows() {
    let api = Api::start().await;
    let (one, two) = (running(&api, "one", true).await, running(&api, "two", true).await);
    budget(&api, "b", json!({}), Value::Null).await;
    let refused = api.post(&format!("{one}/eviction"), eviction("one")).await;
    assert_eq!(refused.headers["retry-after"], "10");
    assert_eq!(
        cause(&refused.expect(429)),
        "The disruption budget b is still being processed by the server."
    );
    let status = json!({"status": counted(1, 2, 1)});
    api.merge(&format!("{BUDGETS}/b/status"), status).await.expect(200);

    api.post(&format!("{one}/eviction"), eviction("two")).await.expect(400);
    api.post(&format!("{one}/eviction?dryRun=All"), eviction("one")).await.expect(201);
    let spent = async || api.get(&format!("{BUDGETS}/b")).await.expect(200)["status"].clone();
    assert_eq!(spent().await["disruptionsAllowed"], 1, "a dry run spends nothing");
    let told = async || api.get(&one).await.expect(200)["status"]["conditions"].clone();
    assert_eq!(told().await.as_array().map(Vec::len), Some(1), "a dry run says nothing");
    let mut pinned = eviction("one");
    pinned["deleteOptions"] = json!({"preconditions": {"resourceVersion": "1"}});
    api.post(&format!("{one}/eviction"), pinned).await.expect(409);
    assert_eq!(told().await.as_array().map(Vec::len), Some(1), "nor does one that comes too late");
    let status = json!({"status": {"disruptionsAllowed": 1, "disruptedPods": null}});
    api.merge(&format!("{BUDGETS}/b/status"), status).await.expect(200);
    let mut pinned = eviction("one");
    pinned["deleteOptions"] = json!({"preconditions": {
        "resourceVersion": api.get(&one).await.expect(200)["metadata"]["resourceVersion"]}});
    api.post(&format!("{one}/eviction"), pinned).await.expect(201);
    let said = told().await[1].clone();
    assert_eq!(
        (&said["type"], &said["reason"]),
        (&json!("DisruptionTarget"), &json!("EvictionByEvictionAPI"))
    );
    let status = spent().await;
    assert_eq!(status["disruptionsAllowed"], 0);
    assert!(status["disruptedPods"]["one"].is_string(), "{status}");
    assert_eq!(status["conditions"][0]["reason"], "InsufficientPods");
    // Once more costs nothing: the Pod is going.
    api.post(&format!("{one}/eviction"), eviction("one")).await.expect(201);
    // Its keeper has not counted anew yet, and there is none left for the other one.
    let refused = api.post(&format!("{two}/eviction"), eviction("two")).await.expect(429);
    assert_eq!(cause(&refused), "The disruption budget b does not allow evicting pods currently");
    let status = json!({"status": counted(0, 1, 1)});
    api.merge(&format!("{BUDGETS}/b/status"), status).await.expect(200);
    let refused = api.post(&format!("{two}/eviction"), eviction("two")).await.expect(429);
    assert_eq!(cause(&refused), "The disruption budget b needs 1 healthy pods and has 1 currently");
}

#[tokio::test]
async fn who_serves_nobody_may_go() {
    let policies = json!({"unhealthyPodEvictionPolicy": "AlwaysAllow"});
    for (policy, status, answer) in [
        (json!({}), counted(0, 1, 1), 201),
        (json!({}), counted(0, 0, 1), 429),
        (json!({}), counted(0, 0, 0), 429),
        (policies.clone(), counted(0, 0, 1), 201),
    ] {
        let api = Api::start().await;
        let path = running(&api, "one", false).await;
        budget(&api, "b", policy, status.clone()).await;
        api.post(&format!("{path}/eviction"), eviction("one")).await.expect(answer);
        let now = api.get(&format!("{BUDGETS}/b")).await.expect(200)["status"].clone();
        assert_eq!(
            (&now["disruptionsAllowed"], &now["disruptedPods"]),
            (&json!(0), &Value::Null),
            "{status}"
        );
    }
}

#[tokio::test]
async fn two_budgets_for_one_pod_are_told_of() {
    let api = Api::start().await;
    let path = running(&api, "one", true).await;
    budget(&api, "b", json!({}), counted(1, 2, 1)).await;
    budget(&api, "c", json!({"selector": {}}), counted(1, 2, 1)).await;
    let refused = api.post(&format!("{path}/eviction"), eviction("one")).await.expect(500);
    assert!(refused["message"].as_str().expect("words").contains("more than one PodDisruptionBudget"));
    api.get(&path).await.expect(200);
}
