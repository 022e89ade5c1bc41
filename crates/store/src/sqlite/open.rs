//! Opening the file: lock, settings, check, schema.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::lock::Lock;
use super::{check, reserve, rows, schema};
use crate::{Error, Found, Result, Revision};

/// Page cache of the writer, in KiB.
const CACHE: i64 = 1024;

/// An opened and checked database.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) revision: Revision,
    pub(super) floor: Revision,
    /// Held for as long as the store is open.
    pub(super) lock: Lock,
}

/// Wraps a database error: full disks and damage get their own words.
pub(super) fn failed(path: &Path, doing: &'static str, source: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
    // The log's index is a file, too; that it cannot grow has a code of its own.
    let extended = source.sqlite_error().map(|error| error.extended_code);
    match source.sqlite_error_code() {
        Some(DiskFull) => Error::NoSpace { path: path.to_owned() },
        _ if extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => {
            Error::NoSpace { path: path.to_owned() }
        }
        Some(DatabaseCorrupt | NotADatabase) => {
            Error::Damaged { path: path.to_owned(), detail: source.to_string() }
        }
        _ => Error::Database { doing, path: path.to_owned(), source: Arc::new(source) },
    }
}

/// Says whether there is no database: no file, or nothing in it.
fn is_gone(path: &Path) -> bool {
    match std::fs::metadata(path) {
        Ok(file) => file.len() == 0,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Opens, checks and, if need be, creates or upgrades the database. `each` is shown its current entries.
pub(super) fn open(path: &Path, each: &mut dyn FnMut(Found<'_>)) -> Result<Opened> {
    let lock = Lock::take(path)?;
    let noted = lock.noted().unwrap_or(0);
    // Before it is opened: beside an empty file SQLite removes a log, and with it what somebody could still read.
    if noted > 0 && is_gone(path) {
        return Err(Error::Gone { path: path.to_owned(), revision: noted, note: beside(path, ".lock") });
    }
    forget_unwritten(path);
    let connection = untouched(path)?;
    check::identity(path, &connection)?;
    settle(path, &connection, CACHE)?;
    let wrap = |source| failed(path, "read the marks", source);
    let version = schema::version(&connection).map_err(wrap)?;
    let is_present = version == schema::newest();
    if is_present {
        check::whole(path, &connection, second(path)?, each)?;
    } else {
        check::pages(path, &connection)?;
    }
    let damaged = |detail| Err(Error::Damaged { path: path.to_owned(), detail });
    let revision = if version == 0 { 0 } else { rows::latest(&connection).map_err(wrap)? };
    // Before anything is written: it would be written over what the log still holds behind the place where it broke.
    if revision < noted {
        return damaged(format!(
            "it ends at revision {revision} and {noted} was written: its log, {}, was cut off, changed or taken away",
            beside(path, "-wal").display()
        ));
    }
    if !is_present {
        schema::migrate(path, &connection)?;
        check::whole(path, &connection, second(path)?, each)?;
    }
    let floor = rows::floor(&connection).map_err(wrap)?;
    if floor > revision {
        return damaged(format!("it is compacted to {floor} but ends at {revision}"));
    }
    keep_log(path, &connection, false)?;
    lock.note(revision);
    reserve::keep(&beside(path, "-wal"));
    Ok(Opened { path: path.to_owned(), connection, revision, floor, lock })
}

/// Opens and checks the database again after a failure; its lock is still held.
///
/// The result has every change up to `revision`, which was announced, and none above it: the write that failed may have
/// reached the disk all the same, and whoever asked for it was told that it did not.
pub(super) fn reopen(path: &Path, revision: Revision) -> Result<Connection> {
    forget_unwritten(path);
    let connection = untouched(path)?;
    check::identity(path, &connection)?;
    settle(path, &connection, CACHE)?;
    check::whole(path, &connection, second(path)?, &mut |_| ())?;
    let wrap = |source| failed(path, "take back a failed write", source);
    let found = rows::latest(&connection).map_err(wrap)?;
    if found < revision {
        let detail = format!("it ends at {found}, and {revision} was written");
        return Err(Error::Damaged { path: path.to_owned(), detail });
    }
    if found > revision {
        rows::retract(&connection, revision).map_err(wrap)?;
    }
    keep_log(path, &connection, false)?;
    reserve::keep(&beside(path, "-wal"));
    Ok(connection)
}

/// Has the write-ahead log read from the disk, not from the kernel's cache.
///
/// After a failed synchronisation the cache holds pages that the disk does not, and calls them written (fsync(2)).
/// A log read with them would end behind a gap, and what is appended there would be lost at the next power failure. Pages
/// that still wait to be written stay; the next synchronisation writes them.
fn forget_unwritten(path: &Path) {
    let log = beside(path, "-wal");
    let Ok(file) = File::open(&log) else { return };
    if let Err(error) = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed) {
        tracing::warn!(path = %log.display(), %error, "the log is read as the kernel remembers it");
    }
}

/// Returns the file that SQLite keeps beside the database under this ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// Opens a connection with a page cache of `cache` KiB to a database that has been checked.
pub(super) fn connect(path: &Path, cache: i64) -> Result<Connection> {
    let connection = untouched(path)?;
    settle(path, &connection, cache)?;
    keep_log(path, &connection, false)?;
    Ok(connection)
}

/// Opens another connection to a database that is being checked.
fn second(path: &Path) -> Result<Connection> {
    let connection = untouched(path)?;
    settle(path, &connection, CACHE)?;
    Ok(connection)
}

/// Opens a connection that leaves database and log as they are, also when it is closed.
fn untouched(path: &Path) -> Result<Connection> {
    // The file holds Secrets: made here, it is readable by its owner only, and so are the files beside it. One that is
    // there must not be opened and closed here: that would drop the locks that other connections of this process hold on
    // it (fcntl_locking(2)), and whoever else looks into the file would take the log away as the last who has it open.
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    if let Err(source) = made
        && source.kind() != ErrorKind::AlreadyExists
    {
        return Err(Error::Io { doing: "open", path: path.to_owned(), source: Arc::new(source) });
    }
    let wrap = |source| failed(path, "open the database", source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(wrap)?;
    keep_log(path, &connection, true)?;
    Ok(connection)
}

/// Says whether closing the last connection leaves the log alone. Else it is carried over into the database and removed:
/// a log that broke in the middle would lose what is behind that.
fn keep_log(path: &Path, connection: &Connection, kept: bool) -> Result<()> {
    let wrap = |source| failed(path, "open the database", source);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, kept).map_err(wrap).map(drop)
}

/// Makes the settings of a connection. The first one marks the file as one that has a log.
fn settle(path: &Path, connection: &Connection, cache: i64) -> Result<()> {
    let wrap = |source| failed(path, "open the database", source);
    let settings = [
        ("journal_mode", "WAL".to_owned()),
        ("synchronous", "FULL".to_owned()),
        ("busy_timeout", "5000".to_owned()),
        ("cache_size", format!("-{cache}")),
        ("mmap_size", "0".to_owned()),
        ("journal_size_limit", reserve::SIZE.to_string()),
        ("temp_store", "MEMORY".to_owned()),
    ];
    for (name, value) in settings {
        connection
            .pragma_update_and_check(None, name, value, |_| Ok(()))
            .or_else(ignore_no_row)
            .map_err(wrap)?;
    }
    Ok(())
}

/// Some settings answer with a row and some do not; both are fine.
fn ignore_no_row(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_that_reached_the_disk_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let opened = open(&path, &mut |_| ()).unwrap();
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
