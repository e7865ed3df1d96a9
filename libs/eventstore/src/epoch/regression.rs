//! A log that lacks events which somebody has seen.

use tokio_postgres::{Client, Error};
use uuid::Uuid;

use crate::Position;

/// Of the log's newest epoch, unless that is newer than what was seen. A log whose epochs are all older than
/// that has lost an epoch.
const REPORT: &str = "WITH reported AS ( \
         INSERT INTO es.log_regressions AS r (epoch, detail, seen_epoch) \
         SELECT max(epoch), $2, $1 FROM es.log_epoch HAVING $1 >= max(epoch) \
         ON CONFLICT (epoch) DO UPDATE SET seen_epoch = EXCLUDED.seen_epoch \
          WHERE coalesce(r.seen_epoch, r.epoch) < EXCLUDED.seen_epoch \
         RETURNING epoch) \
     SELECT pg_notify('hatch_fence', '') FROM reported";
const EVENT_AT: &str = "SELECT event_id FROM es.events WHERE position = $1";
const IS_ARCHIVED: &str = "SELECT EXISTS ( \
         SELECT FROM es.archives WHERE $1 BETWEEN first_position AND last_position)";

/// The end of the bus, to compare the log with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusEnd {
    /// The generation.
    pub generation: i32,
    /// Its last position.
    pub position: Position,
    /// The event there, if it proved to be hatch's own; none when the bus does not hold it any more, or
    /// not yet: then nothing proves the position either.
    pub event_id: Option<Uuid>,
}

/// Closes the fence for everybody until the next epoch: the log lacks what `detail` says, which was
/// seen in `epoch`. Does nothing if a newer epoch has begun: an operator has already decided. A log that never came to
/// `epoch` is an older one.
///
/// # Errors
/// PostgreSQL's.
pub async fn report_regression(client: &Client, epoch: i32, detail: &str) -> Result<(), Error> {
    client.execute(REPORT, &[&epoch, &detail]).await.map(drop)
}

/// Compares the log with an event that `who` has: says how they differ if the log has another event, or none, at
/// `position`.
pub(crate) async fn contradiction(
    client: &Client,
    who: &str,
    position: Position,
    event_id: Uuid,
) -> Result<Option<String>, Error> {
    let row = client.query_opt(EVENT_AT, &[&position.0]).await?;
    let there = match row.map(|row| row.try_get::<_, Uuid>(0)).transpose()? {
        Some(found) if found == event_id => return Ok(None),
        Some(found) => found.to_string(),
        // An archived position is far behind every reader but one that was suspended: it says nothing about the log.
        None if client.query_one(IS_ARCHIVED, &[&position.0]).await?.try_get(0)? => {
            return Ok(None);
        }
        None => "none".to_owned(),
    };
    Ok(Some(format!("at position {position} {who} has event {event_id}, the log has {there}")))
}
