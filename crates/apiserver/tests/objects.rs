//! Create, read, replace, patch: the rules that hold for every kind.

mod common;

use common::{Api, CONFIG_MAPS, PODS, config_map, pod};
use serde_json::{Value, json};

#[tokio::test]
async fn an_object_is_created_read_and_replaced() {
    let api = Api::start().await;
    let made = api.post(CONFIG_MAPS, config_map("a", json!({"x": "1"}))).await.expect(201);
    assert_eq!(made["metadata"]["namespace"], "default");
    assert!(made["metadata"]["uid"].is_string() && made["metadata"]["resourceVersion"].is_string());
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "tests");
    let path = format!("{CONFIG_MAPS}/a");
    assert_eq!(api.get(&path).await.expect(200), made);
    assert_eq!(
        api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(409)["reason"],
        "AlreadyExists"
    );

    let mut changed = made.clone();
    changed["data"]["x"] = "2".into();
    let replaced = api.put(&path, changed.clone()).await.expect(200);
    assert_ne!(replaced["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    assert_eq!(api.put(&path, changed).await.expect(409)["reason"], "Conflict");
}

#[tokio::test]
async fn some_kinds_want_to_know_which_version_an_update_changes() {
    let api = Api::start().await;
    // Answers of kube-apiserver 1.36 to the same requests.
    for (root, plural, kind, content, code) in [
        ("/apis/coordination.k8s.io/v1/namespaces/default", "leases", "Lease", json!({}), 422),
        ("/apis/node.k8s.io/v1", "runtimeclasses", "RuntimeClass", json!({"handler": "h"}), 422),
        ("/apis/storage.k8s.io/v1", "csinodes", "CSINode", json!({"spec": {"drivers": []}}), 422),
        ("/apis/storage.k8s.io/v1", "storageclasses", "StorageClass", json!({"provisioner": "p"}), 200),
        ("/api/v1/namespaces/default", "serviceaccounts", "ServiceAccount", json!({}), 200),
    ] {
        let group = root.trim_start_matches("/apis/").trim_start_matches("/api/");
        let version = group.split("/namespaces").next().expect("a version");
        let mut object = content;
        (object["apiVersion"], object["kind"]) = (version.into(), kind.into());
        object["metadata"] = json!({"name": "a"});
        let made = api.post(&format!("{root}/{plural}"), object.clone()).await.expect(201);
        let path = format!("{root}/{plural}/a");
        object["metadata"]["labels"] = json!({"x": "y"});
        let answer = api.put(&path, object.clone()).await.expect(code);
        if code == 422 {
            let message = answer["message"].as_str().expect("text");
            assert!(message.starts_with(&format!("{plural}.")), "{message}");
            assert_eq!(answer["details"]["causes"][0]["field"], "metadata.resourceVersion");
            object["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
            api.put(&path, object).await.expect(200);
        }
    }
}

#[tokio::test]
async fn a_write_without_a_change_is_no_write() {
    let api = Api::start().await;
    let made = api.post(CONFIG_MAPS, config_map("a", json!({"x": "1"}))).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let patched = api.merge(&path, json!({"data": {"x": "1"}})).await.expect(200);
    assert_eq!(patched["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn names_are_generated() {
    let api = Api::start().await;
    let mut object = config_map("", json!({}));
    object["metadata"] = json!({"generateName": "web-"});
    let name = api.post(CONFIG_MAPS, object).await.expect(201)["metadata"]["name"].clone();
    let name = name.as_str().expect("a name");
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
}

#[tokio::test]
async fn a_dry_run_leaves_nothing() {
    let api = Api::start().await;
    api.post(&format!("{CONFIG_MAPS}?dryRun=All"), config_map("a", json!({}))).await.expect(201);
    api.get(&format!("{CONFIG_MAPS}/a")).await.expect(404);
}

#[tokio::test]
async fn unknown_fields_are_refused_warned_about_or_dropped() {
    let api = Api::start().await;
    let mut object = config_map("a", json!({}));
    object["colour"] = "red".into();
    let send = async |mode: &str| {
        api.post(&format!("{CONFIG_MAPS}?dryRun=All&fieldValidation={mode}"), object.clone()).await
    };
    let strict = send("Strict").await.expect(400);
    assert!(
        strict["message"].as_str().is_some_and(|message| message.contains("unknown field \"colour\"")),
        "{strict}"
    );
    let warned = send("Warn").await;
    let warnings = warned.warnings();
    assert_eq!(warnings[0], "299 - \"unknown field \\\"colour\\\"\"");
    assert!(warnings.len() == 2 && warnings[1].contains("ironclad: colour is no field of"), "{warnings:?}");
    assert!(send("Ignore").await.warnings().is_empty());
}

#[tokio::test]
async fn wrong_objects_are_refused_with_the_field() {
    let api = Api::start().await;
    let cases = [
        (CONFIG_MAPS, config_map("Bad_Name", json!({})), 422, "metadata.name"),
        (
            CONFIG_MAPS,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"a b": ""}}}),
            422,
            "metadata.labels",
        ),
        (
            PODS,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}}),
            422,
            "spec.containers[0].image",
        ),
        (
            "/api/v1/namespaces/default/services",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {}}),
            422,
            "spec.ports",
        ),
    ];
    for (path, object, code, field) in cases {
        let refusal = api.post(path, object).await.expect(code);
        let reasons = refusal["details"]["causes"].as_array().expect("causes").clone();
        assert!(reasons.iter().any(|reason| reason["field"] == field), "{field}: {refusal}");
    }
    api.post(CONFIG_MAPS, json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}))
        .await
        .expect(400);
    api.send("POST", CONFIG_MAPS, "application/json", "{".to_owned()).await.expect(400);
    api.send("POST", CONFIG_MAPS, "text/plain", "x".to_owned()).await.expect(415);
}

#[tokio::test]
async fn pods_get_their_defaults_and_are_bound() {
    let api = Api::start().await;
    let made = api.post(PODS, pod("p")).await.expect(201);
    assert_eq!(made["spec"]["restartPolicy"], "Always");
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(made["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    api.post(&format!("{PODS}/p/binding"), binding.clone()).await.expect(201);
    let bound = api.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
    api.post(&format!("{PODS}/p/binding"), binding).await.expect(409);
    let selected = api.get(&format!("{PODS}?fieldSelector=spec.nodeName=n1")).await.expect(200);
    assert_eq!(selected["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn status_and_spec_are_written_apart() {
    let api = Api::start().await;
    api.post(PODS, pod("p")).await.expect(201);
    let path = format!("{PODS}/p");
    let change = json!({"status": {"phase": "Running"}, "spec": {"hostname": "x"}});
    let written = api.merge(&format!("{path}/status"), change).await.expect(200);
    assert_eq!(
        (&written["status"]["phase"], &written["spec"]["hostname"]),
        (&json!("Running"), &json!(null))
    );
    let kept = api.merge(&path, json!({"status": {"phase": "Failed"}})).await.expect(200);
    assert_eq!(kept["status"]["phase"], "Running");
}

#[tokio::test]
async fn managers_own_what_they_apply() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    api.apply(&path, "alice", config_map("a", json!({"x": "1"}))).await.expect(201);
    let conflict = api.apply(&path, "bob", config_map("a", json!({"x": "2"}))).await.expect(409);
    assert_eq!(conflict["details"]["causes"][0]["field"], ".data.x");
    api.apply(&path, "bob", config_map("a", json!({"y": "2"}))).await.expect(200);
    let left = api.apply(&path, "alice", config_map("a", json!({}))).await.expect(200);
    assert_eq!(left["data"], json!({"y": "2"}));
}

#[tokio::test]
async fn an_apply_names_what_it_makes_and_need_not_name_what_is_there() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let nameless = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
    let refused = api.apply(&path, "alice", nameless(json!({}))).await.expect(400);
    assert!(
        refused["message"].as_str().is_some_and(|why| why.contains("name must be provided")),
        "{refused}"
    );
    api.apply(&path, "alice", config_map("a", json!({"x": "1"}))).await.expect(201);
    let merged = api.apply(&path, "bob", nameless(json!({"y": "2"}))).await.expect(200);
    assert_eq!((&merged["metadata"]["name"], &merged["data"]), (&json!("a"), &json!({"x": "1", "y": "2"})));
    api.apply(&path, "bob", config_map("b", json!({}))).await.expect(400);
    // Controllers apply statuses so.
    let status = json!({"apiVersion": "v1", "kind": "Namespace", "status": {"conditions": [
        {"type": "Checked", "status": "True", "reason": "Seen", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]}});
    let namespace = api.apply("/api/v1/namespaces/default/status", "bob", status).await.expect(200);
    assert_eq!(namespace["status"]["conditions"][0]["type"], "Checked");
}

#[tokio::test]
async fn services_get_addresses_once() {
    let api = Api::start().await;
    let service = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"type": "NodePort", "ports": [{"port": 80}]}})
    };
    let path = "/api/v1/namespaces/default/services";
    let one = api.post(path, service("one")).await.expect(201);
    let two = api.post(path, service("two")).await.expect(201);
    for field in ["/spec/clusterIP", "/spec/ports/0/nodePort"] {
        assert_ne!(one.pointer(field), two.pointer(field), "{field}");
    }
    let mut taken = service("three");
    taken["spec"]["clusterIP"] = one["spec"]["clusterIP"].clone();
    api.post(path, taken.clone()).await.expect(422);
    api.delete(&format!("{path}/one"), json!({})).await.expect(200);
    api.post(path, taken).await.expect(201);
}

#[tokio::test]
async fn services_ask_for_no_family_that_is_not_there() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/default/services";
    let service = |spec: Value| {
        let mut service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"generateName": "s-"},
            "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}});
        service["spec"].as_object_mut().expect("a spec").extend(spec.as_object().cloned().expect("fields"));
        service
    };
    for (spec, field) in [
        (json!({"ipFamilies": ["IPv6"]}), "spec.ipFamilies[0]"),
        (json!({"ipFamilyPolicy": "RequireDualStack"}), "spec.ipFamilyPolicy"),
        (json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"}), "spec.ipFamilies[1]"),
        (json!({"ipFamilies": ["IPv4", "IPv6"]}), "spec.ipFamilyPolicy"),
    ] {
        let refused = api.post(path, service(spec.clone())).await.expect(422);
        assert_eq!(refused["details"]["causes"][0]["field"], field, "{spec}");
    }
    let families = json!(["IPv4"]);
    let preferring = api.post(path, service(json!({"ipFamilyPolicy": "PreferDualStack"}))).await.expect(201);
    assert_eq!(preferring["spec"]["ipFamilies"], families);
    // Endpoints that somebody else writes may be of any family.
    let foreign = json!({"selector": {}, "clusterIP": "None", "ipFamilies": ["IPv6"]});
    api.post(path, service(foreign)).await.expect(201);
}

#[tokio::test]
async fn what_subresources_take_is_held_to_its_schema() {
    let api = Api::start().await;
    let containers = json!([{"name": "c", "image": "example.test/c"}]);
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}}}});
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    api.post(deployments, deployment).await.expect(201);
    api.post(PODS, pod("p")).await.expect(201);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}});
    api.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);

    let scale = format!("{deployments}/d/scale");
    let put = |replicas: Value| {
        let metadata = json!({"name": "d", "namespace": "default"});
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": replicas}})
    };
    let mut other = put(3.into());
    other["kind"] = "Deployment".into();
    let mut unknown = put(3.into());
    unknown["spec"]["size"] = 3.into();
    let strict = format!("{scale}?fieldValidation=Strict");
    api.put(&scale, put("3".into())).await.expect(400);
    api.put(&scale, other).await.expect(400);
    let refused = api.put(&strict, unknown).await.expect(400);
    assert!(
        refused["message"].as_str().is_some_and(|why| why.contains("unknown field \"spec.size\"")),
        "{refused}"
    );
    let refused = api.merge(&scale, json!({"spec": {"replicas": "3"}})).await.expect(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "patch", "{refused}");
    api.merge(&scale, json!({"kind": "Pod"})).await.expect(400);
    api.merge(&strict, json!({"spec": {"size": 3}})).await.expect(400);
    assert_eq!(api.get(&scale).await.expect(200)["spec"]["replicas"], 2, "nothing was changed");
    assert_eq!(api.put(&scale, put(3.into())).await.expect(200)["spec"]["replicas"], 3);

    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"},
        "deleteOptions": {"preconditions": "now"}});
    api.post(&format!("{PODS}/p/eviction"), eviction).await.expect(400);
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": "n"});
    api.post(&format!("{PODS}/p/binding"), binding).await.expect(400);
    let token = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"audiences": [], "expirationSeconds": "600"}});
    api.post("/api/v1/namespaces/default/serviceaccounts/s/token", token).await.expect(400);
    assert_eq!(api.get(&format!("{PODS}/p")).await.expect(200)["spec"]["nodeName"], Value::Null);
}
