//! Stores that are not intact: each is refused as it is opened, by name and with what to do, and is not changed by that.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should fail")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use store::{Error, List, Retention, SqliteStore, Store, Write};

const OBJECTS: usize = 300;
/// So few that they are all in the log: it is carried over, and begun again, after a thousand pages.
const IN_LOG: usize = 80;
/// Page size of SQLite.
const PAGE: usize = 4096;
/// Tells the child where its store is; without it the child's test does nothing.
const DIRECTORY: &str = "STORE_DAMAGE_DIRECTORY";

fn value_of(number: usize) -> String {
    format!("value of {number} {}", "x".repeat(number % 700))
}

fn open(directory: &Path) -> store::Result<SqliteStore> {
    SqliteStore::open(&directory.join("store.db"), Retention::default())
}

async fn fill(store: &SqliteStore, objects: usize) {
    for number in 0..objects {
        store.commit(Write::create(format!("/things/{number:04}"), value_of(number))).await.unwrap();
    }
}

async fn values(store: &SqliteStore) -> Vec<String> {
    let page = store.list(&List::all("")).await.unwrap();
    page.entries.iter().map(|entry| String::from_utf8(entry.value.to_vec()).unwrap()).collect()
}

/// A store that was closed: one file, nothing in its log.
async fn closed() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    fill(&open(directory.path()).unwrap(), OBJECTS).await;
    let path = directory.path().join("store.db");
    (directory, path)
}

#[tokio::test]
#[ignore = "the child of killed()"]
async fn damage_child() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let store = open(Path::new(&directory)).unwrap();
        fill(&store, IN_LOG).await;
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    }
}

/// A store whose process was killed: all that was written is in its log.
fn killed() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "damage_child", "--ignored", "--test-threads=1"])
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap()
        .status;
    assert!(!status.success());
    directory
}

fn damage_told(directory: &Path) -> String {
    let error = open(directory).expect_err("it is damaged");
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("store.db") && told.contains("restore it from a backup"), "{told}");
    told
}

fn everything(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_what_was_written_is_found() {
    let (directory, path) = closed().await;
    let intact = everything(&path);
    // The bytes of values and keys wherever they are: in rows and in indexes.
    let places = |needle: &str| -> Vec<usize> {
        let windows = intact.windows(needle.len()).enumerate();
        windows.filter(|(_, window)| *window == needle.as_bytes()).map(|(place, _)| place).collect()
    };
    let value = places("value of 123 x");
    let key = places("/things/0123");
    let mut found = 0;
    for (place, word) in value.iter().chain(&key).flat_map(|place| [(*place, 0x01), (place + 3, 0x80)]) {
        let mut broken = intact.clone();
        broken[place] ^= word;
        std::fs::write(&path, &broken).unwrap();
        match open(directory.path()) {
            // Pages that were split have remains of what moved on; nobody reads those.
            Ok(store) => assert_eq!(values(&store).await, (0..OBJECTS).map(value_of).collect::<Vec<_>>()),
            Err(error) => {
                assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
                assert_eq!(everything(&path), broken, "what is damaged stays as it is");
                found += 1;
            }
        }
    }
    assert!(found >= 2 * (1 + 3), "a value is in its row, a key in both indexes too: {found}");
    std::fs::write(&path, &intact).unwrap();
    let told = {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"V", value[0] as u64).unwrap();
        damage_told(directory.path())
    };
    assert!(told.contains("revision 124 of /things/0123 is not what was written"), "{told}");
}

#[tokio::test]
async fn pages_that_are_garbage_zero_or_swapped_are_found() {
    let (directory, path) = closed().await;
    let intact = everything(&path);
    let pages = intact.len() / PAGE;
    assert!(pages > 20);
    for page in 0..pages {
        let at = page * PAGE..(page + 1) * PAGE;
        let other = (page + 1) % pages * PAGE;
        let noise = (0..PAGE).map(|n| (n * 7919 + page) as u8).collect();
        for content in [vec![0; PAGE], noise, intact[other..other + PAGE].to_vec()] {
            let mut broken = intact.clone();
            if broken[at.clone()] == content {
                continue;
            }
            broken[at.clone()].copy_from_slice(&content);
            std::fs::write(&path, &broken).unwrap();
            damage_told(directory.path());
        }
    }
    std::fs::write(&path, &intact).unwrap();
    open(directory.path()).expect("intact again");
}

#[tokio::test]
async fn a_file_that_lost_its_end_is_found() {
    let (directory, path) = closed().await;
    let intact = everything(&path);
    for length in [1, 99, PAGE, intact.len() / 2, intact.len() - PAGE, intact.len() - 1] {
        std::fs::write(&path, &intact[..length]).unwrap();
        damage_told(directory.path());
    }
}

#[tokio::test]
async fn a_log_that_lost_its_end_or_was_changed_is_found() {
    let directory = killed();
    let (path, log) = (directory.path().join("store.db"), directory.path().join("store.db-wal"));
    let (database, intact) = (everything(&path), everything(&log));
    let put_back = || {
        std::fs::write(&path, &database).unwrap();
        std::fs::write(&log, &intact).unwrap();
        let _ = std::fs::remove_file(directory.path().join("store.db-shm"));
    };
    let lost = |told: String| {
        assert!(told.contains(&format!("{IN_LOG} was written")) && told.contains("store.db-wal"), "{told}");
    };
    // Nor does the refusal take what somebody could still read out of the log.
    let refused = || {
        let before = (everything(&path), std::fs::read(&log).ok());
        let told = damage_told(directory.path());
        let after = (everything(&path), std::fs::read(&log).ok().filter(|log| !log.is_empty()));
        assert!(before.0 == after.0, "the database was changed: {told}");
        assert!(before.1.filter(|log| !log.is_empty()) == after.1, "the log was changed: {told}");
        told
    };
    for length in [0, 32, 5_000, intact.len() / 2, intact.len() - PAGE, intact.len() - 1] {
        put_back();
        File::options().write(true).open(&log).unwrap().set_len(length as u64).unwrap();
        let told = refused();
        lost(told);
    }
    put_back();
    File::options().write(true).open(&log).unwrap().write_all_at(b"?", intact.len() as u64 / 2).unwrap();
    lost(refused());
    put_back();
    std::fs::remove_file(&log).unwrap();
    refused();
    // And it was the damage that was told of: as it was left, the store has everything.
    put_back();
    assert_eq!(open(directory.path()).unwrap().revision(), IN_LOG as u64);
}

#[tokio::test]
async fn what_is_no_store_is_called_that() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    std::fs::write(&path, "Dear diary, today I was mistaken for a database.\n".repeat(200)).unwrap();
    assert!(damage_told(directory.path()).contains("not a database"));
    std::fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE song (title TEXT)").unwrap();
    drop(other);
    let before = everything(&path);
    assert!(damage_told(directory.path()).contains("a database of another program"));
    assert_eq!(everything(&path), before);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(open(directory.path()).unwrap_err().to_string().contains("store.db"));
}

#[tokio::test]
async fn a_store_of_a_newer_release_is_left_alone() {
    let (directory, path) = closed().await;
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.execute_batch("ALTER TABLE log ADD COLUMN colour TEXT; PRAGMA user_version = 77").unwrap();
    newer.close().unwrap();
    let before = everything(&path);
    let error = open(directory.path()).expect_err("it is newer");
    assert!(matches!(error, Error::TooNew { found: 77, .. }), "{error:?}");
    assert!(error.to_string().contains("use the release that wrote it"), "{error}");
    assert_eq!(everything(&path), before);
}

#[tokio::test]
async fn nobody_starts_empty_where_a_store_was_unless_told_to() {
    let directory = killed();
    let path = directory.path().join("store.db");
    let log = directory.path().join("store.db-wal");
    let before = everything(&log);
    let aside = directory.path().join("aside.db");
    std::fs::rename(&path, &aside).unwrap();
    for accident in ["gone", "empty"] {
        let error = open(directory.path()).expect_err(accident);
        assert!(matches!(error, Error::Gone { revision: 1.., .. }), "{error:?}");
        assert!(
            error.to_string().contains("remove") && error.to_string().contains("store.db.lock"),
            "{error}"
        );
        assert_eq!(everything(&log), before, "the log can still be read by whoever puts the file back");
        std::fs::write(&path, "").unwrap();
    }
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(values(&open(directory.path()).expect("it is whole")).await.len(), IN_LOG);

    let (directory, path) = closed().await;
    std::fs::rename(&path, directory.path().join("aside.db")).unwrap();
    std::fs::remove_file(directory.path().join("store.db.lock")).unwrap();
    let store = open(directory.path()).expect("it starts empty");
    assert_eq!(store.list(&List::all("")).await.unwrap().entries, []);
}
