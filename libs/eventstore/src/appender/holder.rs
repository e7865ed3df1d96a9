//! Who has the log's lock.

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Error};

use crate::locks::LOG_LOCK;

/// The time is that of the transaction, and for a lock that outlives it of the last statement.
const HOLDER: &str = "
    SELECT a.pid, coalesce(nullif(a.application_name, ''), 'no application name'),
           coalesce(a.usename::text, 'unknown'), host(a.client_addr), coalesce(a.state, 'unknown'),
           coalesce(a.xact_start, a.query_start, a.backend_start, clock_timestamp()),
           clock_timestamp()
      FROM pg_locks l
      JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (l.classid::bigint << 32) | l.objid::bigint = $1
     LIMIT 1";

/// A session that keeps all others from appending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// Its process in PostgreSQL.
    pub pid: i32,
    /// What it calls itself.
    pub application: String,
    /// As whom it logged in.
    pub user: String,
    /// Where it comes from, if that is by the network.
    pub address: Option<String>,
    /// What it does, as PostgreSQL says it: `active`, `idle in transaction`.
    pub state: String,
    /// Since when it may have the lock.
    pub since: DateTime<Utc>,
    /// When that was looked at, by the same clock.
    pub seen_at: DateTime<Utc>,
}

/// Who has the log's lock at the moment, if anybody has.
///
/// # Errors
/// PostgreSQL's.
pub async fn lock_holder(client: &Client) -> Result<Option<LockHolder>, Error> {
    let Some(row) = client.query_opt(HOLDER, &[&LOG_LOCK]).await? else { return Ok(None) };
    Ok(Some(LockHolder {
        pid: row.try_get(0)?,
        application: row.try_get(1)?,
        user: row.try_get(2)?,
        address: row.try_get(3)?,
        state: row.try_get(4)?,
        since: row.try_get(5)?,
        seen_at: row.try_get(6)?,
    }))
}
