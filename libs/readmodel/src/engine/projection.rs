//! A projection at work: pages of the log become rows.

use std::sync::Arc;

use deadpool_postgres::Transaction;
use futures::try_join;
use hatch_eventstore::values::storable;
use hatch_eventstore::{Checkpoint, Connection, Position, RecordedEvent};

use super::definition::{Definition, WriteContext, Writer};
use super::tables::Tables;
use crate::Error;

/// Losing the newest rows in a crash is harmless: the checkpoint is lost with them, so the projector applies
/// those events again. So the disk need not be waited for. And statements that come all the time are planned
/// once, for tables that will have grown.
const SETTINGS: &str = "SET LOCAL synchronous_commit = off; \
     SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; \
     SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// A projector that is started again and halts at the same event says nothing new.
const RECORD_HALT: &str = "
    INSERT INTO rm.projection_halts AS h (projection, version, position, reason)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (projection, version) DO UPDATE
       SET position = EXCLUDED.position, reason = EXCLUDED.reason,
           halted_at = CASE WHEN h.position = EXCLUDED.position THEN h.halted_at ELSE now() END";

/// What is archived was applied long since, or is read from this database's own archives.
const HOLDS: &str = "
    SELECT EXISTS (SELECT FROM es.events WHERE position = $1 AND event_id = $2)
        OR EXISTS (SELECT FROM es.archives WHERE $1 BETWEEN first_position AND last_position)";

/// Where a page comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A log, which is to be the one of the tables' own database. Whoever reads it there, or hears of it by the
    /// bus, may have been told by another server than the one that he writes to.
    Log,
    /// No log has it: tests and benchmarks make up what they measure.
    MadeUp,
}

/// One projection, and what its writer remembers of the pages that it applied. What it remembers is good for as
/// long as nobody else moves the checkpoint.
pub struct Projection {
    definition: &'static Definition,
    writer: Box<dyn Writer>,
}

impl Projection {
    /// One that remembers nothing yet.
    #[must_use]
    pub fn of(definition: &'static Definition) -> Self {
        Self { definition, writer: (definition.writer)() }
    }

    /// Applies `page`, the events right after `checkpoint`, and moves the checkpoint to the last of
    /// them, in one transaction; returns where it then is.
    ///
    /// The checkpoint is moved first, by compare-and-set. That locks it, so a second projector waits
    /// here, finds it moved, and has changed nothing. The database's own log must
    /// have the page: one that has its last event has all of it.
    ///
    /// # Errors
    /// One that [is fenced](Error::is_fenced) then. [`Error::Foreign`] for a page that the log lacks. [`Error::Undecodable`] or [`Error::Misplaced`]
    /// for an event that this build cannot apply, [`Error::NotContiguous`] for a page that is not
    /// the next. Nothing of the page is applied whatever the error, unless the connection was lost
    /// while it committed: the checkpoint tells.
    pub async fn advance(
        &mut self,
        client: &mut Connection,
        checkpoint: &Checkpoint,
        (page, origin): (&[Arc<RecordedEvent>], Origin),
    ) -> Result<Checkpoint, Error> {
        check_contiguous(checkpoint.position, page)?;
        let Some(last) = page.last() else {
            return Ok(checkpoint.clone());
        };
        let Self { definition, writer } = self;
        prepare(client, definition.reads).await?;
        let transaction = client.transaction().await?;
        let into = WriteContext { tables: Tables::live(definition), transaction: &transaction };
        let reads = page.iter().any(|event| definition.reads_event(event));
        let apply = async {
            match reads {
                true => writer.apply(into, page).await,
                false => Ok(()),
            }
        };
        // They are asked for in this order, in one flight, and PostgreSQL does them in this order: what the
        // writer asks for comes after the checkpoint is locked.
        let ((), advanced, (), ()) = try_join!(
            apply_settings(&transaction),
            move_to(checkpoint, &transaction, last),
            check_origin(origin, &transaction, last),
            apply,
        )?;
        transaction.commit().await?;
        // What an earlier page left that was rolled back is not to be remembered.
        if reads {
            writer.committed();
        }
        Ok(advanced)
    }

    /// Applies `page`, the events right after `position`, to tables that have no checkpoint.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub(super) async fn replay(
        &mut self,
        into: WriteContext<'_>,
        position: Position,
        page: &[Arc<RecordedEvent>],
    ) -> Result<(), Error> {
        check_contiguous(position, page)?;
        self.writer.apply(into, page).await
    }
}

impl Definition {
    /// Where it stands; before the first event when it never ran.
    ///
    /// # Errors
    /// [`Error::Checkpoint`].
    pub async fn checkpoint(&self, client: &Connection) -> Result<Checkpoint, Error> {
        Ok(Checkpoint::load(client, self.name, self.version).await?)
    }

    /// Notes that the event at `position` cannot be applied and that the projection waits for a
    /// build that can. The note stands for as long as the checkpoint is before it.
    ///
    /// # Errors
    /// [`Error::Postgres`].
    pub async fn record_halt(
        &self,
        client: &Connection,
        position: Position,
        reason: &str,
    ) -> Result<(), Error> {
        let statement = client.prepare_cached(RECORD_HALT).await?;
        let reason = storable(reason);
        client.execute(&statement, &[&self.name, &self.version, &position.0, &reason]).await?;
        Ok(())
    }
}

/// Prepares what moving the checkpoint and reading need, before the page's transaction: that one is
/// to lock no table until it has the checkpoint, since until then rebuilt ones may take their place.
async fn prepare(client: &Connection, reads: &[&'static str]) -> Result<(), Error> {
    Checkpoint::prepare(client).await?;
    client.prepare_cached(HOLDS).await?;
    for sql in reads {
        client.prepare_cached(sql).await?;
    }
    Ok(())
}

async fn move_to(
    checkpoint: &Checkpoint,
    transaction: &Transaction<'_>,
    last: &RecordedEvent,
) -> Result<Checkpoint, Error> {
    Ok(checkpoint.advance(transaction, last.position, last.epoch).await?)
}

async fn check_origin(
    origin: Origin,
    transaction: &Transaction<'_>,
    last: &RecordedEvent,
) -> Result<(), Error> {
    if origin == Origin::MadeUp {
        return Ok(());
    }
    let holds = transaction.prepare_cached(HOLDS).await?;
    let row = transaction.query_one(&holds, &[&last.position.0, &last.event_id]).await?;
    match row.try_get(0)? {
        true => Ok(()),
        false => Err(Error::Foreign { position: last.position }),
    }
}

async fn apply_settings(transaction: &Transaction<'_>) -> Result<(), Error> {
    Ok(transaction.batch_execute(SETTINGS).await?)
}

fn check_contiguous(checkpoint: Position, page: &[Arc<RecordedEvent>]) -> Result<(), Error> {
    let mut expected = checkpoint;
    for event in page {
        expected = expected.next();
        if event.position != expected {
            return Err(Error::NotContiguous { expected, found: event.position });
        }
    }
    Ok(())
}
