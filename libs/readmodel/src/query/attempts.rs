//! What was said to a provider in an attempt, and what it answered, as long as that is kept.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_eventstore::values::natural;
use serde_json::Value;
use tokio_postgres::Row;

use super::{QueryError, ReadModel};
use crate::Error;

const OF_MESSAGE: &str = "
    SELECT attempt, called_at, connect_ms, first_byte_ms, total_ms, http_status, request, response
      FROM dispatch.attempts
     WHERE tenant_id = $1 AND message_id = $2";

/// The details of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptDetails {
    /// When the provider was called.
    pub called_at: DateTime<Utc>,
    /// Milliseconds to a new connection; none where an idle one was used.
    pub connect_ms: Option<i32>,
    /// Milliseconds until the answer began; none where none came.
    pub first_byte_ms: Option<i32>,
    /// Milliseconds until the end.
    pub total_ms: Option<i32>,
    /// The status of the answer.
    pub http_status: Option<i32>,
    /// What was sent, without secrets.
    pub request: Option<Value>,
    /// What came back, without secrets.
    pub response: Option<Value>,
}

impl ReadModel {
    /// What is kept of the attempts of a message of `tenant`, by their numbers.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn attempts(
        &self,
        tenant: TenantId,
        id: MessageId,
    ) -> Result<BTreeMap<u32, AttemptDetails>, QueryError> {
        let rows = self.prepared(OF_MESSAGE, &[&tenant.0, &id.0]).await?;
        let all: Result<BTreeMap<_, _>, Error> = rows.iter().map(details).collect();
        Ok(all?)
    }
}

fn details(row: &Row) -> Result<(u32, AttemptDetails), Error> {
    let attempt: i32 = row.try_get("attempt")?;
    let details = AttemptDetails {
        called_at: row.try_get("called_at")?,
        connect_ms: row.try_get("connect_ms")?,
        first_byte_ms: row.try_get("first_byte_ms")?,
        total_ms: row.try_get("total_ms")?,
        http_status: row.try_get("http_status")?,
        request: row.try_get("request")?,
        response: row.try_get("response")?,
    };
    Ok((natural(attempt), details))
}
