//! The SQL of the timers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::Decider;
use hatch_eventstore::values::{integer, natural};
use hatch_eventstore::{Checkpoint, Connection, Connections, Position, report_regression};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::fold::Fold;
use crate::{DueKind, Error};

/// How long PostgreSQL may take to say or to note something about some timers, the wait for a
/// connection included.
pub(crate) const ASK_MAX: Duration = Duration::from_secs(4);

/// How long it may take to write what a fold made of its events.
const APPLY_MAX: Duration = Duration::from_secs(10);

/// How long it may take to delete all timers.
const BEGIN_ANEW_MAX: Duration = Duration::from_secs(30);

/// Who entered a line has had its row written by an event that the fold has yet to reach: what came before says nothing of
/// it, and does not lock it. However PostgreSQL finds those, rows are locked in the order of their ids, as
/// [`enter`](Timers::enter) does.
const SET: &str = "
    INSERT INTO due.timers AS t (stream_id, tenant_id, due_at, step, position, look_at,
           lane, priority, undecodable_at, kind, waits_for)
    SELECT stream_id, tenant_id, due_at, step, position, due_at, lane, priority,
           CASE WHEN undecodable THEN now() END, $9, waits_for
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[], $5::bigint[], $6::text[],
                  $7::text[], $8::bool[], $10::text[])
           AS u(stream_id, tenant_id, due_at, step, position, lane, priority, undecodable, waits_for)
     WHERE NOT EXISTS (SELECT FROM due.timers later
                        WHERE later.stream_id = u.stream_id AND later.position >= u.position)
     ORDER BY stream_id
    ON CONFLICT (stream_id) DO UPDATE
       SET due_at = EXCLUDED.due_at, step = EXCLUDED.step, position = EXCLUDED.position,
           look_at = EXCLUDED.look_at, looks = 0, not_found = 0,
           lane = EXCLUDED.lane, priority = EXCLUDED.priority, waits_for = EXCLUDED.waits_for,
           undecodable_at = CASE WHEN EXCLUDED.undecodable_at IS NOT NULL
                                 THEN coalesce(t.undecodable_at, EXCLUDED.undecodable_at) END
     WHERE t.position < EXCLUDED.position";

/// Of the rows that an event up to `$3` has written.
const CLEAR: &str = "
    DELETE FROM due.timers t
     USING unnest($1::uuid[], $2::int[]) AS u(stream_id, upto)
     WHERE t.stream_id = u.stream_id AND (u.upto IS NULL OR t.step <= u.upto) AND t.position <= $3";

/// What is due, PostgreSQL's own clock says, which is one for all sweepers. Another sweeper's rows are passed over;
/// those taken are nobody's business for `$2` seconds. Each lane and priority is asked for by itself, so that
/// the index has the order.
const TAKE: &str = "
    UPDATE due.timers t
       SET look_at = statement_timestamp() + make_interval(secs => $2)
      FROM (SELECT turn.stream_id
              FROM unnest($3::text[]) AS l(lane)
             CROSS JOIN unnest($4::text[]) WITH ORDINALITY AS p(priority, place)
             CROSS JOIN LATERAL (
                   SELECT stream_id, look_at FROM due.timers
                    WHERE kind = $6 AND lane = l.lane AND priority = p.priority
                      AND look_at <= statement_timestamp()
                      AND statement_timestamp() BETWEEN $5::timestamptz - interval '60 s'
                                                    AND $5::timestamptz + interval '60 s'
                    ORDER BY look_at LIMIT $1 FOR UPDATE SKIP LOCKED) AS turn
             ORDER BY p.place, turn.look_at LIMIT $1) AS due
     WHERE t.stream_id = due.stream_id
    RETURNING t.stream_id, t.tenant_id, t.position, t.looks, t.not_found, t.step,
              t.undecodable_at IS NOT NULL, statement_timestamp()";

const LOOK_AGAIN: &str = "
    UPDATE due.timers SET look_at = $3, looks = $4, not_found = $5
     WHERE stream_id = $1 AND position = $2";

/// The wait doubles: it is as long as the stream has been waited for. Whether that is news is returned.
const UNREADABLE: &str = "
    UPDATE due.timers t
       SET undecodable_at = coalesce(t.undecodable_at, now()),
           look_at = now() + least(greatest(now() - t.undecodable_at, make_interval(secs => $3)),
                                   make_interval(secs => $4))
      FROM due.timers before
     WHERE t.stream_id = $1 AND t.position = $2 AND before.stream_id = $1
    RETURNING before.undecodable_at IS NULL";

const READABLE: &str = "
    UPDATE due.timers SET undecodable_at = NULL WHERE stream_id = $1 AND position = $2";

/// How long a stream is left alone that the sweeper could not read: at least, at most. A sweeper of another build
/// may be able to.
const UNREADABLE_WAIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));

const FORGET: &str = "DELETE FROM due.timers WHERE stream_id = $1 AND position = $2";

const DELETE_ALL: &str = "DELETE FROM due.timers WHERE kind = $1";

/// The timers of one kind of streams; cheap to clone.
#[derive(Clone)]
pub struct Timers {
    pub(crate) pool: Connections,
    pub(crate) kind: &'static str,
    checkpoint: (&'static str, i32),
}

/// A stream to be looked at, and what the sweepers noted of it.
#[derive(Debug, Clone)]
pub struct DueTimer {
    /// The stream.
    pub stream_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The event that set the timer.
    pub position: Position,
    /// The step that it speaks of, if it speaks of one.
    pub step: Option<u32>,
    /// How often somebody was asked about the stream.
    pub looks: u32,
    /// How often he knew nothing of it.
    pub not_found: u32,
    /// The last sweeper that took the stream could not read it.
    pub undecodable: bool,
    /// When it was taken, by PostgreSQL's clock.
    pub taken_at: DateTime<Utc>,
}

impl DueTimer {
    /// Reads what begins with the columns that [`TAKE`] returns.
    pub(crate) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            stream_id: row.try_get(0)?,
            tenant_id: row.try_get(1)?,
            position: Position(row.try_get(2)?),
            looks: natural(row.try_get(3)?),
            not_found: natural(row.try_get(4)?),
            step: row.try_get::<_, Option<i32>>(5)?.map(natural),
            undecodable: row.try_get(6)?,
            taken_at: row.try_get(7)?,
        })
    }

    /// The timer as one of `step`: what was noted of an earlier one says nothing of it. The timers are some
    /// seconds behind the log, which may have come to another step.
    #[must_use]
    pub fn of_step(&self, step: u32) -> Self {
        match self.step == Some(step) {
            true => self.clone(),
            false => Self { looks: 0, not_found: 0, ..self.clone() },
        }
    }
}

impl Timers {
    /// Those of kind `K`, in the database at the end of `pool`.
    #[must_use]
    pub const fn of<K: DueKind>(pool: Connections) -> Self {
        Self { pool, kind: K::Stream::KIND, checkpoint: K::CHECKPOINT }
    }

    /// How far the log is folded into them.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let (name, version) = self.checkpoint;
        let load =
            async |client: &mut Connection| Ok(Checkpoint::load(client, name, version).await?);
        self.pool.within(ASK_MAX, load).await
    }

    /// Closes the fence: the log lacks the event that `checkpoint` stands at.
    pub(crate) async fn report_ahead(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let position = checkpoint.position;
        let name = self.checkpoint.0;
        let detail = format!("the {name} are at position {position}, which the log lacks");
        let report = async |client: &mut Connection| {
            Ok(report_regression(client, checkpoint.epoch, &detail).await?)
        };
        self.pool.within(ASK_MAX, report).await
    }

    /// Forgets all timers, and has them be folded from the first event on. What was kept beside them stays.
    pub(crate) async fn begin_anew(
        &self,
        checkpoint: &Checkpoint,
        epoch: i32,
    ) -> Result<(), Error> {
        let begin = async |client: &mut Connection| {
            let transaction = client.transaction().await?;
            checkpoint.advance(&transaction, Position::START, epoch).await?;
            transaction.execute(DELETE_ALL, &[&self.kind]).await?;
            Ok(transaction.commit().await?)
        };
        self.pool.within(BEGIN_ANEW_MAX, begin).await
    }

    /// Writes what `fold` made of the events from `checkpoint` up to `position`, and moves the
    /// checkpoint there, in one transaction.
    pub(crate) async fn apply<K: DueKind>(
        &self,
        checkpoint: &Checkpoint,
        fold: &Fold<K::Note>,
        position: Position,
        epoch: i32,
    ) -> Result<Checkpoint, Error> {
        let write = async |client: &mut Connection| {
            let transaction = client.transaction().await?;
            // First, so that a folder that was overtaken waits for nothing and writes nothing.
            let advanced = checkpoint.advance(&transaction, position, epoch).await?;
            set(&transaction, self.kind, fold).await?;
            clear(&transaction, fold, position).await?;
            K::keep(&transaction, &fold.kept).await?;
            transaction.commit().await?;
            Ok(advanced)
        };
        self.pool.within(APPLY_MAX, write).await
    }

    /// Takes at most `limit` timers of these lanes that are to be looked at by now, of the first priority
    /// first. For as long as `hold` no other sweeper takes them, whatever becomes of this one. None, where
    /// PostgreSQL's clock is a minute or more from `now`: somebody has just set it.
    pub(crate) async fn take(
        &self,
        (lanes, priorities): (&[&str], &[&str]),
        limit: usize,
        hold: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<DueTimer>, Error> {
        let (limit, hold) = (i64::try_from(limit).unwrap_or(i64::MAX), hold.as_secs_f64());
        let take = async |client: &mut Connection| {
            let statement = client.prepare_cached(TAKE).await?;
            let values: [&(dyn ToSql + Sync); 6] =
                [&limit, &hold, &lanes, &priorities, &now, &self.kind];
            Ok::<_, Error>(client.query(&statement, &values).await?)
        };
        let rows = self.pool.within(ASK_MAX, take).await?;
        rows.iter().map(|row| Ok(DueTimer::read(row)?)).collect()
    }

    /// Notes when to look again, unless the log has said something new meanwhile.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn look_again(&self, timer: &DueTimer, look_at: DateTime<Utc>) -> Result<(), Error> {
        let (looks, not_found) = (integer(timer.looks), integer(timer.not_found));
        let (id, position) = (&timer.stream_id, &timer.position.0);
        self.execute(LOOK_AGAIN, &[id, position, &look_at, &looks, &not_found]).await
    }

    /// Notes that this build cannot read the stream, and has it be looked at later: by a build that can. Whether
    /// that is news.
    pub(crate) async fn unreadable(&self, timer: &DueTimer) -> Result<bool, Error> {
        let (least, most) = (UNREADABLE_WAIT.0.as_secs_f64(), UNREADABLE_WAIT.1.as_secs_f64());
        let (id, position) = (&timer.stream_id, &timer.position.0);
        let note = async |client: &mut Connection| {
            let statement = client.prepare_cached(UNREADABLE).await?;
            let values: [&(dyn ToSql + Sync); 4] = [id, position, &least, &most];
            Ok::<_, Error>(client.query_opt(&statement, &values).await?)
        };
        let row = self.pool.within(ASK_MAX, note).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }

    /// Notes that the stream could be read.
    pub(crate) async fn readable(&self, timer: &DueTimer) -> Result<(), Error> {
        self.execute(READABLE, &[&timer.stream_id, &timer.position.0]).await
    }

    /// Drops a timer of which nothing is due any more, unless the log has said something new.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn forget(&self, timer: &DueTimer) -> Result<(), Error> {
        self.execute(FORGET, &[&timer.stream_id, &timer.position.0]).await
    }

    /// Does one thing that has no answer.
    pub(crate) async fn execute(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<(), Error> {
        let execute = async |client: &mut Connection| {
            let statement = client.prepare_cached(sql).await?;
            client.execute(&statement, values).await?;
            Ok(())
        };
        self.pool.within(ASK_MAX, execute).await
    }
}

type Transaction<'a> = deadpool_postgres::Transaction<'a>;

async fn set<N: Clone>(
    transaction: &Transaction<'_>,
    kind: &str,
    fold: &Fold<N>,
) -> Result<(), Error> {
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
    let steps: Vec<_> = timers.iter().map(|(_, timer)| timer.step.map(integer)).collect();
    let positions: Vec<_> = timers.iter().map(|(_, timer)| timer.position.0).collect();
    let lanes: Vec<_> = timers.iter().map(|(_, timer)| timer.place.lane).collect();
    let priorities: Vec<_> = timers.iter().map(|(_, timer)| timer.place.priority).collect();
    let undecodable: Vec<_> = timers.iter().map(|(_, timer)| timer.undecodable).collect();
    let waits_for = timers.iter().map(|(_, timer)| timer.waits_for.as_deref());
    let waits_for: Vec<&str> = waits_for.map(Option::unwrap_or_default).collect();
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &ids,
        &tenants,
        &due,
        &steps,
        &positions,
        &lanes,
        &priorities,
        &undecodable,
        &kind,
        &waits_for,
    ];
    transaction.execute(&statement, &parameters).await?;
    Ok(())
}

async fn clear<N: Clone>(
    transaction: &Transaction<'_>,
    fold: &Fold<N>,
    until: Position,
) -> Result<(), Error> {
    let cleared: Vec<_> = fold.cleared().collect();
    if cleared.is_empty() {
        return Ok(());
    }
    let statement = transaction.prepare_cached(CLEAR).await?;
    let ids: Vec<_> = cleared.iter().map(|(id, _)| **id).collect();
    let steps: Vec<_> = cleared.iter().map(|(_, upto)| upto.map(integer)).collect();
    transaction.execute(&statement, &[&ids, &steps, &until.0]).await?;
    Ok(())
}
