//! The figures of all dispatchers, in PostgreSQL.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::account_name::AccountName;
use hatch_eventstore::{Connection, Connections, Position};
use hatch_routing::balance::{Figures, country_of};
use serde_json::Value;
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{Client, Row};

use super::Advice;
use super::tally::Place;
use crate::ProgressError;

/// How long PostgreSQL may take.
const ASK_MAX: Duration = Duration::from_secs(5);

/// In the order of the keys, so that two who write never wait for each other.
const ADD: &str = "
    INSERT INTO dispatch.outcomes AS o (minute, account, channel, country, attempts, failed, in_doubt)
    SELECT date_trunc('minute', now()), account, channel, country, attempts, failed, in_doubt
      FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[])
           AS u(account, channel, country, attempts, failed, in_doubt)
     ORDER BY account, channel, country
    ON CONFLICT (minute, account, channel, country) DO UPDATE
       SET attempts = o.attempts + EXCLUDED.attempts, failed = o.failed + EXCLUDED.failed,
           in_doubt = o.in_doubt + EXCLUDED.in_doubt";

const FORGET: &str =
    "DELETE FROM dispatch.outcomes WHERE minute < now() - make_interval(secs => 2 * $1::float8)";

/// One of all dispatchers has the turn.
const TURN: &str = "
    UPDATE dispatch.balance SET looked_at = now()
     WHERE looked_at <= now() - make_interval(secs => $1)";

const ADVISE: &str = "UPDATE dispatch.balance SET advice = $1, advised_at = now()";

/// What nobody has looked at for twice as long as two looks are apart at most, is no advice any more.
const ADVICE: &str =
    "SELECT advice FROM dispatch.balance WHERE advised_at > now() - interval '2 hours'";

const OUTCOMES: &str = "
    SELECT account, channel, country, sum(attempts)::bigint, sum(failed)::bigint, sum(in_doubt)::bigint
      FROM dispatch.outcomes
     WHERE minute > now() - make_interval(secs => $1)
     GROUP BY account, channel, country";

/// Slices of the log that a sample is taken from, and messages of each. So a look reads as much whatever is sent.
const SLICES: i32 = 30;
const SLICE_MESSAGES: i64 = 60;

/// How messages were delivered that were accepted since a position: a sample, spread over all of them.
pub(crate) const DELIVERIES: &str = "
    SELECT m.provider, m.account, m.channel, left(m.to_addresses->>0, 4), count(*),
           count(*) FILTER (WHERE m.delivered_at - m.sent_at > make_interval(secs => $5)
                               OR m.delivered_at IS NULL AND m.status = 'sent'),
           count(*) FILTER (WHERE m.status IN ('failed', 'undelivered')
                              AND m.error->>'class' IN ('account', 'unreachable'))
      FROM generate_series(0, $3::int - 1) AS slice
     CROSS JOIN LATERAL (
           SELECT tenant_id, created_position FROM rm.message_statuses
            WHERE created_position > $1::bigint + slice * $2::bigint
              AND created_position <= $1::bigint + (slice + 1) * $2::bigint
            ORDER BY created_position LIMIT $6::bigint) AS s
     CROSS JOIN LATERAL (
           SELECT provider, account, channel, to_addresses, delivered_at, sent_at, status, error,
                  direction, test
             FROM rm.messages
            WHERE tenant_id = s.tenant_id AND created_position = s.created_position
           OFFSET 0) AS m
     WHERE m.direction = 'outbound' AND NOT m.test AND m.provider IS NOT NULL
       AND m.sent_at IS NOT NULL
       AND (m.delivered_at IS NOT NULL OR m.status IN ('failed', 'undelivered')
            OR m.status = 'sent' AND m.sent_at < $4::timestamptz - make_interval(secs => $5))
     GROUP BY 1, 2, 3, 4";

/// Adds what this process counted.
pub(crate) async fn add(
    pool: &Connections,
    counted: &HashMap<Place, Figures>,
) -> Result<(), ProgressError> {
    let places: Vec<(&Place, &Figures)> = counted.iter().collect();
    let accounts: Vec<&str> = places.iter().map(|(place, _)| place.account.as_str()).collect();
    let channels: Vec<&str> = places.iter().map(|(place, _)| place.channel.as_str()).collect();
    let countries: Vec<i32> =
        places.iter().map(|(place, _)| place.country.unwrap_or_default().into()).collect();
    let numbers = |of: fn(&Figures) -> u64| -> Vec<i64> {
        let number = |(_, figures): &(&Place, &Figures)| i64::try_from(of(figures));
        places.iter().map(|one| number(one).unwrap_or(i64::MAX)).collect()
    };
    let attempts = numbers(|figures| figures.attempts);
    let failed = numbers(|figures| figures.failed);
    let in_doubt = numbers(|figures| figures.in_doubt);
    let write = async |client: &mut Connection| {
        let statement = client.prepare_cached(ADD).await?;
        let values: [&(dyn ToSql + Sync); 6] =
            [&accounts, &channels, &countries, &attempts, &failed, &in_doubt];
        client.execute(&statement, &values).await?;
        Ok(())
    };
    pool.within(ASK_MAX, write).await
}

/// Whether it is this process' turn to look, which nobody else has for `every` then. What is of no use any more is
/// forgotten.
pub(crate) async fn turn(
    pool: &Connections,
    every: Duration,
    window: Duration,
) -> Result<bool, ProgressError> {
    let ask = async |client: &mut Connection| {
        let statement = client.prepare_cached(TURN).await?;
        let is_ours = client.execute(&statement, &[&every.as_secs_f64()]).await? > 0;
        if is_ours {
            let statement = client.prepare_cached(FORGET).await?;
            client.execute(&statement, &[&window.as_secs_f64()]).await?;
        }
        Ok(is_ours)
    };
    pool.within(ASK_MAX, ask).await
}

/// What became of attempts of the last while.
pub(crate) async fn outcomes(
    pool: &Connections,
    window: Duration,
) -> Result<HashMap<Place, Figures>, ProgressError> {
    let ask = async |client: &mut Connection| {
        let statement = client.prepare_cached(OUTCOMES).await?;
        let rows = client.query(&statement, &[&window.as_secs_f64()]).await?;
        Ok::<_, ProgressError>(rows)
    };
    let rows = pool.within(ASK_MAX, ask).await?;
    Ok(rows.iter().filter_map(|row| outcome(row).ok().flatten()).collect())
}

/// None of an account or a channel that this build does not know.
fn outcome(row: &Row) -> Result<Option<(Place, Figures)>, tokio_postgres::Error> {
    let (account, channel): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let country: i32 = row.try_get(2)?;
    let (Ok(account), Some(channel)) = (account.parse(), channel_of(&channel)) else {
        return Ok(None);
    };
    let country = u16::try_from(country).ok().filter(|country| *country > 0);
    let figures = Figures {
        attempts: number(row, 3)?,
        failed: number(row, 4)?,
        in_doubt: number(row, 5)?,
        ..Figures::default()
    };
    Ok(Some((Place { account, channel, country }, figures)))
}

fn number(row: &Row, column: usize) -> Result<u64, tokio_postgres::Error> {
    let number: i64 = row.try_get(column)?;
    Ok(u64::try_from(number).unwrap_or_default())
}

fn channel_of(text: &str) -> Option<Channel> {
    Channel::ALL.into_iter().find(|channel| channel.as_str() == text)
}

/// How messages were delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) provider: String,
    /// What the provider calls the account.
    pub(crate) key: String,
    pub(crate) channel: Channel,
    pub(crate) country: Option<u16>,
    pub(crate) figures: Figures,
}

/// How a sample was delivered of the messages that were accepted after `from` and up to `head`.
pub(crate) async fn deliveries(
    pool: &Connections,
    (from, head): (Position, Position),
    now: DateTime<Utc>,
    slow_after: Duration,
) -> Result<Vec<Delivered>, ProgressError> {
    let slice = (head.0 - from.0).max(0) / i64::from(SLICES) + 1;
    let slow_after = slow_after.as_secs_f64();
    let ask = async |client: &mut Connection| {
        let statement = client.prepare_cached(DELIVERIES).await?;
        let values: [&(dyn ToSql + Sync); 6] =
            [&from.0, &slice, &SLICES, &now, &slow_after, &SLICE_MESSAGES];
        let rows = client.query(&statement, &values).await?;
        Ok::<_, ProgressError>(rows)
    };
    let rows = pool.within(ASK_MAX, ask).await?;
    Ok(rows.iter().filter_map(|row| delivered(row).ok().flatten()).collect())
}

fn delivered(row: &Row) -> Result<Option<Delivered>, tokio_postgres::Error> {
    let channel: String = row.try_get(2)?;
    let Some(channel) = channel_of(&channel) else { return Ok(None) };
    let begins: Option<String> = row.try_get(3)?;
    let key: Option<String> = row.try_get(1)?;
    let figures = Figures {
        messages: number(row, 4)?,
        slow: number(row, 5)?,
        undelivered: number(row, 6)?,
        ..Figures::default()
    };
    Ok(Some(Delivered {
        provider: row.try_get(0)?,
        key: key.unwrap_or_default(),
        channel,
        country: begins.and_then(|begins| country_of(channel, &begins)),
        figures,
    }))
}

/// Keeps what would be done, for people.
pub(crate) async fn advise(pool: &Connections, advice: &[Advice]) -> Result<(), ProgressError> {
    let advice = serde_json::to_value(advice).unwrap_or_default();
    let write = async |client: &mut Connection| {
        let statement = client.prepare_cached(ADVISE).await?;
        client.execute(&statement, &[&Json(&advice)]).await?;
        Ok(())
    };
    pool.within(ASK_MAX, write).await
}

/// What the balance would do if it were on, as the dispatchers found at their last look: nothing where it is on, or off.
///
/// # Errors
/// PostgreSQL's.
pub async fn balance_advice(client: &Client) -> Result<Vec<Advice>, tokio_postgres::Error> {
    let Some(row) = client.query_opt(ADVICE, &[]).await? else { return Ok(Vec::new()) };
    let Json(advice): Json<Value> = row.try_get(0)?;
    // What another build wrote in another way says nothing.
    Ok(serde_json::from_value(advice).unwrap_or_default())
}

/// hatch's names of the account that a provider calls so.
pub(crate) type Names = HashMap<(String, String), Vec<AccountName>>;

/// What was seen, of each account by its name.
pub(crate) fn together(
    mut outcomes: HashMap<Place, Figures>,
    deliveries: Vec<Delivered>,
    names: &Names,
) -> HashMap<Place, Figures> {
    for Delivered { provider, key, channel, country, figures } in deliveries {
        for account in names.get(&(provider, key)).into_iter().flatten() {
            let place = Place { account: account.clone(), channel, country };
            let known = outcomes.entry(place).or_default();
            *known = known.and(figures);
        }
    }
    outcomes
}

#[cfg(test)]
mod tests;
