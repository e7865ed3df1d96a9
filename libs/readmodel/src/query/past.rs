//! Messages and conversations as they were, folded from the log.

use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_eventstore::{Connection, Log, Position};

use super::conversation::Conversation;
use super::message::Message;
use super::{QueryError, ReadModel};
use crate::Error;
use crate::checkpoints;
use crate::projection::{Projection, fold_conversation, fold_message};

/// Messages of a conversation that are folded at most.
const MESSAGES_MAX: usize = 10_000;

/// Messages that are read at once: their texts are in memory together.
const PAGE_MESSAGES: usize = 16;

/// The time as the log's own database has it: events carry that.
pub(super) const NOW: &str = "SELECT clock_timestamp()";

/// One more than are folded, so that it shows when there are too many.
const BEGINNINGS: &str = "
    SELECT created_position
      FROM rm.messages
     WHERE tenant_id = $1 AND conversation_id = $2 AND created_position <= $3
     ORDER BY created_position
     LIMIT $4";

/// A moment of the log that has been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Right after this event.
    Position(Position),
    /// After the last event that was recorded by then.
    Time(DateTime<Utc>),
}

/// Why there is no answer as of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    /// The text is neither a time nor a position.
    #[error(
        "expected a log position, or a time by RFC 3339 such as 2026-01-31T12:00:00Z (+ is written \
         %2B in a URL)"
    )]
    Malformed,
    /// The position is not there yet.
    #[error("expected a position up to {head}, the log's last one")]
    FuturePosition {
        /// The log's last position.
        head: Position,
    },
    /// The time has not been yet.
    #[error("expected a time that has been, it is {now} now")]
    FutureTime {
        /// The log's time.
        now: DateTime<Utc>,
    },
    /// The conversation had too many messages to be folded for one answer.
    #[error(
        "the conversation had more than {MESSAGES_MAX} messages then, which is too long to be \
         folded: its messages can be read one by one"
    )]
    TooLong,
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        if let Ok(position @ 0..) = text.parse() {
            return Ok(Self::Position(Position(position)));
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| MomentError::Malformed)?;
        Ok(Self::Time(time.to_utc()))
    }
}

impl ReadModel {
    /// The last position at `moment`.
    ///
    /// # Errors
    /// [`QueryError::Moment`] for one that is yet to come; [`QueryError::Database`].
    pub async fn position_at(&self, log: &Log, moment: Moment) -> Result<Position, QueryError> {
        match moment {
            Moment::Position(position) => {
                let head = log.head().await.map_err(Error::from)?;
                if position > head {
                    return Err(MomentError::FuturePosition { head }.into());
                }
                Ok(position)
            }
            Moment::Time(time) => {
                let rows = self.prepared(NOW, &[]).await?;
                let now =
                    rows.first().map(|row| row.try_get(0)).transpose().map_err(Error::from)?;
                match now {
                    Some(now) if time > now => Err(MomentError::FutureTime { now }.into()),
                    _ => Ok(log.position_at(time).await.map_err(Error::from)?),
                }
            }
        }
    }

    /// One message of `tenant` as it was right after `position`; none if it was not yet.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn message_at(
        &self,
        log: &Log,
        tenant: TenantId,
        id: MessageId,
        position: Position,
    ) -> Result<Option<Message>, QueryError> {
        let stream = log.read_stream(tenant.0, id.0).await.map_err(Error::from)?;
        let until: Vec<_> = stream
            .into_iter()
            .take_while(|event| event.position <= position)
            .map(Arc::new)
            .collect();
        Ok(fold_message(&until)?.map(Message::from))
    }

    /// One message of `tenant`; before the projection has come to it, as it was right after its first
    /// event, so that who has just been told of it finds it.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn message_or_its_beginning(
        &self,
        log: &Log,
        tenant: TenantId,
        id: MessageId,
    ) -> Result<Option<Message>, QueryError> {
        if let Some(message) = self.message(tenant, id).await? {
            return Ok(Some(message));
        }
        let stream = log.read_stream(tenant.0, id.0).await.map_err(Error::from)?;
        let Some(first) = stream.into_iter().next() else { return Ok(None) };
        if self.has_passed(first.position).await? {
            // It has come to it meanwhile, or has no such message.
            return self.message(tenant, id).await;
        }
        Ok(fold_message(&[Arc::new(first)])?.map(Message::from))
    }

    async fn has_passed(&self, position: Position) -> Result<bool, QueryError> {
        let look = async |client: &mut Connection| checkpoints::read_all(client).await;
        let checkpoints = self.ask(look).await?;
        Ok(checkpoints::has_passed(&checkpoints, Projection::Messages, position))
    }

    /// One conversation of `tenant` as it was right after `position`; none if it was not yet. The read
    /// models tell which messages it has, so they must have passed `position`.
    ///
    /// # Errors
    /// [`QueryError::Moment`] when it had more than 10,000 messages; [`QueryError::Database`].
    pub async fn conversation_at(
        &self,
        log: &Log,
        tenant: TenantId,
        id: ConversationId,
        position: Position,
    ) -> Result<Option<Conversation>, QueryError> {
        let limit = i64::try_from(MESSAGES_MAX + 1).unwrap_or(i64::MAX);
        let rows = self.prepared(BEGINNINGS, &[&tenant.0, &id.0, &position.0, &limit]).await?;
        if rows.len() > MESSAGES_MAX {
            return Err(MomentError::TooLong.into());
        }
        let positions: Result<Vec<Position>, tokio_postgres::Error> =
            rows.iter().map(|row| row.try_get(0).map(Position)).collect();
        let mut row = None;
        for page in positions.map_err(Error::from)?.chunks(PAGE_MESSAGES) {
            let events = log.read_positions(page).await.map_err(Error::from)?;
            let events: Vec<_> = events.into_iter().map(Arc::new).collect();
            row = fold_conversation(row, &events)?;
        }
        Ok(row.map(Conversation::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_position_or_a_time() {
        let noon = DateTime::from_timestamp(1_769_860_800, 0).expect("a time");
        for (text, moment) in [
            ("0", Moment::Position(Position(0))),
            ("42", Moment::Position(Position(42))),
            ("2026-01-31T12:00:00Z", Moment::Time(noon)),
            ("2026-01-31T13:00:00.000+01:00", Moment::Time(noon)),
        ] {
            assert_eq!(text.parse(), Ok(moment), "{text:?}");
        }
    }

    #[test]
    fn garbage_is_no_moment() {
        for text in ["", "-1", "4.2", "yesterday", "2026-01-31", "99999999999999999999"] {
            assert_eq!(text.parse::<Moment>(), Err(MomentError::Malformed), "{text:?}");
        }
    }
}
