//! Admission policies.

mod common;

use common::{Api, CONFIG_MAPS, config_map};
use serde_json::{Value, json};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

fn policy(name: &str, spec: Value) -> Value {
    let mut policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name}, "spec": {"matchConstraints": {"resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}]}}});
    for (field, value) in spec.as_object().expect("fields") {
        policy["spec"][field] = value.clone();
    }
    policy
}

fn binding(policy: &str, actions: &[&str], spec: Value) -> Value {
    let mut binding = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": format!("{policy}-binding")},
        "spec": {"policyName": policy, "validationActions": actions}});
    for (field, value) in spec.as_object().expect("fields") {
        binding["spec"][field] = value.clone();
    }
    binding
}

async fn bound(spec: Value, actions: &[&str], binding_spec: Value) -> Api {
    let api = Api::start().await;
    api.post(POLICIES, policy("p", spec)).await.expect(201);
    api.post(BINDINGS, binding("p", actions, binding_spec)).await.expect(201);
    api
}

fn rule(expression: &str) -> Value {
    json!({"validations": [{"expression": expression}]})
}

#[tokio::test]
async fn a_rule_denies_in_its_own_words() {
    let validations = json!({"validations": [
        {"expression": "object.metadata.name != 'worded'", "messageExpression": "'no ' + object.metadata.name", "reason": "Forbidden"},
        {"expression": "object.metadata.name != 'plain'", "message": "not plain"},
        {"expression": "object.metadata.name != 'bare'"},
        {"expression": "object.metadata.name != 'odd'", "messageExpression": "object.nope", "message": "fallen back"},
    ]});
    let api = bound(validations, &["Deny"], json!({})).await;
    for (name, code, reason, why) in [
        ("worded", 403, "Forbidden", "no worded"),
        ("plain", 422, "Invalid", "not plain"),
        ("bare", 422, "Invalid", "failed expression: object.metadata.name != 'bare'"),
        ("odd", 422, "Invalid", "fallen back"),
    ] {
        let refused = api.post(CONFIG_MAPS, config_map(name, json!({}))).await.expect(code);
        let words = format!("ValidatingAdmissionPolicy 'p' with binding 'p-binding' denied request: {why}");
        assert_eq!(refused["message"], format!("configmaps \"{name}\" is forbidden: {words}"));
        assert_eq!(refused["reason"], reason);
        assert_eq!(
            refused["details"],
            json!({"name": name, "kind": "configmaps", "causes": [{"message": words}]})
        );
    }
    api.post(CONFIG_MAPS, config_map("good", json!({}))).await.expect(201);
}

#[tokio::test]
async fn a_binding_says_what_becomes_of_it() {
    let api = bound(rule("!object.metadata.name.startsWith('bad')"), &["Warn", "Audit"], json!({})).await;
    let answer = api.post(CONFIG_MAPS, config_map("bad", json!({}))).await;
    let warnings = answer.warnings();
    answer.expect(201);
    assert_eq!(warnings.len(), 1);
    let words =
        "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-binding': failed expression";
    assert!(warnings[0].contains(words), "{warnings:?}");
    let deny = json!({"spec": {"validationActions": ["Deny"], "matchResources": {
        "namespaceSelector": {"matchLabels": {"strict": "yes"}}}}});
    api.merge(&format!("{BINDINGS}/p-binding"), deny).await.expect(200);
    api.post(CONFIG_MAPS, config_map("bad2", json!({}))).await.expect(201);
    api.merge("/api/v1/namespaces/default", json!({"metadata": {"labels": {"strict": "yes"}}}))
        .await
        .expect(200);
    api.post(CONFIG_MAPS, config_map("bad3", json!({}))).await.expect(422);
    api.delete(&format!("{BINDINGS}/p-binding"), json!({})).await.expect(200);
    api.post(CONFIG_MAPS, config_map("bad3", json!({}))).await.expect(201);
}

#[tokio::test]
async fn rules_see_the_request_the_old_object_and_the_namespace() {
    for (expression, holds) in [
        ("request.operation == 'CREATE' && request.userInfo.username == 'admin'", true),
        (
            "request.resource.resource == 'configmaps' && request.namespace == 'default' && request.name == 'a'",
            true,
        ),
        ("oldObject == null", true),
        ("namespaceObject.metadata.name == 'default'", true),
        ("authorizer.group('').resource('pods').namespace('default').check('create').allowed()", true),
        ("authorizer.requestResource.check('create').allowed()", true),
        ("object.data.k == 'v' && size(object.data) == 1", true),
        ("has(object.immutable)", false),
        ("request.dryRun", false),
    ] {
        let api = bound(rule(expression), &["Deny"], json!({})).await;
        let answer = api.post(CONFIG_MAPS, config_map("a", json!({"k": "v"}))).await;
        assert_eq!(answer.status.as_u16(), if holds { 201 } else { 422 }, "{expression}: {}", answer.body);
    }
    let api =
        bound(rule("oldObject == null || oldObject.data.k == object.data.k"), &["Deny"], json!({})).await;
    api.post(CONFIG_MAPS, config_map("a", json!({"k": "v"}))).await.expect(201);
    api.merge(&format!("{CONFIG_MAPS}/a"), json!({"data": {"k": "w"}})).await.expect(422);
    api.merge(&format!("{CONFIG_MAPS}/a"), json!({"data": {"l": "w"}})).await.expect(200);
}

#[tokio::test]
async fn variables_build_on_one_another() {
    let spec = json!({
        "variables": [
            {"name": "data", "expression": "has(object.data) ? object.data : {}"},
            {"name": "long", "expression": "variables.data.filter(k, k.size() > 3)"},
        ],
        "matchConditions": [{"name": "not-mine", "expression": "!object.metadata.name.startsWith('my-')"}],
        "validations": [{"expression": "variables.long.size() == 0", "messageExpression": "'too long: ' + variables.long.join(',')"}],
    });
    let api = bound(spec, &["Deny"], json!({})).await;
    api.post(CONFIG_MAPS, config_map("a", json!({"abc": ""}))).await.expect(201);
    let refused = api.post(CONFIG_MAPS, config_map("b", json!({"abcd": ""}))).await.expect(422);
    assert!(refused["message"].as_str().is_some_and(|text| text.ends_with("too long: abcd")), "{refused}");
    api.post(CONFIG_MAPS, config_map("my-b", json!({"abcd": ""}))).await.expect(201);
}

#[tokio::test]
async fn parameters_come_from_objects() {
    let mut spec = rule("int(params.data.most) >= size(object.data)");
    spec["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    spec["matchConditions"] = json!([{"name": "others", "expression": "object.metadata.name != 'limits'"}]);
    let reference = json!({"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}});
    let api = bound(spec, &["Deny"], reference).await;
    let two = json!({"a": "", "b": ""});
    let refused = api.post(CONFIG_MAPS, config_map("x", two.clone())).await.expect(422);
    let why = "failed to configure binding: no params found";
    assert!(refused["message"].as_str().is_some_and(|text| text.contains(why)), "{refused}");
    api.merge(
        &format!("{BINDINGS}/p-binding"),
        json!({"spec": {"paramRef": {"parameterNotFoundAction": "Allow"}}}),
    )
    .await
    .expect(200);
    api.post(CONFIG_MAPS, config_map("limits", json!({"most": "1"}))).await.expect(201);
    api.post(CONFIG_MAPS, config_map("x", two.clone())).await.expect(422);
    api.merge(&format!("{CONFIG_MAPS}/limits"), json!({"data": {"most": "2"}})).await.expect(200);
    api.post(CONFIG_MAPS, config_map("x", two)).await.expect(201);
}

#[tokio::test]
async fn errors_count_as_the_failure_policy_says_and_nothing_runs_for_ever() {
    let missing = "object.data.nope == 'x'";
    let api = bound(rule(missing), &["Deny"], json!({})).await;
    let refused = api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(422);
    let why = format!("expression '{missing}' resulted in error: no such key: ");
    assert!(refused["message"].as_str().is_some_and(|text| text.contains(&why)), "{refused}");
    let ignoring = json!({"failurePolicy": "Ignore", "validations": [{"expression": missing}]});
    let api = bound(ignoring, &["Deny"], json!({})).await;
    api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(201);
    let list = format!("[{}]", vec!["1"; 200].join(","));
    let endless = format!("{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, true))))");
    let api = bound(rule(&endless), &["Deny"], json!({})).await;
    let refused = api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(422);
    assert!(
        refused["message"].as_str().is_some_and(|text| text.contains("cost limit exceeded")),
        "{refused}"
    );
}

#[tokio::test]
async fn what_cannot_work_is_refused_when_it_is_written() {
    let api = Api::start().await;
    for (spec, field) in [
        (rule("nope == 1"), "spec.validations[0].expression"),
        (rule("1 +"), "spec.validations[0].expression"),
        (rule("'text'"), "spec.validations[0].expression"),
        (rule("params == null"), "spec.validations[0].expression"),
        (rule("variables.nope == 1"), "spec.validations[0].expression"),
        (
            json!({"validations": [{"expression": "true", "messageExpression": "1"}]}),
            "spec.validations[0].messageExpression",
        ),
        (json!({"validations": [{"expression": "true", "reason": "Because"}]}), "spec.validations[0].reason"),
        (json!({"validations": []}), "spec.validations"),
    ] {
        let refused = api.post(POLICIES, policy("p", spec)).await.expect(422);
        let causes = refused["details"]["causes"].as_array().expect("causes").clone();
        assert!(causes.iter().any(|cause| cause["field"] == field), "{refused}");
    }
    for actions in [&[][..], &["Deny", "Warn"], &["Shout"]] {
        api.post(BINDINGS, binding("p", actions, json!({}))).await.expect(422);
    }
    let made = api.post(POLICIES, policy("p", rule("true"))).await.expect(201);
    assert_eq!(made["spec"]["failurePolicy"], "Fail");
    assert_eq!(made["spec"]["matchConstraints"]["matchPolicy"], "Equivalent");
    assert_eq!(made["spec"]["matchConstraints"]["resourceRules"][0]["scope"], "*");
}

/// As the controller of a cluster words it.
#[tokio::test]
async fn expressions_are_checked_for_the_kinds_that_a_policy_names() {
    let api = Api::start().await;
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "typed"}, "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["deployments", "*/scale"]}]},
            "variables": [{"name": "spec", "expression": "object.spec"}],
            "validations": [{"expression": "object.spec.replicas > 1 && variables.spec.paused"},
                {"expression": "object.nope == 1"}, {"expression": "variables.spec.replicas.startsWith('x')"}]}});
    api.post("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", policy).await.expect(201);
    let path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/typed";
    let status = loop {
        let shown = api.get(path).await.expect(200);
        if shown["status"]["observedGeneration"] == 1 {
            break shown["status"].clone();
        }
        tokio::task::yield_now().await;
    };
    let warnings = status["typeChecking"]["expressionWarnings"].as_array().expect("warnings");
    let fields: Vec<&Value> = warnings.iter().map(|warning| &warning["fieldRef"]).collect();
    assert_eq!(fields, ["spec.validations[1].expression", "spec.validations[2].expression"]);
    let first = "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'nope'\n | object.nope == 1\n | ......^\n";
    assert_eq!(warnings[0]["warning"], first);
}
