//! Copies of a whole store: taken while another process writes it, and made the beginning of a new history.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::open::{self, failed};
use super::{SqliteStore, check, rows, schema};
use crate::{Error, Result, Revision};

/// How far the revisions of a restored store are above those of its copy: more than were ever given out after the copy
/// was taken, so that no number means two changes.
const GAP: Revision = 1_000_000_000;

impl SqliteStore {
    /// Writes a copy of the store in the file `from` into the new file `to`, as of one revision, which it returns.
    ///
    /// The store may be open, in this process or another; it goes on meanwhile. The copy has been checked and is durable.
    ///
    /// # Errors
    /// When `to` exists or cannot be written, and with [`Error::Damaged`] when `from` is not intact.
    pub fn copy(from: &Path, to: &Path) -> Result<Revision> {
        let source = connect(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        check::identity(from, &source)?;
        // The log belongs to whoever has the store open; it is not carried over, nor removed, when this connection ends.
        source
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(|source| failed(from, "copy", source))?;
        let io = |doing| move |source| Error::Io { doing, path: to.to_owned(), source: Arc::new(source) };
        // It holds Secrets; SQLite would make it readable for all.
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(io("make"))?;
        let name = to.to_str().ok_or_else(|| {
            io("name")(std::io::Error::new(std::io::ErrorKind::InvalidFilename, "the path is not UTF-8"))
        })?;
        source.execute("VACUUM INTO ?1", [name]).map_err(|source| failed(from, "copy", source))?;
        file.sync_all().map_err(io("synchronise"))?;
        let reader = || connect(to, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let copy = reader()?;
        if schema::version(&copy).map_err(|source| failed(from, "copy", source))? == schema::newest() {
            check::whole(from, &copy, reader()?, &mut |_| ())?;
        } else {
            check::pages(from, &copy)?;
        }
        rows::latest(&copy).map_err(|source| failed(from, "read the marks", source))
    }

    /// Makes the copy in the file `path` a store of its own: a new history, whose revisions are far above the copy's.
    ///
    /// Whoever watched the store that the copy was taken of finds that its revisions are compacted away, and lists again.
    ///
    /// # Errors
    /// With [`Error::Damaged`] and [`Error::TooNew`] as in [`open`](Self::open).
    pub fn begin_anew(path: &Path) -> Result<()> {
        let opened = open::open(path, &mut |_| ())?;
        let first = opened.revision + GAP;
        let wrap = |source| failed(path, "begin a new history", source);
        let transaction = opened.connection.unchecked_transaction().map_err(wrap)?;
        rows::compact(&transaction, first, first).map_err(wrap)?;
        transaction.commit().map_err(wrap)?;
        opened.lock.note(first);
        // Carries the log over and removes it.
        opened.connection.close().map_err(|(_, source)| wrap(source))?;
        let synchronise = File::open(path).and_then(|file| file.sync_all());
        synchronise.map_err(|source| Error::Io {
            doing: "synchronise",
            path: path.to_owned(),
            source: Arc::new(source),
        })
    }
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection> {
    if !path.is_file() {
        let source = Arc::new(std::io::Error::from(std::io::ErrorKind::NotFound));
        return Err(Error::Io { doing: "find", path: path.to_owned(), source });
    }
    let wrap = |source| failed(path, "open the database", source);
    let connection =
        Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(wrap)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(wrap)?;
    Ok(connection)
}
