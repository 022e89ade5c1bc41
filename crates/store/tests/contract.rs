//! What every store promises, run against each implementation.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use store::{
    Change, Committed, Error, Expected, Found, List, MemoryStore, Retention, SqliteStore, Store, Write,
};

type Named = (&'static str, Arc<dyn Store>);

/// Stores under test, and a directory that must outlive them.
fn stores() -> (Vec<Named>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(&directory.path().join("store.db"), Retention::default()).unwrap();
    (vec![("memory", Arc::new(MemoryStore::new())), ("sqlite", Arc::new(sqlite))], directory)
}

macro_rules! contract {
    ($($name:ident($store:ident) $body:block)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (stores, _directory) = stores();
            for (kind, $store) in stores {
                println!("{kind}");
                $body
            }
        }
    )*};
}

contract! {
    an_empty_store_is_at_revision_zero(store) {
        assert_eq!(store.revision(), 0);
        assert_eq!(store.get("/a").await.unwrap(), None);
        let page = store.list(&List::all("")).await.unwrap();
        assert_eq!((page.entries.len(), page.revision, page.next, page.remaining), (0, 0, None, 0));
    }

    revisions_count_changes(store) {
        let created = store.commit(Write::create("/a", "1")).await.unwrap();
        assert_eq!((created.revision, created.previous), (1, None));
        let updated = store.commit(Write::update("/a", 1, "2")).await.unwrap();
        assert_eq!(updated.revision, 2);
        assert_eq!(updated.previous.unwrap().value, "1");
        let entry = store.get("/a").await.unwrap().unwrap();
        assert_eq!((entry.created, entry.modified, &entry.value[..]), (1, 2, &b"2"[..]));
        let deleted = store.commit(Write::delete("/a", 2)).await.unwrap();
        assert_eq!((deleted.revision, store.revision()), (3, 3));
        assert_eq!(store.get("/a").await.unwrap(), None);
        let again = store.commit(Write::create("/a", "3")).await.unwrap();
        assert_eq!(again.revision, 4);
        assert_eq!(store.get("/a").await.unwrap().unwrap().created, 4);
    }

    outcomes_are_handed_over_in_order_whether_or_not_somebody_waits(store) {
        let told = Arc::new(Mutex::new(Vec::new()));
        for number in 0..300 {
            let told = Arc::clone(&told);
            // Every third one fails.
            let key = format!("/{}", number - usize::from(number % 3 == 2));
            let then = move |outcome: store::Result<Committed>| {
                told.lock().unwrap().push(outcome.map(|committed| committed.revision).map_err(drop));
            };
            store.submit(Write::create(key, "x"), Box::new(then));
        }
        let last = store.commit(Write::create("/last", "x")).await.unwrap();
        assert_eq!(last.revision, 201);
        let told = told.lock().unwrap();
        let made: Vec<_> = told.iter().filter_map(|outcome| outcome.ok()).collect();
        assert_eq!((told.len(), made), (300, (1..=200).collect()));
    }

    failed_expectations_change_nothing(store) {
        store.commit(Write::create("/a", "1")).await.unwrap();
        let delete = |key: &str, expected| Write { key: key.into(), expected, change: Change::Delete };
        for write in [
            Write::create("/a", "2"),
            Write::update("/a", 7, "2"),
            Write::update("/b", 1, "2"),
            Write::delete("/a", 7),
            delete("/b", Expected::Any),
            delete("/b", Expected::Absent),
        ] {
            let error = store.commit(write.clone()).await.unwrap_err();
            let Error::Conflict { key, expected, actual } = error else { panic!("{write:?}: {error}") };
            assert_eq!((&key, expected), (&write.key, write.expected));
            assert_eq!(actual.map(|entry| entry.modified), (&*key == "/a").then_some(1));
        }
        assert_eq!(store.revision(), 1);
        assert_eq!(store.get("/a").await.unwrap().unwrap().value, "1");
    }

    lists_are_ordered_and_paged(store) {
        for key in ["/b/2", "/a/1", "/b/1", "/c/1", "/b/3", "/b"] {
            store.commit(Write::put(key, key)).await.unwrap();
        }
        let mut list = List { prefix: "/b/".to_owned(), limit: 2, ..List::default() };
        let first = store.list(&list).await.unwrap();
        let keys: Vec<&str> = first.entries.iter().map(|entry| &*entry.key).collect();
        assert_eq!((keys, first.remaining, first.next.as_deref()), (vec!["/b/1", "/b/2"], 1, Some("/b/2")));
        // What changes between the pages does not show when they are read at one revision.
        store.commit(Write::put("/b/9", "late")).await.unwrap();
        store.commit(Write::put("/b/3", "late")).await.unwrap();
        (list.after, list.at) = (first.next, Some(first.revision));
        let second = store.list(&list).await.unwrap();
        assert_eq!((second.entries.len(), second.next, second.remaining), (1, None, 0));
        assert_eq!(&second.entries[0].value[..], b"/b/3");
        assert_eq!(store.list(&List::all("")).await.unwrap().entries.len(), 7);
        assert_eq!(store.list(&List::all("/b")).await.unwrap().entries.len(), 5);
    }

    the_past_can_be_listed(store) {
        store.commit(Write::create("/a", "1")).await.unwrap();
        store.commit(Write::create("/b", "2")).await.unwrap();
        store.commit(Write::put("/a", "3")).await.unwrap();
        store.commit(Write::delete("/b", 2)).await.unwrap();
        let mut seen = Vec::new();
        for at in 0..=4 {
            let page = store.list(&List { at: Some(at), ..List::default() }).await.unwrap();
            let text = |entry: &store::Entry| format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value));
            seen.push(page.entries.iter().map(text).collect::<Vec<_>>().join(" "));
        }
        assert_eq!(seen, ["", "/a=1", "/a=1 /b=2", "/a=3 /b=2", "/a=3"]);
        let error = store.list(&List { at: Some(5), ..List::default() }).await.unwrap_err();
        assert!(matches!(error, Error::Future { requested: 5, current: 4 }), "{error}");
    }

    a_watch_sees_every_change_once_and_in_order(store) {
        store.commit(Write::create("/a/1", "1")).await.unwrap();
        let mut watch = store.watch("/a/", 0).await.unwrap();
        let mut late = store.watch("/a/", 1).await.unwrap();
        store.commit(Write::create("/b/1", "x")).await.unwrap();
        store.commit(Write::put("/a/1", "2")).await.unwrap();
        store.commit(Write::delete("/a/1", 3)).await.unwrap();
        let mut revisions = Vec::new();
        for _ in 0..3 {
            let event = watch.next().await.unwrap();
            let value = |entry: &Option<store::Entry>| entry.as_ref().map(|entry| entry.value.clone());
            revisions.push((event.revision, value(&event.current), value(&event.previous)));
        }
        let value = |text: &'static str| Some(bytes::Bytes::from(text));
        let expected =
            [(1, value("1"), None), (3, value("2"), value("1")), (4, None, value("2"))];
        assert_eq!(revisions, expected);
        assert_eq!(watch.try_next().await.unwrap(), None);
        assert_eq!(watch.position(), 4);
        assert_eq!(late.next().await.unwrap().revision, 3);
        assert_eq!(late.position(), 3);
    }

    a_watch_waits_for_what_comes(store) {
        let mut watch = store.watch("/a", 0).await.unwrap();
        let writer = Arc::clone(&store);
        let task = tokio::spawn(async move {
            writer.commit(Write::create("/b", "1")).await.unwrap();
            tokio::task::yield_now().await;
            writer.commit(Write::create("/a", "1")).await.unwrap();
        });
        assert_eq!(watch.next().await.unwrap().revision, 2);
        task.await.unwrap();
        // Giving up on a wait loses nothing.
        let patience = tokio::time::timeout(Duration::from_millis(1), watch.next()).await;
        assert!(patience.is_err());
        store.commit(Write::put("/a", "2")).await.unwrap();
        assert_eq!(watch.next().await.unwrap().revision, 3);
    }

    compaction_forgets_the_past_and_says_so(store) {
        for value in ["1", "2", "3"] {
            store.commit(Write::put("/a", value)).await.unwrap();
        }
        store.commit(Write::create("/b", "1")).await.unwrap();
        store.commit(Write::delete("/b", 4)).await.unwrap();
        let mut overtaken = store.watch("", 0).await.unwrap();
        store.compact(2).await.unwrap();
        store.compact(1).await.unwrap();
        let error = overtaken.next().await.unwrap_err();
        assert!(matches!(error, Error::Compacted { requested: 0, floor: 2 }), "{error}");
        let error = store.watch("", 1).await.unwrap_err();
        assert!(matches!(error, Error::Compacted { requested: 1, floor: 2 }), "{error}");
        let error = store.list(&List { at: Some(1), ..List::default() }).await.unwrap_err();
        assert!(matches!(error, Error::Compacted { .. }), "{error}");
        let page = store.list(&List { at: Some(2), ..List::default() }).await.unwrap();
        assert_eq!(page.entries[0].value, "2");
        assert_eq!(store.watch("", 2).await.unwrap().next().await.unwrap().revision, 3);
        // Everything that is current stays, and so does the count.
        store.compact(5).await.unwrap();
        assert_eq!(store.get("/a").await.unwrap().unwrap().modified, 3);
        assert_eq!(store.commit(Write::create("/b", "2")).await.unwrap().revision, 6);
        let error = store.compact(9).await.unwrap_err();
        assert!(matches!(error, Error::Future { requested: 9, current: 6 }), "{error}");
        let error = store.watch("", 9).await.unwrap_err();
        assert!(matches!(error, Error::Future { requested: 9, current: 6 }), "{error}");
    }

    many_writers_get_distinct_revisions(store) {
        let writes = (0..200).map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let key = format!("/k/{}", number % 20);
                store.commit(Write::put(key, number.to_string())).await.unwrap().revision
            })
        });
        let mut revisions = Vec::new();
        for write in writes.collect::<Vec<_>>() {
            revisions.push(write.await.unwrap());
        }
        revisions.sort_unstable();
        assert_eq!(revisions, (1..=200).collect::<Vec<_>>());
        // More than what is kept in memory has to come from the log without a gap.
        for number in 0..800 {
            store.commit(Write::put("/many", number.to_string())).await.unwrap();
        }
        let mut watch = store.watch("/", 0).await.unwrap();
        for revision in 1..=1000 {
            assert_eq!(watch.next().await.unwrap().revision, revision);
        }
    }

    one_of_many_racing_updates_wins(store) {
        store.commit(Write::create("/a", "0")).await.unwrap();
        let racers = (0..50).map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.commit(Write::update("/a", 1, number.to_string())).await.is_ok() })
        });
        let mut winners = 0;
        for racer in racers.collect::<Vec<_>>() {
            winners += u32::from(racer.await.unwrap());
        }
        assert_eq!((winners, store.revision()), (1, 2));
    }
}

fn database() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    (directory, path)
}

#[tokio::test]
async fn a_file_keeps_everything_when_it_is_opened_again() {
    let (_directory, path) = database();
    let store = SqliteStore::open(&path, Retention::default()).unwrap();
    store.commit(Write::create("/a", "1")).await.unwrap();
    store.commit(Write::create("/b", "1")).await.unwrap();
    store.commit(Write::delete("/b", 2)).await.unwrap();
    store.compact(3).await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path, Retention::default()).unwrap();
    assert_eq!(store.revision(), 3, "the count survives the compaction of its last change");
    assert_eq!(store.get("/a").await.unwrap().unwrap().value, "1");
    assert!(matches!(store.watch("", 2).await.unwrap_err(), Error::Compacted { floor: 3, .. }));
}

#[tokio::test]
async fn a_file_shows_what_is_current_as_it_is_opened() {
    let (_directory, path) = database();
    let store = SqliteStore::open(&path, Retention::default()).unwrap();
    for key in ["/b", "/a", "/c"] {
        store.commit(Write::create(key, "first")).await.unwrap();
    }
    store.commit(Write::put("/b", "second")).await.unwrap();
    store.commit(Write::delete("/c", 3)).await.unwrap();
    drop(store);
    let mut shown = Vec::new();
    let show = |found: Found<'_>| {
        shown.push((found.key.to_owned(), String::from_utf8(found.value.to_vec()).unwrap(), found.modified));
    };
    let store = SqliteStore::open_with(&path, Retention::default(), show).unwrap();
    let expected = [("/a", "first", 2), ("/b", "second", 4)];
    assert_eq!(shown, expected.map(|(key, value, revision)| (key.to_owned(), value.to_owned(), revision)));
    assert_eq!(store.revision(), 5);
}

#[tokio::test]
async fn history_is_bounded() {
    let (_directory, path) = database();
    let store = SqliteStore::open(&path, Retention { revisions: 10 }).unwrap();
    for number in 0..100 {
        store.commit(Write::put("/a", number.to_string())).await.unwrap();
    }
    store.compact(store.revision() - 15).await.unwrap();
    assert!(store.watch("", 90).await.is_ok());
    assert!(matches!(store.watch("", 70).await.unwrap_err(), Error::Compacted { .. }));
    drop(store);
    let rows: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM log", [], |row| row.get(0))
        .unwrap();
    assert!(rows <= 21, "{rows}");
}

#[test]
fn a_second_opener_is_told() {
    let (_directory, path) = database();
    let store = SqliteStore::open(&path, Retention::default()).unwrap();
    assert!(matches!(SqliteStore::open(&path, Retention::default()).unwrap_err(), Error::Locked { .. }));
    drop(store);
    SqliteStore::open(&path, Retention::default()).unwrap();
}

#[tokio::test]
async fn damage_is_found_at_the_start() {
    let (_directory, path) = database();
    let store = SqliteStore::open(&path, Retention::default()).unwrap();
    for number in 0..200 {
        store.commit(Write::put(format!("/k/{number}"), vec![b'x'; 500])).await.unwrap();
    }
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let error = SqliteStore::open(&path, Retention::default()).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "a damaged file is left as it is");

    std::fs::write(&path, "not a database, and long enough to be taken for one".repeat(50)).unwrap();
    let error = SqliteStore::open(&path, Retention::default()).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn strangers_and_newer_schemas_are_refused() {
    let (_directory, path) = database();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    let error = SqliteStore::open(&path, Retention::default()).unwrap_err();
    assert!(matches!(&error, Error::Damaged { detail, .. } if detail.contains("another program")), "{error}");

    let (_directory, path) = database();
    drop(SqliteStore::open(&path, Retention::default()).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open(&path, Retention::default()).unwrap_err();
    assert!(matches!(error, Error::TooNew { found: 99, .. }), "{error}");
}
