//! In what order the messages of a conversation began, for those who read their events from the log.

use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_eventstore::Position;

use crate::query::page::{ListKind, Page, encode};
use crate::{Error, QueryError, ReadModel};

/// One more than a page has, so that it shows where the next one begins.
const BEGUN: &str = "
    (SELECT id, created_position AS place
       FROM rm.messages
      WHERE tenant_id = $1 AND conversation_id = $2 AND created_position >= $3
      ORDER BY created_position
      LIMIT $4)
     UNION ALL
    (SELECT message_id, position
       FROM rm.joined_messages
      WHERE tenant_id = $1 AND conversation_id = $2 AND position >= $3
      ORDER BY position
      LIMIT $4)
     ORDER BY place
     LIMIT $4";

/// Messages of a conversation, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Who takes part in the conversation.
    pub participants: Vec<String>,
    /// Where the page begins.
    pub from: Position,
    /// The messages that began there or later, each with the position of its first event, or of the one
    /// by which it joined the conversation. As many as the page has, and
    /// one more where others follow.
    pub messages: Vec<(MessageId, Position)>,
}

impl Timeline {
    /// The cursor of the page that begins at `position`.
    #[must_use]
    pub fn cursor(position: Position) -> String {
        encode(ListKind::Timeline, &position)
    }
}

impl ReadModel {
    /// The messages of a page of a conversation of `tenant`; none when there is no such conversation.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn timeline(
        &self,
        tenant: TenantId,
        id: ConversationId,
        page: &Page,
    ) -> Result<Option<Timeline>, QueryError> {
        let from = page.key(ListKind::Timeline)?.unwrap_or(Position::START);
        let Some(conversation) = self.conversation(tenant, id).await? else { return Ok(None) };
        let limit = i64::from(page.limit()) + 1;
        let rows = self.prepared(BEGUN, &[&tenant.0, &id.0, &from.0, &limit]).await?;
        let messages: Result<Vec<_>, tokio_postgres::Error> = rows
            .iter()
            .map(|row| Ok((MessageId(row.try_get(0)?), Position(row.try_get(1)?))))
            .collect();
        let messages = messages.map_err(Error::from)?;
        Ok(Some(Timeline { participants: conversation.participants, from, messages }))
    }
}
