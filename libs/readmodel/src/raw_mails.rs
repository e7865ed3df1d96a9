//! The requests that brought mails, whole: from them the mails can be read again.

use chrono::{DateTime, Utc};
use hatch_domain::ids::{MessageId, TenantId};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::contents::{Content, decoded, hex, unhex};
use crate::{Error, QueryError, ReadModel};

const KEEP: &str = "
    INSERT INTO hatch.raw_mails (tenant_id, message_id, digest, webhook_id, provider, method,
           path_and_query, headers, bytes, encoding, body, received_at, verified)
    SELECT $1::uuid, message_id, $3::bytea, $4::uuid, $5::text, $6::text, $7::text, $8::json,
           $9::bigint, $10::text, $11::bytea, $12::timestamptz, $13::json
      FROM unnest($2::uuid[]) AS message_id
        ON CONFLICT (tenant_id, message_id, digest) DO NOTHING";

const DROP: &str = "SELECT hatch.drop_raw_mails($1, $2)";

const COUNT: &str = "
    SELECT count(*) FROM hatch.raw_mails
     WHERE tenant_id = $1 AND received_at >= $2 AND received_at < $3
       AND ($4::uuid IS NULL OR message_id = $4)";

/// Some of them in the order in which they came, after the one that the last page ended with: 64, or as many as are
/// 16 MiB together, and one at least.
const PAGE: &str = "
    SELECT r.message_id, r.digest, r.webhook_id, r.provider, r.method, r.path_and_query, r.headers,
           r.bytes, r.encoding, r.body, r.received_at, r.verified
      FROM (SELECT tenant_id, message_id, digest, row_number() OVER w AS n, sum(bytes) OVER w AS bytes
              FROM (SELECT tenant_id, message_id, digest, bytes, received_at FROM hatch.raw_mails
                     WHERE tenant_id = $1 AND received_at >= $2 AND received_at < $3
                       AND ($4::uuid IS NULL OR message_id = $4)
                       AND (received_at, message_id, digest) > ($5, $6, $7)
                     ORDER BY received_at, message_id, digest LIMIT 64) AS ahead
            WINDOW w AS (ORDER BY received_at, message_id, digest)) AS page
      JOIN hatch.raw_mails AS r USING (tenant_id, message_id, digest)
     WHERE page.n = 1 OR page.bytes <= 16777216
     ORDER BY r.received_at, r.message_id, r.digest";

/// A request that brought a mail, but for its body.
#[derive(Debug, Clone, PartialEq)]
pub struct RawMail {
    /// The webhook, by its id in the webhook log.
    pub webhook_id: Uuid,
    /// The provider that posted it.
    pub provider: String,
    /// The request's method.
    pub method: String,
    /// The request's path and query.
    pub path_and_query: String,
    /// The request's headers, without secrets, as a JSON object.
    pub headers: Value,
    /// By which account it was verified, as whoever wrote the row wrote it.
    pub verified: Option<Value>,
    /// When it came.
    pub received_at: DateTime<Utc>,
}

/// A request that brought a mail, as it is kept.
#[derive(Clone, PartialEq)]
pub struct KeptMail {
    /// The message that it became.
    pub message_id: MessageId,
    /// The SHA-256 of its body in lower-case hexadecimal digits, by which the message names it.
    pub digest: String,
    /// The request.
    pub mail: RawMail,
    /// Its body.
    pub body: Vec<u8>,
}

/// Which of the requests with mails are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawMailFilter {
    /// Those that came then or later.
    pub since: DateTime<Utc>,
    /// Those that came before.
    pub until: DateTime<Utc>,
    /// Those that became this message.
    pub message: Option<MessageId>,
}

impl ReadModel {
    /// Keeps the request that brought the mails `messages` of `tenant`, with its `body`. Again is as once.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn keep_raw_mail(
        &self,
        tenant: TenantId,
        messages: &[MessageId],
        mail: &RawMail,
        body: &Content,
    ) -> Result<(), QueryError> {
        let messages: Vec<Uuid> = messages.iter().map(|id| id.0).collect();
        let (digest, encoding) = (&body.digest[..], body.encoding.as_str());
        self.prepared(
            KEEP,
            &[
                &tenant.0,
                &messages,
                &digest,
                &mail.webhook_id,
                &mail.provider,
                &mail.method,
                &mail.path_and_query,
                &mail.headers,
                &body.size(),
                &encoding,
                &body.stored,
                &mail.received_at,
                &mail.verified,
            ],
        )
        .await?;
        Ok(())
    }

    /// Drops at most `rows_max` of the requests with mails that came before `before`, and says how many.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn drop_raw_mails(
        &self,
        before: DateTime<Utc>,
        rows_max: i32,
    ) -> Result<i64, QueryError> {
        let rows = self.prepared(DROP, &[&before, &rows_max]).await?;
        Ok(rows[0].try_get(0).map_err(Error::from)?)
    }

    /// How many of the requests with mails of `tenant` are wanted.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn count_raw_mails(
        &self,
        tenant: TenantId,
        filter: &RawMailFilter,
    ) -> Result<i64, QueryError> {
        let message = filter.message.map(|id| id.0);
        let rows =
            self.prepared(COUNT, &[&tenant.0, &filter.since, &filter.until, &message]).await?;
        Ok(rows[0].try_get(0).map_err(Error::from)?)
    }

    /// The next of the wanted requests with mails of `tenant`, the oldest first, after the `last` of those before;
    /// none after the last one. As many as fit into memory well.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn raw_mails(
        &self,
        tenant: TenantId,
        filter: &RawMailFilter,
        last: Option<&KeptMail>,
    ) -> Result<Vec<KeptMail>, QueryError> {
        let message = filter.message.map(|id| id.0);
        let (at, id, digest) = match last {
            Some(last) => {
                let digest = unhex(&last.digest).unwrap_or_default();
                (last.mail.received_at, last.message_id.0, digest)
            }
            None => (DateTime::UNIX_EPOCH, Uuid::nil(), Vec::new()),
        };
        let rows = self
            .prepared(PAGE, &[&tenant.0, &filter.since, &filter.until, &message, &at, &id, &digest])
            .await?;
        Ok(rows.iter().map(kept_mail).collect::<Result<_, Error>>()?)
    }
}

fn kept_mail(row: &Row) -> Result<KeptMail, Error> {
    Ok(KeptMail {
        message_id: MessageId(row.try_get("message_id")?),
        digest: hex(row.try_get("digest")?),
        mail: RawMail {
            webhook_id: row.try_get("webhook_id")?,
            provider: row.try_get("provider")?,
            method: row.try_get("method")?,
            path_and_query: row.try_get("path_and_query")?,
            headers: row.try_get("headers")?,
            verified: row.try_get("verified")?,
            received_at: row.try_get("received_at")?,
        },
        body: decoded(row, "body")?,
    })
}
