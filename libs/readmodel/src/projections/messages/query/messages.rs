//! The queries of messages: one, a page of many, those of a conversation.

use chrono::{DateTime, Utc};
use hatch_domain::address::Address;
use hatch_domain::ids::{ConversationId, MessageId, TenantId, is_provider_id};
use hatch_domain::message::status::Status;
use hatch_domain::{Channel, ErrorClass};
use hatch_eventstore::Position;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::super::message::Direction;
use super::message::{Message, message};
use crate::query::conditions::Conditions;
use crate::query::page::{List, ListKind, Page};
use crate::{Error, QueryError, ReadModel};

/// The columns that every query of messages reads, with texts and addresses as it wants them.
macro_rules! columns {
    ($body:literal, $html:literal, $visible:literal, $to:expr, $cc:expr, $bcc:expr, $people:expr,
     $recipients:expr, $recipients_count:expr) => {
        concat!(
            $body,
            " AS body, octet_length(m.body) AS body_bytes, ",
            $html,
            " AS html,
         octet_length(m.html) AS html_bytes, ",
            $visible,
            " AS visible_body, ",
            $to,
            " AS to_addresses, json_array_length(m.to_addresses) AS to_count, ",
            $cc,
            " AS cc, json_array_length(m.cc) AS cc_count, ",
            $bcc,
            " AS bcc, json_array_length(m.bcc) AS bcc_count, ",
            $people,
            " AS people, ",
            $recipients,
            " AS recipients, ",
            $recipients_count,
            " AS recipients_count,
         m.id, m.conversation_id, m.contact_id, m.direction, m.channel, m.from_address, m.subject, m.attachments, m.status,
         m.provider, m.provider_message_id, m.attempts, m.next_attempt_at, m.error, m.segments,
         m.metadata, m.created_at, m.scheduled_at, m.sent_at, m.delivered_at, m.read_at,
         m.updated_at, m.position, m.created_position, m.authentication, m.cut, m.message_id_header,
         m.programme, m.suggests, m.kind, m.mail, m.test"
        )
    };
}

/// Lists have the first 16,384 characters of a text, the first 100 addresses of a field, and what became of recipients
/// where that takes 16 KiB at most.
pub(super) const LIST: &str = concat!(
    "SELECT ",
    columns!(
        "left(m.body, 16384)",
        "left(m.html, 16384)",
        "left(m.visible_body, 16384)",
        first_addresses!("m.to_addresses"),
        first_addresses!("m.cc"),
        first_addresses!("m.bcc"),
        first_addresses!("m.people"),
        few_recipients!(),
        recipients_count!()
    )
);

const ONE: &str = concat!(
    "SELECT ",
    columns!(
        "m.body",
        "m.html",
        "m.visible_body",
        "m.to_addresses",
        "m.cc",
        "m.bcc",
        "m.people",
        "m.recipients",
        "json_array_length(m.recipients)"
    ),
    " FROM rm.messages m WHERE m.tenant_id = $1 AND m.id = $2"
);

/// Two rows are enough to know that the name is ambiguous.
const SENT_AS: &str = "
    SELECT message_id, attempt
      FROM rm.provider_messages
     WHERE tenant_id = $1 AND provider = $2 AND provider_message_id = $3
       AND ($4::text IS NULL OR account = $4)
     LIMIT 2";

/// Which messages are wanted: those that every given field holds for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// From or to this address.
    pub participant: Option<Address>,
    /// Of this conversation.
    pub conversation: Option<ConversationId>,
    /// By this channel.
    pub channel: Option<Channel>,
    /// In this direction.
    pub direction: Option<Direction>,
    /// With this status.
    pub status: Option<Status>,
    /// Tests, or what is none.
    pub test: Option<bool>,
    /// Whose error is of this class.
    pub class: Option<ErrorClass>,
    /// Whose error has this code.
    pub code: Option<String>,
    /// Whose latest attempt was by this account.
    pub account: Option<UsedAccount>,
    /// Whose latest event happened then or later.
    pub from: Option<DateTime<Utc>>,
    /// Whose latest event happened before.
    pub to: Option<DateTime<Utc>>,
}

impl MessageFilter {
    /// Whether it asks for what no index knows.
    pub(super) const fn is_of_error(&self) -> bool {
        self.class.is_some()
            || self.code.is_some()
            || self.account.is_some()
            || self.from.is_some()
            || self.to.is_some()
    }
}

/// By which account messages were attempted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedAccount {
    /// The provider; any, if none.
    pub provider: Option<String>,
    /// What that provider calls it.
    pub account: String,
}

impl UsedAccount {
    /// The condition that the attempts of a message fulfil.
    pub(super) fn added_to(&self, conditions: Conditions) -> Conditions {
        let conditions = match &self.provider {
            Some(provider) => conditions.and("m.provider = ", "", provider.clone(), Type::TEXT),
            None => conditions,
        };
        conditions.and("m.account = ", "", self.account.clone(), Type::TEXT)
    }
}

/// Which message, and which attempt of it, a provider speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentAs {
    /// The message.
    pub message_id: MessageId,
    /// The attempt, from 1.
    pub attempt: u32,
}

impl ReadModel {
    /// The messages of `tenant` that `filter` lets through, the newest first.
    ///
    /// They are paged by the position of their first event, or of the one by which they joined the conversation that is
    /// asked for, which never changes: whatever is written
    /// meanwhile, no message is repeated, and none that was there when paging began is left out.
    /// (One whose *status* changes between two pages joins or leaves a list filtered by status.)
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn messages(
        &self,
        tenant: TenantId,
        filter: &MessageFilter,
        page: &Page,
    ) -> Result<List<Message>, QueryError> {
        let before = page.before(ListKind::Messages)?;
        let (sql, conditions) = list_sql(tenant, filter, before, page.limit);
        let kind = ListKind::Messages;
        let mut list = self.list(kind, page.limit, &sql, &conditions, keyed_message).await?;
        if let Some(id) = filter.conversation {
            // In a conversation that it joined, it is shown as one of that.
            list.data.iter_mut().for_each(|message: &mut Message| message.conversation_id = id);
        }
        Ok(list)
    }

    /// One message of `tenant`.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn message(
        &self,
        tenant: TenantId,
        id: MessageId,
    ) -> Result<Option<Message>, QueryError> {
        let rows = self.prepared(ONE, &[&tenant.0, &id.0]).await?;
        Ok(rows.first().map(message).transpose()?.map(Message::in_full))
    }

    /// The messages of a conversation of `tenant`, the newest first; none when there is no such
    /// conversation.
    ///
    /// # Errors
    /// As [`messages`](Self::messages).
    pub async fn conversation_messages(
        &self,
        tenant: TenantId,
        id: ConversationId,
        page: &Page,
    ) -> Result<Option<List<Message>>, QueryError> {
        let filter = MessageFilter { conversation: Some(id), ..MessageFilter::default() };
        let list = self.messages(tenant, &filter, page).await?;
        // A page may be empty because it comes after the last one.
        if list.data.is_empty() && self.conversation(tenant, id).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(list))
    }

    /// The message of `tenant` that `provider` calls `provider_message_id`, for receipts that do not
    /// carry our own ids. None when it is unknown, or when several accounts use that name and
    /// `account` does not say which.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn sent_as(
        &self,
        tenant: TenantId,
        provider: &str,
        account: Option<&str>,
        provider_message_id: &str,
    ) -> Result<Option<SentAs>, QueryError> {
        if !is_provider_id(provider_message_id) {
            return Ok(None);
        }
        let values: [&(dyn ToSql + Sync); 4] =
            [&tenant.0, &provider, &provider_message_id, &account];
        let rows = self.prepared(SENT_AS, &values).await?;
        let [row] = rows.as_slice() else {
            return Ok(None);
        };
        let attempt: i32 = row.try_get("attempt").map_err(Error::from)?;
        Ok(Some(SentAs {
            message_id: MessageId(row.try_get("message_id").map_err(Error::from)?),
            attempt: u32::try_from(attempt).unwrap_or_default(),
        }))
    }
}

/// The list's statement. Participants and statuses have tables of their own whose keys end in the
/// position: joined, they give the order, and the page is the only thing that is read. Each names the
/// tenant, which its index begins with, and the place ($2), which PostgreSQL does not carry over.
pub(crate) fn list_sql(
    tenant: TenantId,
    filter: &MessageFilter,
    before: Position,
    limit: u32,
) -> (String, Conditions) {
    let conditions = conditions(tenant, filter, before, "m.created_position", "m");
    let (limit, wheres) = (limit + 1, conditions.sql());
    let mut sql = format!(
        "{LIST}, m.created_position AS place FROM rm.messages m
         {}{wheres}ORDER BY m.created_position DESC LIMIT {limit}",
        joins(filter, "p.created_position < $2", "s.created_position < $2")
    );
    if filter.conversation.is_some() {
        // Those that began elsewhere have their place by the event that brought them here.
        let joined = self::conditions(tenant, filter, before, "j.position", "j");
        let wheres = joined.sql();
        sql = format!(
            "({sql})
             UNION ALL
             ({LIST}, j.position AS place FROM rm.joined_messages j
               JOIN rm.messages m
                 ON m.tenant_id = j.tenant_id AND m.created_position = j.created_position
             {}{wheres}ORDER BY j.position DESC LIMIT {limit})
             ORDER BY place DESC LIMIT {limit}",
            joins(filter, "true", "true")
        );
    }
    (sql, conditions)
}

/// What messages of a list fulfil whose place is the column `place`, and whose conversation the table `of` names. Their
/// values are the same, and in one order, whatever these are.
pub(super) fn conditions(
    tenant: TenantId,
    filter: &MessageFilter,
    before: Position,
    place: &str,
    of: &str,
) -> Conditions {
    let mut conditions =
        Conditions::of(tenant, "m.tenant_id").and(&format!("{place} < "), "", before.0, Type::INT8);
    if let Some(address) = &filter.participant {
        conditions = conditions.and("p.address = ", "", address.identity().to_string(), Type::TEXT);
    }
    if let Some(status) = filter.status {
        conditions = conditions.and("s.status = ", "", status.as_str(), Type::TEXT);
    }
    if let Some(id) = filter.conversation {
        let column = format!("{of}.conversation_id = ");
        conditions = conditions.and(&column, "", id.0, Type::UUID);
    }
    if let Some(channel) = filter.channel {
        conditions = conditions.and("m.channel = ", "", channel.as_str(), Type::TEXT);
    }
    if let Some(direction) = filter.direction {
        conditions = conditions.and("m.direction = ", "", direction.as_str(), Type::TEXT);
    }
    if let Some(test) = filter.test {
        // No value, so that the planner knows the index of tests for what it is.
        conditions = conditions.and_that(if test { "m.test" } else { "NOT m.test" });
    }
    of_error(filter, conditions)
}

/// And those by what went wrong, by which account, and when.
fn of_error(filter: &MessageFilter, mut conditions: Conditions) -> Conditions {
    if let Some(class) = filter.class {
        // The log leaves the default out.
        let column = "m.error IS NOT NULL AND coalesce(m.error->>'class', 'other') = ";
        conditions = conditions.and(column, "", class.as_str(), Type::TEXT);
    }
    if let Some(code) = &filter.code {
        conditions = conditions.and("m.error->>'code' = ", "", code.clone(), Type::TEXT);
    }
    if let Some(account) = &filter.account {
        conditions = account.added_to(conditions);
    }
    for (column, at) in [("m.updated_at >= ", filter.from), ("m.updated_at < ", filter.to)] {
        if let Some(at) = at {
            conditions = conditions.and(column, "", at, Type::TIMESTAMPTZ);
        }
    }
    conditions
}

/// The tables that a list begins with, each with where its page begins.
pub(super) fn joins(filter: &MessageFilter, of_participant: &str, of_status: &str) -> String {
    let mut sql = String::new();
    if filter.participant.is_some() {
        sql.push_str(&format!(
            "JOIN rm.message_participants p
               ON p.tenant_id = m.tenant_id AND p.created_position = m.created_position
              AND {of_participant}\n"
        ));
    }
    if filter.status.is_some() {
        sql.push_str(&format!(
            "JOIN rm.message_statuses s
               ON s.tenant_id = m.tenant_id AND s.created_position = m.created_position
              AND {of_status}\n"
        ));
    }
    sql
}

pub(super) fn keyed_message(row: &Row) -> Result<(Position, Message), Error> {
    Ok((Position(row.try_get("place")?), message(row)?))
}
