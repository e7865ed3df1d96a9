//! How much waits for a person, and since when.

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use hatch_domain::message::status::Status;

use super::{QueryError, ReadModel, WebhookOutcome};
use crate::Error;

/// Rows that a tally counts; the newer ones are left out.
pub const TALLY_MAX: i64 = 10_000;

/// The oldest messages of a status are found by its index; since when they have it, their states say.
const MESSAGES: &str = "
    SELECT count(*), min(m.updated_at)
      FROM (SELECT tenant_id, created_position
              FROM rm.message_statuses
             WHERE tenant_id = $1 AND status = $2
             ORDER BY created_position LIMIT $3) s
      JOIN rm.messages m
        ON m.tenant_id = s.tenant_id AND m.created_position = s.created_position";

/// The oldest message of each status in which it is to be sent at once. Each status is written out, so that the planner
/// knows how few there are and uses their index.
const OLDEST_UNSENT: &str = "
    SELECT coalesce(max(extract(epoch FROM now() - coalesce(m.scheduled_at, m.created_at))), 0)::float8
      FROM ((SELECT tenant_id, created_position FROM rm.message_statuses
              WHERE tenant_id = $1 AND status = 'queued' ORDER BY created_position LIMIT 1)
            UNION ALL
            (SELECT tenant_id, created_position FROM rm.message_statuses
              WHERE tenant_id = $1 AND status = 'sending' ORDER BY created_position LIMIT 1)
            UNION ALL
            (SELECT tenant_id, created_position FROM rm.message_statuses
              WHERE tenant_id = $1 AND status = 'retrying' ORDER BY created_position LIMIT 1)) AS s
      JOIN rm.messages m
        ON m.tenant_id = s.tenant_id AND m.created_position = s.created_position";

const OLDEST_IN_DOUBT: &str = "
    SELECT extract(epoch FROM now() - m.updated_at)::float8
      FROM (SELECT tenant_id, created_position FROM rm.message_statuses
             WHERE tenant_id = $1 AND status = 'in_doubt' ORDER BY created_position LIMIT 1) AS s
      JOIN rm.messages m
        ON m.tenant_id = s.tenant_id AND m.created_position = s.created_position";

const QUARANTINE: &str = "
    SELECT count(*), min(received_at)
      FROM (SELECT received_at
              FROM hatch.webhook_log
             WHERE tenant_id = $1 AND outcome = $2
             ORDER BY received_at LIMIT $3) w";

/// How many there are, and since when the oldest has been there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// How many, at most [`TALLY_MAX`].
    pub count: i64,
    /// Since when the oldest of them is what it is.
    pub oldest: Option<DateTime<Utc>>,
}

impl ReadModel {
    /// The messages of `tenant` that have `status`.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn tally(&self, tenant: TenantId, status: Status) -> Result<Tally, QueryError> {
        self.tallied(MESSAGES, tenant, status.as_str()).await
    }

    /// For how many seconds the oldest message of the default tenant waits that could be sent and is not; 0
    /// without one.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn oldest_unsent(&self) -> Result<f64, QueryError> {
        self.seconds(OLDEST_UNSENT).await
    }

    /// For how many seconds the oldest message of the default tenant that is in doubt has been so; 0 without one.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn oldest_in_doubt(&self) -> Result<f64, QueryError> {
        self.seconds(OLDEST_IN_DOUBT).await
    }

    async fn seconds(&self, sql: &'static str) -> Result<f64, QueryError> {
        let rows = self.prepared(sql, &[&TenantId::DEFAULT.0]).await?;
        let seconds: Result<f64, _> = rows.first().map_or(Ok(0.0), |row| row.try_get(0));
        // The clock may have been set back since.
        Ok(seconds.map_err(Error::from)?.max(0.0))
    }

    /// The webhooks of `tenant` in quarantine.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn quarantine(&self, tenant: TenantId) -> Result<Tally, QueryError> {
        self.tallied(QUARANTINE, tenant, WebhookOutcome::Quarantined.as_str()).await
    }

    async fn tallied(
        &self,
        sql: &'static str,
        tenant: TenantId,
        of: &str,
    ) -> Result<Tally, QueryError> {
        let rows = self.prepared(sql, &[&tenant.0, &of, &TALLY_MAX]).await?;
        let Some(row) = rows.first() else { return Ok(Tally { count: 0, oldest: None }) };
        let tally = || Ok(Tally { count: row.try_get(0)?, oldest: row.try_get(1)? });
        Ok(tally().map_err(|error: tokio_postgres::Error| Error::from(error))?)
    }
}
