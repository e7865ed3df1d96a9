//! What can be told of the timers from outside of the dispatchers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_eventstore::Position;
use tokio_postgres::{Client, Error};

use super::store::{NAME, VERSION};

/// Overdue messages that are counted.
const COUNTED_MAX: i64 = 10_000;

const LOOK: &str = "
    SELECT coalesce((SELECT position FROM es.checkpoints WHERE name = $1 AND version = $2), 0),
           count(*), min(look_at)
      FROM (SELECT look_at FROM dispatch.timers
             WHERE look_at < now() - make_interval(secs => $3)
             ORDER BY look_at LIMIT $4) AS overdue";

/// How the timers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The last position that is folded into them.
    pub position: Position,
    /// Messages that nobody looked at although their time has come, at most 10,000.
    pub overdue: i64,
    /// Since when the first of them is due.
    pub overdue_since: Option<DateTime<Utc>>,
}

/// Looks once, for commands. What is due for less than `grace` is not overdue.
///
/// # Errors
/// PostgreSQL's.
pub async fn observe(client: &Client, grace: Duration) -> Result<Observed, Error> {
    let grace = grace.as_secs_f64();
    let row = client.query_one(LOOK, &[&NAME, &VERSION, &grace, &COUNTED_MAX]).await?;
    Ok(Observed {
        position: Position(row.try_get(0)?),
        overdue: row.try_get(1)?,
        overdue_since: row.try_get(2)?,
    })
}
