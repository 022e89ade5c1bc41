//! Whether a file is a store, and holds what was written into it.
//!
//! SQLite notices broken pages, not changed bytes within them: each row has a checksum, and what the indexes say is held
//! against the rows.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result as Queried};

use super::schema::{self, APPLICATION_ID};
use crate::{Error, Found, Result, Revision};

/// How many findings are told; a broken disk has thousands.
const TOLD: usize = 3;

/// Returns the sum that a row is stored with. A flipped bit, or any other damage of up to 32 bits in a row, changes it.
pub(super) fn checksum(revision: i64, created: i64, key: &[u8], value: Option<&[u8]>) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&revision.to_le_bytes());
    sum.update(&created.to_le_bytes());
    sum.update(&(key.len() as u64).to_le_bytes());
    sum.update(key);
    // What was deleted is not what is empty.
    if let Some(value) = value {
        sum.update(&[1]);
        sum.update(value);
    }
    i64::from(sum.finalize())
}

/// Refuses a database of another program, and one of a newer release.
///
/// # Errors
/// [`Error::Damaged`] and [`Error::TooNew`]; neither changes anything.
pub(super) fn identity(path: &Path, connection: &Connection) -> Result<()> {
    let wrap = |source| super::open::failed(path, "check the database", source);
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(wrap)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(wrap)?;
    if id != APPLICATION_ID && tables > 0 {
        return Err(damaged(path, "it is a database of another program".to_owned()));
    }
    let found = schema::version(connection).map_err(wrap)?;
    let known = schema::newest();
    if found > known { Err(Error::TooNew { path: path.to_owned(), found, known }) } else { Ok(()) }
}

/// Looks at the structure of every page.
///
/// # Errors
/// [`Error::Damaged`] with what was found.
pub(super) fn pages(path: &Path, connection: &Connection) -> Result<()> {
    let wrap = |source| super::open::failed(path, "check the database", source);
    let mut findings = Vec::new();
    connection
        .pragma_query(None, "quick_check", |row| {
            findings.push(row.get::<_, String>(0)?);
            Ok(())
        })
        .map_err(wrap)?;
    if findings == ["ok"] { Ok(()) } else { Err(damaged(path, listed(findings))) }
}

/// Looks at everything: the structure of every page, every row, and whether the indexes have the same rows. The schema is
/// the present one. `each` is shown the current rows, oldest revision first; they count only if the result is `Ok`.
///
/// A start waits for this, so that it is done on two processors: rows through `connection`, structure through `second`, and
/// nothing is read again to be loaded.
///
/// # Errors
/// [`Error::Damaged`] with what was found, such as the keys of rows that are not what was written.
pub(super) fn whole(
    path: &Path,
    connection: &Connection,
    second: Connection,
    each: &mut dyn FnMut(Found<'_>),
) -> Result<()> {
    let wrap = |source| super::open::failed(path, "check the rows", source);
    let (structure, rows) = std::thread::scope(|scope| {
        let structure = scope.spawn(move || -> Result<Tallies> {
            pages(path, &second)?;
            let all = indexed(&second, "log_history", "").map_err(wrap)?;
            let current = indexed(&second, "log_current", "WHERE superseded IS NULL").map_err(wrap)?;
            Ok(Tallies { all, current })
        });
        let rows = walk(connection, each).map_err(wrap);
        (structure.join(), rows)
    });
    // Rows on pages that are damaged are no news.
    let indexes = structure.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let (findings, rows) = rows?;
    if !findings.is_empty() {
        return Err(damaged(path, listed(findings)));
    }
    for (index, has, expected) in
        [("log_history", indexes.all, rows.all), ("log_current", indexes.current, rows.current)]
    {
        if has != expected {
            return Err(damaged(path, format!("the index {index} does not have the rows that there are")));
        }
    }
    Ok(())
}

fn damaged(path: &Path, detail: String) -> Error {
    Error::Damaged { path: path.to_owned(), detail }
}

fn listed(findings: Vec<String>) -> String {
    let more = findings.len().saturating_sub(TOLD);
    let mut text = findings.into_iter().take(TOLD).collect::<Vec<_>>().join("; ");
    if more > 0 {
        text += &format!("; and {more} more");
    }
    text
}

/// A number of rows and a sum over their keys and revisions, in whatever order they come.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    rows: u64,
    sum: i64,
}

impl Tally {
    fn add(&mut self, key: &[u8], revision: i64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(checksum(revision, 0, key, None));
    }
}

/// Of all rows, and of those that are current.
#[derive(Debug, Default)]
struct Tallies {
    all: Tally,
    current: Tally,
}

fn walk(connection: &Connection, each: &mut dyn FnMut(Found<'_>)) -> Queried<(Vec<String>, Tallies)> {
    let sql = "SELECT revision, created, superseded, key, value, checksum FROM log NOT INDEXED";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let (mut findings, mut tally) = (Vec::new(), Tallies::default());
    while let Some(row) = rows.next()? {
        let revision: i64 = row.get(0)?;
        let key = row.get_ref(3)?.as_bytes()?;
        let value = row.get_ref(4)?.as_bytes_or_null()?;
        let stored: Option<i64> = row.get(5)?;
        if stored != Some(checksum(revision, row.get(1)?, key, value)) {
            let key = String::from_utf8_lossy(key);
            findings.push(format!("revision {revision} of {key} is not what was written"));
            continue;
        }
        tally.all.add(key, revision);
        if row.get_ref(2)? == ValueRef::Null {
            tally.current.add(key, revision);
            if let Some(value) = value {
                each(Found { key: row.get_ref(3)?.as_str()?, value, modified: revision as Revision });
            }
        }
    }
    Ok((findings, tally))
}

fn indexed(connection: &Connection, index: &str, condition: &str) -> Queried<Tally> {
    let sql = format!("SELECT key, revision FROM log INDEXED BY {index} {condition}");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut tally = Tally::default();
    while let Some(row) = rows.next()? {
        tally.add(row.get_ref(0)?.as_bytes()?, row.get(1)?);
    }
    Ok(tally)
}
