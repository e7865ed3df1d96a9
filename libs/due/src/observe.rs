//! A report on the timers, for processes that do not sweep.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::Decider;
use hatch_eventstore::Position;
use tokio_postgres::{Client, Error};

use crate::DueKind;

/// Streams that are counted, of a sort.
const COUNTED_MAX: i64 = 10_000;

const LOOK: &str = "
    SELECT coalesce((SELECT position FROM es.checkpoints WHERE name = $1 AND version = $2), 0),
           overdue.*, undecodable.*
      FROM (SELECT count(*), min(look_at)
              FROM (SELECT look_at FROM due.timers
                     WHERE kind = $5 AND look_at < now() - make_interval(secs => $3)
                     ORDER BY look_at LIMIT $4) AS counted) AS overdue,
           (SELECT count(*), min(undecodable_at)
              FROM (SELECT undecodable_at FROM due.timers
                     WHERE kind = $5 AND undecodable_at IS NOT NULL
                     ORDER BY undecodable_at LIMIT $4) AS counted) AS undecodable";

const UNDECODABLE: &str = "
    SELECT count(*) FROM (SELECT FROM due.timers WHERE kind = $1 AND undecodable_at IS NOT NULL LIMIT $2) AS counted";

/// How the timers of a kind stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimersReport {
    /// The last position that is folded into them.
    pub position: Position,
    /// Streams that nobody looked at although their time has come, at most 10,000.
    pub overdue: i64,
    /// Since when the first of them is due.
    pub overdue_since: Option<DateTime<Utc>>,
    /// Streams that nobody who looked could read, because an event of theirs is of another build; at most
    /// 10,000. They are not overdue: they are looked at again and again.
    pub undecodable: i64,
    /// Since when the first of them is waited for.
    pub undecodable_since: Option<DateTime<Utc>>,
}

/// Looks once, for commands. What is due for less than `grace` is not overdue.
///
/// # Errors
/// PostgreSQL's.
pub async fn observe<K: DueKind>(client: &Client, grace: Duration) -> Result<TimersReport, Error> {
    let (grace, (name, version)) = (grace.as_secs_f64(), K::CHECKPOINT);
    let kind = K::Stream::KIND;
    let row = client.query_one(LOOK, &[&name, &version, &grace, &COUNTED_MAX, &kind]).await?;
    Ok(TimersReport {
        position: Position(row.try_get(0)?),
        overdue: row.try_get(1)?,
        overdue_since: row.try_get(2)?,
        undecodable: row.try_get(3)?,
        undecodable_since: row.try_get(4)?,
    })
}

/// How many streams of a kind nobody who looked could read, at most 10,000.
///
/// # Errors
/// PostgreSQL's.
pub async fn undecodable<K: DueKind>(client: &Client) -> Result<i64, Error> {
    client.query_one(UNDECODABLE, &[&K::Stream::KIND, &COUNTED_MAX]).await?.try_get(0)
}
