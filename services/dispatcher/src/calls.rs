//! How long a call may take that another process may still be making.

use std::time::Duration;

use hatch_due::Error;
use hatch_eventstore::{Connection, Connections};
use tokio_postgres::types::ToSql;

/// How long PostgreSQL may take to answer, the wait for a connection included.
const ASK_MAX: Duration = Duration::from_secs(4);

/// How long, in seconds, a call of this account may take that another claimant may still be making, its
/// outcome's record included, by what that claim says itself. A claim that is open has set its message's timer.
/// Timers of a time after `$3` seconds are passed over: a schedule may hold any number of them.
const LONGEST: &str = "
    SELECT max(extract(epoch FROM (claim.payload->>'lease_until')::timestamptz
                                - (claim.payload->>'call_before')::timestamptz))::float8
      FROM due.timers t
      JOIN es.events claim ON claim.position = t.position
     WHERE t.kind = 'message' AND t.step IS NOT NULL
       AND t.look_at > statement_timestamp()
       AND t.look_at < statement_timestamp() + make_interval(secs => $3)
       AND claim.type = 'SendAttempted'
       AND claim.payload->>'provider' = $1 AND claim.payload->>'account' = $2";

/// No lease is taken to end later than this from now.
const LEASE_END_MAX: Duration = Duration::from_secs(300);

/// How long a call by this account may take at most, of those that are claimed and neither answered nor
/// in doubt, as far as the timers are folded; its outcome's record is included. Each dispatcher has a
/// timeout of its own.
pub(crate) async fn longest(
    pool: &Connections,
    provider: &str,
    account: &str,
) -> Result<Duration, Error> {
    let ends_within = LEASE_END_MAX.as_secs_f64();
    let ask = async |client: &mut Connection| {
        let statement = client.prepare_cached(LONGEST).await?;
        let values: [&(dyn ToSql + Sync); 3] = [&provider, &account, &ends_within];
        Ok::<_, Error>(client.query_one(&statement, &values).await?)
    };
    let seconds: Option<f64> = pool.within(ASK_MAX, ask).await?.try_get(0)?;
    Ok(Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default())
}
