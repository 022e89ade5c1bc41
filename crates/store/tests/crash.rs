//! Killed at any moment, a store has every write that it acknowledged.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use store::{List, Retention, SqliteStore, Store, Write};

/// Tells the child where its store is; without it the child's test does nothing.
const DIRECTORY: &str = "STORE_CRASH_DIRECTORY";
const WRITERS: u64 = 4;

/// The child: writers that print each write once it is acknowledged, until they are killed.
#[test]
#[ignore = "the child of a_killed_store_keeps_what_it_acknowledged"]
fn crash_child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let path = Path::new(&directory).join("store.db");
        // Little history, so that compaction runs all the time as well.
        let store = SqliteStore::open(&path, Retention { revisions: 50 }).unwrap();
        let start = store.revision();
        let writer = |writer: u64| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in start.. {
                    let (key, value) = (format!("/{writer}/{}", number % 7), format!("{writer}-{number}"));
                    let revision =
                        store.commit(Write::put(key.as_str(), value.clone())).await.unwrap().revision;
                    // One write call a line: the parent sees whole lines or none.
                    println!("ack {revision} {key} {value}");
                }
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

#[test]
fn a_killed_store_keeps_what_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut acknowledged: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut last = 0;
    // The child is killed after so many acknowledgements: the moment is as random as the scheduler, and no
    // clock decides whether the test passes.
    for kill_after in [1, 2, 3, 7, 20, 55, 148, 3, 31, 400] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash_child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while let Some(Ok(line)) = lines.next() {
            let Some((_, acknowledgement)) = line.split_once("ack ") else {
                continue;
            };
            let mut words = acknowledgement.split(' ');
            let mut word = || words.next().unwrap().to_owned();
            let (revision, key, value) = (word().parse::<u64>().unwrap(), word(), word());
            acknowledged.insert(key, (revision, value));
            last = last.max(revision);
            seen += 1;
            if seen == kill_after {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= kill_after, "the child died by itself after {seen} writes");

        let store = SqliteStore::open(&path, Retention::default()).unwrap();
        assert!(store.revision() >= last, "revision {} of at least {last}", store.revision());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let page = runtime.block_on(store.list(&List::all(""))).unwrap();
        let found: BTreeMap<&str, (u64, &[u8])> =
            page.entries.iter().map(|entry| (&*entry.key, (entry.modified, &entry.value[..]))).collect();
        for (key, (revision, value)) in &acknowledged {
            let (modified, stored) = found.get(key.as_str()).unwrap_or_else(|| panic!("{key} is lost"));
            // A later write may have become durable without its acknowledgement getting out.
            assert!(modified >= revision, "{key} fell back from {revision} to {modified}");
            if modified == revision {
                assert_eq!(stored, &value.as_bytes(), "{key}");
            }
        }
    }
}
