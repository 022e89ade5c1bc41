//! What definitions of kinds say beyond shape: rules in CEL, conversion between versions, changes of schemas.

mod common;
#[path = "common/webhook.rs"]
mod webhook;

use common::Api;
use serde_json::{Value, json};
use webhook::{WebhookServer, patching, webhook};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const GEARS: &str = "/apis/rules.example.test/v1/namespaces/default/gears";

fn gears(spec: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gears.rules.example.test"},
        "spec": {"group": "rules.example.test", "scope": "Namespaced", "names": {"plural": "gears", "kind": "Gear"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": spec}}}}]},
    })
}

fn gear(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "rules.example.test/v1", "kind": "Gear", "metadata": {"name": name}, "spec": spec})
}

/// Posts a definition and waits until its kind is served.
async fn define(api: &Api, definition: Value) {
    let mut changes = api.server.registry().changes();
    api.post(DEFINITIONS, definition).await.expect(201);
    changes.changed().await.expect("a new kind");
}

fn causes(refusal: &Value) -> Vec<(String, String)> {
    let causes = refusal["details"]["causes"].as_array().expect("causes");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    causes.iter().map(|cause| (text(&cause["field"]), text(&cause["message"]))).collect()
}

#[tokio::test]
async fn rules_are_held_against_writes() {
    let api = Api::start().await;
    let teeth = json!({"type": "integer", "x-kubernetes-validations": [
        {"rule": "self % 2 == 0", "message": "teeth come in pairs"}, {"rule": "self >= oldSelf", "message": "teeth do not go"}]});
    let spec = json!({"type": "object", "required": ["teeth"], "properties": {"teeth": teeth, "note": {"type": "string"}}});
    define(&api, gears(spec)).await;
    let told = |field: &str, message: &str| (field.to_owned(), message.to_owned());

    let refusal = api.post(GEARS, gear("a", json!({"teeth": 3}))).await.expect(422);
    assert_eq!(causes(&refusal), [told("spec.teeth", "Invalid value: 3: teeth come in pairs")]);
    let refusal = api.post(GEARS, gear("a", json!({}))).await.expect(422);
    assert_eq!(causes(&refusal)[1].0, "<nil>", "{refusal}");
    api.post(GEARS, gear("a", json!({"teeth": 4}))).await.expect(201);
    let fewer = api.merge(&format!("{GEARS}/a"), json!({"spec": {"teeth": 2}})).await.expect(422);
    assert_eq!(causes(&fewer), [told("spec.teeth", "Invalid value: 2: teeth do not go")]);

    // A stricter rule lets stand what nobody touches, and says so.
    let stricter = json!({"spec": {"versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
        "type": "object", "properties": {"spec": {"type": "object", "properties": {"note": {"type": "string"},
            "teeth": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 9"}]}}}}}}}]}});
    api.merge(&format!("{DEFINITIONS}/gears.rules.example.test"), stricter).await.expect(200);
    let noted = api.merge(&format!("{GEARS}/a"), json!({"spec": {"note": "old"}})).await;
    assert_eq!(noted.warnings(), ["299 - \"spec.teeth: Invalid value: 4: failed rule: self > 9\""]);
    noted.expect(200);
    api.merge(&format!("{GEARS}/a"), json!({"spec": {"teeth": 6}})).await.expect(422);
}

#[tokio::test]
async fn definitions_with_rules_that_cannot_be_are_refused() {
    let api = Api::start().await;
    let with = |schema: Value, rule: &str| {
        let mut schema = schema;
        schema["x-kubernetes-validations"] = json!([{"rule": rule}]);
        gears(schema)
    };
    let list = json!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string"}}}});
    for (definition, why) in [
        (with(list.clone(), "self.nope == 1"), "undefined field 'nope'"),
        (
            with(list.clone(), "self.l.all(x, self.l.all(y, x == y))"),
            "exceeds budget by factor of more than 100x",
        ),
    ] {
        let refusal = api.post(DEFINITIONS, definition).await.expect(422);
        let told = causes(&refusal);
        let at = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule";
        assert!(told.iter().any(|(field, message)| field == at && message.contains(why)), "{told:?}");
    }
    let mut definition = gears(list);
    definition["spec"]["versions"][0]["selectableFields"] =
        json!([{"jsonPath": ".spec.l"}, {"jsonPath": ".spec.x"}]);
    definition["spec"]["conversion"] = json!({"strategy": "Webhook"});
    let told: Vec<String> = causes(&api.post(DEFINITIONS, definition).await.expect(422))
        .into_iter()
        .map(|(field, _)| field)
        .collect();
    assert_eq!(
        told,
        [
            "spec.selectableFields[0].jsonPath",
            "spec.selectableFields[1].jsonPath",
            "spec.conversion.webhookClientConfig",
            "spec.conversion.conversionReviewVersions"
        ]
    );
}

/// Objects that were written before a schema changed are shown in its form, at the revision that they have.
#[tokio::test]
async fn stored_objects_follow_their_schema() {
    let api = Api::start().await;
    let spec =
        json!({"type": "object", "properties": {"old": {"type": "string"}, "kept": {"type": "string"}}});
    define(&api, gears(spec)).await;
    let made = api.post(GEARS, gear("a", json!({"old": "x", "kept": "y"}))).await.expect(201);
    let spec = json!({"type": "object", "properties": {"kept": {"type": "string"}, "new": {"type": "integer", "default": 3}}});
    let changed = json!({"spec": {"versions": gears(spec)["spec"]["versions"]}});
    api.merge(&format!("{DEFINITIONS}/gears.rules.example.test"), changed).await.expect(200);
    let shown = api.get(&format!("{GEARS}/a")).await.expect(200);
    assert_eq!(shown["spec"], json!({"kept": "y", "new": 3}));
    assert_eq!(shown["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);

    let spec = json!({"type": "object", "properties": {"old": {"type": "string"}, "new": {"type": "integer", "default": 5}}});
    let back = json!({"spec": {"versions": gears(spec)["spec"]["versions"]}});
    api.merge(&format!("{DEFINITIONS}/gears.rules.example.test"), back).await.expect(200);
    let shown = api.get(&format!("{GEARS}/a")).await.expect(200);
    assert_eq!(shown["spec"], json!({"old": "x", "new": 5}), "what one schema hid, the next one shows");
    let written =
        api.merge(&format!("{GEARS}/a"), json!({"metadata": {"labels": {"a": "b"}}})).await.expect(200);
    assert_eq!(written["spec"], json!({"old": "x", "new": 5}));
}

/// Versions that differ in a field's place: `spec.size` in v1 is `spec.dimensions.size` in v2.
fn between_versions(request: &Value) -> Value {
    let wanted = request["desiredAPIVersion"].as_str().unwrap_or_default();
    let mut objects = request["objects"].as_array().cloned().unwrap_or_default();
    for object in &mut objects {
        if object["spec"]["size"] == 13 {
            return json!({"uid": request["uid"], "result": {"status": "Failure", "message": "no thirteens"}});
        }
        object["spec"] = if wanted.ends_with("/v2") {
            json!({"dimensions": {"size": object["spec"]["size"]}})
        } else {
            json!({"size": object["spec"]["dimensions"]["size"]})
        };
        object["spec"]["nobody"] = "knows this".into();
        object["apiVersion"] = wanted.into();
        object["metadata"]["annotations"]["converted"] = wanted.into();
        object["metadata"]["generation"] = 99.into();
    }
    json!({"result": {"status": "Success"}, "convertedObjects": objects})
}

#[tokio::test]
async fn versions_without_a_webhook_keep_what_both_know() {
    let api = Api::start().await;
    let mut definition = gears(json!({"type": "object", "properties": {
        "size": {"type": "integer"}, "old": {"type": "string"}}}));
    let second = json!({"type": "object", "properties": {
        "size": {"type": "integer"}, "new": {"type": "string", "default": "fresh"}}});
    let versions = definition["spec"]["versions"].as_array_mut().expect("versions");
    versions[0]["storage"] = false.into();
    versions.push(json!({"name": "v2", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": second}}}}));
    define(&api, definition).await;
    let seconds = GEARS.replace("/v1/", "/v2/");

    let made = api.post(GEARS, gear("a", json!({"size": 5, "old": "x"}))).await.expect(201);
    assert_eq!(made["spec"], json!({"size": 5}));
    assert_eq!(
        api.get(&format!("{seconds}/a")).await.expect(200)["spec"],
        json!({"size": 5, "new": "fresh"})
    );
    let mut listed = api.get(GEARS).await.expect(200);
    let listed = listed["items"][0].take();
    assert_eq!(
        (&listed["spec"], &listed["apiVersion"]),
        (&json!({"size": 5}), &json!("rules.example.test/v1"))
    );
    let changed = api.merge(&format!("{GEARS}/a"), json!({"spec": {"size": 6}})).await.expect(200);
    assert_eq!(changed["spec"], json!({"size": 6}));
}

#[tokio::test]
async fn finalizers_without_a_domain_are_warned_of() {
    let api = Api::start().await;
    define(&api, gears(json!({"type": "object"}))).await;
    let mut made = gear("a", json!({}));
    made["metadata"]["finalizers"] = json!(["plain", "example.test/good"]);
    let answer = api.post(GEARS, made).await;
    let warnings = answer.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("metadata.finalizers"), "{warnings:?}");
    answer.expect(201);
    let again = api.merge(&format!("{GEARS}/a"), json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(again.warnings(), [""; 0]);
}

#[tokio::test]
async fn webhooks_convert_between_versions() {
    let hooks = WebhookServer::start(|_, request| between_versions(request)).await;
    let api = Api::start().await;
    let mut definition = gears(json!({"type": "object", "properties": {"size": {"type": "integer"}}}));
    let second = json!({"type": "object", "properties": {"dimensions": {"type": "object", "properties": {"size": {"type": "integer"}}}}});
    let versions = definition["spec"]["versions"].as_array_mut().expect("versions");
    versions.push(json!({"name": "v2", "served": true, "storage": false,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": second}}}}));
    definition["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
        "clientConfig": hooks.client("/convert"), "conversionReviewVersions": ["v1"]}});
    define(&api, definition).await;
    let seconds = GEARS.replace("/v1/", "/v2/");

    api.post(GEARS, gear("a", json!({"size": 5}))).await.expect(201);
    assert_eq!(hooks.asked().len(), 0);
    let shown = api.get(&format!("{seconds}/a")).await.expect(200);
    assert_eq!(
        (&shown["spec"], &shown["apiVersion"]),
        (&json!({"dimensions": {"size": 5}}), &json!("rules.example.test/v2"))
    );
    assert_eq!(
        (&shown["metadata"]["generation"], &shown["metadata"]["annotations"]["converted"]),
        (&json!(1), &json!("rules.example.test/v2"))
    );

    let mut new = gear("b", json!({"dimensions": {"size": 6}}));
    new["apiVersion"] = "rules.example.test/v2".into();
    let made = api.post(&seconds, new).await.expect(201);
    assert_eq!(made["spec"]["dimensions"]["size"], 6);
    let changed =
        api.merge(&format!("{seconds}/b"), json!({"spec": {"dimensions": {"size": 7}}})).await.expect(200);
    assert_eq!(changed["spec"]["dimensions"]["size"], 7);
    assert_eq!(api.get(&format!("{GEARS}/b")).await.expect(200)["spec"], json!({"size": 7}));
    let before = hooks.asked().len();
    let all = api.get(&seconds).await.expect(200);
    let sizes: Vec<&Value> = all["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["spec"]["dimensions"]["size"])
        .collect();
    assert_eq!((sizes, hooks.asked().len()), (vec![&json!(5), &json!(7)], before + 1));

    let mut watch = api.watch(&format!("{seconds}?watch=true")).await;
    assert_eq!(watch.next_name().await, ("ADDED".to_owned(), "a".to_owned()));

    api.post(GEARS, gear("c", json!({"size": 13}))).await.expect(201);
    let refusal = api.get(&format!("{seconds}/c")).await.expect(500);
    assert_eq!(
        refusal["message"],
        "conversion webhook for rules.example.test/v1, Kind=Gear failed: no thirteens"
    );
}

#[tokio::test]
async fn webhooks_may_change_a_scale() {
    let hooks = WebhookServer::start(|_, request| {
        let wanted = match request["object"]["spec"]["replicas"].as_i64() {
            Some(8) => json!("many"),
            Some(9) => json!(-1),
            _ => json!(2),
        };
        patching(&json!([{"op": "replace", "path": "/spec/replicas", "value": wanted}]))
    })
    .await;
    let api = Api::with(|builder| builder.crds([common::widgets()])).await;
    let rules = json!([{"apiGroups": ["example.test"], "apiVersions": ["v1"], "resources": ["widgets/scale"], "operations": ["UPDATE"]}]);
    let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "scales"}, "webhooks": [webhook("scales", hooks.client("/scale"), json!({"rules": rules}))]});
    api.post("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", configuration)
        .await
        .expect(201);
    let path = format!("{}/w", common::WIDGETS);
    api.post(common::WIDGETS, common::widget("w", json!({"count": 1}))).await.expect(201);
    let scaled = api.merge(&format!("{path}/scale"), json!({"spec": {"replicas": 7}})).await.expect(200);
    assert_eq!((&scaled["spec"]["replicas"], &scaled["kind"]), (&json!(2), &json!("Scale")));
    assert_eq!(api.get(&path).await.expect(200)["spec"]["count"], 2);
    for nonsense in [8, 9] {
        let wanted = json!({"spec": {"replicas": nonsense}});
        let refusal = api.merge(&format!("{path}/scale"), wanted).await.expect(422);
        assert_eq!(refusal["details"]["causes"][0]["field"], "spec.replicas");
    }
    assert_eq!(api.get(&path).await.expect(200)["spec"]["count"], 2, "nothing changed");
}
