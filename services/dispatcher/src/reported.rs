//! How the accounts are, told to people: by each process of itself, and in the database for who asks from outside.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::{Environment, time};
use hatch_eventstore::values::storable;
use hatch_eventstore::{Connection, Connections};
use hatch_providers::Trouble;
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error};
use uuid::Uuid;

use crate::ProgressError;
use crate::health::{Condition, Failing, Health, KnownAccounts, Standing};

/// Between two reports.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// How long one may take.
const REPORT_MAX: Duration = Duration::from_secs(2);

/// A report that is older says nothing: its process is gone.
const FRESH: Duration = Duration::from_secs(15);

/// What to do about a provider that does not answer, or not as it should.
const OUTAGE_REMEDY: &str =
    "see whether the provider has an outage, and check base_url and the way there";

const REPORT: &str = "
    INSERT INTO dispatch.accounts
           (process, provider, account, what, remedy, since, reason, breaker, until, under_way, seen_at)
    SELECT $1, provider, account, what, remedy, since, reason, breaker, until, under_way, now()
      FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::text[],
                  $9::timestamptz[], $10::bigint[])
           AS u(provider, account, what, remedy, since, reason, breaker, until, under_way)
    ON CONFLICT (process, provider, account) DO UPDATE
       SET what = EXCLUDED.what, remedy = EXCLUDED.remedy, since = EXCLUDED.since,
           reason = EXCLUDED.reason, breaker = EXCLUDED.breaker, until = EXCLUDED.until,
           under_way = EXCLUDED.under_way, seen_at = EXCLUDED.seen_at";

const FORGET: &str =
    "DELETE FROM dispatch.accounts WHERE seen_at < now() - make_interval(secs => 2 * $1)";

const READ: &str = "
    SELECT provider, account, what, remedy, since, reason, breaker, until, under_way FROM dispatch.accounts
     WHERE seen_at > now() - make_interval(secs => $1)
     ORDER BY provider, account, since NULLS LAST";

/// What is leased of a day is used, or comes back to the bucket.
const USED_TODAY: &str = "
    SELECT key, (SELECT coalesce(sum(number), 0)::bigint
                   FROM unnest(returns, tokens) AS lease(at, number) WHERE at > now())
      FROM dispatch.buckets WHERE key = ANY($1)";

/// Before the account, in the name of what it is given of a day.
const DAY: &str = "day ";

/// What is wrong with an account, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// What a dispatcher says of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountReport {
    /// The provider.
    pub provider: String,
    /// The account there.
    pub account: String,
    /// What is wrong; none where nothing is.
    pub told: Option<Told>,
    /// The same in one word.
    pub reason: Option<String>,
    /// How its breaker stands there.
    pub breaker: String,
    /// When it is tried that is open.
    pub until: Option<DateTime<Utc>>,
    /// Attempts under way.
    pub under_way: i64,
}

impl Condition {
    /// What is wrong, if anything is.
    #[must_use]
    pub fn told(&self, account: &str) -> Option<Told> {
        match self {
            Self::Up => None,
            Self::Refused(refusal) => {
                let (code, detail) = (&refusal.code, &refusal.detail);
                let trouble = match refusal.trouble {
                    Trouble::Credentials => "its credentials are refused",
                    Trouble::Suspended => "it is suspended",
                    Trouble::Credit => "it has no credit",
                    Trouble::Permission => "its credentials may not send",
                    Trouble::NotFound => "the provider does not know it",
                };
                Some(Told {
                    what: format!(
                        "account {account} is down, and its messages go by another or wait: {trouble} \
                         ({code}: {detail})"
                    ),
                    remedy: refusal.trouble.remedy().to_owned(),
                    since: refusal.since,
                })
            }
            Self::Failing { failing, since } => {
                let Failing { detail, cause, .. } = failing;
                let remedy = if cause == "throttled" {
                    "set rate_per_s of the account to what the provider allows, or have it raised there"
                } else {
                    OUTAGE_REMEDY
                };
                let what = format!(
                    "account {account}: {detail}; its breaker is open, and its messages go by another or wait"
                );
                Some(Told { what, remedy: remedy.to_owned(), since: *since })
            }
            Self::Silent { calls, since } | Self::Erring { calls, since } => Some(Told {
                what: format!("account {account}: the last {calls} calls failed"),
                remedy: OUTAGE_REMEDY.to_owned(),
                since: *since,
            }),
        }
    }
}

/// Reports for ever.
pub(crate) async fn report(
    pool: &Connections,
    (process, clock): (Uuid, &dyn Environment),
    accounts: &KnownAccounts,
) -> Infallible {
    let mut ticks = interval(REPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = write(pool, (process, clock.now()), accounts).await {
            tracing::debug!(error = %error, "how the accounts are is not reported");
        }
    }
}

async fn write(
    pool: &Connections,
    (process, now): (Uuid, DateTime<Utc>),
    accounts: &KnownAccounts,
) -> Result<(), ProgressError> {
    let all = accounts.all();
    let standings: Vec<_> = all.iter().map(|health| health.standing()).collect();
    let told =
        |(health, standing): (&Arc<Health>, &Standing)| standing.condition.told(health.account());
    let told: Vec<_> = all.iter().zip(&standings).map(told).collect();
    let providers: Vec<_> = all.iter().map(|health| health.provider()).collect();
    let names: Vec<_> = all.iter().map(|health| health.account()).collect();
    let told: Vec<_> = told.iter().map(Option::as_ref).collect();
    let whats: Vec<_> = told.iter().map(|told| told.map(|told| storable(&told.what))).collect();
    let remedies: Vec<_> = told.iter().map(|told| told.map(|told| told.remedy.as_str())).collect();
    let since: Vec<_> = told.iter().map(|told| told.map(|told| told.since)).collect();
    let reasons: Vec<_> = standings
        .iter()
        .map(|standing| Some(standing.condition.reason()).filter(|reason| *reason != "-"))
        .collect();
    let breakers: Vec<_> = standings.iter().map(|standing| standing.breaker.as_str()).collect();
    let tried_at = |wait: Duration| now.checked_add_signed(time::delta(wait));
    let until: Vec<_> =
        standings.iter().map(|standing| standing.tried_in.and_then(tried_at)).collect();
    let under_way: Vec<_> = all.iter().map(|health| i64::from(health.under_way())).collect();
    let write = async |client: &mut Connection| {
        let statement = client.prepare_cached(REPORT).await?;
        let values: [&(dyn ToSql + Sync); 10] = [
            &process, &providers, &names, &whats, &remedies, &since, &reasons, &breakers, &until,
            &under_way,
        ];
        client.execute(&statement, &values).await?;
        let statement = client.prepare_cached(FORGET).await?;
        client.execute(&statement, &[&FRESH.as_secs_f64()]).await?;
        Ok(())
    };
    pool.within(REPORT_MAX, write).await
}

/// How the dispatchers that run now find their accounts: of each, what is wrong for longest comes first.
///
/// # Errors
/// PostgreSQL's.
pub async fn reported_accounts(client: &Client) -> Result<Vec<AccountReport>, Error> {
    let rows = client.query(READ, &[&FRESH.as_secs_f64()]).await?;
    let reported = |row: &tokio_postgres::Row| {
        let (what, remedy): (Option<String>, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
        let since: Option<DateTime<Utc>> = row.try_get(4)?;
        let told = what.zip(remedy).zip(since);
        Ok(AccountReport {
            provider: row.try_get(0)?,
            account: row.try_get(1)?,
            told: told.map(|((what, remedy), since)| Told { what, remedy, since }),
            reason: row.try_get(5)?,
            breaker: row.try_get(6)?,
            until: row.try_get(7)?,
            under_way: row.try_get(8)?,
        })
    };
    rows.iter().map(reported).collect()
}

/// How many messages of today these accounts have used, with what the processes have leased ahead: of those that have a
/// limit. An account is called by its provider and what that calls it, as in `twilio/AC0`.
///
/// # Errors
/// PostgreSQL's.
pub async fn used_today(client: &Client, accounts: &[String]) -> Result<Vec<(String, i64)>, Error> {
    let keys: Vec<String> = accounts.iter().map(|account| format!("{DAY}{account}")).collect();
    let rows = client.query(USED_TODAY, &[&keys]).await?;
    let used = |row: &tokio_postgres::Row| {
        let key: &str = row.try_get(0)?;
        Ok((key.strip_prefix(DAY).unwrap_or(key).to_owned(), row.try_get(1)?))
    };
    rows.iter().map(used).collect()
}
