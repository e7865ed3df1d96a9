//! What several tenants know of the same people and messages: asked where a provider account is of all of them.

use std::cmp::Reverse;

use hatch_domain::address::Address;
use hatch_domain::ids::{ConversationId, MessageId, TenantId, is_provider_id};
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{Error, QueryError, ReadModel, SentAs};

/// Tenants that one statement asks about.
const TENANTS_AT_ONCE: usize = 1_000;

/// The newest conversation of each tenant, of those that have exactly these participants, and rather one in which
/// somebody has written by this account: of its last hundred messages, and the last hundred that joined it, one has come
/// in by it, or was tried to be sent by it. $4 says whether tests count.
const CONVERSATIONS: &str = "
    SELECT DISTINCT ON (c.tenant_id) c.tenant_id, c.id, c.last_message_position, said.is_live
      FROM rm.conversation_participants p
      JOIN rm.conversations c ON c.tenant_id = p.tenant_id AND c.id = p.conversation_id
     CROSS JOIN LATERAL (
           SELECT EXISTS (
                  SELECT FROM (
                         (SELECT m.test, m.direction, m.attempts, m.provider, m.account
                            FROM rm.messages m
                           WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.id
                           ORDER BY m.created_position DESC LIMIT 100)
                         UNION ALL
                         (SELECT m.test, m.direction, m.attempts, m.provider, m.account
                            FROM rm.joined_messages j
                            JOIN rm.messages m
                              ON m.tenant_id = j.tenant_id AND m.created_position = j.created_position
                           WHERE j.tenant_id = c.tenant_id AND j.conversation_id = c.id
                           ORDER BY j.position DESC LIMIT 100)) AS newest
                   WHERE newest.provider = $5 AND newest.account = $6
                     AND ($4::boolean OR NOT newest.test)
                     AND (newest.direction = 'inbound' OR newest.attempts > 0)) AS is_live) AS said
     WHERE p.tenant_id = ANY($1) AND p.address = $2 AND c.participants::jsonb = ANY($3::jsonb[])
     ORDER BY c.tenant_id, said.is_live DESC, c.last_message_position DESC";

const SENT: &str = "
    SELECT tenant_id, message_id, attempt
      FROM rm.provider_messages
     WHERE tenant_id = ANY($1) AND provider = $2 AND provider_message_id = $3 AND account = $4
     LIMIT 2";

/// A conversation that a tenant has with some people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationAmong {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The conversation.
    pub id: ConversationId,
    /// Whether somebody has written in it by the account. A message that waits, or was refused, is no sign of that.
    pub is_live: bool,
}

impl ReadModel {
    /// The conversations that `tenants` have of exactly one of `groups`, which are identities in order: the newest one of
    /// each, the newest of all first. `one` is in each group. `account` is a provider and what it calls the account by which
    /// somebody has to have written; whether `tests` count, too.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn conversations_among(
        &self,
        tenants: &[TenantId],
        one: &Address,
        groups: &[Vec<String>],
        (provider, account): (&str, &str),
        tests: bool,
    ) -> Result<Vec<ConversationAmong>, QueryError> {
        let address = one.identity().as_str().to_owned();
        let groups: Vec<Value> = groups.iter().map(|group| json!(group)).collect();
        let mut found = Vec::new();
        for some in tenants.chunks(TENANTS_AT_ONCE) {
            let tenants: Vec<Uuid> = some.iter().map(|tenant| tenant.0).collect();
            let values: [&(dyn ToSql + Sync); 6] =
                [&tenants, &address, &groups, &tests, &provider, &account];
            let rows = self.prepared(CONVERSATIONS, &values).await?;
            found.extend(rows.iter().map(one_of).collect::<Result<Vec<_>, Error>>()?);
        }
        found.sort_unstable_by_key(|(position, _)| Reverse(*position));
        Ok(found.into_iter().map(|(_, conversation)| conversation).collect())
    }

    /// Which of `tenants` has sent the message that the provider calls so, and as what; none where none has, or several.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn sent_among(
        &self,
        tenants: &[TenantId],
        provider: &str,
        account: &str,
        provider_message_id: &str,
    ) -> Result<Option<(TenantId, SentAs)>, QueryError> {
        if !is_provider_id(provider_message_id) {
            return Ok(None);
        }
        let mut sent = None;
        for some in tenants.chunks(TENANTS_AT_ONCE) {
            let tenants: Vec<Uuid> = some.iter().map(|tenant| tenant.0).collect();
            let values: [&(dyn ToSql + Sync); 4] =
                [&tenants, &provider, &provider_message_id, &account];
            for row in &self.prepared(SENT, &values).await? {
                if sent.replace(sent_of(row)?).is_some() {
                    return Ok(None);
                }
            }
        }
        Ok(sent)
    }
}

fn sent_of(row: &Row) -> Result<(TenantId, SentAs), Error> {
    let attempt: i32 = row.try_get("attempt")?;
    let sent_as = SentAs {
        message_id: MessageId(row.try_get("message_id")?),
        attempt: u32::try_from(attempt).unwrap_or_default(),
    };
    Ok((TenantId(row.try_get("tenant_id")?), sent_as))
}

fn one_of(row: &Row) -> Result<(i64, ConversationAmong), Error> {
    let conversation = ConversationAmong {
        tenant_id: TenantId(row.try_get("tenant_id")?),
        id: ConversationId(row.try_get("id")?),
        is_live: row.try_get("is_live")?,
    };
    Ok((row.try_get("last_message_position")?, conversation))
}
