//! Conversations, one or many, as the API shows them.

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_eventstore::Position;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use utoipa::ToSchema;

use super::super::conversation::{ConversationRow, LastMessage};
use super::message::beyond;
use crate::query::conditions::Conditions;
use crate::query::page::{List, ListKind, Page};
use crate::{Error, QueryError, ReadModel};

/// The columns that every query of conversations reads, with the participants as it wants them.
macro_rules! columns {
    ($participants:expr) => {
        concat!(
            $participants,
            " AS participants, json_array_length(c.participants) AS participants_count,
         c.id, c.channels, c.topic, c.message_count, c.last_message, c.metadata, c.created_at, c.updated_at,
         c.last_message_position"
        )
    };
}

/// Lists have the first 100 participants.
const LIST: &str =
    concat!("SELECT ", columns!(first_addresses!("c.participants")), " FROM rm.conversations c\n");

const ONE: &str = concat!(
    "SELECT ",
    columns!("c.participants"),
    " FROM rm.conversations c WHERE c.tenant_id = $1 AND c.id = $2"
);

/// A conversation. Serialises to exactly the API's object: what is absent is `null` or an empty list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Conversation {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: ConversationId,
    /// Who takes part, sorted bytewise.
    #[serde(serialize_with = "serialize_participants")]
    pub participants: Vec<String>,
    /// How many take part, where `participants` has only the first 100 of them: lists cut it so, and
    /// `GET /api/v1/conversations/{id}` has all.
    pub participants_count: Option<u32>,
    /// The channels of its messages, sorted.
    #[schema(value_type = Vec<Channel>)]
    pub channels: Vec<String>,
    /// The topic that sets it apart from others of the same participants.
    pub topic: Option<String>,
    /// How many messages it has, in both directions.
    pub message_count: i64,
    /// Its latest message.
    #[serde(serialize_with = "serialize_last_message")]
    pub last_message: LastMessage,
    /// The client's own notes.
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    pub metadata: Value,
    /// When its first message was requested or received.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub created_at: DateTime<Utc>,
    /// When its latest message was requested or received.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub updated_at: DateTime<Utc>,
}

/// Which conversations are wanted: those that every given field holds for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversationFilter {
    /// In which this address takes part.
    pub participant: Option<Address>,
    /// With a message by this channel.
    pub channel: Option<Channel>,
}

impl ReadModel {
    /// The conversations of `tenant` that `filter` lets through, the latest activity first.
    ///
    /// They are paged by the position of their latest message. What does not move while a client
    /// pages is neither repeated nor left out. What does move, because a message came, moves to the
    /// top: it is not repeated further down, and a client that had not reached it yet finds it by
    /// beginning again at the first page.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn conversations(
        &self,
        tenant: TenantId,
        filter: &ConversationFilter,
        page: &Page,
    ) -> Result<List<Conversation>, QueryError> {
        let before = page.before(ListKind::Conversations)?;
        let (sql, conditions) = list_sql(tenant, filter, before, page.limit);
        let kind = ListKind::Conversations;
        Ok(self.list(kind, page.limit, &sql, &conditions, keyed_conversation).await?)
    }

    /// One conversation of `tenant`.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn conversation(
        &self,
        tenant: TenantId,
        id: ConversationId,
    ) -> Result<Option<Conversation>, QueryError> {
        let rows = self.prepared(ONE, &[&tenant.0, &id.0]).await?;
        Ok(rows.first().map(conversation).transpose()?)
    }
}

/// The list's statement. A participant is looked for with EXISTS, so that the planner may begin with
/// the few conversations of a customer, or walk the latest ones for an address of the tenant's own
/// that takes part in nearly all.
pub(crate) fn list_sql(
    tenant: TenantId,
    filter: &ConversationFilter,
    before: Position,
    limit: u32,
) -> (String, Conditions) {
    let mut conditions = Conditions::of(tenant, "c.tenant_id").and(
        "c.last_message_position < ",
        "",
        before.0,
        Type::INT8,
    );
    if let Some(address) = &filter.participant {
        conditions = conditions.and(
            "EXISTS (SELECT FROM rm.conversation_participants p
                      WHERE p.tenant_id = c.tenant_id AND p.conversation_id = c.id
                        AND p.address = ",
            ")",
            address.identity().to_string(),
            Type::TEXT,
        );
    }
    if let Some(channel) = filter.channel {
        conditions = conditions.and("c.channels ? ", "", channel.as_str(), Type::TEXT);
    }
    let sql = format!(
        "{LIST}{}ORDER BY c.last_message_position DESC LIMIT {}",
        conditions.sql(),
        limit + 1
    );
    (sql, conditions)
}

impl From<ConversationRow> for Conversation {
    /// As its row is read back.
    fn from(row: ConversationRow) -> Self {
        Self {
            id: row.id,
            participants: row.participants,
            participants_count: None,
            channels: row.channels.into_iter().collect(),
            topic: row.topic,
            message_count: row.message_count,
            last_message: row.last_message,
            metadata: Value::Object(serde_json::Map::new()),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// As people read them. In the tables they are as they are compared.
fn serialize_participants<S: Serializer>(
    participants: &[String],
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_seq(participants.iter().map(|one| Address::recorded(one).to_show().into_owned()))
}

/// As answers have it. In the tables its time is as its event has it.
fn serialize_last_message<S: Serializer>(last: &LastMessage, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown<'a> {
        id: MessageId,
        direction: &'a str,
        channel: &'a str,
        preview: Option<&'a str>,
        #[serde(serialize_with = "hatch_domain::time::serialize")]
        at: DateTime<Utc>,
    }
    let LastMessage { id, direction, channel, preview, at } = last;
    let shown = Shown { id: *id, direction, channel, preview: preview.as_deref(), at: *at };
    shown.serialize(to)
}

fn keyed_conversation(row: &Row) -> Result<(Position, Conversation), Error> {
    Ok((Position(row.try_get("last_message_position")?), conversation(row)?))
}

fn conversation(row: &Row) -> Result<Conversation, Error> {
    let Json(participants): Json<Vec<String>> = row.try_get("participants")?;
    Ok(Conversation {
        id: ConversationId(row.try_get("id")?),
        participants_count: beyond(&participants, row.try_get("participants_count")?),
        participants,
        channels: row.try_get::<_, Json<_>>("channels")?.0,
        topic: row.try_get("topic")?,
        message_count: row.try_get("message_count")?,
        last_message: row.try_get::<_, Json<_>>("last_message")?.0,
        metadata: row.try_get("metadata")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
