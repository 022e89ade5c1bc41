//! ResourceQuotas: limits hold, also against many writers at once, and the status follows what is there.

#![allow(clippy::panic, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{Api, CONFIG_MAPS, PODS, config_map, pod, widget, widgets};
use serde_json::{Value, json};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

async fn limit(api: &Api, hard: Value) {
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}});
    api.post(QUOTAS, quota).await.expect(201);
}

/// Waits until so much is used.
async fn used(api: &Api, expected: Value) {
    for _ in 0..1200 {
        let quota = api.get(&format!("{QUOTAS}/q")).await.expect(200);
        if quota["status"]["used"] == expected {
            assert_eq!(quota["status"]["hard"], quota["spec"]["hard"]);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{expected} was not counted: {}", api.get(&format!("{QUOTAS}/q")).await.body);
}

#[tokio::test]
async fn a_crowd_gets_no_more_than_there_is() {
    let api = Api::start().await;
    limit(&api, json!({"configmaps": "5"})).await;
    let names: Vec<_> = (0..30).map(|number| format!("c{number}")).collect();
    let crowd = names.iter().map(|name| api.post(CONFIG_MAPS, config_map(name, json!({}))));
    let answers = futures::future::join_all(crowd).await;
    let answers: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(answers.iter().filter(|code| **code == 201).count(), 5, "{answers:?}");
    assert!(answers.iter().all(|code| [201, 403].contains(code)), "{answers:?}");
    used(&api, json!({"configmaps": "5"})).await;
    let refused = api.post(CONFIG_MAPS, config_map("more", json!({}))).await.expect(403);
    let message = refused["message"].as_str().unwrap_or_default();
    for named in
        ["more", "quota: q", "requested: configmaps=1", "used: configmaps=5", "limited: configmaps=5"]
    {
        assert!(message.contains(named), "{message}");
    }
}

#[tokio::test]
async fn what_goes_makes_room() {
    let api = Api::start().await;
    limit(&api, json!({"pods": "1", "requests.memory": "64Mi"})).await;
    let asking = |name: &str, memory: &str| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"memory": memory}});
        pod
    };
    let silent = api.post(PODS, pod("silent")).await.expect(403);
    assert!(silent["message"].as_str().is_some_and(|why| why.contains("requests.memory for: c")), "{silent}");
    let dry = format!("{PODS}?dryRun=All");
    api.post(&dry, asking("large", "65Mi")).await.expect(403);
    api.post(&dry, asking("first", "64Mi")).await.expect(201);
    used(&api, json!({"pods": "0", "requests.memory": "0"})).await;
    api.post(PODS, asking("first", "64Mi")).await.expect(201);
    let quota = api.get(&format!("{QUOTAS}/q")).await.expect(200);
    assert_eq!(quota["status"]["used"], json!({"pods": "1", "requests.memory": "64Mi"}), "charged at once");
    api.post(PODS, asking("second", "1Mi")).await.expect(403);

    // A Pod that has ended is still there, and uses nothing.
    api.merge(&format!("{PODS}/first/status"), json!({"status": {"phase": "Succeeded"}})).await.expect(200);
    used(&api, json!({"pods": "0", "requests.memory": "0"})).await;
    api.post(PODS, asking("second", "1Mi")).await.expect(201);
    api.delete(&format!("{PODS}/second"), json!({"gracePeriodSeconds": 0})).await.expect(200);
    used(&api, json!({"pods": "0", "requests.memory": "0"})).await;
}

#[tokio::test]
async fn custom_kinds_and_growth_are_counted() {
    let api = Api::with(|builder| builder.crds([widgets()])).await;
    limit(&api, json!({"count/widgets.example.test": "1", "services.nodeports": "1"})).await;
    api.post(common::WIDGETS, widget("one", json!({}))).await.expect(201);
    api.post(common::WIDGETS, widget("two", json!({}))).await.expect(403);
    let services = "/api/v1/namespaces/default/services";
    let ports = |ports: Value| json!({"spec": {"ports": ports}});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"type": "NodePort", "ports": [{"name": "a", "port": 80}]}});
    api.post(services, service).await.expect(201);
    let two = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]);
    api.merge(&format!("{services}/s"), ports(two)).await.expect(403);
    api.merge(
        &format!("{services}/s"),
        json!({"spec": {"type": "ClusterIP", "ports": [{"name": "a", "port": 80, "nodePort": null}]}}),
    )
    .await
    .expect(200);
    used(&api, json!({"count/widgets.example.test": "1", "services.nodeports": "0"})).await;
}
