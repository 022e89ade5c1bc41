//! Random histories: both stores must answer exactly alike, errors included.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use store::{Change, Expected, List, MemoryStore, Retention, SqliteStore, Store, Write};

#[derive(Clone, Debug)]
enum Step {
    Commit { key: u8, expected: Expect, value: Option<u8> },
    List { prefix: u8, after: Option<u8>, limit: usize, back: Option<u64> },
    Watch { prefix: u8, back: u64 },
    Compact { back: u64 },
    Reopen,
}

/// An expectation; `Back(n)` is the key's revision less n.
#[derive(Clone, Debug)]
enum Expect {
    Any,
    Absent,
    Back(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let expect =
        prop_oneof![3 => Just(Expect::Any), 2 => Just(Expect::Absent), 4 => (0..2u64).prop_map(Expect::Back)];
    let commit = (0..6u8, expect, proptest::option::weighted(0.7, any::<u8>()))
        .prop_map(|(key, expected, value)| Step::Commit { key, expected, value });
    let list = (0..4u8, proptest::option::of(0..6u8), 0..4usize, proptest::option::of(0..9u64))
        .prop_map(|(prefix, after, limit, back)| Step::List { prefix, after, limit, back });
    let watch = (0..4u8, 0..12u64).prop_map(|(prefix, back)| Step::Watch { prefix, back });
    let compact = (0..12u64).prop_map(|back| Step::Compact { back });
    vec(prop_oneof![12 => commit, 4 => list, 3 => watch, 1 => compact, 1 => Just(Step::Reopen)], 1..60)
}

fn key(number: u8) -> String {
    ["/a/1", "/a/2", "/b/1", "/b/10", "/c", "/a"][usize::from(number)].to_owned()
}

fn prefix(number: u8) -> &'static str {
    ["", "/a/", "/b/1", "/zzz"][usize::from(number)]
}

/// Runs one step and describes all that can be seen of it.
async fn apply(store: &dyn Store, step: &Step) -> String {
    let revision = store.revision();
    match step {
        Step::Commit { key: number, expected, value } => {
            let key = key(*number);
            let modified = store.get(&key).await.unwrap().map_or(0, |entry| entry.modified);
            let expected = match expected {
                Expect::Any => Expected::Any,
                Expect::Absent => Expected::Absent,
                Expect::Back(back) => Expected::Revision(modified.saturating_sub(*back)),
            };
            let change = value.map_or(Change::Delete, |byte| Change::Put(vec![byte].into()));
            format!("{:?}", store.commit(Write { key: key.into(), expected, change }).await)
        }
        Step::List { prefix: number, after, limit, back } => {
            let at = back.map(|back| revision.saturating_sub(back));
            let list = List { prefix: prefix(*number).to_owned(), after: after.map(key), limit: *limit, at };
            format!("{:?}", store.list(&list).await)
        }
        Step::Watch { prefix: number, back } => {
            match store.watch(prefix(*number), revision.saturating_sub(*back)).await {
                Err(error) => format!("{error:?}"),
                Ok(mut watch) => {
                    let mut seen = String::new();
                    while let Some(mut event) = watch.try_next().await.unwrap() {
                        // How much of the time before the floor is remembered differs.
                        event.previous = None;
                        writeln!(seen, "{event:?}").unwrap();
                    }
                    seen + &watch.position().to_string()
                }
            }
        }
        Step::Compact { back } => format!("{:?}", store.compact(revision.saturating_sub(*back)).await),
        Step::Reopen => String::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_file_answers_as_the_memory_does(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("store.db");
            let memory = MemoryStore::new();
            let mut file = SqliteStore::open(&path, Retention::default()).unwrap();
            for (number, step) in steps.iter().enumerate() {
                if matches!(step, Step::Reopen) {
                    drop(file);
                    file = SqliteStore::open(&path, Retention::default()).unwrap();
                }
                let (expected, actual) = (apply(&memory, step).await, apply(&file, step).await);
                prop_assert_eq!(actual, expected, "step {}: {:?}", number, step);
                prop_assert_eq!(file.revision(), memory.revision());
            }
            Ok(())
        })?;
    }
}
