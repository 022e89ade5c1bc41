//! The peer of durable writes: the rows that the server wrote, committed to SQLite by a loop that does nothing else.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

/// A database of the same tables and indexes as the server's, with the same settings, on the same disk.
#[derive(Debug)]
pub(super) struct BareLoop {
    server: PathBuf,
    bare: Connection,
    /// The server's rows up to this revision are written, or not wanted.
    revision: i64,
}

impl BareLoop {
    /// Makes the database `path` beside the server's.
    pub(super) fn new(server: &Path, path: &Path) -> Result<Self> {
        let bare = Connection::open(path).with_context(|| format!("making {}", path.display()))?;
        bare.pragma_update(None, "journal_mode", "WAL")?;
        bare.pragma_update(None, "synchronous", "FULL")?;
        let theirs = open(server)?;
        let sql = "SELECT sql FROM sqlite_schema WHERE tbl_name = 'log' AND sql IS NOT NULL ORDER BY rowid";
        for statement in theirs.prepare(sql)?.query_map([], |row| row.get::<_, String>(0))? {
            bare.execute_batch(&statement?)?;
        }
        let mut own = Self { server: server.to_owned(), bare, revision: 0 };
        own.skip()?;
        Ok(own)
    }

    /// Leaves out what the server has written so far.
    pub(super) fn skip(&mut self) -> Result<()> {
        self.revision =
            open(&self.server)?.query_row("SELECT max(revision) FROM log", [], |row| row.get(0))?;
        Ok(())
    }

    /// Commits what the server has written since, `group` rows at a time; returns rows a second.
    pub(super) fn follow(&mut self, group: usize) -> Result<f64> {
        let rows = self.rows()?;
        ensure!(!rows.is_empty(), "the server wrote nothing");
        let places = vec!["?"; rows[0].len()].join(", ");
        let begun = Instant::now();
        for group in rows.chunks(group) {
            self.bare.execute_batch("BEGIN IMMEDIATE")?;
            let mut insert = self.bare.prepare_cached(&format!("INSERT INTO log VALUES ({places})"))?;
            for row in group {
                insert.execute(params_from_iter(row))?;
            }
            drop(insert);
            self.bare.execute_batch("COMMIT")?;
        }
        let rate = rows.len() as f64 / begun.elapsed().as_secs_f64();
        self.skip()?;
        Ok(rate)
    }

    fn rows(&self) -> Result<Vec<Vec<Value>>> {
        let theirs = open(&self.server)?;
        let mut select = theirs.prepare("SELECT * FROM log WHERE revision > ?1 ORDER BY revision")?;
        let columns = select.column_count();
        let rows = select.query_map([self.revision], |row| (0..columns).map(|at| row.get(at)).collect())?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn open(path: &Path) -> Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("opening {}", path.display()))
}
