//! The table of what was said to providers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_eventstore::values::integer;
use hatch_eventstore::{Connection, Connections};
use serde::Serialize;
use tokio_postgres::types::ToSql;

use super::AttemptRecord;
use crate::ProgressError;

/// How long PostgreSQL may take.
const WRITE_MAX: Duration = Duration::from_secs(4);

const WRITE: &str = "
    INSERT INTO dispatch.attempts
           (tenant_id, message_id, attempt, called_at, connect_ms, first_byte_ms, total_ms, http_status,
            request, response)
    SELECT u.tenant_id, u.message_id, u.attempt, u.called_at, u.connect_ms, u.first_byte_ms, u.total_ms,
           u.http_status, u.request::json, u.response::json
      FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::timestamptz[], $5::int[], $6::int[], $7::int[],
                  $8::int[], $9::text[], $10::text[])
           AS u(tenant_id, message_id, attempt, called_at, connect_ms, first_byte_ms, total_ms, http_status,
                request, response)
    ON CONFLICT DO NOTHING";

const FORGET: &str = "
    DELETE FROM dispatch.attempts
     WHERE ctid = ANY(ARRAY(
           SELECT ctid FROM dispatch.attempts WHERE called_at < $1 ORDER BY called_at LIMIT $2))";

/// Writes them in one statement.
pub(super) async fn write(
    pool: &Connections,
    records: &[AttemptRecord],
) -> Result<(), ProgressError> {
    let tenants: Vec<_> = records.iter().map(|one| one.tenant_id).collect();
    let messages: Vec<_> = records.iter().map(|one| one.message_id).collect();
    let attempts: Vec<_> = records.iter().map(|one| integer(one.attempt)).collect();
    let called: Vec<_> = records.iter().map(|one| one.called_at).collect();
    let times = |of: fn(&AttemptRecord) -> Option<u32>| -> Vec<Option<i32>> {
        records.iter().map(|one| of(one).map(integer)).collect()
    };
    let connect = times(|one| one.exchanged.connect_ms);
    let first_byte = times(|one| one.exchanged.first_byte_ms);
    let total = times(|one| one.exchanged.total_ms);
    let statuses = times(|one| one.exchanged.http_status.map(u32::from));
    let requests: Vec<_> = records.iter().map(|one| json(one.exchanged.request.as_ref())).collect();
    let responses: Vec<_> =
        records.iter().map(|one| json(one.exchanged.response.as_ref())).collect();
    let write = async |client: &mut Connection| {
        let statement = client.prepare_cached(WRITE).await?;
        let values: [&(dyn ToSql + Sync); 10] = [
            &tenants,
            &messages,
            &attempts,
            &called,
            &connect,
            &first_byte,
            &total,
            &statuses,
            &requests,
            &responses,
        ];
        client.execute(&statement, &values).await?;
        Ok(())
    };
    pool.within(WRITE_MAX, write).await
}

/// Forgets at most `limit` of those that were made before then, and says how many.
pub(super) async fn forget(
    pool: &Connections,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<i64, ProgressError> {
    let forget = async |client: &mut Connection| {
        let statement = client.prepare_cached(FORGET).await?;
        let forgotten = client.execute(&statement, &[&before, &limit]).await?;
        Ok(i64::try_from(forgotten).unwrap_or(i64::MAX))
    };
    pool.within(WRITE_MAX, forget).await
}

/// As JSON, in which a character 0 is written out.
fn json<T: Serialize>(said: Option<&T>) -> Option<String> {
    serde_json::to_string(said?).ok()
}
