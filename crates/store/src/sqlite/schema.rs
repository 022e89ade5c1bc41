//! The schema, as the steps that lead to it. A step that was released is never changed: stores were made by it.

use std::path::Path;

use rusqlite::{Connection, Result as Queried, params};

use super::check::checksum;
use crate::Result;

/// Marks a file as ours ("iron" in ASCII).
pub(super) const APPLICATION_ID: i32 = 0x6972_6f6e;

type Step = fn(&Connection) -> Queried<()>;

/// The steps from an empty file to the present schema; step n makes version n + 1.
const STEPS: &[Step] = &[create, sum_rows];

/// Returns the version that this release makes and knows.
pub(super) fn newest() -> u32 {
    STEPS.len() as u32
}

/// Returns the version of a database: the number of steps done, 0 for an empty one.
pub(super) fn version(connection: &Connection) -> Queried<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings the schema up to date, one transaction a step. The version is not newer than the newest.
///
/// # Errors
/// When the database fails; what was done of a step is undone.
pub(super) fn migrate(path: &Path, connection: &Connection) -> Result<()> {
    let wrap = |source| super::open::failed(path, "upgrade the schema", source);
    let found = version(connection).map_err(wrap)?;
    for (step, number) in STEPS.iter().zip(1..).skip(found as usize) {
        carry_out(connection, *step, number).map_err(wrap)?;
        if found > 0 {
            tracing::info!(path = %path.display(), schema = number, "the store is upgraded");
        }
    }
    Ok(())
}

fn carry_out(connection: &Connection, step: Step, number: u32) -> Queried<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migration (version INTEGER PRIMARY KEY, release TEXT NOT NULL)",
    )?;
    step(&transaction)?;
    transaction
        .execute("INSERT INTO migration VALUES (?1, ?2)", params![number, env!("CARGO_PKG_VERSION")])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", number)?;
    transaction.commit()
}

/// Version 1: the log and what is remembered of its beginning and end.
fn create(connection: &Connection) -> Queried<()> {
    connection.execute_batch(
        "CREATE TABLE log (
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
        INSERT INTO mark VALUES ('floor', 0), ('revision', 0);",
    )
}

/// Version 2: a checksum for each row.
fn sum_rows(connection: &Connection) -> Queried<()> {
    connection.execute_batch("ALTER TABLE log ADD COLUMN checksum INTEGER")?;
    let mut select = connection.prepare(
        "SELECT revision, created, key, value FROM log WHERE revision > ?1 ORDER BY revision LIMIT 1",
    )?;
    let mut update = connection.prepare("UPDATE log SET checksum = ?1 WHERE revision = ?2")?;
    let mut last = 0_i64;
    // One row at a time: rows are not changed below a query that reads them.
    loop {
        let mut rows = select.query([last])?;
        let Some(row) = rows.next()? else { return Ok(()) };
        let revision: i64 = row.get(0)?;
        let key = row.get_ref(2)?.as_bytes()?;
        let sum = checksum(revision, row.get(1)?, key, row.get_ref(3)?.as_bytes_or_null()?);
        drop(rows);
        update.execute([sum, revision])?;
        last = revision;
    }
}
