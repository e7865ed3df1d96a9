//! Receipts that came before the name that they call their message by was known.

use chrono::{DateTime, Utc};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_eventstore::SideTable;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{Error, QueryError, ReadModel, SentAs, WebhookOutcome};

/// Those that are due, with the message that the provider's name turned out to be. Taking them puts
/// off their next look by a quarter of their age, so that those that are never matched cost ever
/// less, and so that two processes seldom take the same ones.
const TAKE_DUE: &str = "
    WITH due AS (
        SELECT id
          FROM hatch.waiting_receipts
         WHERE next_look_at <= $1
         ORDER BY next_look_at
         LIMIT $2
           FOR UPDATE SKIP LOCKED),
    taken AS (
        UPDATE hatch.waiting_receipts w
           SET next_look_at = $1 + greatest($3::float8 * interval '1 second',
                                            ($1 - w.received_at) / 4)
          FROM due
         WHERE w.id = due.id
     RETURNING w.*)
    SELECT t.id, t.webhook_id, t.tenant_id, t.provider, t.account, t.receipt, t.received_at,
           p.message_id, p.attempt
      FROM taken t
      LEFT JOIN rm.provider_messages p
        ON p.tenant_id = t.tenant_id AND p.provider = t.provider
       AND p.provider_message_id = t.provider_message_id AND p.account = t.account";

/// Forgets one, and with the last of its receipts a webhook waits no more, if waiting is all that kept it in
/// quarantine.
const RELEASE: &str = "
    WITH forgotten AS (DELETE FROM hatch.waiting_receipts WHERE id = $1)
    UPDATE hatch.webhook_log
       SET outcome = $6, detail = $4, message_id = coalesce(message_id, $3)
     WHERE id = $2 AND outcome = 'quarantined' AND starts_with(detail, $5)
       AND NOT EXISTS (
           SELECT FROM hatch.waiting_receipts WHERE webhook_id = $2 AND id <> $1)";

/// A receipt that waits for its message.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingReceipt {
    /// Its id.
    pub id: Uuid,
    /// The webhook that it came with.
    pub webhook_id: Uuid,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The provider that sent it.
    pub provider: String,
    /// The provider account.
    pub account: String,
    /// What it says, as whoever wrote the row wrote it.
    pub receipt: Value,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// The message that it speaks of, when that is known by now.
    pub sent_as: Option<SentAs>,
}

impl WaitingReceipt {
    /// The table of those that wait.
    pub const TABLE: &SideTable = &SideTable {
        name: "hatch.waiting_receipts",
        columns: &[
            ("id", "uuid"),
            ("webhook_id", "uuid"),
            ("tenant_id", "uuid"),
            ("provider", "text"),
            ("account", "text"),
            ("provider_message_id", "text"),
            ("receipt", "json"),
            ("received_at", "timestamptz"),
            ("next_look_at", "timestamptz"),
        ],
    };

    /// How the detail begins of a webhook that is in quarantine because a receipt of it waits, and
    /// for nothing else.
    pub const REASON: &str = "waiting_for_message";
}

impl ReadModel {
    /// At most `rows_max` receipts that are due at `now`, the longest due first, and puts off their
    /// next look: by `pause_seconds` at least.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn take_waiting_receipts(
        &self,
        now: DateTime<Utc>,
        rows_max: i64,
        pause_seconds: f64,
    ) -> Result<Vec<WaitingReceipt>, QueryError> {
        let rows = self.prepared(TAKE_DUE, &[&now, &rows_max, &pause_seconds]).await?;
        let rows: Result<Vec<_>, Error> = rows.iter().map(waiting).collect();
        Ok(rows?)
    }

    /// Forgets a receipt that waits no longer, because of `detail`. With the last one of a webhook, `outcome` is
    /// what became of the webhook.
    ///
    /// # Errors
    /// [`QueryError::Database`]. Asking again is harmless.
    pub async fn settle_waiting_receipt(
        &self,
        receipt: &WaitingReceipt,
        outcome: WebhookOutcome,
        detail: &str,
    ) -> Result<(), QueryError> {
        let WaitingReceipt { id, webhook_id, .. } = receipt;
        let message_id = receipt.sent_as.map(|sent| sent.message_id.0);
        let reason = WaitingReceipt::REASON;
        let outcome = outcome.as_str();
        let values: [&(dyn ToSql + Sync); 6] =
            [id, webhook_id, &message_id, &detail, &reason, &outcome];
        self.prepared(RELEASE, &values).await?;
        Ok(())
    }
}

fn waiting(row: &Row) -> Result<WaitingReceipt, Error> {
    let message_id: Option<Uuid> = row.try_get("message_id")?;
    let attempt: Option<i32> = row.try_get("attempt")?;
    let sent_as = message_id.zip(attempt).map(|(message_id, attempt)| SentAs {
        message_id: MessageId(message_id),
        attempt: u32::try_from(attempt).unwrap_or_default(),
    });
    Ok(WaitingReceipt {
        id: row.try_get("id")?,
        webhook_id: row.try_get("webhook_id")?,
        tenant_id: TenantId(row.try_get("tenant_id")?),
        provider: row.try_get("provider")?,
        account: row.try_get("account")?,
        receipt: row.try_get("receipt")?,
        received_at: row.try_get("received_at")?,
        sent_as,
    })
}
