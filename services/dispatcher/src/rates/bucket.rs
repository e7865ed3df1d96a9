//! The buckets of the fleet, in PostgreSQL: a token that is leased comes back a time after it was used, so that in no span
//! of that time more are used than the bucket holds.
//!
//! A lease counts from before it was asked for, by the clock of whoever has it, and its tokens come back counted from when
//! PostgreSQL answered, by PostgreSQL's: no two clocks have to agree.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_eventstore::{Connection, Connections, Unanswered};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// How long PostgreSQL may take, the wait for a connection included.
const ASK_MAX: Duration = Duration::from_secs(2);

/// Buckets that nobody has used for so long, in seconds, are deleted. It is more than any token takes to come back.
const FORGOTTEN_S: f64 = 2.0 * 86_400.0;

/// All leases of a day end together, so several that are settled at once are one. Buckets are locked in the order of their
/// keys. A token that comes back much later than a lease of now would is one of a
/// clock that was set back since; a little later is one of a statement that began later and was faster.
const LEASE: &str = "
    WITH asked AS (
        SELECT * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::float8[])
                   AS u(key, wanted, capacity, back_s)),
    settled AS (
        SELECT key, returns, min(sooner_s) AS sooner_s, sum(unused)::bigint AS unused
          FROM unnest($6::text[], $7::timestamptz[], $8::float8[], $9::bigint[]) AS u(key, returns, sooner_s, unused)
         GROUP BY key, returns),
    held AS MATERIALIZED (
        SELECT key, holders, returns, tokens FROM dispatch.buckets WHERE key = ANY($2) ORDER BY key FOR UPDATE),
    clock AS MATERIALIZED (
        SELECT statement_timestamp() AS now,
               date_trunc('day', statement_timestamp(), 'UTC') + interval '24 hours' AS midnight),
    given AS (
        SELECT a.key, kept.holders, kept.returns, kept.tokens, back.at,
               greatest(least(a.wanted, a.capacity - kept.used), 0) AS granted
          FROM asked a
          JOIN held h USING (key)
         CROSS JOIN clock
         CROSS JOIN LATERAL (
               SELECT coalesce(clock.now + make_interval(secs => a.back_s), clock.midnight) AS at) AS back
         CROSS JOIN LATERAL (
               SELECT coalesce(array_agg(holder), '{}') AS holders, coalesce(array_agg(at), '{}') AS returns,
                      coalesce(array_agg(number), '{}') AS tokens, coalesce(sum(number), 0)::bigint AS used
                 FROM (SELECT l.holder, l.at - make_interval(secs => coalesce(s.sooner_s, 0)),
                              l.number - coalesce(s.unused, 0)
                         FROM (SELECT holder, at, sum(number)::bigint
                                 FROM unnest(h.holders, h.returns, h.tokens) AS lease(holder, at, number)
                                GROUP BY holder, at) AS l(holder, at, number)
                         LEFT JOIN settled s ON s.key = a.key AND s.returns = l.at AND l.holder = $1) AS left_(holder, at, number)
                WHERE at > clock.now AND at <= back.at + interval '10 s' AND number > 0) AS kept)
    UPDATE dispatch.buckets b
       SET holders = CASE WHEN g.granted > 0 THEN g.holders || $1::uuid ELSE g.holders END,
           returns = CASE WHEN g.granted > 0 THEN g.returns || g.at ELSE g.returns END,
           tokens = CASE WHEN g.granted > 0 THEN g.tokens || g.granted ELSE g.tokens END,
           used_at = statement_timestamp()
      FROM given g
     WHERE b.key = g.key
    RETURNING b.key, g.granted, g.at, extract(epoch FROM g.at - statement_timestamp())::float8";

const MAKE: &str = "
    INSERT INTO dispatch.buckets (key) SELECT unnest($1::text[]) ON CONFLICT (key) DO NOTHING";

const FORGET: &str = "
    DELETE FROM dispatch.buckets WHERE used_at < now() - make_interval(secs => $1)";

/// What is asked of a bucket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    pub(crate) key: String,
    /// Tokens.
    pub(crate) wanted: u64,
    /// How many there are of them.
    pub(crate) capacity: u64,
    /// How long after the lease they are in the bucket again; none: at midnight, in UTC.
    pub(crate) back: Option<Duration>,
}

/// What has become of a lease.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settled {
    pub(crate) key: String,
    /// When its tokens would be in the bucket again.
    pub(crate) returns: DateTime<Utc>,
    /// By how much sooner they may be, since the last one was used so early.
    pub(crate) sooner: Duration,
    /// How many were not used.
    pub(crate) unused: u64,
}

/// What was leased.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grant {
    pub(crate) key: String,
    pub(crate) tokens: u64,
    /// When they are in the bucket again, by PostgreSQL's clock.
    pub(crate) returns: DateTime<Utc>,
    /// How long that is from when it was leased.
    pub(crate) returns_in: Duration,
}

/// Why nothing is leased.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no answer from the database of the rates")]
    Unanswered(#[from] Unanswered),
    #[error("the database of the rates refused or was lost")]
    Postgres(#[from] tokio_postgres::Error),
}

/// The buckets of the fleet; cheap to clone.
#[derive(Clone)]
pub(crate) struct Buckets {
    pool: Connections,
    process: Uuid,
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Buckets {
    /// Those that `process` leases from.
    pub(crate) const fn new(pool: Connections, process: Uuid) -> Self {
        Self { pool, process }
    }

    /// Leases from all of these at once. A bucket that there was not is made, and answers the next time.
    pub(crate) async fn lease(
        &self,
        asked: &[Ask],
        settled: &[Settled],
    ) -> Result<Vec<Grant>, Error> {
        let keys: Vec<_> = asked.iter().map(|ask| ask.key.as_str()).collect();
        let wanted: Vec<_> = asked.iter().map(|ask| count(ask.wanted)).collect();
        let capacity: Vec<_> = asked.iter().map(|ask| count(ask.capacity)).collect();
        let back: Vec<_> =
            asked.iter().map(|ask| ask.back.map(|back| back.as_secs_f64())).collect();
        let done: Vec<_> = settled.iter().map(|one| one.key.as_str()).collect();
        let returns: Vec<_> = settled.iter().map(|one| one.returns).collect();
        let sooner: Vec<_> = settled.iter().map(|one| one.sooner.as_secs_f64()).collect();
        let unused: Vec<_> = settled.iter().map(|one| count(one.unused)).collect();
        let lease = async |client: &mut Connection| {
            let statement = client.prepare_cached(LEASE).await?;
            let values: [&(dyn ToSql + Sync); 9] = [
                &self.process,
                &keys,
                &wanted,
                &capacity,
                &back,
                &done,
                &returns,
                &sooner,
                &unused,
            ];
            let rows = client.query(&statement, &values).await?;
            let found: Vec<&str> =
                rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            let missing: Vec<_> = keys.iter().filter(|key| !found.contains(key)).collect();
            if !missing.is_empty() {
                let statement = client.prepare_cached(MAKE).await?;
                client.execute(&statement, &[&missing]).await?;
            }
            Ok::<_, Error>(rows)
        };
        let rows = self.pool.within(ASK_MAX, lease).await?;
        let grant = |row: &tokio_postgres::Row| {
            let (tokens, seconds): (i64, f64) = (row.try_get(1)?, row.try_get(3)?);
            Ok(Grant {
                key: row.try_get(0)?,
                tokens: u64::try_from(tokens).unwrap_or_default(),
                returns: row.try_get(2)?,
                returns_in: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
            })
        };
        rows.iter().map(grant).collect()
    }

    /// Forgets the buckets that nobody uses.
    pub(crate) async fn forget(&self) -> Result<(), Error> {
        let forget = async |client: &mut Connection| {
            client.execute(FORGET, &[&FORGOTTEN_S]).await?;
            Ok::<_, Error>(())
        };
        self.pool.within(ASK_MAX, forget).await
    }
}
