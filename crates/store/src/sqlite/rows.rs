//! The queries. `log` has one row a change; `superseded` is the revision of the change that replaced the row,
//! NULL while it is current. A deletion is a row without value, superseded from the start.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::check::checksum;
use crate::watch::Batch;
use crate::{Entry, Event, List, Page, Revision, prefix};

const COLUMNS: &str = "key, value, created, revision";

fn entry(row: &Row<'_>) -> Result<Entry> {
    let value: Vec<u8> = row.get(1)?;
    Ok(Entry {
        key: Arc::from(row.get_ref(0)?.as_str()?),
        value: Bytes::from(value),
        created: row.get::<_, i64>(2)? as Revision,
        modified: row.get::<_, i64>(3)? as Revision,
    })
}

/// Returns the entry of `key` as it is now.
pub(super) fn current(connection: &Connection, key: &str) -> Result<Option<Entry>> {
    let sql = "SELECT key, value, created, revision FROM log WHERE key = ?1 AND superseded IS NULL";
    connection.prepare_cached(sql)?.query_row([key], entry).optional()
}

/// Returns the revision of the latest change in this connection's view.
///
/// Compaction may remove the row of the latest change when it was a deletion, so the mark counts as well.
pub(super) fn latest(connection: &Connection) -> Result<Revision> {
    let sql = "SELECT max((SELECT value FROM mark WHERE name = 'revision'), coalesce((SELECT max(revision) FROM log), 0))";
    let latest: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(latest as Revision)
}

/// Returns the oldest revision that can be read.
pub(super) fn floor(connection: &Connection) -> Result<Revision> {
    let floor: i64 =
        connection.query_row("SELECT value FROM mark WHERE name = 'floor'", [], |row| row.get(0))?;
    Ok(floor as Revision)
}

/// Returns the exclusive upper bound of the keys below `prefix`. Without one it is a blob, which SQLite orders
/// above every text: the bound stays one comparison, which an index can use.
fn upper(prefix: &str) -> Value {
    prefix::end(prefix).map_or_else(|| Value::Blob(Vec::new()), Value::Text)
}

/// Reads one page in one read transaction.
pub(super) fn page(connection: &Connection, list: &List) -> Result<Page> {
    let transaction = connection.unchecked_transaction()?;
    let revision = match list.at {
        Some(at) => at,
        None => latest(&transaction)?,
    };
    // Current rows have their own index; the past has to look at every version of every key.
    let live = match list.at {
        None => "superseded IS NULL",
        Some(_) => "revision <= ?3 AND value IS NOT NULL AND (superseded IS NULL OR superseded > ?3)",
    };
    let (above, start) = match &list.after {
        Some(after) if after.as_str() >= list.prefix.as_str() => (">", after.as_str()),
        _ => (">=", list.prefix.as_str()),
    };
    let range = |above| format!("FROM log WHERE key {above} ?1 AND key < ?2 AND {live} AND ?3 = ?3");
    let (end, at) = (upper(&list.prefix), revision as i64);
    let limit = if list.limit == 0 { -1 } else { list.limit as i64 };
    let sql = format!("SELECT {COLUMNS} {} ORDER BY key LIMIT ?4", range(above));
    let mut statement = transaction.prepare_cached(&sql)?;
    let rows = statement.query_map(params![start, end, at, limit], entry)?;
    let entries = rows.collect::<Result<Vec<_>>>()?;
    let full = list.limit != 0 && entries.len() == list.limit;
    let shown = entries.last().filter(|_| full).map(|entry| entry.key.to_string());
    let remaining = match &shown {
        None => 0,
        Some(above) => {
            let sql = format!("SELECT count(*) {}", range(">"));
            let count = transaction
                .prepare_cached(&sql)?
                .query_row(params![above, end, at], |row| row.get::<_, i64>(0))?;
            count as u64
        }
    };
    Ok(Page { entries, revision, next: shown.filter(|_| remaining > 0), remaining })
}

/// Reads up to `limit` changes below `prefix`, above `after` and not above `through`.
pub(super) fn events(
    connection: &Connection,
    prefix: &str,
    after: Revision,
    through: Revision,
    limit: usize,
) -> Result<Batch> {
    let transaction = connection.unchecked_transaction()?;
    let end = upper(prefix);
    let mut statement = transaction.prepare_cached(
        "SELECT key, value, created, revision FROM log
         WHERE revision > ?1 AND revision <= ?2 AND key >= ?3 AND key < ?4
         ORDER BY revision LIMIT ?5",
    )?;
    let mut before = transaction.prepare_cached(
        "SELECT key, value, created, revision FROM log
         WHERE key = ?1 AND revision < ?2 AND value IS NOT NULL AND superseded = ?2 ORDER BY revision DESC LIMIT 1",
    )?;
    let mut rows = statement.query(params![after as i64, through as i64, prefix, end, limit as i64])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let revision: i64 = row.get(3)?;
        let key: Arc<str> = Arc::from(row.get_ref(0)?.as_str()?);
        let deleted = row.get_ref(1)? == ValueRef::Null;
        let current = if deleted { None } else { Some(entry(row)?) };
        let previous = before.query_row(params![key, revision], entry).optional()?;
        events.push(Event { revision: revision as Revision, key, current, previous });
    }
    let full = events.len() == limit;
    let through = events.last().filter(|_| full).map_or(through, |event| event.revision);
    Ok(Batch { events, through })
}

/// Writes one change as the next revision. The expectation has been checked.
pub(super) fn append(
    connection: &Connection,
    key: &str,
    value: Option<&[u8]>,
    revision: Revision,
    previous: Option<&Entry>,
) -> Result<()> {
    let revision = revision as i64;
    if let Some(previous) = previous {
        connection
            .prepare_cached("UPDATE log SET superseded = ?1 WHERE revision = ?2")?
            .execute(params![revision, previous.modified as i64])?;
    }
    let created = previous.map_or(revision, |entry| entry.created as i64);
    let superseded = value.is_none().then_some(revision);
    let sum = checksum(revision, created, key.as_bytes(), value);
    connection
        .prepare_cached(
            "INSERT INTO log (revision, created, superseded, key, value, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![revision, created, superseded, key, value, sum])?;
    Ok(())
}

/// Undoes every change above `revision`.
pub(super) fn retract(connection: &Connection, revision: Revision) -> Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute("DELETE FROM log WHERE revision > ?1", [revision as i64])?;
    transaction.execute("UPDATE log SET superseded = NULL WHERE superseded > ?1", [revision as i64])?;
    transaction.commit()
}

/// Removes what was superseded at or before `floor`, and remembers it.
pub(super) fn compact(connection: &Connection, floor: Revision, latest: Revision) -> Result<()> {
    let (floor, latest) = (floor as i64, latest as i64);
    connection.execute("UPDATE mark SET value = ?1 WHERE name = 'floor'", [floor])?;
    connection.execute("UPDATE mark SET value = ?1 WHERE name = 'revision'", [latest])?;
    // The revision bound lets the scan end early: no row can be superseded before it was written.
    connection.execute("DELETE FROM log WHERE revision <= ?1 AND superseded <= ?1", [floor])?;
    Ok(())
}
