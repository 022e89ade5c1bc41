//! Admission webhooks against a real server over TLS.

mod common;
#[path = "common/webhook.rs"]
mod hooks;

use common::{Api, CONFIG_MAPS, config_map};
use hooks::{MUTATING, VALIDATING, WebhookServer, configuration, patching, webhook};
use serde_json::{Value, json};

fn allow() -> Value {
    json!({"allowed": true})
}

async fn mutating(api: &Api, name: &str, hooks: Vec<Value>) {
    api.post(MUTATING, configuration("MutatingWebhookConfiguration", name, hooks)).await.expect(201);
}

async fn validating(api: &Api, name: &str, hooks: Vec<Value>) {
    api.post(VALIDATING, configuration("ValidatingWebhookConfiguration", name, hooks)).await.expect(201);
}

#[tokio::test]
async fn a_question_says_what_kubernetes_says() {
    let server = WebhookServer::start(|_, _| allow()).await;
    let api = Api::start().await;
    validating(&api, "v", vec![webhook("v", server.client("/v"), json!({}))]).await;
    api.post(CONFIG_MAPS, config_map("a", json!({"k": "1"}))).await.expect(201);
    api.merge(&format!("{CONFIG_MAPS}/a?dryRun=All&fieldManager=me"), json!({"data": {"k": "2"}}))
        .await
        .expect(200);
    api.delete(&format!("{CONFIG_MAPS}/a"), json!({"propagationPolicy": "Background"})).await.expect(200);
    let asked = server.asked();
    let paths: Vec<&str> = asked.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/v?timeout=30s"; 3]);
    let (create, update, delete) = (&asked[0].1["request"], &asked[1].1["request"], &asked[2].1["request"]);
    assert_eq!(asked[0].1["apiVersion"], "admission.k8s.io/v1");
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let resource = json!({"group": "", "version": "v1", "resource": "configmaps"});
    for request in [create, update, delete] {
        assert_eq!((&request["kind"], &request["requestKind"]), (&kind, &kind));
        assert_eq!((&request["resource"], &request["requestResource"]), (&resource, &resource));
        assert_eq!((&request["name"], &request["namespace"]), (&json!("a"), &json!("default")));
        assert_eq!(request["userInfo"]["username"], "admin");
    }
    assert_eq!((&create["operation"], &create["oldObject"]), (&json!("CREATE"), &Value::Null));
    assert_eq!(create["object"]["data"]["k"], "1");
    assert_eq!(create["options"]["kind"], "CreateOptions");
    assert_eq!((&update["operation"], &update["dryRun"]), (&json!("UPDATE"), &json!(true)));
    assert_eq!(
        (&update["object"]["data"]["k"], &update["oldObject"]["data"]["k"]),
        (&json!("2"), &json!("1"))
    );
    assert_eq!(
        update["options"],
        json!({"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"], "fieldManager": "me"})
    );
    assert_eq!((&delete["operation"], &delete["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(delete["oldObject"]["data"]["k"], "1");
    assert_eq!(delete["options"]["propagationPolicy"], "Background");
}

#[tokio::test]
async fn changes_are_seen_by_later_webhooks_and_again_by_earlier_ones() {
    let server = WebhookServer::start(|path, request| {
        let count = request["object"]["data"]["count"].as_str().unwrap_or("0").parse::<u32>().unwrap_or(0);
        match path {
            "/never" if request["object"]["data"]["late"].is_null() => {
                patching(&json!([{"op": "add", "path": "/data/never", "value": "1"}]))
            }
            "/needed" => {
                patching(&json!([{"op": "add", "path": "/data/count", "value": (count + 1).to_string()}]))
            }
            "/late" if request["object"]["data"]["late"].is_null() => {
                patching(&json!([{"op": "add", "path": "/data/late", "value": "yes"}]))
            }
            _ => allow(),
        }
    })
    .await;
    let api = Api::start().await;
    let needed = json!({"reinvocationPolicy": "IfNeeded"});
    mutating(&api, "b", vec![webhook("late", server.client("/late"), json!({}))]).await;
    mutating(
        &api,
        "a",
        vec![
            webhook("never", server.client("/never"), json!({})),
            webhook("needed", server.client("/needed"), needed),
        ],
    )
    .await;
    let made = api.post(CONFIG_MAPS, config_map("x", json!({"k": "v"}))).await.expect(201);
    assert_eq!(made["data"], json!({"k": "v", "never": "1", "count": "2", "late": "yes"}));
    let paths: Vec<String> = server.asked().into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        paths,
        ["/never?timeout=30s", "/needed?timeout=30s", "/late?timeout=30s", "/needed?timeout=30s"]
    );
}

#[tokio::test]
async fn denials_and_warnings_reach_the_client() {
    let server = WebhookServer::start(|path, _| match path {
        "/plain" => json!({"allowed": false, "warnings": ["beware"]}),
        "/worded" => {
            json!({"allowed": false, "status": {"code": 418, "message": "not today", "reason": "Teapot"}})
        }
        _ => allow(),
    })
    .await;
    let api = Api::start().await;
    validating(&api, "plain", vec![webhook("plain", server.client("/plain"), json!({}))]).await;
    let refused = api.post(CONFIG_MAPS, config_map("a", json!({}))).await;
    assert!(refused.warnings()[0].contains("beware"), "{:?}", refused.warnings());
    let refused = refused.expect(400);
    assert_eq!(
        refused["message"],
        "admission webhook \"plain.example.test\" denied the request without explanation"
    );
    api.delete(&format!("{VALIDATING}/plain"), json!({})).await.expect(200);
    validating(&api, "worded", vec![webhook("worded", server.client("/worded"), json!({}))]).await;
    let refused = api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(418);
    assert_eq!(refused["message"], "admission webhook \"worded.example.test\" denied the request: not today");
    assert_eq!(refused["reason"], "Teapot");
}

#[tokio::test]
async fn only_what_the_rules_mean_is_asked_about() {
    let server = WebhookServer::start(|path, _| json!({"allowed": false, "status": {"message": path}})).await;
    let api = Api::start().await;
    let rule = |groups: &str, resources: &str, operations: &str, scope: &str| json!([{"apiGroups": [groups], "apiVersions": ["*"], "resources": [resources], "operations": [operations], "scope": scope}]);
    let hook = |name: &str, changes: Value| webhook(name, server.client(&format!("/{name}")), changes);
    validating(
        &api,
        "many",
        vec![
            hook("apps", json!({"rules": rule("apps", "*", "*", "*")})),
            hook("cluster", json!({"rules": rule("", "*", "CREATE", "Cluster")})),
            hook("status", json!({"rules": rule("", "*/status", "*", "*")})),
            hook("labelled", json!({"objectSelector": {"matchLabels": {"judge": "me"}}})),
            hook("spaced", json!({"namespaceSelector": {"matchLabels": {"judge": "all"}}})),
            hook(
                "conditional",
                json!({"matchConditions": [
                {"name": "who", "expression": "request.userInfo.username == 'admin'"},
                {"name": "what", "expression": "has(object.data) && 'judge' in object.data"}]}),
            ),
        ],
    )
    .await;
    // A namespace is cluster-wide: two ways to be refused, the first wins.
    let space = |labels: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": labels}});
    let refused = api.post("/api/v1/namespaces", space(json!({}))).await.expect(400);
    assert!(refused["message"].as_str().is_some_and(|text| text.ends_with("/cluster")), "{refused}");
    api.post(CONFIG_MAPS, config_map("plain", json!({}))).await.expect(201);
    let mut labelled = config_map("labelled", json!({}));
    labelled["metadata"]["labels"] = json!({"judge": "me"});
    let refused = api.post(CONFIG_MAPS, labelled).await.expect(400);
    assert!(refused["message"].as_str().is_some_and(|text| text.ends_with("/labelled")), "{refused}");
    let refused = api.post(CONFIG_MAPS, config_map("c", json!({"judge": "1"}))).await.expect(400);
    assert!(refused["message"].as_str().is_some_and(|text| text.ends_with("/conditional")), "{refused}");
    let labels = json!({"metadata": {"labels": {"judge": "all"}}});
    api.merge("/api/v1/namespaces/default", labels).await.expect(200);
    let refused = api.post(CONFIG_MAPS, config_map("spaced", json!({}))).await.expect(400);
    assert!(refused["message"].as_str().is_some_and(|text| text.ends_with("/spaced")), "{refused}");
}

#[tokio::test]
async fn another_version_of_the_same_objects_is_meant_too() {
    let server =
        WebhookServer::start(|_, _| patching(&json!([{"op": "add", "path": "/spec/count", "value": 7}])))
            .await;
    let mut definition = common::widgets();
    let mut second = definition["spec"]["versions"][0].clone();
    second["name"] = "v2".into();
    second["storage"] = false.into();
    definition["spec"]["versions"].as_array_mut().expect("versions").push(second);
    let api = Api::with(|builder| builder.crds([definition])).await;
    let rules = json!([{"apiGroups": ["example.test"], "apiVersions": ["v2"], "resources": ["widgets"], "operations": ["CREATE"]}]);
    let hook =
        |policy: &str| webhook("w", server.client("/w"), json!({"rules": rules, "matchPolicy": policy}));
    mutating(&api, "m", vec![hook("Exact")]).await;
    let made = api.post(common::WIDGETS, common::widget("a", json!({"count": 1}))).await.expect(201);
    assert_eq!((&made["spec"]["count"], server.asked().len()), (&json!(1), 0));
    api.delete(&format!("{MUTATING}/m"), json!({})).await.expect(200);
    mutating(&api, "m", vec![hook("Equivalent")]).await;
    let made = api.post(common::WIDGETS, common::widget("b", json!({"count": 1}))).await.expect(201);
    assert_eq!((&made["spec"]["count"], &made["apiVersion"]), (&json!(7), &json!("example.test/v1")));
    let request = server.asked()[0].1["request"].clone();
    assert_eq!(
        (&request["kind"]["version"], &request["requestKind"]["version"]),
        (&json!("v2"), &json!("v1"))
    );
    assert_eq!(request["object"]["apiVersion"], "example.test/v2");
}

#[tokio::test]
async fn one_that_does_not_answer_counts_as_its_policy_says() {
    let server = WebhookServer::start(|path, _| match path {
        "/silent" => Value::Null,
        "/broken" => json!({"http": 500}),
        "/stranger" => json!({"uid": "another", "allowed": true}),
        _ => json!({"allowed": true, "patchType": "JSONPatch", "patch": "e30="}),
    })
    .await;
    let api = Api::start().await;
    let dead = json!({"url": "https://127.0.0.1:9/none"});
    let mut untrusted = server.client("/fine");
    untrusted["caBundle"] = WebhookServer::start(|_, _| allow()).await.bundle().into();
    for (client, why) in [
        (
            dead,
            "Post \"https://127.0.0.1:9/none?timeout=30s\": dial tcp 127.0.0.1:9: connect: connection refused",
        ),
        (server.client("/silent"), "context deadline exceeded"),
        (
            server.client("/broken"),
            "an error on the server (\"out of order\") has prevented the request from succeeding",
        ),
        (server.client("/stranger"), "expected response.uid="),
        (server.client("/patching"), "validating webhook may not return response.patch"),
        (untrusted, "tls: failed to verify certificate"),
        (json!({"service": {"namespace": "default", "name": "nobody"}}), "service \"nobody\" not found"),
    ] {
        // Only the silent one is not heard to its end.
        let seconds = if why == "context deadline exceeded" { 1 } else { 30 };
        for policy in ["Ignore", "Fail"] {
            let changes = json!({"failurePolicy": policy, "timeoutSeconds": seconds});
            let hook = webhook("w", client.clone(), changes);
            validating(&api, "w", vec![hook]).await;
            let answer = api.post(CONFIG_MAPS, config_map("a", json!({}))).await;
            if policy == "Ignore" {
                answer.expect(201);
            } else {
                let refused = answer.expect(500);
                let message = refused["message"].as_str().unwrap_or_default();
                let start = "Internal error occurred: failed calling webhook \"w.example.test\": ";
                assert!(message.starts_with(start) && message.contains(why), "{message}");
                assert_eq!(refused["reason"], "InternalError");
            }
            // Nothing keeps a webhook from being taken away.
            api.delete(&format!("{VALIDATING}/w"), json!({})).await.expect(200);
            api.delete(&format!("{CONFIG_MAPS}/a"), json!({})).await;
        }
    }
}

#[tokio::test]
async fn nobody_keeps_a_webhook_from_being_taken_away() {
    let api = Api::start().await;
    let everything =
        json!([{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}]);
    let dead = webhook("w", json!({"url": "https://127.0.0.1:9/none"}), json!({"rules": everything}));
    validating(&api, "v", vec![dead.clone()]).await;
    mutating(&api, "m", vec![dead]).await;
    api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(500);
    let change = json!({"metadata": {"labels": {"a": "b"}}});
    api.merge(&format!("{VALIDATING}/v"), change).await.expect(200);
    api.delete(&format!("{VALIDATING}/v"), json!({})).await.expect(200);
    api.delete(&format!("{MUTATING}/m"), json!({})).await.expect(200);
    api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(201);
}

#[tokio::test]
async fn a_service_is_reached_at_its_endpoints() {
    let server = WebhookServer::start(|_, _| {
        patching(&json!([{"op": "add", "path": "/data/by", "value": "service"}]))
    })
    .await;
    let api = Api::start().await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": server.port}]}});
    api.post("/api/v1/namespaces/default/services", service).await.expect(201);
    let client = json!({"service": {"namespace": "default", "name": "hook", "path": "/m"}, "caBundle": server.bundle()});
    mutating(&api, "m", vec![webhook("m", client, json!({}))]).await;
    let refused = api.post(CONFIG_MAPS, config_map("a", json!({"k": "v"}))).await.expect(500);
    assert!(
        refused["message"]
            .as_str()
            .is_some_and(|why| why.contains("no endpoints available for service \"hook\"")),
        "{refused}"
    );
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": server.port, "protocol": "TCP"}]});
    api.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await.expect(201);
    let made = api.post(CONFIG_MAPS, config_map("a", json!({"k": "v"}))).await.expect(201);
    assert_eq!(made["data"]["by"], "service");
    assert_eq!(server.asked()[0].0, "/m?timeout=30s");
}

#[tokio::test]
async fn made_up_names_come_after_the_changes() {
    let server = WebhookServer::start(|path, _| match path {
        "/m" => patching(&json!([{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}])),
        _ => allow(),
    })
    .await;
    let api = Api::start().await;
    mutating(&api, "m", vec![webhook("m", server.client("/m"), json!({}))]).await;
    validating(&api, "v", vec![webhook("v", server.client("/v"), json!({}))]).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-"}});
    let made = api.post(CONFIG_MAPS, map).await.expect(201);
    let (before, after) = (&server.asked()[0].1["request"], &server.asked()[1].1["request"]);
    assert_eq!(before.get("name"), None);
    assert_eq!(before["object"]["metadata"].get("name"), None);
    assert_eq!(after["name"], made["metadata"]["name"]);
    assert_eq!(made["metadata"]["labels"]["seen"], "yes");
}

#[tokio::test]
async fn what_cannot_work_is_refused_when_it_is_written() {
    let api = Api::start().await;
    let fine = json!({"url": "https://127.0.0.1:9/none"});
    for (client, changes, field) in [
        (json!({"url": "http://127.0.0.1/x"}), json!({}), "webhooks[0].clientConfig.url"),
        (json!({"url": "https://127.0.0.1/x?a=b"}), json!({}), "webhooks[0].clientConfig.url"),
        (json!({}), json!({}), "webhooks[0].clientConfig"),
        (fine.clone(), json!({"timeoutSeconds": 31}), "webhooks[0].timeoutSeconds"),
        (fine.clone(), json!({"admissionReviewVersions": ["v7"]}), "webhooks[0].admissionReviewVersions"),
        (
            fine.clone(),
            json!({"matchConditions": [{"name": "a", "expression": "nope == 1"}]}),
            "webhooks[0].matchConditions[0].expression",
        ),
        (
            fine,
            json!({"matchConditions": [{"name": "a", "expression": "'text'"}]}),
            "webhooks[0].matchConditions[0].expression",
        ),
    ] {
        let hook = configuration("ValidatingWebhookConfiguration", "v", vec![webhook("w", client, changes)]);
        let refused = api.post(VALIDATING, hook).await.expect(422);
        let causes = refused["details"]["causes"].as_array().expect("causes").clone();
        assert!(causes.iter().any(|cause| cause["field"] == field), "{refused}");
    }
}
