//! Connections of one's own to make and to fill tables, and the limits of what is done by them.

use std::time::Duration;

use hatch_eventstore::{Connection, Connections, Held};
use tokio::time::{Instant, sleep};
use tokio_postgres::GenericClient;

use super::definition::Definition;
use super::tables::Tables;
use crate::MaintenanceError;

/// How long to wait for a lock. PostgreSQL may take a moment to see that its holder was killed.
const LOCK_WAIT: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(100);

/// How long a connection is waited for.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long one step may take that reads no table as a whole.
pub(super) const STEP_MAX: Duration = Duration::from_secs(60);

/// How long it may take to write a stretch of the log.
pub(super) const STRETCH_MAX: Duration = Duration::from_secs(10 * 60);

/// How long it may take to read or to index whole tables: hours, where they are large.
pub(super) const WHOLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The limits of the pool's sessions are right for queries, not for this one. What it changes at most is
/// lost with the log still there, so it does not wait for the disk. A server that looks after its
/// client frees the lock of one that was killed.
const SESSION: &str = "
    SET statement_timeout = 0;
    SET idle_in_transaction_session_timeout = 0;
    SET synchronous_commit = off;
    SET work_mem = '64MB';
    SET client_connection_check_interval = '1s'";

/// Sees to it that tables that are made belong to whom the live ones belong to.
const OWNER: &str = "
    SELECT pg_get_userbyid(nspowner)::text, pg_has_role(nspowner, 'MEMBER'),
           has_database_privilege(nspowner, current_database(), 'CREATE')
      FROM pg_namespace
     WHERE oid = to_regnamespace($1)";

/// A connection of one's own that may make tables of `definition` and fill them.
pub(super) async fn session(
    connections: &Connections,
    definition: &'static Definition,
) -> Result<Held, MaintenanceError> {
    let mut held = connections.own(CONNECT_MAX).await?;
    let prepare = async |client: &mut Connection| {
        client.batch_execute(SESSION).await?;
        become_owner(&**client, definition).await
    };
    held.within(STEP_MAX, prepare).await?;
    Ok(held)
}

/// Locks `definition`'s tables against others with the same `key`, for as long as `client` is connected.
pub(super) async fn lock(
    client: &impl GenericClient,
    key: i32,
    definition: &Definition,
) -> Result<(), MaintenanceError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let row = client
            .query_one("SELECT pg_try_advisory_lock($1, $2)", &[&key, &definition.key()])
            .await?;
        if row.try_get(0)? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(MaintenanceError::Busy(definition.name));
        }
        sleep(LOCK_POLL).await;
    }
}

async fn become_owner(
    client: &impl GenericClient,
    definition: &'static Definition,
) -> Result<(), MaintenanceError> {
    let live = Tables::live(definition).schema();
    let row = client.query_one(OWNER, &[&live]).await?;
    let (owner, member, may_create): (String, bool, bool) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if !member || !may_create {
        return Err(MaintenanceError::NotOwner(owner));
    }
    let set_role = client.query_one("SELECT format('SET ROLE %I', $1::text)", &[&owner]).await?;
    client.batch_execute(set_role.try_get(0)?).await?;
    Ok(())
}
