//! What can be told of the timers from outside of the dispatchers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_eventstore::Position;
use tokio_postgres::{Client, Error};

use super::store::{NAME, VERSION};

/// Messages that are counted, of a kind.
const COUNTED_MAX: i64 = 10_000;

const LOOK: &str = "
    SELECT coalesce((SELECT position FROM es.checkpoints WHERE name = $1 AND version = $2), 0),
           overdue.*, undecodable.*
      FROM (SELECT count(*), min(look_at)
              FROM (SELECT look_at FROM dispatch.timers
                     WHERE look_at < now() - make_interval(secs => $3)
                     ORDER BY look_at LIMIT $4) AS counted) AS overdue,
           (SELECT count(*), min(undecodable_at)
              FROM (SELECT undecodable_at FROM dispatch.timers
                     WHERE undecodable_at IS NOT NULL
                     ORDER BY undecodable_at LIMIT $4) AS counted) AS undecodable";

const UNDECODABLE: &str = "
    SELECT count(*) FROM (SELECT FROM dispatch.timers WHERE undecodable_at IS NOT NULL LIMIT $1) AS counted";

/// How the timers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The last position that is folded into them.
    pub position: Position,
    /// Messages that nobody looked at although their time has come, at most 10,000.
    pub overdue: i64,
    /// Since when the first of them is due.
    pub overdue_since: Option<DateTime<Utc>>,
    /// Messages that nobody who looked could read, because an event of theirs is of another build; at most
    /// 10,000. They are not overdue: they are looked at again and again.
    pub undecodable: i64,
    /// Since when the first of them is waited for.
    pub undecodable_since: Option<DateTime<Utc>>,
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
        undecodable: row.try_get(3)?,
        undecodable_since: row.try_get(4)?,
    })
}

/// How many messages nobody who looked could read, at most 10,000.
///
/// # Errors
/// PostgreSQL's.
pub async fn undecodable(client: &Client) -> Result<i64, Error> {
    client.query_one(UNDECODABLE, &[&COUNTED_MAX]).await?.try_get(0)
}
