//! What a server says of its own state.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Api, CONFIG_MAPS, config_map};
use serde_json::json;
use store::{Entry, Error, List, MemoryStore, Page, Revision, Store, Then, Watch, Write};

/// A store that cannot be read while it is told to.
#[derive(Debug)]
struct Failing {
    store: MemoryStore,
    fails: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl Store for Failing {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        self.store.get(key).await
    }

    async fn list(&self, list: &List) -> Result<Page, Error> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(Error::Io {
                doing: "read",
                path: "state.db".into(),
                source: Arc::new(std::io::Error::other("lost")),
            });
        }
        self.store.list(list).await
    }

    fn submit(&self, write: Write, then: Then) {
        self.store.submit(write, then);
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, Error> {
        self.store.watch(prefix, after).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.store.compact(revision).await
    }

    fn revision(&self) -> Revision {
        self.store.revision()
    }
}

#[tokio::test]
async fn checks_are_told_one_by_one_and_together() {
    let api = Api::start().await;
    for (path, told) in [
        ("/livez", "ok"),
        ("/readyz/ping", "ok"),
        ("/livez/etcd", "ok"),
        ("/readyz/shutdown", "ok"),
        ("/livez?verbose", "[+]ping ok\n[+]log ok\n[+]etcd ok\nlivez check passed\n"),
        (
            "/readyz?verbose&exclude=etcd&exclude=zz",
            "[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\n[+]informer-sync ok\n\
             [+]shutdown ok\nwarn: some health checks cannot be excluded: no matches for \"zz\"\nreadyz check passed\n",
        ),
    ] {
        assert_eq!(api.get(path).await.expect(200), json!(told), "{path}");
    }
    api.get("/livez/none").await.expect(404);
    let components = api.get("/api/v1/componentstatuses").await.expect(200);
    assert_eq!(components["items"].as_array().map(Vec::len), Some(1), "{components}");
    let store = api.get("/api/v1/componentstatuses/etcd-0").await.expect(200);
    assert_eq!(components["items"][0]["metadata"]["name"], "etcd-0");
    assert_eq!(store["conditions"], json!([{"type": "Healthy", "status": "True", "message": "ok"}]));
    api.get("/api/v1/componentstatuses/scheduler").await.expect(404);
    api.get("/livez/").await.expect(404);
}

#[tokio::test]
async fn requests_are_counted_under_the_names_that_dashboards_know() {
    let api = Api::start().await;
    api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(201);
    api.post(CONFIG_MAPS, config_map("a", json!({}))).await.expect(409);
    api.get(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    api.get("/apis/made.up/v1/things").await.expect(404);
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    while watch.next_name().await.1 != "a" {}
    let text = || async { api.get("/metrics").await.expect(200).as_str().expect("text").to_owned() };
    let maps = "group=\"\",resource=\"configmaps\",scope";
    let shown = text().await;
    for line in [
        format!(
            "apiserver_request_total{{code=\"409\",component=\"apiserver\",dry_run=\"\",{maps}=\"namespace\",subresource=\"\",verb=\"POST\",version=\"v1\"}} 1"
        ),
        format!(
            "apiserver_request_duration_seconds_count{{component=\"apiserver\",dry_run=\"\",{maps}=\"namespace\",subresource=\"\",verb=\"POST\",version=\"v1\"}} 2"
        ),
        format!(
            "apiserver_response_sizes_count{{component=\"apiserver\",{maps}=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\"}} 1"
        ),
        format!(
            "apiserver_longrunning_requests{{component=\"apiserver\",{maps}=\"namespace\",subresource=\"\",verb=\"WATCH\",version=\"v1\"}} 1"
        ),
        "apiserver_watch_events_total{group=\"\",resource=\"configmaps\",version=\"v1\"}".to_owned(),
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1".to_owned(),
        "apiserver_storage_objects{resource=\"configmaps\"}".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line} in {shown}");
    }
    assert!(!shown.contains("made.up"), "names that clients make up are not kept");
    drop(watch);
    let shown = text().await;
    let ended = shown.lines().find(|line| line.starts_with("apiserver_longrunning_requests{"));
    assert!(ended.is_some_and(|line| line.ends_with(" 0")), "{ended:?}");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_told() {
    let fails = Arc::new(AtomicBool::new(false));
    let store = Failing { store: MemoryStore::new(), fails: Arc::clone(&fails) };
    let server = apiserver::ApiServer::builder(Arc::new(store)).build().await.expect("the server starts");
    let api = Api { server };
    api.get("/readyz").await.expect(200);
    fails.store(true, Ordering::Relaxed);
    let told = api.get("/readyz").await.expect(500);
    let told = told.as_str().expect("text");
    assert!(
        told.contains("[-]etcd failed: reason withheld\n") && told.ends_with("readyz check failed\n"),
        "{told}"
    );
    api.get("/livez/etcd").await.expect(500);
    let store = api.get("/api/v1/componentstatuses/etcd-0").await.expect(200);
    assert_eq!(store["conditions"][0]["status"], "False");
    api.get("/readyz?exclude=etcd").await.expect(200);
}
