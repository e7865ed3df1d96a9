//! How far the queues have come, for those who accept messages.
//!
//! The dispatchers say, while they have something to do, which request of a queue they claimed
//! last. What lies between it and the log's head waits for them. Nothing that is sent depends on
//! it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use hatch_bus::Delivery;
use hatch_domain::message::Message;
use hatch_domain::{Channel, Decider as _, Priority};
use hatch_due::DueKind as _;
use hatch_eventstore::{Connection, Connections, Position, Unanswered};
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::messages::Messages;
use crate::permits::Permits;
use crate::waiting::waiting_lane;

/// Between two reports.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// How long one may take.
const REPORT_MAX: Duration = Duration::from_secs(2);
/// A report that is older says nothing: its dispatchers have nothing to do, or are away.
const FRESH: Duration = Duration::from_secs(1);

/// Another dispatcher may have taken a later one.
const REPORT: &str = "
    INSERT INTO dispatch.progress AS p (channel, priority, position, at)
    SELECT channel, priority, position, now()
      FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u(channel, priority, position)
     ORDER BY channel, priority
    ON CONFLICT (channel, priority) DO UPDATE
       SET position = greatest(p.position, EXCLUDED.position), at = EXCLUDED.at";

const READ: &str = "
    SELECT channel, priority, position FROM dispatch.progress
     WHERE at > now() - make_interval(secs => $1)";

/// Messages whose time has come, those that wait for an account, but not those that stand in its line (an index has them
/// alone), and those that no timer speaks of yet, up to a number of the former two. Of the latter there is one event each,
/// as long as nobody sends them.
const WAITING: &str = "
    SELECT (SELECT count(*)
              FROM (SELECT FROM due.timers WHERE kind = $4 AND look_at < now() LIMIT $1) AS due)
         + (SELECT count(*)
              FROM (SELECT FROM due.timers
                     WHERE kind = $4 AND lane = ANY($5) AND lane LIKE '% waiting'
                       AND look_at >= now() AND NOT starts_with(waits_for, 'rate:') LIMIT $1) AS waiting)
         + (SELECT coalesce(max(position), 0) FROM es.events)
         - coalesce((SELECT position FROM es.checkpoints WHERE name = $2 AND version = $3), 0)";

/// From tenant to tenant by an index; of each as many places of it are passed over as may be.
const CROWDED: &str = "
    WITH RECURSIVE tenant(tenant_id, number) AS (
        SELECT (SELECT t.tenant_id FROM due.timers t WHERE t.kind = $1 AND t.lane LIKE '% waiting'
                 ORDER BY t.tenant_id LIMIT 1), 1
        UNION ALL
        SELECT (SELECT t.tenant_id FROM due.timers t WHERE t.kind = $1 AND t.lane LIKE '% waiting'
                   AND t.tenant_id > o.tenant_id ORDER BY t.tenant_id LIMIT 1), o.number + 1
          FROM tenant o WHERE o.tenant_id IS NOT NULL AND o.number < 10000)
    SELECT tenant_id FROM tenant
     WHERE tenant_id IS NOT NULL
       AND EXISTS (SELECT FROM due.timers t
                    WHERE t.kind = $1 AND t.lane LIKE '% waiting' AND t.tenant_id = tenant.tenant_id
                   OFFSET $2 LIMIT 1)";

/// One queue of this process, as its reports need it.
pub(crate) struct Queue {
    pub(crate) channel: Channel,
    pub(crate) priority: Priority,
    /// The position of the newest request whose attempt is claimed, or that is settled otherwise; 0
    /// before the first.
    taken: AtomicI64,
    /// One for each message that may be claimed at a time.
    pub(crate) permits: Permits,
    /// Whether nothing is taken because no account has room.
    pub(crate) held_up: AtomicBool,
}

impl Queue {
    pub(crate) fn new(channel: Channel, priority: Priority, permits: Permits) -> Self {
        let (taken, held_up) = (AtomicI64::new(0), AtomicBool::new(false));
        Self { channel, priority, taken, permits, held_up }
    }

    /// The queue's last request, if it has had one since `reported` or can take no more.
    fn news(&self, reported: &mut i64) -> Option<i64> {
        let taken = self.taken.load(Ordering::Relaxed);
        let is_new = std::mem::replace(reported, taken) != taken;
        let is_full =
            || self.held_up.load(Ordering::Relaxed) || self.permits.all.available_permits() == 0;
        (is_new || taken > 0 && is_full()).then_some(taken)
    }
}

/// A request from a queue.
pub(crate) struct Taken {
    pub(crate) delivery: Delivery,
    pub(crate) queue: Arc<Queue>,
}

impl Taken {
    /// It waits no longer.
    pub(crate) async fn ack(self) {
        self.queue.taken.fetch_max(self.delivery.envelope.position, Ordering::Relaxed);
        self.delivery.ack().await;
    }
}

/// Reports for ever. A report that fails is not made up for: the next says more.
pub(crate) async fn report(pool: &Connections, queues: &[Arc<Queue>]) {
    let mut reported = vec![0; queues.len()];
    let mut ticks = interval(REPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut rows = (Vec::new(), Vec::new(), Vec::new());
        for (queue, reported) in queues.iter().zip(&mut reported) {
            if let Some(taken) = queue.news(reported) {
                rows.0.push(queue.channel.as_str());
                rows.1.push(queue.priority.as_str());
                rows.2.push(taken);
            }
        }
        if !rows.0.is_empty()
            && let Err(error) = write(pool, &rows).await
        {
            tracing::debug!(error = %error, "the dispatcher's progress is not reported");
        }
    }
}

type ProgressColumns = (Vec<&'static str>, Vec<&'static str>, Vec<i64>);

async fn write(
    pool: &Connections,
    (channels, priorities, taken): &ProgressColumns,
) -> Result<(), Error> {
    let write = async |client: &mut Connection| {
        let statement = client.prepare_cached(REPORT).await?;
        client.execute(&statement, &[channels, priorities, taken]).await?;
        Ok(())
    };
    pool.within(REPORT_MAX, write).await
}

/// Why the progress is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection, or no answer in time.
    #[error("no answer from the dispatchers' database")]
    Unanswered(#[from] Unanswered),
    /// PostgreSQL refused or did not answer.
    #[error("the dispatchers' database refused or was lost")]
    Postgres(#[from] tokio_postgres::Error),
}

/// The newest request of each queue whose attempt is claimed, of the queues that have had something
/// to do within the last second.
///
/// # Errors
/// PostgreSQL's.
pub async fn progress(client: &Connection) -> Result<Vec<(Channel, Priority, Position)>, Error> {
    let statement = client.prepare_cached(READ).await?;
    let rows = client.query(&statement, &[&FRESH.as_secs_f64()]).await?;
    let mut queues = Vec::with_capacity(rows.len());
    for row in rows {
        let (channel, priority): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        let channel = Channel::ALL.into_iter().find(|known| known.as_str() == channel);
        let priority = Priority::named(priority);
        // A later build's queue is none of this one's.
        if let (Some(channel), Some(priority)) = (channel, priority) {
            queues.push((channel, priority, Position(row.try_get(2)?)));
        }
    }
    Ok(queues)
}

/// Tenants of which more than `most` messages stand in lines or wait for an account; those of 10,000 tenants are counted.
///
/// # Errors
/// PostgreSQL's.
pub async fn crowded_tenants(client: &Connection, most: i64) -> Result<Vec<Uuid>, Error> {
    let statement = client.prepare_cached(CROWDED).await?;
    let rows = client.query(&statement, &[&Message::KIND, &most]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// About how many messages wait to be sent, whatever the bus says: those that are due, counted up
/// to
/// `due_max`, and the events that no dispatcher has looked at yet. Some seconds' worth of events is
/// never looked at, while all is well.
///
/// # Errors
/// PostgreSQL's.
pub async fn waiting(client: &Connection, due_max: i64) -> Result<i64, Error> {
    let (name, version) = Messages::CHECKPOINT;
    let statement = client.prepare_cached(WAITING).await?;
    let lanes = Channel::ALL.map(waiting_lane);
    let values: [&(dyn ToSql + Sync); 5] =
        [&due_max, &name, &version, &Message::KIND, &lanes.as_slice()];
    let row = client.query_one(&statement, &values).await?;
    Ok(row.try_get(0)?)
}
