//! Building a projection's tables anew from the log, while everybody reads and writes on.

use std::time::Duration;

use hatch_eventstore::{Connection, Connections, Position};
use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;

use super::bulk::RebuildProgress;
use super::catalog::{self, Durability};
use super::definition::{Definition, Projections};
use super::replica::{Live, Lock, Replay, Replica};
use super::session::{STEP_MAX, STRETCH_MAX, WHOLE_MAX, lock};
use super::tables::SchemaSlot;
use crate::{Error, MaintenanceError};

/// First key of the advisory lock that shows that a rebuild is under way ("rbld" in ASCII); the
/// second one is the projection's.
const REBUILD_LOCK: i32 = 0x7262_6c64;

/// Which projections are being rebuilt, by the second key of their locks.
const UNDER_WAY: &str = "
    SELECT objid::integer
      FROM pg_locks
     WHERE locktype = 'advisory' AND classid = $1::integer::oid AND objsubid = 2 AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// How long readers and the projector may be held up by one try to take over. Shorter than what
/// PostgreSQL waits before it looks for a deadlock (`deadlock_timeout`, one second): so if this and a
/// reader wait for each other, this gives way.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '200ms'";

/// For a copy that is further than tables that halted.
const MOVE_CHECKPOINT: &str = "
    UPDATE es.checkpoints c
       SET position = $3, epoch = e.epoch, updated_at = now()
      FROM es.events e
     WHERE c.name = $1 AND c.version = $2 AND e.position = $3";

/// The pause between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(300);

/// How long to try.
const TAKE_OVER_WAIT: Duration = Duration::from_secs(120);

/// The rows have to be on the disk before the old ones are dropped.
const WAIT_FOR_DISK: &str = "SET LOCAL synchronous_commit = on";

/// Builds the tables of `definition` from the log and has them take over, beside a running projector
/// and readers, none of whom sees anything but a complete read model. Returns the position that the
/// tables had then. Tells `on_progress` how far it is.
///
/// Where the projector halted, the tables are built up to the log's head, and it goes on from there.
/// `connections` are to be the tables' owner's; a few more than their number are made. Killed
/// at any moment, this leaves the read models as they are; the next rebuild drops what it left.
///
/// # Errors
/// [`MaintenanceError::Busy`], [`MaintenanceError::NotOwner`], [`MaintenanceError::InUse`]; what
/// [`Projection::advance`](super::Projection::advance) refuses, the log or PostgreSQL. The read models are as they were.
pub async fn rebuild(
    connections: &Connections,
    definition: &'static Definition,
    mut on_progress: impl FnMut(RebuildProgress),
) -> Result<Position, MaintenanceError> {
    let mut replica =
        Replica::begin(connections, definition, SchemaSlot::Building, Durability::Logged).await?;
    match build(&mut replica, &mut on_progress).await {
        Ok(position) => {
            let replaced = replica.replay.tables.at(SchemaSlot::Replaced);
            replica.ask(WHOLE_MAX, async |c| catalog::drop(&**c, replaced).await).await?;
            Ok(position)
        }
        Err(error) => {
            replica.abandon().await;
            Err(error)
        }
    }
}

async fn build(
    replica: &mut Replica,
    on_progress: &mut impl FnMut(RebuildProgress),
) -> Result<Position, MaintenanceError> {
    let Replay { definition, tables, .. } = replica.replay;
    replica.ask(STEP_MAX, async |c| lock(&**c, REBUILD_LOCK, definition).await).await?;
    replica.catch_up(on_progress).await?;
    on_progress(RebuildProgress::Indexing);
    replica.ask(WHOLE_MAX, async |c| catalog::create_indexes(&**c, tables).await).await?;
    let deadline = Instant::now() + TAKE_OVER_WAIT;
    loop {
        replica.catch_up(on_progress).await?;
        on_progress(RebuildProgress::TakingOver);
        match take_over(replica).await {
            Err(error) if !is_held_up(&error) => return Err(error),
            Err(_) if Instant::now() >= deadline => return Err(MaintenanceError::InUse),
            Err(_) => sleep(TRY_PAUSE).await,
            taken_over => return taken_over,
        }
    }
}

/// Puts the copy in the place of the live tables, as far as those or further. The checkpoint is locked
/// first: the projector waits, and goes on in the new tables from where the old ones stood, or from
/// where these stand if it had halted before.
async fn take_over(replica: &mut Replica) -> Result<Position, MaintenanceError> {
    let Replica { client, replay, .. } = replica;
    client.within(STRETCH_MAX, async |client| exchange(client, replay).await).await
}

async fn exchange(client: &mut Connection, replay: &Replay) -> Result<Position, MaintenanceError> {
    // Without a row there is nothing to lock, and the projector would not wait.
    replay.definition.checkpoint(client).await?;
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK_TIMEOUT).await?;
    transaction.batch_execute(WAIT_FOR_DISK).await?;
    let live = Live::read(&*transaction, replay.definition, Lock::Position).await?;
    let position = live.position.max(replay.position);
    replay.finish(&transaction, position).await?;
    if position > live.position {
        let moved = (&replay.definition.name, &replay.definition.version, &position.0);
        transaction.execute(MOVE_CHECKPOINT, &[moved.0, moved.1, moved.2]).await?;
    }
    catalog::take_over(&*transaction, replay.tables).await?;
    transaction.commit().await?;
    Ok(position)
}

/// Whether somebody else's lock was in the way.
fn is_held_up(error: &MaintenanceError) -> bool {
    const LOCKS: [SqlState; 2] = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
    let MaintenanceError::ReadModel(Error::Postgres(error)) = error else { return false };
    error.code().is_some_and(|code| LOCKS.contains(code))
}

/// Those of `projections` that somebody rebuilds.
pub(crate) async fn under_way(
    client: &Connection,
    projections: Projections,
) -> Result<Vec<&'static Definition>, Error> {
    let statement = client.prepare_cached(UNDER_WAY).await?;
    let rows = client.query(&statement, &[&REBUILD_LOCK]).await?;
    let keys: Result<Vec<i32>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    let keys = keys?;
    Ok(projections.iter().copied().filter(|one| keys.contains(&one.key())).collect())
}
