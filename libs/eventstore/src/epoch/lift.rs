//! Beginning a new epoch, which opens a closed fence.

use tokio_postgres::{Client, Error};

use super::CHANNEL;
use super::identity::{DatabasePlace, Identity};
use super::row::{FENCE_ROW, FenceRow};
use super::state::{Closed, FenceState};
use crate::Position;
use crate::locks::LOG_LOCK;

const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";
/// The new epoch is after all that anybody has seen, so that what is remembered of a lost one says nothing
/// of it. Host and deployment's name are left to the first process that works in the new epoch: whoever
/// lifts the fence may reach the database by another name.
const BEGIN: &str = "INSERT INTO es.log_epoch \
         (epoch, system_identifier, timeline, data_directory, base_position, reason) \
     SELECT (SELECT greatest(max(epoch), (SELECT max(seen_epoch) FROM es.log_regressions)) \
          FROM es.log_epoch) + 1, s.system_identifier, s.timeline, \
         s.data_directory, (SELECT coalesce(max(position), 0) FROM es.events), $1 \
     FROM es.server_identity() AS s \
     RETURNING epoch, base_position";

/// A new epoch, and what it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifted {
    /// Why the fence was closed.
    pub closed: Closed,
    /// The new epoch.
    pub epoch: i32,
    /// The log's head when it began.
    pub base_position: Position,
}

/// Begins a new epoch on the server as it is, which opens the fence of every process; none when the
/// fence is open already. In one transaction under the log's lock: no event is between the epochs.
///
/// # Errors
/// PostgreSQL's.
pub async fn lift_fence(
    client: &mut Client,
    place: &DatabasePlace,
    reason: &str,
) -> Result<Option<Lifted>, Error> {
    let found = Identity::read(client, place).await?;
    let transaction = client.transaction().await?;
    transaction.execute(LOCK, &[&LOG_LOCK]).await?;
    let fence_row = FenceRow::of(&transaction.query_one(FENCE_ROW, &[]).await?)?;
    let FenceState::Closed(closed) = fence_row.state(&found, None) else { return Ok(None) };
    let row = transaction.query_one(BEGIN, &[&reason]).await?;
    let (epoch, base_position) = (row.try_get(0)?, Position(row.try_get(1)?));
    transaction.execute("SELECT pg_notify($1, '')", &[&CHANNEL]).await?;
    transaction.commit().await?;
    Ok(Some(Lifted { closed, epoch, base_position }))
}
