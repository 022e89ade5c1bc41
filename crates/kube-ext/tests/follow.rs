//! A cache against a scripted server: lists, changes, a lost revision, and answers of own writes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use effects::{SeededEntropy, VirtualClock};
use http::{Request, Response};
use http_body_util::Full;
use jiff::Timestamp;
use kube_ext::{Api, Cache, Change, Context, Key, PartialObject, Tasks, in_process, resources};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Answers in the order in which they are given, then nothing but empty watches.
#[derive(Clone)]
struct Script(Arc<Mutex<(Vec<&'static str>, std::collections::VecDeque<String>)>>);

impl Script {
    fn new(answers: Vec<String>) -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), answers.into()))))
    }

    fn answer(&self, query: &str) -> String {
        let mut script = self.0.lock();
        let (asked, answers) = &mut *script;
        asked.push(if query.contains("watch=1") { "watch" } else { "list" });
        answers.pop_front().unwrap_or_default()
    }

    fn asked(&self) -> Vec<&'static str> {
        self.0.lock().0.clone()
    }
}

fn pod(name: &str, uid: &str, version: u64) -> Value {
    json!({"metadata": {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": version.to_string()}})
}

fn list(version: u64, items: Vec<Value>) -> String {
    json!({"metadata": {"resourceVersion": version.to_string()}, "items": items}).to_string()
}

fn events(events: &[(&str, Value)]) -> String {
    events.iter().map(|(kind, object)| json!({"type": kind, "object": object}).to_string() + "\n").collect()
}

/// Runs a cache of Pods' identities against the script; returns what it told, the cache and the script.
async fn follow(answers: Vec<String>) -> (Vec<String>, Cache<String>, Script) {
    let script = Script::new(answers);
    let server = script.clone();
    let service = tower::service_fn(move |request: Request<_>| {
        let _: &Request<kube::client::Body> = &request;
        let body = server.answer(request.uri().query().unwrap_or_default());
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body)))) }
    });
    let clock = Arc::new(VirtualClock::new(Timestamp::UNIX_EPOCH));
    let context = Context::new(in_process(service, "follower"), clock, Arc::new(SeededEntropy::new(1)));
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Tasks::new();
    let notes = Arc::clone(&told);
    let pods = Api::<PartialObject>::of(&context.client, resources::POD);
    let cache = Cache::builder(pods, |pod| Some(pod.metadata.uid))
        .on_change(move |change| {
            notes.lock().push(match change {
                Change::Applied { key, before: None, after } => format!("{} is new: {after}", key.name),
                Change::Applied { key, after, .. } => format!("{} is now {after}", key.name),
                Change::Removed { key, .. } => format!("{} is gone", key.name),
            });
        })
        .start(&context, &mut tasks);
    tasks.run(tokio::time::sleep(Duration::from_secs(3))).await;
    let told = told.lock().clone();
    (told, cache, script)
}

#[tokio::test(start_paused = true)]
async fn a_lost_revision_is_made_up_for_by_a_list() {
    let gone = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"});
    let (told, cache, script) = follow(vec![
        list(5, vec![pod("a", "a1", 3), pod("b", "b1", 4)]),
        events(&[("MODIFIED", pod("a", "a1", 6)), ("DELETED", pod("b", "b1", 7)), ("ERROR", gone)]),
        list(20, vec![pod("a", "a2", 12), pod("c", "c1", 13)]),
    ])
    .await;
    assert_eq!(told, ["a is new: a1", "b is new: b1", "b is gone", "a is now a2", "c is new: c1"]);
    assert_eq!(script.asked()[..4], ["list", "watch", "list", "watch"]);
    assert_eq!(cache.all().len(), 2);
}

/// The watch of a server that has not reached the revision.
fn ahead() -> String {
    let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
    let status = json!({"kind": "Status", "status": "Failure", "code": 504, "reason": "Timeout",
        "message": "Timeout: Too large resource version: 50, current: 7", "details": {"causes": [cause]}});
    events(&[("ERROR", status)])
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lags_is_waited_for() {
    let mut answers = vec![list(50, vec![pod("a", "a1", 40)])];
    answers.extend([ahead(), ahead(), ahead(), events(&[("MODIFIED", pod("a", "a2", 51))])]);
    let (told, _, script) = follow(answers).await;
    assert_eq!(told, ["a is new: a1", "a is now a2"]);
    assert!(!script.asked()[1..].contains(&"list"), "{:?}", script.asked());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_put_back_is_listed_again() {
    let mut answers = vec![list(50, vec![pod("a", "a1", 40), pod("b", "b1", 41), pod("c", "c1", 3)])];
    answers.extend([ahead(), ahead(), ahead(), ahead()]);
    // What is known of `a` is newer by number, and is not what the server has now.
    answers.push(list(7, vec![pod("a", "a0", 2), pod("c", "c1", 3)]));
    answers.push(events(&[("MODIFIED", pod("a", "a9", 8))]));
    let (told, cache, script) = follow(answers).await;
    assert_eq!(told[3..], ["a is now a0", "b is gone", "a is now a9"]);
    assert_eq!(script.asked()[..7], ["list", "watch", "watch", "watch", "watch", "list", "watch"]);
    assert_eq!(cache.all().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_new_list_lacks_is_gone() {
    let gone =
        json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Gone", "message": "too old"});
    let (told, ..) =
        follow(vec![list(5, vec![pod("a", "a1", 3)]), events(&[("ERROR", gone)]), list(9, vec![])]).await;
    assert_eq!(told, ["a is new: a1", "a is gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_list_is_tried_again() {
    let (told, cache, _) = follow(vec!["no JSON".to_owned(), list(5, vec![pod("a", "a1", 3)])]).await;
    assert_eq!(told, ["a is new: a1"]);
    cache.synced().await;
}

#[tokio::test(start_paused = true)]
async fn answers_of_own_writes_count_until_the_watch_is_newer() {
    let (_, cache, _) =
        follow(vec![list(5, vec![pod("a", "a1", 3)]), events(&[("DELETED", pod("a", "a1", 8))])]).await;
    let key = |name: &str| Key::new("shop", name);
    cache.observe(key("a"), "7", Some("a1".to_owned()));
    assert_eq!(cache.get(&key("a")), None, "it was deleted after that");
    cache.observe(key("d"), "9", Some("d1".to_owned()));
    assert_eq!(cache.read(&key("d")).unwrap().1, "9");
    cache.observe(key("d"), "8", Some("older".to_owned()));
    assert_eq!(*cache.get(&key("d")).unwrap(), "d1");
}
