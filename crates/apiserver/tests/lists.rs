//! Lists and watches: selection, pages, past states, streams.

mod common;

use std::sync::Arc;

use common::{Api, CONFIG_MAPS, config_map};
use serde_json::{Value, json};
use store::{MemoryStore, Store as _};

async fn five(api: &Api) {
    for number in 1..=5 {
        let mut object = config_map(&format!("c{number}"), json!({}));
        object["metadata"]["labels"] = json!({"odd": (number % 2).to_string()});
        api.post(CONFIG_MAPS, object).await.expect(201);
    }
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn lists_select_and_come_in_pages() {
    let api = Api::start().await;
    five(&api).await;
    let list = async |query: &str| api.get(&format!("{CONFIG_MAPS}?{query}")).await.expect(200);
    assert_eq!(names(&list("labelSelector=odd%3D1").await), ["c1", "c3", "c5"]);
    assert_eq!(names(&list("fieldSelector=metadata.name%3Dc2").await), ["c2"]);
    let first = list("limit=2").await;
    assert_eq!(
        (names(&first), &first["metadata"]["remainingItemCount"]),
        (vec!["c1".into(), "c2".into()], &json!(3))
    );
    api.delete(&format!("{CONFIG_MAPS}/c3"), json!({})).await.expect(200);
    // The next pages show the state of the first.
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let rest = list(&format!("continue={token}")).await;
    assert_eq!(names(&rest), ["c3", "c4", "c5"]);
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let revision = first["metadata"]["resourceVersion"].as_str().expect("a revision");
    let exact = list(&format!("resourceVersion={revision}&resourceVersionMatch=Exact")).await;
    assert_eq!(names(&exact).len(), 5);
    api.get(&format!("{CONFIG_MAPS}?fieldSelector=data.x%3D1")).await.expect(400);
}

/// A list whose state was forgotten between two pages is told so, and where it may go on.
#[tokio::test]
async fn a_list_that_took_too_long_may_go_on_with_what_is_there() {
    let store = Arc::new(MemoryStore::new());
    let api = Api::on(store.clone()).await;
    five(&api).await;
    let first = api.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().expect("a token").to_owned();
    for name in ["c1", "c4"] {
        api.delete(&format!("{CONFIG_MAPS}/{name}"), json!({})).await.expect(200);
    }
    store.compact(store.revision()).await.expect("compacted");
    let refused = api.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await.expect(410);
    assert_eq!(refused["reason"], "Expired");
    let again = refused["metadata"]["continue"].as_str().expect("a token to go on with").to_owned();
    let second = api.get(&format!("{CONFIG_MAPS}?limit=1&continue={again}")).await.expect(200);
    assert_eq!(names(&second), ["c3"]);
    // From there on the pages show one state again.
    let token = second["metadata"]["continue"].as_str().expect("a token").to_owned();
    api.delete(&format!("{CONFIG_MAPS}/c5"), json!({})).await.expect(200);
    let rest = api.get(&format!("{CONFIG_MAPS}?continue={token}")).await.expect(200);
    assert_eq!(names(&rest), ["c5"]);
    let version = first["metadata"]["resourceVersion"].as_str().expect("a version");
    let past = format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact");
    let refused = api.get(&past).await.expect(410);
    assert_eq!(refused["metadata"], json!({}));
}

/// Pages come from memory where nothing of their kind changed since the first, else from the store: they are the same.
#[tokio::test]
async fn pages_show_one_state_whether_it_changes_or_not() {
    for (change, selector, all) in [
        (false, "", &["c1", "c2", "c3", "c4", "c5"][..]),
        (true, "", &["c1", "c2", "c3", "c4", "c5"]),
        (false, "&labelSelector=odd%3D1", &["c1", "c3", "c5"]),
        (true, "&labelSelector=odd%3D1", &["c1", "c3", "c5"]),
        (true, "&labelSelector=odd%3D2", &[]),
    ] {
        for limit in 1..=6 {
            let api = Api::start().await;
            five(&api).await;
            let (mut token, mut seen, mut revisions) = (String::new(), Vec::new(), Vec::new());
            loop {
                let path = format!("{CONFIG_MAPS}?limit={limit}{selector}&continue={token}");
                let page = api.get(&path).await.expect(200);
                let shown = names(&page);
                assert!(shown.len() <= limit, "{page}");
                seen.extend(shown);
                revisions.push(page["metadata"]["resourceVersion"].clone());
                token = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
                let rest = page["metadata"].get("remainingItemCount");
                let counted = !token.is_empty() && selector.is_empty();
                assert_eq!(rest, counted.then(|| json!(all.len() - seen.len())).as_ref(), "{path}");
                if token.is_empty() {
                    break;
                }
                // Changes of other kinds are none.
                let namespace = json!({"metadata": {"name": format!("n{}", seen.len())}});
                api.post("/api/v1/namespaces", namespace).await.expect(201);
                if change {
                    api.delete(&format!("{CONFIG_MAPS}/c5"), json!({})).await;
                    api.post(CONFIG_MAPS, config_map(&format!("c2-{}", seen.len()), json!({})))
                        .await
                        .expect(201);
                }
            }
            assert_eq!(seen, all, "{limit} {selector} {change}");
            revisions.dedup();
            assert_eq!(revisions.len(), 1, "{revisions:?}");
        }
    }
}

#[tokio::test]
async fn watches_follow_a_list_without_a_gap() {
    let api = Api::start().await;
    five(&api).await;
    let list = api.get(CONFIG_MAPS).await.expect(200);
    let revision = list["metadata"]["resourceVersion"].as_str().expect("a revision");
    api.merge(&format!("{CONFIG_MAPS}/c1"), json!({"data": {"x": "1"}})).await.expect(200);
    let mut lines = api.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={revision}")).await;
    api.delete(&format!("{CONFIG_MAPS}/c2"), json!({})).await.expect(200);
    api.post(CONFIG_MAPS, config_map("c6", json!({}))).await.expect(201);
    for expected in [("MODIFIED", "c1"), ("DELETED", "c2"), ("ADDED", "c6")] {
        let (kind, name) = lines.next_name().await;
        assert_eq!((kind.as_str(), name.as_str()), expected);
    }
}

/// A list may show what the cache hears of a moment later, and the watch that follows names it.
#[tokio::test]
async fn a_watch_waits_for_the_state_that_it_begins_at() {
    let api = Api::start().await;
    let now = api.get(CONFIG_MAPS).await.expect(200);
    let now: u64 =
        now["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("a number");
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", now + 1);
    let (mut lines, ()) = tokio::join!(api.watch(&path), async {
        for name in ["first", "second"] {
            api.post(CONFIG_MAPS, config_map(name, json!({}))).await.expect(201);
        }
    });
    assert_eq!(lines.next_name().await, ("ADDED".to_owned(), "second".to_owned()), "the first was there");
}

#[tokio::test]
async fn objects_enter_and_leave_a_selection() {
    let api = Api::start().await;
    let mut lines = api.watch(&format!("{CONFIG_MAPS}?watch=true&labelSelector=on%3Dyes")).await;
    let path = format!("{CONFIG_MAPS}/a");
    api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(201);
    api.merge(&path, json!({"metadata": {"labels": {"on": "yes"}}})).await.expect(200);
    api.merge(&path, json!({"data": {"x": "1"}})).await.expect(200);
    api.merge(&path, json!({"metadata": {"labels": {"on": "no"}}})).await.expect(200);
    for expected in ["ADDED", "MODIFIED", "DELETED"] {
        assert_eq!(lines.next_name().await.0, expected);
    }
}

#[tokio::test]
async fn a_streamed_list_ends_with_a_bookmark() {
    let api = Api::start().await;
    five(&api).await;
    let query =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut lines = api.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    for _ in 0..5 {
        assert_eq!(lines.next_name().await.0, "ADDED");
    }
    let bookmark = lines.next().await.expect("a bookmark");
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn events_are_listed_from_the_store() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/default/events";
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Started", "message": "m",
        "type": "Normal", "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}});
    let mut lines = api.watch(&format!("{path}?watch=true")).await;
    api.post(path, event).await.expect(201);
    assert_eq!(lines.next_name().await, ("ADDED".to_owned(), "e".to_owned()));
    let found =
        api.get(&format!("{path}?fieldSelector=involvedObject.name%3Dp,reason%3DStarted")).await.expect(200);
    assert_eq!(names(&found), ["e"]);
    let newer = "/apis/events.k8s.io/v1/namespaces/default/events";
    let shown = api.get(&format!("{newer}/e")).await.expect(200);
    assert_eq!((&shown["note"], &shown["regarding"]["name"]), (&json!("m"), &json!("p")));
    // Each group knows fields by the names that it shows. Answers of kube-apiserver 1.36 to the same requests.
    for (fields, found) in [
        ("regarding.name%3Dp,reason%3DStarted", Some(1)),
        ("regarding.kind%3DNode", Some(0)),
        ("type%3DNormal,reportingController%3D", Some(1)),
        ("metadata.name%3De,regarding.namespace!%3Dother", Some(1)),
        ("involvedObject.name%3Dp", None),
        ("reportingComponent%3D", None),
        ("source%3D", None),
        ("deprecatedSource%3D", None),
        ("note%3Dm", None),
    ] {
        let answer = api.get(&format!("{newer}?fieldSelector={fields}")).await;
        match found {
            Some(count) => assert_eq!(names(&answer.expect(200)).len(), count, "{fields}"),
            None => drop(answer.expect(400)),
        }
    }
    api.get(&format!("{path}?fieldSelector=regarding.name%3Dp")).await.expect(400);
}

#[tokio::test]
async fn options_that_contradict_are_refused_and_the_others_mean_what_they_say() {
    let api = Api::start().await;
    for name in ["a", "b"] {
        api.post(CONFIG_MAPS, config_map(name, json!({}))).await.expect(201);
    }
    let page = api.get(&format!("{CONFIG_MAPS}?limit=1")).await.expect(200);
    let token = page["metadata"]["continue"].as_str().expect("a token");
    // Answers of kube-apiserver 1.36 to the same requests.
    for (query, code) in [
        (format!("continue={token}"), 200),
        (format!("continue={token}&resourceVersionMatch=Exact"), 422),
        (format!("continue={token}&resourceVersion=0&resourceVersionMatch=NotOlderThan"), 422),
        (format!("watch=1&continue={token}"), 422),
        ("watch=1&continue=x".to_owned(), 422),
        ("resourceVersion=x&resourceVersionMatch=Exact".to_owned(), 400),
        ("resourceVersion=x&resourceVersionMatch=NotOlderThan&limit=1".to_owned(), 400),
    ] {
        api.get(&format!("{CONFIG_MAPS}?{query}")).await.expect(code);
    }
    // Who takes any state takes it whole.
    for query in ["resourceVersion=0&limit=1", "resourceVersion=0&limit=1&resourceVersionMatch=NotOlderThan"]
    {
        let all = api.get(&format!("{CONFIG_MAPS}?{query}")).await.expect(200);
        assert_eq!((names(&all).len() > 1, &all["metadata"]["continue"]), (true, &Value::Null), "{query}");
    }
    let mut quiet = api
        .watch(&format!(
            "{CONFIG_MAPS}?watch=1&resourceVersion=0&resourceVersionMatch=NotOlderThan&sendInitialEvents=false"
        ))
        .await;
    let mut one = api.watch("/api/v1/watch/namespaces/default/configmaps/b").await;
    api.post(CONFIG_MAPS, config_map("c", json!({}))).await.expect(201);
    api.merge(&format!("{CONFIG_MAPS}/b"), json!({"data": {"x": "y"}})).await.expect(200);
    assert_eq!(quiet.next_name().await, ("ADDED".to_owned(), "c".to_owned()));
    assert_eq!(one.next_name().await, ("ADDED".to_owned(), "b".to_owned()));
    assert_eq!(one.next_name().await, ("MODIFIED".to_owned(), "b".to_owned()));
}
