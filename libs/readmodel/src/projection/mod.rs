//! The write side: pages of the log become rows.

mod conversation;
mod fold;
mod message;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod young;

use std::collections::BTreeMap;
use std::sync::Arc;

use deadpool_postgres::Transaction;
use futures::try_join;
use hatch_domain::ids::MessageId;
use hatch_eventstore::{Checkpoint, Connection, Position, RecordedEvent};

pub(crate) use conversation::ConversationRow;
pub use conversation::{LastMessage, PREVIEW_CHARACTERS_MAX};
pub(crate) use fold::Rows;
pub(crate) use fold::{fold_conversation, fold_message};
pub use message::Direction;
pub(crate) use message::{MessageContent, MessageState, storable};
pub(crate) use store::Target;
pub(crate) use tables::Tables;
pub use young::Young;

use crate::Error;

/// A losing of the last rows is harmless: their checkpoint is lost with them, and the log still has
/// the events. So the disk need not be waited for. And statements that come all the time are planned
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
pub(crate) const HOLDS: &str = "
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

/// Something that follows the log with a checkpoint of its own, and the read models that it writes.
///
/// Messages and conversations are one projection: a message and its place in its conversation become
/// visible together, a page costs one transaction, and the one pass over the log that rebuilds the
/// one rebuilds the other. What may lag or halt without them is a projection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Projection {
    /// Messages and conversations.
    Messages,
}

impl Projection {
    /// Every projection.
    pub const ALL: [Self; 1] = [Self::Messages];

    /// The name of its checkpoint.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
        }
    }

    /// The version of its tables.
    #[must_use]
    pub const fn version(self) -> i32 {
        match self {
            Self::Messages => 1,
        }
    }

    /// The read models that it writes, by the names that the API lists.
    #[must_use]
    pub const fn read_models(self) -> &'static [&'static str] {
        match self {
            Self::Messages => &["messages", "conversations"],
        }
    }

    /// Its key among advisory locks.
    pub(crate) const fn key(self) -> i32 {
        match self {
            Self::Messages => 0,
        }
    }

    /// The projection that writes `read_model`.
    #[must_use]
    pub fn of_read_model(read_model: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.read_models().contains(&read_model))
    }

    /// The projection with this name and version, if this build has it.
    pub(crate) fn find(name: &str, version: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name && one.version() == version)
    }

    /// Notes that the event at `position` cannot be applied and that the projection waits for a
    /// build that can. The note stands for as long as the checkpoint is before it.
    ///
    /// # Errors
    /// [`Error::Postgres`].
    pub async fn record_halt(
        self,
        client: &Connection,
        position: Position,
        reason: &str,
    ) -> Result<(), Error> {
        let statement = client.prepare_cached(RECORD_HALT).await?;
        let reason = message::storable(reason);
        client.execute(&statement, &[&self.name(), &self.version(), &position.0, &reason]).await?;
        Ok(())
    }

    /// Where it stands; before the first event when it never ran.
    ///
    /// # Errors
    /// [`Error::Checkpoint`].
    pub async fn checkpoint(self, client: &Connection) -> Result<Checkpoint, Error> {
        Ok(Checkpoint::load(client, self.name(), self.version()).await?)
    }

    /// Applies `page`, the events right after `checkpoint`, and moves the checkpoint to the last of
    /// them, in one transaction; returns where it then is.
    ///
    /// The checkpoint is moved first, by compare-and-set. That locks it, so a second projector waits
    /// here, finds it moved, and has changed nothing. `young` is what is remembered of the pages that
    /// the caller applied before this one, without anybody else's in between. The database's own log must have
    /// the page: one that has its last event has all of it.
    ///
    /// # Errors
    /// One that [is fenced](Error::is_fenced) then. [`Error::Foreign`] for a page that the log lacks. [`Error::Undecodable`] or [`Error::Misplaced`]
    /// for an event that this build cannot apply, [`Error::NotContiguous`] for a page that is not
    /// the next. Nothing of the page is applied whatever the error, unless the connection was lost
    /// while it committed: the checkpoint tells.
    pub async fn advance(
        self,
        client: &mut Connection,
        checkpoint: &Checkpoint,
        (page, origin): (&[Arc<RecordedEvent>], Origin),
        young: &mut Young,
    ) -> Result<Checkpoint, Error> {
        check_contiguous(checkpoint.position, page)?;
        let Some(last) = page.last() else {
            return Ok(checkpoint.clone());
        };
        match self {
            Self::Messages => {
                let facts = fold::message_facts(page)?;
                let known = young.take(&facts);
                let remembered: Vec<MessageId> = known.keys().copied().collect();
                store::prepare(client).await?;
                let transaction = client.transaction().await?;
                let target = Target { tables: Tables::Live, transaction: &transaction };
                let ((), advanced, (), rows) = try_join!(
                    apply_settings(&transaction),
                    move_to(checkpoint, &transaction, last),
                    check_origin(origin, &transaction, last),
                    store::load(target, &facts, known),
                )?;
                let rows = rows.after(&facts)?;
                store::write(target, &rows).await?;
                transaction.commit().await?;
                young.keep(rows, &remembered);
                Ok(advanced)
            }
        }
    }

    /// Applies `page`, the events right after `position`, to tables that have no checkpoint.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub(crate) async fn replay(
        self,
        target: Target<'_>,
        position: Position,
        page: &[Arc<RecordedEvent>],
    ) -> Result<(), Error> {
        check_contiguous(position, page)?;
        match self {
            Self::Messages => {
                let facts = fold::message_facts(page)?;
                let rows = store::load(target, &facts, BTreeMap::new()).await?;
                store::write(target, &rows.after(&facts)?).await
            }
        }
    }

    /// The first half of a replay in parallel: applies those events of a stretch of the log that
    /// belong to some of its streams. Returns what the second half needs to know of them.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub(crate) async fn replay_streams(
        self,
        target: Target<'_>,
        events: &[Arc<RecordedEvent>],
    ) -> Result<Rows, Error> {
        match self {
            Self::Messages => {
                let facts = fold::message_facts(events)?;
                let states = store::load_states(target, &facts, BTreeMap::new()).await?;
                let rows = Rows { states, ..Rows::default() }.messages_after(&facts)?;
                store::write_messages(target, &rows).await?;
                Ok(Rows { states: BTreeMap::new(), ..rows })
            }
        }
    }

    /// The second half: writes what several streams have a say in, given the first half's results for
    /// all streams of the stretch. Stretches have to come in order.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub(crate) async fn replay_shared(
        self,
        target: Target<'_>,
        halves: Vec<Rows>,
    ) -> Result<(), Error> {
        match self {
            Self::Messages => {
                let mut rows = Rows::default();
                for half in halves {
                    rows.contents.extend(half.contents);
                    rows.provider_messages.extend(half.provider_messages);
                }
                rows.contents.sort_unstable_by_key(|content| content.created_position);
                rows.provider_messages.sort_unstable_by_key(|learned| learned.position);
                let ids = rows.conversations_joined();
                rows.conversations = store::load_conversations(target, &ids).await?;
                store::write_shared(target, &rows.conversations_after(0)).await
            }
        }
    }
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
