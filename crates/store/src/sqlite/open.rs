//! Opening the file: the lock, the check, the schema.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use super::rows;
use crate::{Error, Result, Revision};

/// Page cache of the writer, in KiB.
const CACHE: i64 = 1024;

/// Marks a file as ours ("iron" in ASCII).
const APPLICATION_ID: i32 = 0x6972_6f6e;

/// The steps that lead from an empty file to the present schema; step n makes version n + 1.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE log (
        revision   INTEGER PRIMARY KEY AUTOINCREMENT,
        created    INTEGER NOT NULL,
        superseded INTEGER,
        key        TEXT NOT NULL,
        value      BLOB
    );
    CREATE UNIQUE INDEX log_current ON log (key) WHERE superseded IS NULL;
    CREATE INDEX log_history ON log (key, revision);
    CREATE TABLE mark (
        name  TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO mark VALUES ('floor', 0), ('revision', 0);
"];

/// An opened and checked database.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) revision: Revision,
    pub(super) floor: Revision,
    /// Held for as long as the store is open.
    pub(super) lock: File,
}

/// Wraps a database error: full disks and damage get their own words.
pub(super) fn failed(path: &Path, doing: &'static str, source: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
    match source.sqlite_error_code() {
        Some(DiskFull) => Error::NoSpace { path: path.to_owned() },
        Some(DatabaseCorrupt | NotADatabase) => {
            Error::Damaged { path: path.to_owned(), detail: source.to_string() }
        }
        _ => Error::Database { doing, path: path.to_owned(), source: Arc::new(source) },
    }
}

/// Opens, checks and, if need be, creates or upgrades the database.
pub(super) fn open(path: &Path) -> Result<Opened> {
    let lock = lock(path)?;
    forget_unwritten(path);
    let connection = connect(path, CACHE)?;
    check(path, &connection)?;
    migrate(path, &connection)?;
    let number = |sql| -> Result<Revision> {
        let read: i64 =
            connection.query_row(sql, [], |row| row.get(0)).map_err(|e| failed(path, "read the marks", e))?;
        Ok(read as Revision)
    };
    let floor = number("SELECT value FROM mark WHERE name = 'floor'")?;
    let revision = rows::latest(&connection).map_err(|error| failed(path, "read the marks", error))?;
    if floor > revision {
        let detail = format!("it is compacted to {floor} but ends at {revision}");
        return Err(Error::Damaged { path: path.to_owned(), detail });
    }
    Ok(Opened { path: path.to_owned(), connection, revision, floor, lock })
}

/// Opens and checks the database again after a failure; its lock is still held.
///
/// The result has every change up to `revision`, which was announced, and none above it: the write that failed may have
/// reached the disk all the same, and whoever asked for it was told that it did not.
pub(super) fn reopen(path: &Path, revision: Revision) -> Result<Connection> {
    forget_unwritten(path);
    let connection = connect(path, CACHE)?;
    check(path, &connection)?;
    let wrap = |source| failed(path, "take back a failed write", source);
    let found = rows::latest(&connection).map_err(wrap)?;
    if found < revision {
        let detail = format!("it ends at {found}, and {revision} was written");
        return Err(Error::Damaged { path: path.to_owned(), detail });
    }
    if found > revision {
        rows::retract(&connection, revision).map_err(wrap)?;
    }
    Ok(connection)
}

/// Has the write-ahead log read from the disk, not from the kernel's cache.
///
/// After a failed synchronisation the cache holds pages that the disk does not, and calls them written (fsync(2)).
/// A log read with them would end behind a gap, and what is appended there would be lost at the next power failure. Pages
/// that still wait to be written stay; the next synchronisation writes them.
fn forget_unwritten(path: &Path) {
    let mut log = OsString::from(path);
    log.push("-wal");
    let Ok(file) = File::open(&log) else { return };
    if let Err(error) = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed) {
        tracing::warn!(path = %PathBuf::from(log).display(), %error, "the log is read as the kernel remembers it");
    }
}

/// Takes the lock file beside the database. SQLite's own locks would let a second process in between writes.
fn lock(path: &Path) -> Result<File> {
    let mut name = OsString::from(path);
    name.push(".lock");
    let name = PathBuf::from(name);
    let io = |source| Error::Io { doing: "lock", path: name.clone(), source: Arc::new(source) };
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&name).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Opens a connection with a page cache of `cache` KiB.
pub(super) fn connect(path: &Path, cache: i64) -> Result<Connection> {
    // The file holds Secrets: made here, it is readable by its owner only, and so are the files beside it.
    let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    made.map_err(|source| Error::Io { doing: "open", path: path.to_owned(), source: Arc::new(source) })?;
    let wrap = |source| failed(path, "open the database", source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(wrap)?;
    let settings = [
        ("journal_mode", "WAL".to_owned()),
        ("synchronous", "FULL".to_owned()),
        ("busy_timeout", "5000".to_owned()),
        ("cache_size", format!("-{cache}")),
        ("mmap_size", "0".to_owned()),
        ("journal_size_limit", (16 << 20).to_string()),
        ("temp_store", "MEMORY".to_owned()),
    ];
    for (name, value) in settings {
        connection
            .pragma_update_and_check(None, name, value, |_| Ok(()))
            .or_else(ignore_no_row)
            .map_err(wrap)?;
    }
    Ok(connection)
}

/// Some settings answer with a row and some do not; both are fine.
fn ignore_no_row(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

fn check(path: &Path, connection: &Connection) -> Result<()> {
    let wrap = |source| failed(path, "check the database", source);
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(wrap)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(wrap)?;
    if id != APPLICATION_ID && tables > 0 {
        let detail = "it is a database of another program".to_owned();
        return Err(Error::Damaged { path: path.to_owned(), detail });
    }
    let mut findings = Vec::new();
    connection
        .pragma_query(None, "quick_check", |row| {
            findings.push(row.get::<_, String>(0)?);
            Ok(())
        })
        .map_err(wrap)?;
    if findings != ["ok"] {
        return Err(Error::Damaged { path: path.to_owned(), detail: findings.join("; ") });
    }
    Ok(())
}

/// Brings the schema up to date, one transaction a step. `user_version` is the number of steps done.
fn migrate(path: &Path, connection: &Connection) -> Result<()> {
    let wrap = |source| failed(path, "upgrade the schema", source);
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(wrap)?;
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(Error::TooNew { path: path.to_owned(), found, known });
    }
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let done = step + 1;
        let batch = format!(
            "BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS migration (version INTEGER PRIMARY KEY, release TEXT NOT NULL);
             {sql}
             INSERT INTO migration VALUES ({done}, '{release}');
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {done};
             COMMIT;",
            release = env!("CARGO_PKG_VERSION"),
        );
        connection.execute_batch(&batch).map_err(wrap)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_that_reached_the_disk_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let opened = open(&path).unwrap();
        let mut previous = None;
        for revision in 1..=3 {
            rows::append(&opened.connection, "/a", Some(b"x"), revision, previous.as_ref()).unwrap();
            previous = rows::current(&opened.connection, "/a").unwrap();
        }
        drop(opened.connection);
        let connection = reopen(&path, 2).unwrap();
        assert_eq!(rows::latest(&connection).unwrap(), 2);
        assert_eq!(rows::current(&connection, "/a").unwrap().map(|entry| entry.modified), Some(2));
        // The number is given out again.
        let previous = rows::current(&connection, "/a").unwrap();
        rows::append(&connection, "/a", None, 3, previous.as_ref()).unwrap();
        assert!(matches!(reopen(&path, 4), Err(Error::Damaged { .. })), "an announced change is missing");
    }
}
