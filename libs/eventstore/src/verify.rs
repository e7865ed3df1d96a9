//! Checking what the log promises, over all of it.
//!
//! Everything is read in one snapshot, so live traffic is in no one's way and nothing is half there.
//! The server does the comparing: memory here does not grow with the log.

use std::time::Duration;

use deadpool_postgres::Transaction;
use hatch_telemetry::chain::Chain;
use tokio_postgres::Row;

use crate::{Connection, Connections, Position, Unanswered, archive, rows};

/// Positions of a chunk: what is between two reports of progress.
const CHUNK_POSITIONS: i64 = 200_000;

/// Violations that are named, of each kind; a damaged log has millions.
const NAMED_MAX: i64 = 20;

/// The indexes would be a detour for reading everything, and it may take as long as it takes.
/// Locked before there is a snapshot, no partition is detached after it.
const WHOLE: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
    SET LOCAL enable_seqscan = on; SET LOCAL statement_timeout = 0;
    SET LOCAL work_mem = '64MB'; LOCK TABLE es.events IN ACCESS SHARE MODE";

/// The log as the checks see it, where a part of it is archived.
const WITH_ARCHIVES: &str = "(
    SELECT position, stream_id, version, tenant_id, event_id, epoch, aggregate, type, schema_version
      FROM archived
    UNION ALL
    SELECT position, stream_id, version, tenant_id, event_id, epoch, aggregate, type, schema_version
      FROM es.events
     WHERE position > {last}) AS log";

const BOUNDS: &str = "SELECT coalesce(min(position), 1), coalesce(max(position), 0) FROM {log}";

const POSITIONS: &str = "
    SELECT position, before FROM (
        SELECT position, lag(position) OVER (ORDER BY position) AS before
          FROM {log} WHERE position BETWEEN $1 AND $2) AS pairs
     WHERE before IS NOT NULL AND position <> before + 1
     ORDER BY position LIMIT $3";

const EPOCHS: &str = "
    SELECT position, epoch, before FROM (
        SELECT position, epoch, lag(epoch) OVER (ORDER BY position) AS before
          FROM {log} WHERE position BETWEEN $1 AND $2) AS pairs
     WHERE before > epoch OR NOT EXISTS (SELECT FROM es.log_epoch e WHERE e.epoch = pairs.epoch)
     ORDER BY position LIMIT $3";

const STREAMS: &str = "
    SELECT coalesce(e.stream_id, s.stream_id), e.events, e.first, e.last, s.version,
           e.tenants > 1 OR e.tenant_id <> s.tenant_id,
           e.kinds > 1 OR e.kind <> s.kind
      FROM (SELECT stream_id, count(*) AS events, min(version) AS first, max(version) AS last,
                   count(DISTINCT tenant_id) AS tenants, min(tenant_id::text)::uuid AS tenant_id,
                   count(DISTINCT aggregate) AS kinds, min(aggregate) AS kind
              FROM {log} GROUP BY stream_id) AS e
      FULL JOIN es.streams s ON s.stream_id = e.stream_id
     WHERE e.events IS NULL OR s.version IS NULL OR e.last <> s.version
        OR e.events <> e.last - e.first + 1 OR e.first <> 1
        OR e.tenants > 1 OR e.tenant_id <> s.tenant_id OR e.kinds > 1 OR e.kind <> s.kind
     LIMIT $1";

const IDS: &str = "
    SELECT event_id, count(*), min(position) FROM {log}
     GROUP BY event_id HAVING count(*) > 1 LIMIT $1";

const TYPES: &str = "
    SELECT aggregate, type, schema_version, count(*), min(position) FROM {log}
     GROUP BY aggregate, type, schema_version ORDER BY min(position) LIMIT $1";

const COMMANDS: &str = "
    SELECT command_key, first_position, last_position FROM es.commands
     WHERE first_position > last_position OR last_position > $1 OR first_position < 1 LIMIT $2";

const CHECKPOINTS: &str = "
    SELECT name, version, position FROM es.checkpoints WHERE position > $1 LIMIT $2";

/// Types that are listed. There are as many as the aggregates have, times their versions.
const TYPES_MAX: i64 = 10_000;

/// How long a connection is waited for.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long all of it may take. A log of a billion events takes some hours.
const VERIFY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Something that the log promises and does not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise: `positions`, `epochs`, `streams`, `event ids`, `commands`, `checkpoints` or
    /// `archives`.
    pub promise: &'static str,
    /// What is there instead, and where.
    pub detail: String,
}

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// The first position that the log keeps.
    pub first: Position,
    /// The last one.
    pub head: Position,
    /// What is wrong: at most twenty of each promise.
    pub violations: Vec<Violation>,
    /// The types and versions of its events, the first of each in order; empty where an archive could not
    /// be read. What they mean is not the log's affair: whoever knows, tells which it can read.
    pub types: Vec<TypeInLog>,
}

/// Events of one type and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeInLog {
    /// The kind of their streams.
    pub aggregate: String,
    /// The type's name.
    pub event_type: String,
    /// The version of their shape.
    pub schema_version: i16,
    /// How many there are.
    pub events: i64,
    /// The first one.
    pub first: Position,
}

/// Why the log could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No connection, or no answer in time.
    #[error("connect to the log's database")]
    Unanswered(#[from] Unanswered),
    /// The server refused or was lost.
    #[error("read the log")]
    Postgres(#[from] tokio_postgres::Error),
}

/// Checks the whole log as it is at the beginning. `progress` hears how far it has come and where it
/// ends.
///
/// # Errors
/// When the log cannot be read; what is wrong with it is no error.
pub async fn verify(
    connections: &Connections,
    progress: impl FnMut(Position, Position),
) -> Result<Verified, VerifyError> {
    let mut held = connections.own(CONNECT_MAX).await?;
    held.within(VERIFY_MAX, async |client| check(client, progress).await).await
}

async fn check(
    client: &mut Connection,
    mut progress: impl FnMut(Position, Position),
) -> Result<Verified, VerifyError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(WHOLE).await?;
    let head = Position(transaction.query_one(rows::HEAD, &[]).await?.try_get(0)?);
    let archived = archive::load(&transaction, |position| progress(position, head)).await?;
    let source = archived.as_ref().map_or_else(
        || "es.events".to_owned(),
        |archived| WITH_ARCHIVES.replace("{last}", &archived.last.to_string()),
    );
    let damages = archived.map(|archived| archived.damages).unwrap_or_default();
    let sql = |sql: &str| sql.replace("{log}", &source);
    let bounds = transaction.query_one(&sql(BOUNDS), &[]).await?;
    let (first, head): (i64, i64) = (bounds.try_get(0)?, bounds.try_get(1)?);
    let mut found =
        Verified { first: Position(first), head: Position(head), ..Verified::default() };
    let (positions, epochs) = (sql(POSITIONS), sql(EPOCHS));
    let mut from = first;
    while from <= head {
        let to = (from + CHUNK_POSITIONS).min(head);
        // Chunks overlap by one, for the step from one into the next.
        for row in transaction.query(&positions, &[&from, &to, &NAMED_MAX]).await? {
            found.add("positions", gap(&row)?);
        }
        for row in transaction.query(&epochs, &[&from, &to, &NAMED_MAX]).await? {
            found.add("epochs", epoch(&row)?);
        }
        progress(Position(to), Position(head));
        from = if to == head { head + 1 } else { to };
    }
    if damages.is_empty() {
        found.check_streams(&transaction, sql).await?;
    }
    for damage in damages {
        let text = Chain(&damage);
        found.add("archives", format!("{text}; streams and event ids were not checked"));
    }
    found.check_tables(&transaction).await?;
    Ok(found)
}

impl Verified {
    async fn check_streams(
        &mut self,
        transaction: &Transaction<'_>,
        sql: impl Fn(&str) -> String,
    ) -> Result<(), VerifyError> {
        for row in transaction.query(&sql(STREAMS), &[&NAMED_MAX]).await? {
            self.add("streams", stream(&row)?);
        }
        for row in transaction.query(&sql(TYPES), &[&TYPES_MAX]).await? {
            self.types.push(TypeInLog {
                aggregate: row.try_get(0)?,
                event_type: row.try_get(1)?,
                schema_version: row.try_get(2)?,
                events: row.try_get(3)?,
                first: Position(row.try_get(4)?),
            });
        }
        for row in transaction.query(&sql(IDS), &[&NAMED_MAX]).await? {
            let (id, count, first): (uuid::Uuid, i64, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            self.add("event ids", format!("{count} events have the id {id}, first at {first}"));
        }
        Ok(())
    }

    async fn check_tables(&mut self, transaction: &Transaction<'_>) -> Result<(), VerifyError> {
        for row in transaction.query(COMMANDS, &[&self.head.0, &NAMED_MAX]).await? {
            let (key, first, last): (uuid::Uuid, i64, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            self.add("commands", format!("key {key} points to positions {first} to {last}"));
        }
        for row in transaction.query(CHECKPOINTS, &[&self.head.0, &NAMED_MAX]).await? {
            let (name, version, at): (&str, i32, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let head = self.head;
            let detail = format!("{name} version {version} is at {at}, after the head {head}");
            self.add("checkpoints", detail);
        }
        Ok(())
    }

    fn add(&mut self, promise: &'static str, detail: String) {
        let named = self.violations.iter().filter(|violation| violation.promise == promise);
        if named.count() < usize::try_from(NAMED_MAX).unwrap_or_default() {
            self.violations.push(Violation { promise, detail });
        }
    }
}

fn gap(row: &Row) -> Result<String, tokio_postgres::Error> {
    let (position, before): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(format!("position {position} follows {before}"))
}

fn epoch(row: &Row) -> Result<String, tokio_postgres::Error> {
    let (position, epoch): (i64, i32) = (row.try_get(0)?, row.try_get(1)?);
    Ok(match row.try_get::<_, Option<i32>>(2)? {
        Some(before) if before > epoch => {
            format!("position {position} is of epoch {epoch}, the one before it of {before}")
        }
        _ => format!("position {position} is of epoch {epoch}, which never began"),
    })
}

fn stream(row: &Row) -> Result<String, tokio_postgres::Error> {
    let id: uuid::Uuid = row.try_get(0)?;
    let Some(events) = row.try_get::<_, Option<i64>>(1)? else {
        return Ok(format!("stream {id} is on record and has no event"));
    };
    let (first, last): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
    let version = row.try_get::<_, Option<i64>>(4)?;
    let version = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
    if row.try_get::<_, Option<bool>>(5)? == Some(true) {
        return Ok(format!("stream {id} has events of another tenant than its own"));
    }
    if row.try_get::<_, Option<bool>>(6)? == Some(true) {
        return Ok(format!("stream {id} has events of another kind than its own"));
    }
    Ok(format!(
        "stream {id} has versions {first} to {last}, {events} in all; on record is {version}"
    ))
}
