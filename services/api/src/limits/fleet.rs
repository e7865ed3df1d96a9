//! What all processes together let pass. Each tells the others in one statement what passed at it, and is answered with
//! the sums; no request waits for that, and without an answer each process goes by what it knows.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hatch_eventstore::{Backoff, Connection, Connections, Held};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Inner;
use super::table::{Client, Key, Untold};

/// How long others wait to be told what passed here, unless somebody is near his limit.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long they wait in any case, so that many are told at once.
const PAUSE: Duration = Duration::from_millis(5);

/// Without sums for so long, the process counts as alone.
const SUMS_MAX: Duration = Duration::from_millis(50);

/// How long PostgreSQL may take until it is asked by another connection, and how long to let one in.
const ASK_MAX: Duration = Duration::from_secs(2);

/// Clients and routes of one statement at most.
const ENTRIES_MAX: usize = 1_000;

/// How often windows are deleted that are past, and how many rows of them at a time. Where there are more, the next round
/// deletes more.
const DELETE_EVERY: Duration = Duration::from_secs(30);
const DELETED_MAX: i64 = 20_000;

/// Rows are written in one order by everybody, so that nobody waits for somebody who waits for him.
const SETTLE: &str = "
    WITH told AS (
        SELECT unnest($1::uuid[]) AS client, unnest($2::text[]) AS route,
               unnest($3::bigint[]) AS window_at, unnest($4::bigint[]) AS more
    ), written AS (
        INSERT INTO access.rate_limits AS r (client, route, window_at, passed)
        SELECT client, route, window_at, more FROM told WHERE more > 0
         ORDER BY client, route, window_at
        ON CONFLICT (client, route, window_at) DO UPDATE SET passed = r.passed + excluded.passed
        RETURNING client, route, window_at, passed
    )
    SELECT client, route, window_at, passed FROM written
    UNION ALL
    SELECT client, route, window_at, r.passed
      FROM told JOIN access.rate_limits r USING (client, route, window_at)
     WHERE told.more = 0";

const DELETE: &str = "
    DELETE FROM access.rate_limits
     WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM access.rate_limits WHERE window_at < $1
         ORDER BY window_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

type Failure = Box<dyn Error + Send + Sync>;

/// The columns of what is told.
type Columns = (Vec<Uuid>, Vec<String>, Vec<i64>, Vec<i64>);

/// A sum as PostgreSQL says it.
type Sum = (Uuid, String, i64, i64);

/// Tells and asks until `shutdown`.
pub(super) async fn run(limits: Arc<Inner>, pool: Connections, shutdown: CancellationToken) {
    let mut fleet = Fleet { limits, pool, held: None, deleted_at: None };
    let mut backoff = Backoff::default();
    while fleet.waits_for_news(&shutdown).await {
        let wait = match fleet.round().await {
            Ok(()) => {
                fleet.limits.is_alone(None);
                backoff.reset();
                PAUSE
            }
            Err(failure) => {
                fleet.limits.is_alone(Some(&*failure));
                fleet.held = None;
                // It is still to be told.
                fleet.limits.changed.notify_one();
                backoff.lengthen()
            }
        };
        let _ = timeout(wait, shutdown.cancelled()).await;
    }
}

struct Fleet {
    limits: Arc<Inner>,
    pool: Connections,
    /// A connection of its own: a pool that clients use up does not keep the sums away.
    held: Option<Held>,
    deleted_at: Option<Instant>,
}

impl Fleet {
    /// Waits until there is something to tell; false at the end.
    async fn waits_for_news(&self, shutdown: &CancellationToken) -> bool {
        let news = async {
            self.limits.changed.notified().await;
            let _ = timeout(INTERVAL, self.limits.hurry.notified()).await;
        };
        tokio::select! {
            () = shutdown.cancelled() => false,
            () = news => true,
        }
    }

    /// Tells what there is to tell, and takes the sums. A round that fails is told again: where PostgreSQL heard it and
    /// its answer was lost, one interval counts twice.
    async fn round(&mut self) -> Result<(), Failure> {
        if self.held.is_none() {
            self.held = Some(self.pool.own(ASK_MAX).await?);
        }
        let Some(held) = &mut self.held else { return Ok(()) };
        let told = self.limits.table.untold(ENTRIES_MAX);
        let columns = self.limits.columns(&told);
        let answered = {
            let asking = ask(held, &columns);
            tokio::pin!(asking);
            match timeout(SUMS_MAX, asking.as_mut()).await {
                Ok(answered) => answered,
                Err(late) => {
                    self.limits.is_alone(Some(&late));
                    asking.await
                }
            }
        };
        match answered {
            Ok(sums) => self.limits.settle(&told, sums),
            Err(failure) => {
                self.limits.table.tell_again(&told);
                return Err(failure);
            }
        }
        if told.len() >= 2 * ENTRIES_MAX {
            // There may be more.
            self.limits.changed.notify_one();
            self.limits.hurry.notify_one();
        }
        self.delete_past().await
    }

    async fn delete_past(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if self.deleted_at.is_some_and(|at| now.duration_since(at) < DELETE_EVERY) {
            return Ok(());
        }
        self.deleted_at = Some(now);
        // A window counts until the end of the next one, and clocks differ.
        let past = self.limits.begins_at(self.limits.moment().window.saturating_sub(3));
        let Some(held) = &mut self.held else { return Ok(()) };
        let delete = async |client: &mut Connection| -> Result<u64, Failure> {
            Ok(client.execute(DELETE, &[&past, &DELETED_MAX]).await?)
        };
        let deleted = held.within(ASK_MAX, delete).await?;
        if deleted >= DELETED_MAX.unsigned_abs() {
            // There are more, and more may come than would go in that time.
            self.deleted_at = None;
            self.limits.changed.notify_one();
        }
        Ok(())
    }
}

/// Writes what is told, and reads the sums, in one statement.
async fn ask(
    held: &mut Held,
    (clients, routes, windows, more): &Columns,
) -> Result<Vec<Sum>, Failure> {
    if clients.is_empty() {
        return Ok(Vec::new());
    }
    held.within(ASK_MAX, async |client: &mut Connection| -> Result<Vec<Sum>, Failure> {
        let statement = client.prepare_cached(SETTLE).await?;
        let rows = client.query(&statement, &[clients, routes, windows, more]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect())
    })
    .await
}

impl Inner {
    /// Remembers whether the fleet's sums are known, and says so when that changes.
    fn is_alone(&self, failure: Option<&(dyn Error + 'static)>) {
        let was_alone = self.alone.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_alone => hatch_eventstore::log_unless_away!(
                warn,
                error,
                error,
                "rate limits go by what this process counts itself: PostgreSQL does not say what others count"
            ),
            None if was_alone => {
                tracing::info!("rate limits go by the counts of all processes again")
            }
            _ => {}
        }
    }

    /// When `window` begins, in seconds since 1970.
    fn begins_at(&self, window: u32) -> i64 {
        i64::from(window) * i64::from(self.rules.window_s)
    }

    fn columns(&self, told: &[Untold]) -> Columns {
        let each = told.iter();
        (
            each.clone().map(|of| Uuid::from_bytes(of.key.client.0)).collect(),
            each.clone().map(|of| self.routes.name(of.key.route).to_string()).collect(),
            each.clone().map(|of| self.begins_at(of.window)).collect(),
            each.map(|of| i64::from(of.count)).collect(),
        )
    }

    fn settle(&self, told: &[Untold], sums: Vec<Sum>) {
        let of = |told: &Untold| ((told.key, self.begins_at(told.window)), *told);
        let told: HashMap<(Key, i64), Untold> = told.iter().map(of).collect();
        for (client, route, window_at, sum) in sums {
            let key = Key { client: Client(client.into_bytes()), route: self.routes.id(&route) };
            if let Some(told) = told.get(&(key, window_at)) {
                self.table.settle(*told, u32::try_from(sum).unwrap_or(u32::MAX));
            }
        }
    }
}
