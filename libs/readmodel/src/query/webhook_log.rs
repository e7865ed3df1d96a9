//! The webhook log: what providers posted, and what was made of it.

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::ids::{MessageId, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use utoipa::ToSchema;
use uuid::Uuid;

use super::conditions::Conditions;
use super::page::{List, ListKind, Page, SortKey};
use super::{QueryError, ReadModel};
use crate::Error;
use crate::contents::Encoding;

const LIST: &str = "
    SELECT id, provider, account, kind, outcome, provider_message_id, message_id, detail, method,
           path_and_query, received_at,
           coalesce((SELECT octet_length(whole.body) FROM hatch.webhook_bodies whole
                      WHERE whole.webhook_id = webhook_log.id),
                    (SELECT raw.bytes::integer FROM hatch.raw_mails raw
                      WHERE raw.webhook_id = webhook_log.id LIMIT 1),
                    octet_length(body)) AS body_bytes
      FROM hatch.webhook_log\n";

const ONE: &str = "
    SELECT l.id, l.provider, l.account, l.kind, l.outcome, l.provider_message_id, l.message_id,
           l.detail, l.method, l.path_and_query, l.received_at, l.headers, l.verified,
           coalesce(raw.body, whole.body, l.body) AS body, raw.encoding, raw.bytes,
           coalesce(raw.bytes::integer, octet_length(coalesce(whole.body, l.body))) AS body_bytes
      FROM hatch.webhook_log l
      LEFT JOIN hatch.webhook_bodies whole ON whole.webhook_id = l.id
      LEFT JOIN LATERAL (
           SELECT body, encoding, bytes FROM hatch.raw_mails
            WHERE webhook_id = l.id LIMIT 1) raw ON true
     WHERE l.tenant_id = $1 AND l.id = $2 AND l.received_at BETWEEN $3 AND $4";

const RELEASE: &str = "
    UPDATE hatch.webhook_log SET outcome = $2, detail = $3
     WHERE id = $1 AND outcome = 'quarantined'";

const USE_TOKEN: &str = "SELECT hatch.use_webhook_token($1, $2)";

const KEEP_BODY: &str = "INSERT INTO hatch.webhook_bodies (webhook_id, body) VALUES ($1, $2) \
     ON CONFLICT (webhook_id) DO NOTHING";

/// The last second of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

/// How far the time in a webhook's id may be from when it came.
const ID_SKEW_MAX: TimeDelta = TimeDelta::hours(1);

/// What was made of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookOutcome {
    /// It says nothing that changes a message.
    Ignored,
    /// It said what was known already.
    Duplicate,
    /// It became events.
    Applied,
    /// Signed, but not understood or about nothing that is known: kept for later.
    Quarantined,
    /// The signature was missing or wrong; nothing else was looked at.
    RejectedSignature,
}

impl WebhookOutcome {
    /// The outcome's name in the API and in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Duplicate => "duplicate",
            Self::Applied => "applied",
            Self::Quarantined => "quarantined",
            Self::RejectedSignature => "rejected_signature",
        }
    }
}

/// What a webhook is about.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it is there to be listed")]
enum WebhookKind {
    Message,
    Email,
    Status,
}

/// A webhook as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LoggedWebhook {
    /// Its id.
    pub id: Uuid,
    /// The provider that it was posted as.
    pub provider: String,
    /// The provider account, where it is known.
    pub account: Option<String>,
    /// What it was about.
    #[schema(value_type = Option<WebhookKind>)]
    pub kind: Option<String>,
    /// What was made of it.
    #[schema(value_type = WebhookOutcome)]
    pub outcome: String,
    /// What the provider calls the message.
    pub provider_message_id: Option<String>,
    /// The message that it speaks of.
    #[schema(value_type = Option<Uuid>)]
    pub message_id: Option<MessageId>,
    /// A sentence about the outcome, where one is needed.
    pub detail: Option<String>,
    /// The request's method.
    pub method: String,
    /// The request's path and query.
    pub path_and_query: String,
    /// How many bytes of its body are kept.
    pub body_bytes: i32,
    /// When it came.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub received_at: DateTime<Utc>,
}

/// What a webhook said, as it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookContent {
    /// What lists show of it.
    pub webhook: LoggedWebhook,
    /// Its headers.
    pub headers: Value,
    /// Its body, as far as it is kept.
    pub body: Vec<u8>,
    /// By which account it was verified, as whoever wrote the row wrote it. Only what is in quarantine has that.
    pub verified: Option<Value>,
}

/// Which webhooks are wanted: those that every given field holds for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookFilter {
    /// Of which this was made.
    pub outcome: Option<WebhookOutcome>,
    /// That speak of this message.
    pub message: Option<MessageId>,
}

/// When it came, and its id, which breaks ties.
pub(crate) struct Key(pub(crate) DateTime<Utc>, pub(crate) Uuid);

impl SortKey for Key {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.0.timestamp_micros().to_be_bytes().to_vec();
        bytes.extend(self.1.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (micros, id) = bytes.split_first_chunk()?;
        let at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?;
        // Years that PostgreSQL knows, too.
        let sane = (0..=SECONDS_MAX).contains(&at.timestamp());
        sane.then_some(Self(at, Uuid::from_slice(id).ok()?))
    }
}

impl ReadModel {
    /// The webhooks of `tenant` that `filter` lets through, the newest first, without their bodies.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn webhooks(
        &self,
        tenant: TenantId,
        filter: &WebhookFilter,
        page: &Page,
    ) -> Result<List<LoggedWebhook>, QueryError> {
        let before = page.key(ListKind::Webhooks)?;
        let (sql, conditions) = list_sql(tenant, filter, before, page.limit);
        let keyed =
            |row: &Row| logged(row).map(|webhook| (Key(webhook.received_at, webhook.id), webhook));
        Ok(self.list(ListKind::Webhooks, page.limit, &sql, &conditions, keyed).await?)
    }

    /// Uses the token of a signature that covers nothing of what a request says, for what is `said`, and says whether it may
    /// be used for that: nobody has used it before, or for the same.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn use_webhook_token(&self, token: Uuid, said: &[u8]) -> Result<bool, QueryError> {
        let rows = self.prepared(USE_TOKEN, &[&token, &said]).await?;
        Ok(rows[0].try_get(0).map_err(Error::from)?)
    }

    /// Keeps the body of a webhook whole, beside the row that is written after it. Again is as once.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn keep_webhook_body(&self, webhook: Uuid, body: &[u8]) -> Result<(), QueryError> {
        self.prepared(KEEP_BODY, &[&webhook, &body]).await?;
        Ok(())
    }

    /// Takes a webhook out of the quarantine, if it is there.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn release_webhook(
        &self,
        webhook: Uuid,
        outcome: WebhookOutcome,
        detail: &str,
    ) -> Result<(), QueryError> {
        self.prepared(RELEASE, &[&webhook, &outcome.as_str(), &detail]).await?;
        Ok(())
    }

    /// One webhook of `tenant`, whole.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn webhook(
        &self,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Option<WebhookContent>, QueryError> {
        let [from, until] = received_within(id);
        let rows = self.prepared(ONE, &[&tenant.0, &id, &from, &until]).await?;
        Ok(rows.first().map(content).transpose()?)
    }
}

/// Between which moments the webhook `id` came, so that few partitions are looked into: ids of version 7
/// begin with their time. Any other may have come whenever there are webhooks.
fn received_within(id: Uuid) -> [DateTime<Utc>; 2] {
    let at = id.get_timestamp().filter(|_| id.get_version_num() == 7);
    let at = at.and_then(|at| {
        let (seconds, nanos) = at.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    });
    // Years that PostgreSQL knows, too.
    at.filter(|at| at.timestamp() < SECONDS_MAX).map_or_else(
        || [DateTime::UNIX_EPOCH, DateTime::from_timestamp(SECONDS_MAX, 0).expect("a time")],
        |at| [at - ID_SKEW_MAX, at + ID_SKEW_MAX],
    )
}

fn list_sql(
    tenant: TenantId,
    filter: &WebhookFilter,
    before: Option<Key>,
    limit: u32,
) -> (String, Conditions) {
    let mut conditions = Conditions::of(tenant, "tenant_id");
    if let Some(outcome) = filter.outcome {
        conditions = conditions.and("outcome = ", "", outcome.as_str(), Type::TEXT);
    }
    if let Some(message) = filter.message {
        conditions = conditions.and("message_id = ", "", message.0, Type::UUID);
    }
    if let Some(Key(at, id)) = before {
        conditions = conditions.and("received_at <= ", "", at, Type::TIMESTAMPTZ);
        let place = format!("(received_at, id) < (${}, ", conditions.values().len());
        conditions = conditions.and(&place, ")", id, Type::UUID);
    }
    let sql =
        format!("{LIST}{}ORDER BY received_at DESC, id DESC LIMIT {}", conditions.sql(), limit + 1);
    (sql, conditions)
}

fn logged(row: &Row) -> Result<LoggedWebhook, Error> {
    Ok(LoggedWebhook {
        id: row.try_get("id")?,
        provider: row.try_get("provider")?,
        account: row.try_get("account")?,
        kind: row.try_get("kind")?,
        outcome: row.try_get("outcome")?,
        provider_message_id: row.try_get("provider_message_id")?,
        message_id: row.try_get::<_, Option<Uuid>>("message_id")?.map(MessageId),
        detail: row.try_get("detail")?,
        method: row.try_get("method")?,
        path_and_query: row.try_get("path_and_query")?,
        body_bytes: row.try_get("body_bytes")?,
        received_at: row.try_get("received_at")?,
    })
}

fn content(row: &Row) -> Result<WebhookContent, Error> {
    let body = match row.try_get::<_, Option<&str>>("encoding")? {
        Some(encoding) => Encoding::decode(encoding, row.try_get("body")?, row.try_get("bytes")?)?,
        None => row.try_get("body")?,
    };
    let (headers, verified) = (row.try_get("headers")?, row.try_get("verified")?);
    Ok(WebhookContent { webhook: logged(row)?, headers, body, verified })
}
