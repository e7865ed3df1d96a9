//! The messages in doubt, with how the doubt stands.

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::ids::TenantId;
use hatch_domain::message::AGGREGATE;
use hatch_domain::message::status::Status;
use hatch_eventstore::Position;
use hatch_eventstore::values::natural;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::message::{Message, message};
use super::messages::{LIST, UsedAccount};
use crate::query::conditions::Conditions;
use crate::query::page::{List, ListKind, Page};
use crate::{Error, QueryError, ReadModel};

/// Which messages in doubt are wanted: those that every given field holds for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoubtFilter {
    /// By this channel.
    pub channel: Option<Channel>,
    /// Whose attempt was by this account.
    pub account: Option<UsedAccount>,
}

/// A message in doubt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessageInDoubt {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// The position of its first event.
    #[serde(skip)]
    pub created_position: Position,
    /// What the provider calls the account by which the attempt was made.
    pub account: Option<String>,
    /// Since when it is in doubt.
    pub since: DateTime<Utc>,
    /// How often somebody looked.
    pub looks: u32,
    /// When somebody looks next; none where no timer says it.
    pub next_look_at: Option<DateTime<Utc>>,
}

impl ReadModel {
    /// The messages of `tenant` that are in doubt and that `filter` lets through, the newest message first.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn in_doubt(
        &self,
        tenant: TenantId,
        filter: &DoubtFilter,
        page: &Page,
    ) -> Result<List<MessageInDoubt>, QueryError> {
        let before = page.before(ListKind::InDoubt)?;
        let (sql, conditions) = list_sql(tenant, filter, before, page.limit());
        let kind = ListKind::InDoubt;
        Ok(self.list(kind, page.limit(), &sql, &conditions, keyed).await?)
    }
}

/// The list's statement. The timers say how the doubt stands; they follow the log by some seconds.
fn list_sql(
    tenant: TenantId,
    filter: &DoubtFilter,
    before: Position,
    limit: u32,
) -> (String, Conditions) {
    let status = Status::InDoubt.as_str();
    let mut conditions = Conditions::of(tenant, "m.tenant_id")
        .and("m.created_position < ", "", before.0, Type::INT8)
        .and("s.status = ", "", status, Type::TEXT);
    if let Some(channel) = filter.channel {
        conditions = conditions.and("m.channel = ", "", channel.as_str(), Type::TEXT);
    }
    if let Some(account) = &filter.account {
        conditions = account.added_to(conditions);
    }
    let sql = format!(
        "{LIST}, m.account, d.due_at, d.look_at, d.looks
           FROM rm.messages m
           JOIN rm.message_statuses s
             ON s.tenant_id = m.tenant_id AND s.created_position = m.created_position
            AND s.created_position < $2
           LEFT JOIN due.timers d
             ON d.stream_id = m.id AND d.tenant_id = m.tenant_id AND d.kind = '{AGGREGATE}'
            AND d.step = m.attempts
         {}ORDER BY m.created_position DESC LIMIT {}",
        conditions.sql(),
        limit + 1
    );
    (sql, conditions)
}

fn keyed(row: &Row) -> Result<(Position, MessageInDoubt), Error> {
    let message = message(row)?;
    let created_position = Position(row.try_get("created_position")?);
    let since: Option<DateTime<Utc>> = row.try_get("due_at")?;
    let looks: Option<i32> = row.try_get("looks")?;
    let in_doubt = MessageInDoubt {
        created_position,
        account: row.try_get("account")?,
        since: since.unwrap_or(message.updated_at),
        looks: natural(looks.unwrap_or_default()),
        next_look_at: row.try_get("look_at")?,
        message,
    };
    Ok((created_position, in_doubt))
}
