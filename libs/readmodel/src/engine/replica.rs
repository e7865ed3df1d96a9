//! A second copy of a projection's tables, filled from the log beside the live ones.
//!
//! It never goes beyond the live tables' checkpoint, unless those halted, and is made equal to them in
//! a transaction that has read that checkpoint. Its own position is in memory only: a copy whose maker
//! died is dropped by the next one, and begun again.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Transaction;
use hatch_eventstore::{Connection, Connections, Held, Log, Position, RecordedEvent, Unanswered};
use tokio_postgres::{Client, GenericClient};

use super::bulk::{Bulk, RebuildProgress};
use super::catalog::{self, Durability};
use super::definition::{Definition, WriteContext};
use super::projection::Projection;
use super::session::{STEP_MAX, WHOLE_MAX, lock, session};
use super::stretch::read_page;
use super::tables::{SchemaSlot, Tables};
use crate::{Error, MaintenanceError};

/// First key of the advisory lock of whoever makes a copy ("copy" in ASCII); the second one is the
/// projection's.
const MAINTENANCE_LOCK: i32 = 0x636f_7079;

/// Copies that are this close are finished in one transaction.
const CLOSE_EVENTS: i64 = 500;

/// How far the live tables are, and whether their projector halted there.
const LIVE: &str = "
    SELECT c.position,
           EXISTS (SELECT FROM rm.projection_halts h
                    WHERE h.projection = c.name AND h.version = c.version
                      AND h.position > c.position)
      FROM es.checkpoints c
     WHERE c.name = $1 AND c.version = $2";

/// The copy.
pub(crate) struct Replica {
    /// Closed with the value, which frees the lock.
    pub(crate) client: Held,
    pub(crate) replay: Replay,
    bulk: Bulk,
}

/// What fills it.
pub(crate) struct Replay {
    pub(crate) definition: &'static Definition,
    pub(crate) tables: Tables,
    log: Log,
    /// How far the copy is.
    pub(crate) position: Position,
}

impl Replica {
    /// Makes an empty copy, in place of what dead makers left.
    pub(crate) async fn begin(
        connections: &Connections,
        definition: &'static Definition,
        place: SchemaSlot,
        durability: Durability,
    ) -> Result<Self, MaintenanceError> {
        let mut client = session(connections, definition).await?;
        let tables = Tables::live(definition).at(place);
        let make = async |client: &mut Connection| {
            let client: &Client = client;
            lock(client, MAINTENANCE_LOCK, definition).await?;
            for left in SchemaSlot::PASSING {
                catalog::drop(client, tables.at(left)).await?;
            }
            Ok::<_, MaintenanceError>(catalog::create(client, tables, durability).await?)
        };
        client.within(WHOLE_MAX, make).await?;
        let log = Log::new(connections.clone());
        let bulk = Bulk::start(connections, &log, definition, tables).await?;
        let replay = Replay { definition, tables, log, position: Position::START };
        Ok(Self { client, replay, bulk })
    }

    /// Replays until only [`CLOSE_EVENTS`] are missing of what the live tables have. To take the place
    /// of tables that halted, it replays the whole log: what halted them may be a row that this copy
    /// has right, or an event that this build knows.
    pub(crate) async fn catch_up(
        &mut self,
        on_progress: &mut impl FnMut(RebuildProgress),
    ) -> Result<(), Error> {
        let Self { client, replay, bulk } = self;
        loop {
            let definition = replay.definition;
            let look = async |c: &mut Connection| Live::read(&**c, definition, Lock::None).await;
            let live = client.within(STEP_MAX, look).await?;
            let (target, close) = match live.halted && replay.tables.are_building() {
                true => (replay.log.head().await?, 0),
                false => (live.position, CLOSE_EVENTS),
            };
            on_progress(RebuildProgress::Replaying { position: replay.position, target });
            if target.0 - replay.position.0 <= close {
                return Ok(());
            }
            bulk.replay(replay.position, target, on_progress).await?;
            replay.position = target;
        }
    }

    /// Runs `ask` with the copy's connection, within `limit`.
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
            tracing::warn!(error, schema = &*tables.schema(), "copy not dropped");
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
        let into = WriteContext { tables: self.tables, transaction };
        let mut projection = Projection::of(self.definition);
        while position < target {
            let page = read_page(&self.log, position, target).await?;
            let page: Vec<Arc<RecordedEvent>> = page.into_iter().map(Arc::new).collect();
            projection.replay(into, position, &page).await?;
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
        definition: &Definition,
        lock: Lock,
    ) -> Result<Self, Error> {
        let sql = match lock {
            Lock::None => LIVE.to_owned(),
            Lock::Position => format!("{LIVE} FOR UPDATE OF c"),
        };
        let row = client.query_opt(&sql, &[&definition.name, &definition.version]).await?;
        Ok(match row {
            Some(row) => Self { position: Position(row.try_get(0)?), halted: row.try_get(1)? },
            None => Self { position: Position::START, halted: false },
        })
    }
}
