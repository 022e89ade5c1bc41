//! Priority and fairness: who waits, who is put off, and who never is.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use apiserver::auth::identity;
use apiserver::server::Settings;
use apiserver::{ApiServer, Body, body};
use common::{Api, CONFIG_MAPS, config_map};
use effects::VirtualClock;
use futures::FutureExt as _;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use machinery::admission::UserInfo;
use serde_json::{Value, json};

const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";
const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";

/// A user who may read everything.
fn reader(name: &str) -> UserInfo {
    identity::user(name, ["readers".to_owned()])
}

/// Sends a request as it comes from the network. Its seats are taken for as long as the answer is held.
async fn from_outside(server: &ApiServer, user: UserInfo, path: &str) -> Response<Body> {
    let mut request = Request::get(path).body(body::empty()).expect("a request");
    request.extensions_mut().insert(user);
    server.handle(request).await
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

async fn start(seats: u32, clock: Option<Arc<VirtualClock>>) -> Api {
    let api = Api::with(|builder| {
        let builder = builder.settings(Settings { seats, ..Settings::default() });
        match clock {
            Some(clock) => builder.clock(clock),
            None => builder,
        }
    })
    .await;
    let binding = json!({"metadata": {"name": "readers"}, "subjects": [{"kind": "Group", "name": "readers"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}});
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await.expect(201);
    api
}

/// Has a level of its own for a user's requests in a namespace.
async fn level(api: &Api, user: &str, response: Value) -> (Value, Value) {
    let level = json!({"metadata": {"name": user}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": response}}});
    let schema = json!({"metadata": {"name": user}, "spec": {"matchingPrecedence": 50,
        "priorityLevelConfiguration": {"name": user}, "distinguisherMethod": {"type": "ByUser"}, "rules": [{
            "subjects": [{"kind": "User", "user": {"name": user}}], "resourceRules": [{
                "verbs": ["get", "list"], "apiGroups": [""], "resources": ["configmaps"], "namespaces": ["default"]}]}]}});
    let level = api.post(LEVELS, level).await.expect(201);
    (level, api.post(SCHEMAS, schema).await.expect(201))
}

fn one_queue() -> Value {
    json!({"type": "Queue", "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": 2}})
}

/// Waits until an object is as wanted.
async fn until(api: &Api, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..600 {
        let answer = api.get(path).await;
        if answer.status == 200 && wanted(&answer.body) {
            return answer.body;
        }
        last = answer.body;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    unreachable!("{path} is not as it must become: {last}");
}

fn dangling(schema: &Value) -> (&str, &str) {
    let condition = &schema["status"]["conditions"][0];
    assert_eq!(condition["type"], "Dangling", "{schema}");
    (condition["status"].as_str().expect("text"), condition["reason"].as_str().expect("text"))
}

#[tokio::test]
async fn what_every_server_has_is_there_and_stays() {
    let api = Api::start().await;
    let names = async |path: &str| {
        let list = api.get(path).await.expect(200);
        let items = list["items"].as_array().expect("items").clone();
        items
            .into_iter()
            .map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(LEVELS).await,
        [
            "catch-all",
            "exempt",
            "global-default",
            "leader-election",
            "node-high",
            "system",
            "workload-high",
            "workload-low"
        ]
    );
    assert_eq!(names(SCHEMAS).await.len(), 11);
    let schema = api.get(&format!("{SCHEMAS}/system-nodes")).await.expect(200);
    assert_eq!(dangling(&schema), ("False", "Found"));
    for path in [format!("{LEVELS}/exempt"), format!("{SCHEMAS}/catch-all"), format!("{SCHEMAS}/probes")] {
        let before = api.get(&path).await.expect(200)["metadata"]["uid"].clone();
        api.delete(&path, json!({})).await.expect(200);
        until(&api, &path, |object| object["metadata"]["uid"] != before).await;
    }
    // What users may not change, and what they may.
    let refused =
        api.merge(&format!("{LEVELS}/catch-all"), json!({"spec": {"limited": {"lendablePercent": 9}}})).await;
    let message = refused.expect(422)["message"].to_string();
    assert!(message.contains("spec of 'catch-all' must equal the fixed value"), "{message}");
    let shares = |number: u32| json!({"spec": {"limited": {"nominalConcurrencyShares": number}}});
    let system = format!("{LEVELS}/system");
    api.merge(&system, shares(77)).await.expect(200);
    let number = |object: &Value| object["spec"]["limited"]["nominalConcurrencyShares"].clone();
    until(&api, &system, |object| number(object) == 30).await;
    let mine = json!({"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}}});
    api.merge(&system, mine).await.expect(200);
    api.merge(&system, shares(77)).await.expect(200);
    api.delete(&format!("{SCHEMAS}/probes"), json!({})).await.expect(200);
    until(&api, &format!("{SCHEMAS}/probes"), |_| true).await;
    assert_eq!(number(&api.get(&system).await.expect(200)), 77, "with the schema it was looked at again");
}

#[tokio::test]
async fn objects_that_nobody_could_obey_are_refused() {
    let api = Api::start().await;
    let rules = json!([{"subjects": [{"kind": "User", "user": {"name": "a"}}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}]);
    let schema = |change: Value| {
        let mut spec =
            json!({"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 9, "rules": rules});
        for (field, value) in change.as_object().expect("fields") {
            spec[field] = value.clone();
        }
        json!({"metadata": {"name": "s"}, "spec": spec})
    };
    let table = [
        (schema(json!({"matchingPrecedence": 10_001})), "must not be greater than 10000"),
        (
            schema(json!({"matchingPrecedence": 1})),
            "only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (schema(json!({"priorityLevelConfiguration": {"name": ""}})), "must reference a priority level"),
        (
            schema(json!({"distinguisherMethod": {"type": "ByMood"}})),
            "supported values: \"ByNamespace\", \"ByUser\"",
        ),
        (schema(json!({"rules": [{"subjects": []}]})), "subjects must contain at least one value"),
        (
            schema(json!({"rules": [{"subjects": [{"kind": "User", "group": {"name": "g"}}]}]})),
            "user is required when subject kind is 'User'",
        ),
    ];
    for (object, why) in table {
        let refused = api.post(SCHEMAS, object.clone()).await.expect(422);
        let message = refused["message"].as_str().expect("a message");
        assert!(message.contains(why), "{object}: {message}");
    }
    let level = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let queuing = |queuing: Value| {
        level(
            "l",
            json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}}),
        )
    };
    let table = [
        (level("l", json!({"type": "Exempt"})), "must be 'Exempt' if and only if `name` is 'exempt'"),
        (level("l", json!({"type": "Limited"})), "must not be empty when type is Limited"),
        (queuing(json!({"queues": 4, "handSize": 5})), "should not be greater than queues (4)"),
        (
            queuing(json!({"queues": 1024, "handSize": 7})),
            "required entropy bits of deckSize 1024 and handSize 7",
        ),
        (queuing(json!({"queueLengthLimit": -1})), "must be positive"),
    ];
    for (object, why) in table {
        let refused = api.post(LEVELS, object.clone()).await.expect(422);
        let message = refused["message"].as_str().expect("a message");
        assert!(message.contains(why), "{object}: {message}");
    }
    let made = api.post(LEVELS, queuing(json!({}))).await.expect(201);
    let limited = &made["spec"]["limited"];
    assert_eq!(
        limited["limitResponse"]["queuing"],
        json!({"queues": 64, "handSize": 8, "queueLengthLimit": 50})
    );
    assert_eq!(limited["nominalConcurrencyShares"], 30);
    api.post(SCHEMAS, schema(json!({"matchingPrecedence": 0}))).await.expect(201);
    until(&api, &format!("{SCHEMAS}/s"), |schema| !schema["status"]["conditions"].is_null()).await;
}

#[tokio::test]
async fn schemas_are_obeyed_at_once_and_say_when_their_level_is_gone() {
    let api = start(100, None).await;
    let uid = async |path: String| {
        api.get(&path).await.expect(200)["metadata"]["uid"].as_str().expect("text").to_owned()
    };
    let ask = async |user: UserInfo, path: &str| {
        let response = from_outside(&api.server, user, path).await;
        let uid = |name| header(&response, name).to_owned();
        (uid("x-kubernetes-pf-flowschema-uid"), uid("x-kubernetes-pf-prioritylevel-uid"))
    };
    let default =
        (uid(format!("{SCHEMAS}/global-default")).await, uid(format!("{LEVELS}/global-default")).await);
    let exempt = (uid(format!("{SCHEMAS}/exempt")).await, uid(format!("{LEVELS}/exempt")).await);
    assert_eq!(ask(reader("eve"), CONFIG_MAPS).await, default);
    assert_eq!(ask(identity::administrator("root"), CONFIG_MAPS).await, exempt);
    assert_eq!(ask(identity::component("nobody"), CONFIG_MAPS).await, default, "refusals have them, too");
    assert_eq!(ask(reader("eve"), "/healthz").await.1, exempt.1);
    let (level, schema) = level(&api, "eve", json!({"type": "Reject"})).await;
    let uids = [&schema, &level].map(|object| object["metadata"]["uid"].as_str().expect("text").to_owned());
    let [schema_uid, level_uid] = uids;
    assert_eq!(ask(reader("eve"), CONFIG_MAPS).await, (schema_uid, level_uid));
    assert_eq!(ask(reader("eve"), "/api/v1/namespaces/default/pods").await, default);
    assert_eq!(ask(reader("adam"), CONFIG_MAPS).await, default);
    let path = format!("{SCHEMAS}/eve");
    until(&api, &path, |schema| {
        !schema["status"]["conditions"].is_null() && dangling(schema) == ("False", "Found")
    })
    .await;
    api.delete(&format!("{LEVELS}/eve"), json!({})).await.expect(200);
    assert_eq!(ask(reader("eve"), CONFIG_MAPS).await, default);
    let schema = until(&api, &path, |schema| dangling(schema) == ("True", "NotFound")).await;
    assert_eq!(
        schema["status"]["conditions"][0]["message"],
        "This FlowSchema references the PriorityLevelConfiguration object named \"eve\" but there is no such object"
    );
}

#[tokio::test]
async fn who_finds_no_seat_is_put_off_and_nobody_else() {
    let api = start(100, None).await;
    level(&api, "eve", json!({"type": "Reject"})).await;
    let taken = from_outside(&api.server, reader("eve"), CONFIG_MAPS).await;
    assert_eq!(taken.status(), 200);
    let put_off = from_outside(&api.server, reader("eve"), CONFIG_MAPS).await;
    assert_eq!((put_off.status().as_u16(), header(&put_off, "retry-after")), (429, "1"));
    assert_ne!(header(&put_off, "x-kubernetes-pf-flowschema-uid"), "");
    let text = put_off.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(text, "Too many requests, please try again later.\n");
    assert_eq!(from_outside(&api.server, reader("adam"), CONFIG_MAPS).await.status(), 200);
    api.get(CONFIG_MAPS).await.expect(200);
    let metrics = api.get("/metrics").await.expect(200);
    let labels = "flow_schema=\"eve\",priority_level=\"eve\"";
    for line in [
        format!("apiserver_flowcontrol_rejected_requests_total{{{labels},reason=\"concurrency-limit\"}} 1"),
        format!("apiserver_flowcontrol_dispatched_requests_total{{{labels}}} 1"),
        format!("apiserver_flowcontrol_current_executing_seats{{{labels}}} 1"),
        "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"eve\"} 1".to_owned(),
    ] {
        assert!(metrics.as_str().expect("text").contains(&line), "{line} in {metrics}");
    }
    drop(taken);
    let watch = format!("{CONFIG_MAPS}?watch=true&resourceVersion=1");
    assert_eq!(from_outside(&api.server, reader("eve"), CONFIG_MAPS).await.status(), 200);
    let _watch = from_outside(&api.server, reader("eve"), &watch).await;
    assert_eq!(
        from_outside(&api.server, reader("eve"), CONFIG_MAPS).await.status(),
        200,
        "a watch takes no seat"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_has_an_end() {
    let clock = Arc::new(VirtualClock::new(Timestamp::UNIX_EPOCH));
    let api = start(100, Some(Arc::clone(&clock))).await;
    level(&api, "eve", one_queue()).await;
    let ask = || from_outside(&api.server, reader("eve"), CONFIG_MAPS);
    let taken = ask().await;
    let began = effects::Clock::elapsed(&*clock);
    assert_eq!(ask().await.status(), 429);
    let waited = effects::Clock::elapsed(&*clock).saturating_sub(began);
    assert_eq!(waited.as_secs(), 15, "a quarter of a request's time");
    // Who goes away leaves the place to others.
    for _ in 0..5 {
        assert!(ask().now_or_never().is_none());
    }
    let waiting = ask();
    tokio::pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(taken);
    assert_eq!(waiting.await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_lists_holds_up_neither_others_nor_ourselves() {
    let api = Arc::new(start(24, None).await);
    let data = "x".repeat(4000);
    for number in 0..200 {
        api.post(CONFIG_MAPS, config_map(&format!("map-{number}"), json!({"data": data}))).await.expect(201);
    }
    let (over, lists) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let storm: Vec<_> = (0..100)
        .map(|_| {
            let (api, over, lists) = (Arc::clone(&api), Arc::clone(&over), Arc::clone(&lists));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let answer = from_outside(&api.server, reader("greedy"), "/api/v1/configmaps").await;
                    assert!(matches!(answer.status().as_u16(), 200 | 429));
                    lists.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    while lists.load(Ordering::Relaxed) < 20 {
        tokio::task::yield_now().await;
    }
    let one = format!("{CONFIG_MAPS}/map-1");
    let mut meanwhile = Vec::new();
    for user in [reader("modest"), identity::component("system:kube-scheduler")] {
        for _ in 0..10 {
            let before = lists.load(Ordering::Relaxed);
            let answer = from_outside(&api.server, user.clone(), &one).await;
            assert_ne!(answer.status(), 429, "{}", user.username);
            meanwhile.push(lists.load(Ordering::Relaxed) - before);
        }
    }
    for number in 0..10 {
        api.post(CONFIG_MAPS, config_map(&format!("own-{number}"), json!({}))).await.expect(201);
    }
    over.store(true, Ordering::Relaxed);
    for list in storm {
        list.await.expect("no panic");
    }
    let metrics = api.get("/metrics").await.expect(200);
    let shown = metrics.as_str().expect("text");
    let queued = "apiserver_flowcontrol_request_wait_duration_seconds_count{execute=\"true\",flow_schema=\"global-default\"";
    assert!(shown.contains(queued), "{shown}");
    // A hundred of them waited; who came between waited for a few.
    meanwhile.sort_unstable();
    assert!(meanwhile[meanwhile.len() / 2] < 50, "{meanwhile:?}");
}
