//! The end of a conversation, for whoever answers in it.

use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use tokio_postgres::Row;

use super::super::message::Direction;
use crate::{Error, QueryError, ReadModel};

/// The latest messages of a conversation; as many as an answer may have to look through.
const TAIL: &str = "
    (SELECT id, direction, channel, from_address, status, message_id_header IS NOT NULL AS is_named,
            coalesce(kind = 'bounce', false) AS is_bounce, created_position AS place, NULL::text AS mailbox,
            test
       FROM rm.messages
      WHERE tenant_id = $1 AND conversation_id = $2
      ORDER BY created_position DESC
      LIMIT 20)
     UNION ALL
    (SELECT m.id, m.direction, m.channel, m.from_address, m.status, m.message_id_header IS NOT NULL,
            coalesce(m.kind = 'bounce', false), j.position, j.mailbox, m.test
       FROM rm.joined_messages j
       JOIN rm.messages m ON m.tenant_id = j.tenant_id AND m.created_position = j.created_position
      WHERE j.tenant_id = $1 AND j.conversation_id = $2
      ORDER BY j.position DESC
      LIMIT 20)
     ORDER BY place DESC
     LIMIT 20";

/// A message of a conversation, as far as one who answers has to know it. The message itself says more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailMessage {
    /// Its id.
    pub id: MessageId,
    /// Which way it went.
    pub direction: Direction,
    /// How it travelled; none of a channel that this build does not know.
    pub channel: Option<Channel>,
    /// Its sender.
    pub from: String,
    /// Where it stands.
    pub status: String,
    /// Whether its Message-ID is known.
    pub is_named: bool,
    /// Whether a mail server wrote it, about another mail.
    pub is_bounce: bool,
    /// The mailbox of ours whose conversation it is, where it began in that of another one.
    pub mailbox: Option<Address>,
    /// Whether it is a test.
    pub test: bool,
}

impl ReadModel {
    /// The latest 20 messages of a conversation of `tenant`, the newest first; none where there is no such
    /// conversation.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn conversation_tail(
        &self,
        tenant: TenantId,
        id: ConversationId,
    ) -> Result<Vec<TailMessage>, QueryError> {
        let rows = self.prepared(TAIL, &[&tenant.0, &id.0]).await?;
        Ok(rows.iter().map(tail_message).collect::<Result<_, Error>>()?)
    }
}

fn tail_message(row: &Row) -> Result<TailMessage, Error> {
    let (direction, channel): (&str, &str) = (row.try_get("direction")?, row.try_get("channel")?);
    let is_inbound = direction == Direction::Inbound.as_str();
    Ok(TailMessage {
        id: MessageId(row.try_get("id")?),
        direction: if is_inbound { Direction::Inbound } else { Direction::Outbound },
        channel: Channel::ALL.into_iter().find(|known| known.as_str() == channel),
        from: row.try_get("from_address")?,
        status: row.try_get("status")?,
        is_named: row.try_get("is_named")?,
        is_bounce: row.try_get("is_bounce")?,
        mailbox: row.try_get::<_, Option<&str>>("mailbox")?.map(Address::recorded),
        test: row.try_get("test")?,
    })
}
