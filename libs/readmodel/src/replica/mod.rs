//! A second copy of a projection's tables, filled from the log beside the live ones.
//!
//! It never goes beyond the live tables' checkpoint, unless those halted, and is made equal to them in
//! a transaction that has read that checkpoint. Its own position is in memory only: a copy whose maker
//! died is dropped by the next one, and begun again.

mod bulk;
pub(crate) mod catalog;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Transaction;
use hatch_eventstore::{Connection, Connections, Held, Log, Position, RecordedEvent, Unanswered};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, GenericClient};

use crate::projection::{Projection, Tables, Target};
use crate::{Error, MaintenanceError};
use bulk::Bulk;
use catalog::Durability;

/// First key of the advisory lock of whoever makes a copy ("copy" in ASCII); the second one is the
/// projection's.
const MAINTENANCE_LOCK: i32 = 0x636f_7079;

/// How long to wait for that lock. PostgreSQL may take a moment to see that its holder was killed.
const LOCK_WAIT: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(100);

/// How long a connection is waited for.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long one step may take that reads no table as a whole.
pub(crate) const STEP_MAX: Duration = Duration::from_secs(60);

/// How long it may take to write a stretch of the log.
pub(crate) const STRETCH_MAX: Duration = Duration::from_secs(10 * 60);

/// How long it may take to read or to index whole tables: hours, where they are large.
pub(crate) const WHOLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Copies that are this close are finished in one transaction.
const CLOSE_EVENTS: i64 = 500;

/// What the pool's sessions limit is right for queries, not for this one. What it changes at most is
/// lost with the log still there, so it does not wait for the disk. A server that looks after its
/// client frees the lock of one that was killed.
const SESSION: &str = "
    SET statement_timeout = 0;
    SET idle_in_transaction_session_timeout = 0;
    SET synchronous_commit = off;
    SET work_mem = '64MB';
    SET client_connection_check_interval = '1s'";

/// How far the live tables are, and whether their projector halted there.
const LIVE: &str = "
    SELECT c.position,
           EXISTS (SELECT FROM rm.projection_halts h
                    WHERE h.projection = c.name AND h.version = c.version
                      AND h.position > c.position)
      FROM es.checkpoints c
     WHERE c.name = $1 AND c.version = $2";

/// Sees to it that tables that are made belong to whom the live ones belong to.
const OWNER: &str = "
    SELECT pg_get_userbyid(nspowner)::text, pg_has_role(nspowner, 'MEMBER'),
           has_database_privilege(nspowner, current_database(), 'CREATE')
      FROM pg_namespace
     WHERE oid = to_regnamespace($1)";

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Events are applied.
    Replaying {
        /// The last one that is.
        position: Position,
        /// The last one that is to be.
        target: Position,
    },
    /// Indexes are built.
    Indexing,
    /// The copy takes over as soon as nobody reads for a moment.
    TakingOver,
    /// The copy is compared with the live tables.
    Comparing,
}

/// The copy.
pub(crate) struct Replica {
    /// Closed with the value, which frees the lock.
    pub(crate) client: Held,
    pub(crate) replay: Replay,
    bulk: Bulk,
}

/// What fills it.
pub(crate) struct Replay {
    pub(crate) projection: Projection,
    pub(crate) tables: Tables,
    log: Log,
    /// How far the copy is.
    pub(crate) position: Position,
}

impl Replica {
    /// Makes an empty copy, in place of what dead makers left.
    pub(crate) async fn begin(
        connections: &Connections,
        projection: Projection,
        tables: Tables,
        durability: Durability,
    ) -> Result<Self, MaintenanceError> {
        let mut client = session(connections).await?;
        let make = async |client: &mut Connection| {
            let client: &Client = client;
            lock(client, MAINTENANCE_LOCK, projection).await?;
            for left in Tables::PASSING {
                catalog::drop(client, left).await?;
            }
            Ok::<_, MaintenanceError>(catalog::create(client, tables, durability).await?)
        };
        client.within(WHOLE_MAX, make).await?;
        let log = Log::new(connections.clone());
        let bulk = Bulk::start(connections, &log, projection, tables).await?;
        let replay = Replay { projection, tables, log, position: Position::START };
        Ok(Self { client, replay, bulk })
    }

    /// Replays until only [`CLOSE_EVENTS`] are missing of what the live tables have. To take the place
    /// of tables that halted, it replays the whole log: what halted them may be a row that this copy
    /// has right, or an event that this build knows.
    pub(crate) async fn catch_up(
        &mut self,
        on_progress: &mut impl FnMut(Progress),
    ) -> Result<(), Error> {
        let Self { client, replay, bulk } = self;
        loop {
            let projection = replay.projection;
            let look = async |c: &mut Connection| Live::read(&**c, projection, Lock::None).await;
            let live = client.within(STEP_MAX, look).await?;
            let (target, close) = match replay.tables {
                Tables::Building if live.halted => (replay.log.head().await?, 0),
                _ => (live.position, CLOSE_EVENTS),
            };
            on_progress(Progress::Replaying { position: replay.position, target });
            if target.0 - replay.position.0 <= close {
                return Ok(());
            }
            bulk.replay(replay.position, target, on_progress).await?;
            replay.position = target;
        }
    }

    /// What `ask` makes of the copy's connection, within `limit`.
    pub(crate) async fn ask<T, E: From<Unanswered>>(
        &mut self,
        limit: Duration,
        ask: impl AsyncFnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.client.within(limit, ask).await
    }

    /// Drops the copy, after a failure whose reason is what matters. What cannot be dropped, the next
    /// maker drops.
    pub(crate) async fn abandon(self) {
        let Self { mut client, replay, bulk } = self;
        drop(bulk);
        let tables = replay.tables;
        let dropped = client.within(STEP_MAX, async |c| catalog::drop(&**c, tables).await);
        if let Err(error) = dropped.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, schema = replay.tables.schema(), "copy not dropped");
        }
    }
}

impl Replay {
    /// Applies what the live tables, which are at `target`, have beyond the copy.
    pub(crate) async fn finish(
        &self,
        transaction: &Transaction<'_>,
        target: Position,
    ) -> Result<(), Error> {
        let mut position = self.position;
        let into = Target { tables: self.tables, transaction };
        while position < target {
            let page = bulk::read_page(&self.log, position, target).await?;
            let page: Vec<Arc<RecordedEvent>> = page.into_iter().map(Arc::new).collect();
            self.projection.replay(into, position, &page).await?;
            position = page.last().map_or(target, |event| event.position);
        }
        Ok(())
    }
}

/// Whether the live tables' position may move on while the transaction lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lock {
    None,
    /// The projector waits.
    Position,
}

/// The live tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live {
    /// How far they are; before the first event when the projector never ran.
    pub(crate) position: Position,
    /// Whether their projector could not apply the event after it.
    halted: bool,
}

impl Live {
    pub(crate) async fn read(
        client: &impl GenericClient,
        projection: Projection,
        lock: Lock,
    ) -> Result<Self, Error> {
        let sql = match lock {
            Lock::None => LIVE.to_owned(),
            Lock::Position => format!("{LIVE} FOR UPDATE OF c"),
        };
        let row = client.query_opt(&sql, &[&projection.name(), &projection.version()]).await?;
        Ok(match row {
            Some(row) => Self { position: Position(row.try_get(0)?), halted: row.try_get(1)? },
            None => Self { position: Position::START, halted: false },
        })
    }
}

/// A connection of one's own that may make tables and fill them.
async fn session(connections: &Connections) -> Result<Held, MaintenanceError> {
    let mut held = connections.own(CONNECT_MAX).await?;
    let prepare = async |client: &mut Connection| {
        client.batch_execute(SESSION).await?;
        become_owner(&**client).await
    };
    held.within(STEP_MAX, prepare).await?;
    Ok(held)
}

/// Locks `projection` against others with the same `key`, for as long as `client` is connected.
pub(crate) async fn lock(
    client: &impl GenericClient,
    key: i32,
    projection: Projection,
) -> Result<(), MaintenanceError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let row = client
            .query_one("SELECT pg_try_advisory_lock($1, $2)", &[&key, &projection.key()])
            .await?;
        if row.try_get(0)? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(MaintenanceError::Busy(projection.name()));
        }
        sleep(LOCK_POLL).await;
    }
}

async fn become_owner(client: &impl GenericClient) -> Result<(), MaintenanceError> {
    let row = client.query_one(OWNER, &[&Tables::Live.schema()]).await?;
    let (owner, member, may_create): (String, bool, bool) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if !member || !may_create {
        return Err(MaintenanceError::NotOwner(owner));
    }
    let set_role = client.query_one("SELECT format('SET ROLE %I', $1::text)", &[&owner]).await?;
    client.batch_execute(set_role.try_get(0)?).await?;
    Ok(())
}
