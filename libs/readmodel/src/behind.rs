//! Whether webhooks wait too long before they are recorded, told by those who take them to those who
//! accept messages. A hint: nothing that is recorded depends on it.

use std::time::Duration;

use hatch_eventstore::Connection;

use crate::Error;

const REPORT: &str = "INSERT INTO hatch.webhooks_behind (at) VALUES (now()) \
     ON CONFLICT (single) DO UPDATE SET at = EXCLUDED.at";

const READ: &str = "SELECT EXISTS (SELECT FROM hatch.webhooks_behind \
     WHERE at > now() - make_interval(secs => $1))";

/// Says that webhooks wait too long now.
///
/// # Errors
/// PostgreSQL's.
pub async fn report_webhooks_behind(client: &Connection) -> Result<(), Error> {
    let statement = client.prepare_cached(REPORT).await?;
    client.execute(&statement, &[]).await?;
    Ok(())
}

/// Whether some process has said so `within` the time that has just passed.
///
/// # Errors
/// PostgreSQL's.
pub async fn webhooks_behind(client: &Connection, within: Duration) -> Result<bool, Error> {
    let statement = client.prepare_cached(READ).await?;
    let row = client.query_one(&statement, &[&within.as_secs_f64()]).await?;
    Ok(row.try_get(0)?)
}
