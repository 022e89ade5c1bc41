//! The audit log of a server.

mod common;
#[path = "common/webhook.rs"]
mod hooks;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apiserver::audit::{Audit, Count, Log, Policy, Rotation};
use apiserver::{ApiServer, Body, body};
use common::{Api, CONFIG_MAPS, config_map};
use effects::SystemClock;
use hooks::{MUTATING, WebhookServer, configuration, patching, webhook};
use http::{Request, StatusCode};
use serde_json::{Value, json};

/// A server with an audit log.
struct Audited {
    api: Api,
    log: Arc<Log>,
    folder: tempfile::TempDir,
}

impl Audited {
    async fn start(rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let policy =
            format!("{{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], {rules}}}");
        let policy = Policy::parse(&policy).expect("a policy");
        let path = folder.path().join("audit.log");
        let log = Log::open(&path, Rotation::default(), Arc::new(SystemClock)).expect("a log");
        let log = Arc::new(log);
        let audit = Audit::new(policy, Arc::clone(&log));
        let api = Api::with(|builder| builder.audit(Some(audit))).await;
        let audited = Self { api, log, folder };
        // What the start wrote is of no interest; it must be written before it can be removed.
        audited.events();
        std::fs::write(&path, "").expect("an empty log");
        audited
    }

    /// All events so far.
    fn events(&self) -> Vec<Value> {
        assert!(self.log.flush(Duration::from_secs(30)));
        let text = std::fs::read_to_string(self.path()).expect("a log");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn path(&self) -> std::path::PathBuf {
        Path::join(self.folder.path(), "audit.log")
    }
}

fn told(events: &[Value]) -> Vec<(&str, &str, u64)> {
    let told = events.iter().map(|event| {
        let text = |field: &str| event[field].as_str().unwrap_or_default();
        (text("stage"), text("verb"), event["responseStatus"]["code"].as_u64().unwrap_or(0))
    });
    told.collect()
}

#[tokio::test]
async fn requests_are_written_as_the_policy_says() {
    let audited = Audited::start(
        "omitManagedFields: true, rules: [\
        {level: Metadata, resources: [{group: '', resources: [secrets]}]},\
        {level: RequestResponse, resources: [{group: '', resources: [configmaps]}], verbs: [create, watch, delete]}]",
    )
    .await;
    let api = &audited.api;
    api.post(CONFIG_MAPS, config_map("a", json!({"k": "v"}))).await.expect(201);
    api.get(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hush"}});
    api.post("/api/v1/namespaces/default/secrets", secret).await.expect(201);
    api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(409);
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    while watch.next_name().await.1 != "a" {}
    drop(watch);
    api.delete(&format!("{CONFIG_MAPS}/a"), json!({"kind": "DeleteOptions", "apiVersion": "v1"}))
        .await
        .expect(200);

    let events = audited.events();
    assert_eq!(
        told(&events),
        [
            ("ResponseComplete", "create", 201),
            ("ResponseComplete", "create", 201),
            ("ResponseComplete", "create", 409),
            ("ResponseStarted", "watch", 200),
            ("ResponseComplete", "watch", 200),
            ("ResponseComplete", "delete", 200),
        ]
    );
    let made = &events[0];
    let fields: Vec<&str> = made.as_object().expect("an object").keys().map(String::as_str).collect();
    let names = "kind apiVersion level auditID stage requestURI verb user sourceIPs userAgent objectRef responseStatus \
        requestObject responseObject requestReceivedTimestamp stageTimestamp annotations";
    assert_eq!(fields, names.split(' ').collect::<Vec<_>>());
    assert_eq!(
        made["objectRef"],
        json!({"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"})
    );
    assert_eq!(
        (&made["requestObject"]["data"]["k"], &made["responseObject"]["data"]["k"]),
        (&json!("v"), &json!("v"))
    );
    assert_eq!(
        (&made["responseObject"]["metadata"]["managedFields"], &made["user"]["username"]),
        (&Value::Null, &json!("admin"))
    );
    assert_eq!(
        made["annotations"],
        json!({"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""})
    );
    assert!(!events[1].to_string().contains("hush") && events[1]["requestObject"].is_null(), "{}", events[1]);
    assert_eq!((&events[1]["level"], &events[1]["objectRef"]["name"]), (&json!("Metadata"), &json!("s")));
    assert_eq!(events[2]["responseStatus"]["reason"], "AlreadyExists");
    assert_eq!(events[5]["requestObject"]["kind"], "DeleteOptions");
    assert_eq!(
        (&events[5]["responseStatus"]["status"], &events[5]["responseStatus"]["details"]["name"]),
        (&json!("Success"), &json!("a"))
    );
}

#[tokio::test]
async fn changes_and_identities_are_told() {
    let audited = Audited::start("rules: [{level: Request}]").await;
    let api = &audited.api;
    api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(201);
    api.merge(&format!("{CONFIG_MAPS}/a"), json!({"data": {"k": "x"}})).await.expect(200);
    api.apply(&format!("{CONFIG_MAPS}/b"), "m", config_map("b", json!({"z": "1"}))).await.expect(201);
    let request = Request::get(CONFIG_MAPS).header("impersonate-user", "nobody").header("audit-id", "chosen");
    let request =
        request.header("x-forwarded-for", "10.1.2.3, 10.9.9.9").body(body::empty()).expect("a request");
    send(&api.server, request).await;

    let events = audited.events();
    let sent: Vec<&Value> = events.iter().map(|event| &event["requestObject"]).collect();
    assert_eq!((&sent[1]["data"], &sent[2]["data"]), (&json!({"k": "x"}), &json!({"z": "1"})));
    assert!(events.iter().all(|event| event["responseObject"].is_null()));
    let other = &events[3];
    assert_eq!(
        (&other["auditID"], &other["user"]["username"], &other["impersonatedUser"]),
        (
            &json!("chosen"),
            &json!("admin"),
            &json!({"username": "nobody", "groups": ["system:authenticated"]})
        )
    );
    assert_eq!(other["sourceIPs"], json!(["10.1.2.3", "10.9.9.9", "127.0.0.1"]));
    assert_eq!(
        (&other["responseStatus"]["code"], &other["annotations"]["authorization.k8s.io/decision"]),
        (&json!(403), &json!("forbid"))
    );
}

async fn send(server: &ApiServer, request: Request<Body>) -> StatusCode {
    use tower::ServiceExt as _;
    let admin = apiserver::auth::identity::administrator("admin");
    server.in_process(admin).oneshot(request).await.expect("an answer").status()
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_is_told_as_such() {
    let audited = Audited::start("rules: [{level: Metadata}]").await;
    let server = &audited.api.server;
    let never = http_body_util::StreamBody::new(futures::stream::pending());
    let request =
        Request::post(CONFIG_MAPS).body(http_body_util::BodyExt::boxed_unsync(never)).expect("a request");
    let given_up = tokio::time::timeout(Duration::from_millis(50), send(server, request)).await;
    assert!(given_up.is_err());
    let events = audited.events();
    assert_eq!(told(&events), [("ResponseComplete", "create", 504)]);
    assert_eq!(audited.log.count(), Count { events: audited.log.count().events, lost: 0 });
}

#[tokio::test]
async fn what_webhooks_and_policies_say_is_noted() {
    let audited =
        Audited::start("rules: [{level: Request, resources: [{group: '', resources: [configmaps]}]}]").await;
    let api = &audited.api;
    let server = WebhookServer::start(|path, _| match path {
        "/change" => {
            let mut answer = patching(&json!([{"op": "add", "path": "/data/added", "value": "1"}]));
            answer["auditAnnotations"] = json!({"seen": "yes"});
            answer
        }
        _ => json!({"uid": "another"}),
    })
    .await;
    let hook =
        |name: &str| webhook(name, server.client(&format!("/{name}")), json!({"failurePolicy": "Ignore"}));
    let configured = configuration("MutatingWebhookConfiguration", "c", vec![hook("change"), hook("broken")]);
    api.post(MUTATING, configured).await.expect(201);
    let base = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["configmaps"]}]},
            "validations": [{"expression": "true"}, {"expression": "false", "message": "it is bad"}],
            "auditAnnotations": [{"key": "k", "valueExpression": "'name ' + object.metadata.name"}],
        },
    });
    api.post(&format!("{base}/validatingadmissionpolicies"), policy).await.expect(201);
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Warn", "Audit"]},
    });
    api.post(&format!("{base}/validatingadmissionpolicybindings"), binding).await.expect(201);
    api.post(CONFIG_MAPS, config_map("a", json!({"k": "v"}))).await.expect(201);

    let events = audited.events();
    let notes = events.last().expect("an event")["annotations"].clone();
    let parsed = |key: &str| -> Value {
        serde_json::from_str(notes[key].as_str().unwrap_or_default()).unwrap_or_default()
    };
    assert_eq!(
        (&notes["change.example.test/seen"], &notes["p/k"]),
        (&json!("yes"), &json!("name a")),
        "{notes}"
    );
    assert_eq!(
        parsed("mutation.webhook.admission.k8s.io/round_0_index_0"),
        json!({"configuration": "c", "webhook": "change.example.test", "mutated": true})
    );
    let patch = parsed("patch.webhook.admission.k8s.io/round_0_index_0");
    assert_eq!((&patch["patchType"], &patch["patch"][0]["op"]), (&json!("JSONPatch"), &json!("add")));
    assert_eq!(notes["failed-open.mutating.webhook.admission.k8s.io/round_0_index_1"], "broken.example.test");
    assert_eq!(
        parsed("validation.policy.admission.k8s.io/validation_failure"),
        json!([{"message": "it is bad", "policy": "p", "binding": "b", "expressionIndex": 1,
            "validationActions": ["Warn", "Audit"]}])
    );
}
