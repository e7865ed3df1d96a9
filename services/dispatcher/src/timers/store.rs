//! The SQL of the timers.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_bus::Begin;
use hatch_domain::Channel;
use hatch_eventstore::{Checkpoint, Connection, Connections, Position, report_regression};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Error;
use super::fold::Fold;

/// The projection's name and version among the checkpoints.
pub(crate) const NAME: &str = "timers";
pub(crate) const VERSION: i32 = 1;

/// How long PostgreSQL may take to say or to note something about some timers, the wait for a
/// connection included.
const ASK_MAX: Duration = Duration::from_secs(4);

/// How long it may take to write what a fold made of its events.
const APPLY_MAX: Duration = Duration::from_secs(10);

/// How long it may take to delete all timers.
const BEGIN_ANEW_MAX: Duration = Duration::from_secs(30);

const SET: &str = "
    INSERT INTO dispatch.timers AS t (message_id, tenant_id, due_at, attempt, position, look_at,
           channel, priority, undecodable_at)
    SELECT message_id, tenant_id, due_at, attempt, position, due_at, channel, priority,
           CASE WHEN undecodable THEN now() END
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[], $5::bigint[], $6::text[],
                  $7::text[], $8::bool[])
           AS u(message_id, tenant_id, due_at, attempt, position, channel, priority, undecodable)
    ON CONFLICT (message_id) DO UPDATE
       SET due_at = EXCLUDED.due_at, attempt = EXCLUDED.attempt, position = EXCLUDED.position,
           look_at = EXCLUDED.look_at, looks = 0, not_found = 0,
           channel = EXCLUDED.channel, priority = EXCLUDED.priority,
           undecodable_at = CASE WHEN EXCLUDED.undecodable_at IS NOT NULL
                                 THEN coalesce(t.undecodable_at, EXCLUDED.undecodable_at) END";

const CLEAR: &str = "
    DELETE FROM dispatch.timers t
     USING unnest($1::uuid[], $2::int[]) AS u(message_id, upto)
     WHERE t.message_id = u.message_id AND (u.upto IS NULL OR t.attempt <= u.upto)";

const KEEP_PROVIDER_IDS: &str = "
    INSERT INTO dispatch.provider_ids (provider_message_id, tenant_id, message_id, attempt)
    SELECT unnest($1::text[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::int[])
    ON CONFLICT DO NOTHING";

/// What is due, PostgreSQL's own clock says, which is one for all sweepers. Another sweeper's rows are passed over;
/// those taken are nobody's business for `$2` seconds. Each channel and priority is asked for by itself, so that
/// the index has the order.
const TAKE: &str = "
    UPDATE dispatch.timers t
       SET look_at = statement_timestamp() + make_interval(secs => $2)
      FROM (SELECT turn.message_id
              FROM unnest($3::text[]) AS c(channel)
             CROSS JOIN unnest($4::text[]) WITH ORDINALITY AS p(priority, place)
             CROSS JOIN LATERAL (
                   SELECT message_id, look_at FROM dispatch.timers
                    WHERE channel = c.channel AND priority = p.priority
                      AND look_at <= statement_timestamp()
                      AND statement_timestamp() BETWEEN $5::timestamptz - interval '60 s'
                                                    AND $5::timestamptz + interval '60 s'
                    ORDER BY look_at LIMIT $1 FOR UPDATE SKIP LOCKED) AS turn
             ORDER BY p.place, turn.look_at LIMIT $1) AS due
     WHERE t.message_id = due.message_id
    RETURNING t.message_id, t.tenant_id, t.position, t.looks, t.not_found, t.attempt,
              t.undecodable_at IS NOT NULL, statement_timestamp()";

const LOOK_AGAIN: &str = "
    UPDATE dispatch.timers SET look_at = $3, looks = $4, not_found = $5
     WHERE message_id = $1 AND position = $2";

/// The wait doubles: it is as long as the message has been waited for. Whether that is news is returned.
const UNREADABLE: &str = "
    UPDATE dispatch.timers t
       SET undecodable_at = coalesce(t.undecodable_at, now()),
           look_at = now() + least(greatest(now() - t.undecodable_at, make_interval(secs => $3)),
                                   make_interval(secs => $4))
      FROM dispatch.timers before
     WHERE t.message_id = $1 AND t.position = $2 AND before.message_id = $1
    RETURNING before.undecodable_at IS NULL";

const READABLE: &str = "
    UPDATE dispatch.timers SET undecodable_at = NULL WHERE message_id = $1 AND position = $2";

/// How long a message is left alone that the sweeper could not read: at least, at most. A sweeper of another build
/// may be able to.
const UNREADABLE_WAIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));

const FORGET: &str = "DELETE FROM dispatch.timers WHERE message_id = $1 AND position = $2";

const DELETE_ALL: &str = "DELETE FROM dispatch.timers";

const CLAIM_PROVIDER_ID: &str = "
    INSERT INTO dispatch.provider_ids AS p (provider_message_id, tenant_id, message_id, attempt)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (provider_message_id) DO UPDATE SET attempt = p.attempt
    RETURNING tenant_id, message_id, attempt";

const PROVIDER_ID_HOLDER: &str = "
    SELECT tenant_id, message_id, attempt FROM dispatch.provider_ids
     WHERE provider_message_id = $1";

/// How long, in seconds, a call of this account may take that another claimant may still be making, its
/// outcome's record included, by what that claim says itself. A claim that is open has set its message's timer.
/// Timers of a time after `$3` seconds are passed over: a schedule may hold any number of them.
const LONGEST_CALL: &str = "
    SELECT max(extract(epoch FROM (claim.payload->>'lease_until')::timestamptz
                                - (claim.payload->>'call_before')::timestamptz))::float8
      FROM dispatch.timers t
      JOIN es.events claim ON claim.position = t.position
     WHERE t.attempt IS NOT NULL
       AND t.look_at > statement_timestamp()
       AND t.look_at < statement_timestamp() + make_interval(secs => $3)
       AND claim.type = 'SendAttempted'
       AND claim.payload->>'provider' = $1 AND claim.payload->>'account' = $2";

/// No lease is taken to end later than this from now.
const LEASE_END_MAX: Duration = Duration::from_secs(300);

/// The tables of the timers; cheap to clone.
#[derive(Clone)]
pub(crate) struct Timers {
    pub(super) pool: Connections,
}

/// A message to be looked at, and what the sweepers noted of it.
#[derive(Debug, Clone)]
pub(crate) struct DueTimer {
    pub(crate) message_id: Uuid,
    pub(crate) tenant_id: Uuid,
    /// The event that set the timer.
    pub(crate) position: Position,
    /// The attempt that it speaks of, if it speaks of one.
    pub(crate) attempt: Option<u32>,
    /// How often the provider was asked about the doubt.
    pub(crate) looks: u32,
    /// How often it knew nothing of it.
    pub(crate) not_found: u32,
    /// Whoever looked last could not read the message.
    pub(crate) undecodable: bool,
    /// When it was taken, by PostgreSQL's clock.
    pub(crate) taken_at: DateTime<Utc>,
}

impl DueTimer {
    /// The timer as one of `attempt`: what was noted of an earlier one says nothing of it. The timers are some
    /// seconds behind the log, which may have come to another attempt.
    pub(crate) fn of_attempt(&self, attempt: u32) -> Self {
        match self.attempt == Some(attempt) {
            true => self.clone(),
            false => Self { looks: 0, not_found: 0, ..self.clone() },
        }
    }
}

impl Timers {
    pub(crate) const fn new(pool: Connections) -> Self {
        Self { pool }
    }

    pub(crate) async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let load =
            async |client: &mut Connection| Ok(Checkpoint::load(client, NAME, VERSION).await?);
        self.pool.within(ASK_MAX, load).await
    }

    /// A queue of requests that is made anew begins after the last event folded: the timers bring whatever
    /// came before it and is not attempted.
    pub(crate) fn beginning(&self) -> Begin {
        let timers = self.clone();
        Arc::new(move || {
            let timers = timers.clone();
            Box::pin(async move { Some(timers.checkpoint().await.ok()?.position.0 + 1) })
        })
    }

    /// Closes the fence: the log lacks the event that `checkpoint` stands at.
    pub(crate) async fn report_ahead(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let position = checkpoint.position;
        let detail = format!("the timers are at position {position}, which the log lacks");
        let report = async |client: &mut Connection| {
            Ok(report_regression(client, checkpoint.epoch, &detail).await?)
        };
        self.pool.within(ASK_MAX, report).await
    }

    /// Forgets all timers, and has them be folded from the first event on. Whose message a provider's
    /// id was stays known: what was sent is not taken back.
    pub(crate) async fn begin_anew(
        &self,
        checkpoint: &Checkpoint,
        epoch: i32,
    ) -> Result<(), Error> {
        let begin = async |client: &mut Connection| {
            let transaction = client.transaction().await?;
            checkpoint.advance(&transaction, Position::START, epoch).await?;
            transaction.execute(DELETE_ALL, &[]).await?;
            Ok(transaction.commit().await?)
        };
        self.pool.within(BEGIN_ANEW_MAX, begin).await
    }

    /// Writes what `fold` made of the events from `checkpoint` up to `position`, and moves the
    /// checkpoint there, in one transaction.
    pub(crate) async fn apply(
        &self,
        checkpoint: &Checkpoint,
        fold: &Fold,
        position: Position,
        epoch: i32,
    ) -> Result<Checkpoint, Error> {
        let write = async |client: &mut Connection| {
            let transaction = client.transaction().await?;
            // First, so that a folder that was overtaken waits for nothing and writes nothing.
            let advanced = checkpoint.advance(&transaction, position, epoch).await?;
            set(&transaction, fold).await?;
            clear(&transaction, fold).await?;
            keep_provider_ids(&transaction, fold).await?;
            transaction.commit().await?;
            Ok(advanced)
        };
        self.pool.within(APPLY_MAX, write).await
    }

    /// Takes at most `limit` timers of these channels that are to be looked at by now, of the first priority
    /// first. For as long as `hold` no other sweeper takes them, whatever becomes of this one. None, where
    /// PostgreSQL's clock is a minute or more from `now`: somebody has just set it.
    pub(crate) async fn take(
        &self,
        (channels, priorities): (&[&str], &[&str]),
        limit: usize,
        hold: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<DueTimer>, Error> {
        let (limit, hold) = (i64::try_from(limit).unwrap_or(i64::MAX), hold.as_secs_f64());
        let take = async |client: &mut Connection| {
            let statement = client.prepare_cached(TAKE).await?;
            let values: [&(dyn ToSql + Sync); 5] = [&limit, &hold, &channels, &priorities, &now];
            Ok::<_, Error>(client.query(&statement, &values).await?)
        };
        let rows = self.pool.within(ASK_MAX, take).await?;
        let timer = |row: &tokio_postgres::Row| {
            Ok(DueTimer {
                message_id: row.try_get(0)?,
                tenant_id: row.try_get(1)?,
                position: Position(row.try_get(2)?),
                looks: natural(row.try_get(3)?),
                not_found: natural(row.try_get(4)?),
                attempt: row.try_get::<_, Option<i32>>(5)?.map(natural),
                undecodable: row.try_get(6)?,
                taken_at: row.try_get(7)?,
            })
        };
        rows.iter().map(timer).collect()
    }

    /// Notes when to look again, unless the log has said something new meanwhile.
    pub(crate) async fn look_again(
        &self,
        timer: &DueTimer,
        look_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let (looks, not_found) = (integer(timer.looks), integer(timer.not_found));
        let (id, position) = (&timer.message_id, &timer.position.0);
        self.execute(LOOK_AGAIN, &[id, position, &look_at, &looks, &not_found]).await
    }

    /// Notes that this build cannot read the message, and has it be looked at later: by a build that can. Whether
    /// that is news.
    pub(crate) async fn unreadable(&self, timer: &DueTimer) -> Result<bool, Error> {
        let (least, most) = (UNREADABLE_WAIT.0.as_secs_f64(), UNREADABLE_WAIT.1.as_secs_f64());
        let (id, position) = (&timer.message_id, &timer.position.0);
        let note = async |client: &mut Connection| {
            let statement = client.prepare_cached(UNREADABLE).await?;
            let values: [&(dyn ToSql + Sync); 4] = [id, position, &least, &most];
            Ok::<_, Error>(client.query_opt(&statement, &values).await?)
        };
        let row = self.pool.within(ASK_MAX, note).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }

    /// Notes that the message could be read.
    pub(crate) async fn readable(&self, timer: &DueTimer) -> Result<(), Error> {
        self.execute(READABLE, &[&timer.message_id, &timer.position.0]).await
    }

    /// Drops a timer of which nothing is due any more, unless the log has said something new.
    pub(crate) async fn forget(&self, timer: &DueTimer) -> Result<(), Error> {
        self.execute(FORGET, &[&timer.message_id, &timer.position.0]).await
    }

    /// Makes a provider's id the message's, if it is nobody's yet, and says whose it is: tenant,
    /// message, attempt. Of two messages that ask for the same one, one gets it.
    pub(crate) async fn claim_provider_id(
        &self,
        provider_message_id: &str,
        (tenant_id, message_id, attempt): (Uuid, Uuid, u32),
    ) -> Result<(Uuid, Uuid, u32), Error> {
        let attempt = integer(attempt);
        let claim = async |client: &mut Connection| {
            let statement = client.prepare_cached(CLAIM_PROVIDER_ID).await?;
            let values: [&(dyn ToSql + Sync); 4] =
                [&provider_message_id, &tenant_id, &message_id, &attempt];
            Ok::<_, Error>(client.query_one(&statement, &values).await?)
        };
        let row = self.pool.within(ASK_MAX, claim).await?;
        Ok(holder(&row)?)
    }

    /// Whose a provider's id is: tenant, message, attempt; none when it is nobody's.
    pub(crate) async fn provider_id_holder(
        &self,
        provider_message_id: &str,
    ) -> Result<Option<(Uuid, Uuid, u32)>, Error> {
        let ask = async |client: &mut Connection| {
            let statement = client.prepare_cached(PROVIDER_ID_HOLDER).await?;
            Ok::<_, Error>(client.query_opt(&statement, &[&provider_message_id]).await?)
        };
        let row = self.pool.within(ASK_MAX, ask).await?;
        Ok(row.as_ref().map(holder).transpose()?)
    }

    /// How long a call by this account may take at most, of those that are claimed and neither answered nor
    /// in doubt, as far as the timers are folded; its outcome's record is included. Each dispatcher has a
    /// timeout of its own.
    pub(crate) async fn longest_call(
        &self,
        provider: &str,
        account: &str,
    ) -> Result<Duration, Error> {
        let ends_within = LEASE_END_MAX.as_secs_f64();
        let ask = async |client: &mut Connection| {
            let statement = client.prepare_cached(LONGEST_CALL).await?;
            let values: [&(dyn ToSql + Sync); 3] = [&provider, &account, &ends_within];
            Ok::<_, Error>(client.query_one(&statement, &values).await?)
        };
        let seconds: Option<f64> = self.pool.within(ASK_MAX, ask).await?.try_get(0)?;
        Ok(Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default())
    }

    /// Does one thing that has no answer.
    async fn execute(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
        let execute = async |client: &mut Connection| {
            let statement = client.prepare_cached(sql).await?;
            client.execute(&statement, values).await?;
            Ok(())
        };
        self.pool.within(ASK_MAX, execute).await
    }
}

fn holder(row: &tokio_postgres::Row) -> Result<(Uuid, Uuid, u32), tokio_postgres::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?, natural(row.try_get(2)?)))
}

type Transaction<'a> = deadpool_postgres::Transaction<'a>;

async fn set(transaction: &Transaction<'_>, fold: &Fold) -> Result<(), Error> {
    let mut timers: Vec<_> = fold.set().collect();
    if timers.is_empty() {
        return Ok(());
    }
    // One order for all, so that two writers never wait for each other.
    timers.sort_unstable_by_key(|(id, _)| **id);
    let statement = transaction.prepare_cached(SET).await?;
    let ids: Vec<_> = timers.iter().map(|(id, _)| **id).collect();
    let tenants: Vec<_> = timers.iter().map(|(_, timer)| timer.tenant_id).collect();
    let due: Vec<_> = timers.iter().map(|(_, timer)| timer.due_at).collect();
    let attempts: Vec<_> = timers.iter().map(|(_, timer)| timer.attempt.map(integer)).collect();
    let positions: Vec<_> = timers.iter().map(|(_, timer)| timer.position.0).collect();
    let channels: Vec<_> =
        timers.iter().map(|(_, timer)| timer.channel.map_or("", Channel::as_str)).collect();
    let priorities: Vec<_> = timers.iter().map(|(_, timer)| timer.priority.as_str()).collect();
    let undecodable: Vec<_> = timers.iter().map(|(_, timer)| timer.undecodable).collect();
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&ids, &tenants, &due, &attempts, &positions, &channels, &priorities, &undecodable];
    transaction.execute(&statement, &parameters).await?;
    Ok(())
}

async fn clear(transaction: &Transaction<'_>, fold: &Fold) -> Result<(), Error> {
    let cleared: Vec<_> = fold.cleared().collect();
    if cleared.is_empty() {
        return Ok(());
    }
    let statement = transaction.prepare_cached(CLEAR).await?;
    let ids: Vec<_> = cleared.iter().map(|(id, _)| **id).collect();
    let attempts: Vec<_> = cleared.iter().map(|(_, upto)| upto.map(integer)).collect();
    transaction.execute(&statement, &[&ids, &attempts]).await?;
    Ok(())
}

async fn keep_provider_ids(transaction: &Transaction<'_>, fold: &Fold) -> Result<(), Error> {
    let kept = &fold.provider_ids;
    if kept.is_empty() {
        return Ok(());
    }
    let statement = transaction.prepare_cached(KEEP_PROVIDER_IDS).await?;
    let ids: Vec<_> = kept.iter().map(|id| id.provider_message_id.as_str()).collect();
    let tenants: Vec<_> = kept.iter().map(|id| id.tenant_id).collect();
    let messages: Vec<_> = kept.iter().map(|id| id.message_id).collect();
    let attempts: Vec<_> = kept.iter().map(|id| integer(id.attempt)).collect();
    transaction.execute(&statement, &[&ids, &tenants, &messages, &attempts]).await?;
    Ok(())
}

/// PostgreSQL has no unsigned integers; the counts kept here are far below.
fn integer(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn natural(count: i32) -> u32 {
    u32::try_from(count).unwrap_or_default()
}
