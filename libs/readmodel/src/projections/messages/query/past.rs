//! Messages and conversations as they were, folded from the log.

use std::sync::Arc;

use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_eventstore::{Connection, Log, Position};

use super::super::DEFINITION;
use super::super::fold::{fold_conversation, fold_message};
use super::conversation::Conversation;
use super::message::Message;
use crate::engine::checkpoints;
use crate::query::MESSAGES_MAX;
use crate::{Error, MomentError, QueryError, ReadModel};

/// Messages that are read at once: their texts are in memory together.
const PAGE_MESSAGES: usize = 16;

/// One more than are folded, so that it shows when there are too many.
const BEGINNINGS: &str = "
    (SELECT created_position AS place, created_position AS began
       FROM rm.messages
      WHERE tenant_id = $1 AND conversation_id = $2 AND created_position <= $3
      ORDER BY created_position
      LIMIT $4)
     UNION ALL
    (SELECT position, created_position
       FROM rm.joined_messages
      WHERE tenant_id = $1 AND conversation_id = $2 AND position <= $3
      ORDER BY position
      LIMIT $4)
     ORDER BY place
     LIMIT $4";

impl ReadModel {
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
        let look =
            async |client: &mut Connection| checkpoints::read_all(client, self.projections).await;
        let checkpoints = self.ask(look).await?;
        Ok(checkpoints::has_passed(&checkpoints, &DEFINITION, position))
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
        let places: Result<Vec<(Position, Position)>, tokio_postgres::Error> = rows
            .iter()
            .map(|row| Ok((Position(row.try_get(0)?), Position(row.try_get(1)?))))
            .collect();
        let mut row = None;
        for page in places.map_err(Error::from)?.chunks(PAGE_MESSAGES) {
            let mut positions: Vec<Position> =
                page.iter().flat_map(|(place, began)| [*place, *began]).collect();
            positions.sort_unstable();
            positions.dedup();
            let events = log.read_positions(&positions).await.map_err(Error::from)?;
            let events: Vec<_> = events.into_iter().map(Arc::new).collect();
            row = fold_conversation(row, page, &events)?;
        }
        Ok(row.map(Conversation::from))
    }
}
