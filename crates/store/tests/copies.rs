//! Copies of a store that goes on, what is made of them, stores of earlier releases, and others who look into the file.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should fail")]

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use store::{Error, List, Retention, Revision, SqliteStore, Store, Write};

/// Tells the child which file it looks into; without it the child's test does nothing.
const FILE: &str = "STORE_BYSTANDER_FILE";

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Retention::default()).unwrap()
}

async fn contents(store: &SqliteStore) -> BTreeMap<String, (Revision, Vec<u8>)> {
    let page = store.list(&List::all("")).await.unwrap();
    let entries = page.entries.iter();
    entries.map(|entry| (entry.key.to_string(), (entry.modified, entry.value.to_vec()))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_during_writes_is_the_state_of_one_moment() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("store.db"));
    // Both keys have the same number, but for the moment between their writes.
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0_u64.. {
                for key in ["/a", "/b"] {
                    store.commit(Write::put(key, number.to_string())).await.unwrap();
                }
            }
        }
    });
    for round in 0..8_u64 {
        while store.revision() < round * 20 + 4 {
            tokio::task::yield_now().await;
        }
        let to = directory.path().join(format!("copy-{round}"));
        let (from, into) = (directory.path().join("store.db"), to.clone());
        let before = store.revision();
        let revision =
            tokio::task::spawn_blocking(move || SqliteStore::copy(&from, &into)).await.unwrap().unwrap();
        assert!(before <= revision, "{before} {revision}");
        // A copy may have a change that is not announced yet.
        while store.revision() < revision {
            tokio::task::yield_now().await;
        }
        assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let copy = open(&to);
        assert_eq!(copy.revision(), revision);
        let found = contents(&copy).await;
        let number = |key: &str| String::from_utf8(found[key].1.clone()).unwrap().parse::<u64>().unwrap();
        // Odd revisions write /a, even ones /b.
        assert_eq!(number("/a"), (revision - 1) / 2);
        assert_eq!(number("/b"), revision / 2 - 1);
    }
    writing.abort();
    let there = directory.path().join("copy-0");
    assert!(matches!(SqliteStore::copy(&directory.path().join("store.db"), &there), Err(Error::Io { .. })));
    assert!(SqliteStore::copy(&directory.path().join("none"), &directory.path().join("x")).is_err());
}

#[tokio::test]
async fn a_new_history_begins_above_every_revision_of_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("store.db"), directory.path().join("copy.db"));
    let store = open(&from);
    for number in 0..20 {
        store.commit(Write::put(format!("/{}", number % 4), number.to_string())).await.unwrap();
    }
    let taken = SqliteStore::copy(&from, &to).unwrap();
    let expected = contents(&store).await;
    for number in 0..20 {
        store.commit(Write::put("/later", number.to_string())).await.unwrap();
    }
    SqliteStore::begin_anew(&to).unwrap();
    let restored = open(&to);
    assert_eq!(contents(&restored).await, expected, "the objects, with the revisions that clients know");
    assert!(restored.revision() > store.revision());
    for seen in [0, 1, taken, store.revision()] {
        assert!(matches!(restored.watch("/", seen).await, Err(Error::Compacted { .. })), "{seen}");
    }
    let mut watch = restored.watch("/", restored.revision()).await.unwrap();
    let (modified, _) = expected["/1"];
    let update = restored.commit(Write::update("/1", modified, "new")).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, update.revision);
    assert_eq!(update.revision, restored.revision());
    drop((watch, restored));
    assert_eq!(open(&to).revision(), update.revision);
}

#[tokio::test]
async fn a_store_of_schema_1_is_brought_up_to_date() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frozen/schema-1.db");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    std::fs::copy(frozen, &path).unwrap();
    let copy = directory.path().join("copy.db");
    assert_eq!(SqliteStore::copy(&path, &copy).unwrap(), 10, "it can be copied as it is");
    for path in [&path, &copy] {
        for _ in 0..2 {
            let store = open(path);
            assert_eq!(store.revision(), 10);
            let found = contents(&store).await;
            let expected =
                [("c0", 1, r#"{"data":{"n":"0"}}"#), ("c3", 4, r#"{"data":{"n":"3"}}"#)].into_iter().chain([
                    ("c4", 5, r#"{"data":{"n":"4"}}"#),
                    ("c5", 6, r#"{"data":{"n":"5"}}"#),
                    ("ü", 10, "{}"),
                ]);
            let expected: BTreeMap<_, _> = expected
                .map(|(name, revision, value)| {
                    (format!("/registry/configmaps/default/{name}"), (revision, value.as_bytes().to_vec()))
                })
                .collect();
            assert_eq!(found, expected);
            // History is there from its floor on.
            let mut watch = store.watch("", 6).await.unwrap();
            let event = watch.next().await.unwrap();
            assert_eq!((event.revision, event.previous.unwrap().modified), (7, 2));
            assert!(matches!(store.watch("", 3).await, Err(Error::Compacted { .. })));
        }
        let store = open(path);
        let written = store.commit(Write::put("/new", "x")).await.unwrap();
        assert_eq!(written.revision, 11);
    }
}

#[test]
#[ignore = "the child of who_looks_into_the_file_takes_nothing_away"]
fn bystander_child() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let connection = rusqlite::Connection::open(&file).unwrap();
    let rows: i64 = connection.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap();
    connection.close().unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    // What SQLite asks for before it removes a log.
    let alone = rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
    println!("rows {rows}, alone {alone}");
}

/// Whoever closes a database as the last one who has it open carries its log over and removes it: to a store that runs
/// that must not happen, because what it writes into a removed log is gone with it.
#[tokio::test]
async fn who_looks_into_the_file_takes_nothing_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let log = directory.path().join("store.db-wal");
    let store = open(&path);
    store.commit(Write::put("/a", "1")).await.unwrap();
    // Opens a connection for readers.
    assert_eq!(contents(&store).await.len(), 1);
    let before = log.metadata().unwrap().ino();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "bystander_child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FILE, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("rows 1, alone false"), "{said}");
    assert_eq!(log.metadata().expect("the log is there").ino(), before);
}
