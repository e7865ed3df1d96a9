//! The partitions of the log, as the database lists them.

use tokio_postgres::Row;

use crate::{Connection, Position};

/// Partitions by their bounds, and tables that are detached and not dropped yet.
const PARTITIONS: &str = r"
    SELECT c.relname::text, b.bounds[1]::bigint, b.bounds[2]::bigint, i.inhdetachpending
      FROM pg_inherits AS i
      JOIN pg_class AS c ON c.oid = i.inhrelid
     CROSS JOIN LATERAL (SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid),
               'FROM \(''(\d+)''\) TO \(''(\d+)''\)')) AS b(bounds)
     WHERE i.inhparent = 'es.events'::regclass AND c.relname ~ '^events_[0-9]+$'
    UNION ALL
    SELECT c.relname::text, a.first_position, a.last_position + 1, NULL
      FROM es.archives AS a
      JOIN pg_class AS c ON c.relname = a.partition AND c.relnamespace = 'es'::regnamespace
     WHERE NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
     ORDER BY 2";

/// A partition, or what is left of one.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) table: String,
    pub(super) number: i64,
    pub(super) first: Position,
    pub(super) last: Position,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Attached,
    /// Detaching it was interrupted.
    Detaching,
    Detached,
}

pub(super) async fn partitions(
    client: &Connection,
) -> Result<Vec<Partition>, tokio_postgres::Error> {
    let rows = client.query(PARTITIONS, &[]).await?;
    rows.iter().map(partition).collect()
}

fn partition(row: &Row) -> Result<Partition, tokio_postgres::Error> {
    let table: String = row.try_get(0)?;
    let (lower, upper): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    // The pattern of the name leaves digits.
    let number = table.trim_start_matches("events_").parse().unwrap_or_default();
    let state = match row.try_get(3)? {
        Some(false) => State::Attached,
        Some(true) => State::Detaching,
        None => State::Detached,
    };
    Ok(Partition { table, number, first: Position(lower.max(1)), last: Position(upper - 1), state })
}
