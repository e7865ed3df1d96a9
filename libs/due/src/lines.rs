//! Lines: parked streams that wait for the same, of which some go on whenever there is room. The first priority goes first,
//! then tenants take turns, and of one tenant nobody overtakes another.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_eventstore::{Connection, Position};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::store::ASK_MAX;
use crate::{DueTimer, Error, Timers};

/// How the names of lines begin, among all that is waited for: an event says in which its stream stands, and nobody has to
/// find out.
pub const LINES: &str = "rate:";

/// Streams that are counted, of all lines.
const COUNTED_MAX: i64 = 100_000;

/// The fold of the same event leaves the row as it is, and what was folded before is not undone.
const ENTER: &str = "
    INSERT INTO due.timers AS t (stream_id, tenant_id, due_at, position, look_at, lane, priority, waits_for, kind)
    SELECT DISTINCT ON (stream_id) stream_id, tenant_id, due_at, position, due_at, lane, priority, waits_for, $8::text
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bigint[], $5::text[], $6::text[], $7::text[])
           AS u(stream_id, tenant_id, due_at, position, lane, priority, waits_for)
     ORDER BY stream_id, position DESC
    ON CONFLICT (stream_id) DO UPDATE
       SET due_at = EXCLUDED.due_at, step = NULL, position = EXCLUDED.position, look_at = EXCLUDED.look_at,
           looks = 0, not_found = 0, lane = EXCLUDED.lane, priority = EXCLUDED.priority,
           waits_for = EXCLUDED.waits_for, undecodable_at = NULL
     WHERE t.position < EXCLUDED.position";

/// It is where it belongs, or was; the log has said nothing of it since, or it would be due at another time.
const ENTER_AGAIN: &str = "
    UPDATE due.timers t SET look_at = t.due_at, lane = l.parked, waits_for = $4
      FROM unnest($2::text[], $3::text[]) AS l(home, parked)
     WHERE t.stream_id = $1 AND t.lane = l.home AND t.due_at = $5";

/// From one line to the next by the index, behind the one where the last look ended, and in each from tenant to tenant:
/// however many stand there. The more lines there are, the fewer tenants of each are known.
const STANDING: &str = "
    WITH RECURSIVE line(lane, waits_for, number) AS (
        SELECT l.lane, (SELECT t.waits_for FROM due.timers t
                         WHERE t.kind = $1 AND t.lane = l.lane AND t.lane LIKE '% waiting'
                           AND t.waits_for >= $4 AND t.waits_for > $5
                         ORDER BY t.waits_for LIMIT 1), 1
          FROM unnest($2::text[]) AS l(lane)
        UNION ALL
        SELECT o.lane, (SELECT t.waits_for FROM due.timers t
                         WHERE t.kind = $1 AND t.lane = o.lane AND t.lane LIKE '% waiting'
                           AND t.waits_for > o.waits_for
                         ORDER BY t.waits_for LIMIT 1), o.number + 1
          FROM line o WHERE starts_with(o.waits_for, $4) AND o.number < $6::bigint),
    known AS MATERIALIZED (
        SELECT lane, waits_for FROM line WHERE starts_with(waits_for, $4) ORDER BY waits_for LIMIT $6::bigint),
    share AS MATERIALIZED (SELECT count(*) AS lines, $3::bigint / greatest(count(*), 1) AS tenants FROM known)
    SELECT DISTINCT known.waits_for, p.priority, one.tenant_id, share.lines
      FROM known
     CROSS JOIN share
     CROSS JOIN unnest($7::text[]) AS p(priority)
     CROSS JOIN LATERAL (
           WITH RECURSIVE tenant(tenant_id, number) AS (
               SELECT (SELECT t.tenant_id FROM due.timers t
                        WHERE t.kind = $1 AND t.lane = known.lane AND t.lane LIKE '% waiting'
                          AND t.waits_for = known.waits_for AND t.priority = p.priority
                        ORDER BY t.tenant_id LIMIT 1), 1
               UNION ALL
               SELECT (SELECT t.tenant_id FROM due.timers t
                        WHERE t.kind = $1 AND t.lane = known.lane AND t.lane LIKE '% waiting'
                          AND t.waits_for = known.waits_for AND t.priority = p.priority
                          AND t.tenant_id > o.tenant_id
                        ORDER BY t.tenant_id LIMIT 1), o.number + 1
                 FROM tenant o WHERE o.tenant_id IS NOT NULL AND o.number < share.tenants)
           SELECT tenant_id FROM tenant WHERE tenant_id IS NOT NULL) AS one
     ORDER BY known.waits_for";

/// From tenant to tenant by the index, behind the last one of the priority that had its turn, and from the first one again.
/// Tenants have one order in all lanes, and of one tenant the oldest goes first, so that no lane waits for another.
const RELEASE: &str = "
    WITH RECURSIVE turn(lane, home, waits_for, priority, last, place, tenant_id, wrapped, number) AS (
        SELECT l.lane, l.home, w.waits_for, p.priority, p.last, p.place, p.last, false, 0
          FROM unnest($2::text[], $3::text[]) AS l(lane, home)
         CROSS JOIN unnest($4::text[]) AS w(waits_for)
         CROSS JOIN unnest($5::text[], $6::uuid[]) WITH ORDINALITY AS p(priority, last, place)
        UNION ALL
        SELECT o.lane, o.home, o.waits_for, o.priority, o.last, o.place, coalesce(n.above, n.lowest),
               o.wrapped OR n.above IS NULL, o.number + 1
          FROM turn o
         CROSS JOIN LATERAL (
               SELECT (SELECT t.tenant_id FROM due.timers t
                        WHERE t.kind = $1 AND t.lane = o.lane AND t.lane LIKE '% waiting'
                          AND t.waits_for = o.waits_for AND t.priority = o.priority AND t.tenant_id > o.tenant_id
                        ORDER BY t.tenant_id LIMIT 1) AS above,
                      CASE WHEN NOT o.wrapped THEN
                      (SELECT t.tenant_id FROM due.timers t
                        WHERE t.kind = $1 AND t.lane = o.lane AND t.lane LIKE '% waiting'
                          AND t.waits_for = o.waits_for AND t.priority = o.priority
                        ORDER BY t.tenant_id LIMIT 1) END AS lowest) AS n
         WHERE o.number < $8::bigint + coalesce(cardinality($7::uuid[]), 0)
           AND coalesce(n.above, n.lowest) IS NOT NULL
           AND NOT ((o.wrapped OR n.above IS NULL) AND coalesce(n.above, n.lowest) > o.last)),
    width AS (SELECT place, count(*) AS tenants FROM turn WHERE number > 0 GROUP BY place)
    UPDATE due.timers t
       SET look_at = statement_timestamp() + make_interval(secs => $9), lane = released.home, waits_for = ''
      FROM (SELECT one.stream_id, turn.home, turn.waits_for, turn.place, turn.wrapped
              FROM turn JOIN width USING (place)
             CROSS JOIN LATERAL (
                   SELECT first.stream_id, first.due_at, row_number() OVER () AS nth
                     FROM (SELECT stream_id, due_at FROM due.timers
                            WHERE kind = $1 AND lane = turn.lane AND lane LIKE '% waiting'
                              AND waits_for = turn.waits_for AND priority = turn.priority
                              AND tenant_id = turn.tenant_id
                            ORDER BY due_at, stream_id LIMIT 1 + $8::bigint / width.tenants
                              FOR UPDATE SKIP LOCKED) AS first) AS one
             WHERE turn.number > 0 AND NOT turn.tenant_id = ANY($7::uuid[])
             ORDER BY turn.place, one.nth, turn.wrapped, turn.tenant_id, one.due_at, one.stream_id
             LIMIT $8::bigint) AS released
     WHERE t.stream_id = released.stream_id
    RETURNING t.stream_id, t.tenant_id, t.position, t.looks, t.not_found, t.step,
              t.undecodable_at IS NOT NULL, statement_timestamp(), released.waits_for, t.due_at,
              released.place, released.wrapped, t.priority";

const COUNT: &str = "
    SELECT waits_for, count(*)
      FROM (SELECT waits_for FROM due.timers
             WHERE kind = $1 AND lane = ANY($2) AND lane LIKE '% waiting' AND starts_with(waits_for, $3)
             LIMIT $4) AS counted
     GROUP BY waits_for";

/// A stream that stands in a line from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InLine {
    /// The stream.
    pub stream_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// When it is looked at in any case.
    pub due_at: DateTime<Utc>,
    /// The event that says so.
    pub position: Position,
    /// Where it is parked.
    pub lane: &'static str,
    /// How urgent it is.
    pub priority: &'static str,
    /// The line.
    pub waits_for: String,
}

/// A line of which some may go on.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The lanes in which they are parked, and those where they belong.
    pub lanes: (&'a [&'a str], &'a [&'a str]),
    /// What they wait for: several lines are one where they have the same turn.
    pub waits_for: &'a [&'a str],
}

/// Whose turn it is in a line.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// The first first.
    pub priorities: &'a [&'a str],
    /// Those that had their turn last.
    pub last: &'a LastTurns,
    /// These have none now.
    pub without: &'a [Uuid],
}

/// A stream that was let go.
#[derive(Debug, Clone)]
pub struct Released {
    /// Its timer.
    pub timer: DueTimer,
    /// The line.
    pub waits_for: String,
    /// When it would have been looked at in any case.
    pub due_at: DateTime<Utc>,
    /// Its priority's name.
    pub priority: String,
    place: i64,
    /// Its tenant comes after the last one: the turns have begun again.
    wrapped: bool,
}

/// The tenants that had their turn last in a line or a lane, of each priority: who has one of one priority takes nobody's of
/// another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastTurns(BTreeMap<String, Uuid>);

impl LastTurns {
    /// The tenants of these have had their turn.
    pub fn note(&mut self, released: &[Released]) {
        let turn = |one: &Released| (one.wrapped, one.timer.tenant_id);
        self.had(released.iter().map(|one| (one.priority.as_str(), turn(one))));
    }

    /// These had their turn, of each priority: those behind the last one, and then those from the first one on.
    pub(crate) fn had<'a>(&mut self, turns: impl Iterator<Item = (&'a str, (bool, Uuid))>) {
        let mut latest = BTreeMap::<&str, (bool, Uuid)>::new();
        for (priority, turn) in turns {
            let of_priority = latest.entry(priority).or_insert(turn);
            *of_priority = turn.max(*of_priority);
        }
        for (priority, (_, tenant_id)) in latest {
            self.0.insert(priority.to_owned(), tenant_id);
        }
    }

    /// The last one of each of these priorities.
    pub(crate) fn of(&self, priorities: &[&str]) -> Vec<Uuid> {
        let last = |priority: &&str| self.0.get(*priority).copied().unwrap_or_default();
        priorities.iter().map(last).collect()
    }
}

/// A look at who stands in lines.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// The lanes in which they are parked.
    pub parked: &'a [&'a str],
    /// How the names of the lines begin.
    pub prefix: &'a str,
    /// Only those behind this one; empty: from the first one on.
    pub after: &'a str,
    /// The priorities.
    pub priorities: &'a [&'a str],
    /// Lines, at most.
    pub lines: i64,
    /// Tenants of each priority, at most, of all lines.
    pub tenants: i64,
}

/// Somebody who stands in a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Standing {
    /// The line.
    pub waits_for: String,
    /// The priority's name.
    pub priority: String,
    /// The tenant.
    pub tenant_id: Uuid,
}

impl Timers {
    /// Has streams stand in their lines at once: the fold comes some seconds later.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn enter(&self, all: &[InLine]) -> Result<(), Error> {
        let ids: Vec<_> = all.iter().map(|one| one.stream_id).collect();
        let tenants: Vec<_> = all.iter().map(|one| one.tenant_id).collect();
        let due: Vec<_> = all.iter().map(|one| one.due_at).collect();
        let positions: Vec<_> = all.iter().map(|one| one.position.0).collect();
        let lanes: Vec<_> = all.iter().map(|one| one.lane).collect();
        let priorities: Vec<_> = all.iter().map(|one| one.priority).collect();
        let waits_for: Vec<_> = all.iter().map(|one| one.waits_for.as_str()).collect();
        let values: [&(dyn ToSql + Sync); 8] =
            [&ids, &tenants, &due, &positions, &lanes, &priorities, &waits_for, &self.kind];
        self.execute(ENTER, &values).await
    }

    /// Puts a stream back into a line that was let go: `lanes` are where it may belong, each with the one where it is
    /// parked. Nothing is done where the log has said something new of it, which made it due at another time.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn enter_again(
        &self,
        stream_id: Uuid,
        due_at: DateTime<Utc>,
        lanes: &[(&str, &str)],
        waits_for: &str,
    ) -> Result<(), Error> {
        let (home, parked): (Vec<_>, Vec<_>) = lanes.iter().copied().unzip();
        self.execute(ENTER_AGAIN, &[&stream_id, &home, &parked, &waits_for, &due_at]).await
    }

    /// Who stands in the lines, in the order of those; and whether there may be more lines.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn standing(&self, look: Look<'_>) -> Result<(Vec<Standing>, bool), Error> {
        let Look { parked, prefix, after, priorities, lines, tenants } = look;
        let ask = async |client: &mut Connection| {
            let statement = client.prepare_cached(STANDING).await?;
            let values: [&(dyn ToSql + Sync); 7] =
                [&self.kind, &parked, &tenants, &prefix, &after, &lines, &priorities];
            Ok::<_, Error>(client.query(&statement, &values).await?)
        };
        let rows = self.pool.within(ASK_MAX, ask).await?;
        let standing = |row: &Row| {
            Ok(Standing {
                waits_for: row.try_get(0)?,
                priority: row.try_get(1)?,
                tenant_id: row.try_get(2)?,
            })
        };
        let has_more = match rows.first() {
            Some(row) => row.try_get::<_, i64>(3)? >= lines,
            None => false,
        };
        Ok((rows.iter().map(standing).collect::<Result<_, Error>>()?, has_more))
    }

    /// Lets `limit` streams of a line go, at most: they are the caller's for as long as `hold`, and due where they belong
    /// after that. Those of a tenant come in their order.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn let_go(
        &self,
        line: Line<'_>,
        turn: Turn<'_>,
        (limit, hold): (usize, Duration),
    ) -> Result<Vec<Released>, Error> {
        let (limit, hold) = (i64::try_from(limit).unwrap_or(i64::MAX), hold.as_secs_f64());
        let (parked, home) = line.lanes;
        let last = turn.last.of(turn.priorities);
        let release = async |client: &mut Connection| {
            let statement = client.prepare_cached(RELEASE).await?;
            let values: [&(dyn ToSql + Sync); 9] = [
                &self.kind,
                &parked,
                &home,
                &line.waits_for,
                &turn.priorities,
                &last,
                &turn.without,
                &limit,
                &hold,
            ];
            Ok::<_, Error>(client.query(&statement, &values).await?)
        };
        let rows = self.pool.within(ASK_MAX, release).await?;
        let released = |row: &Row| {
            Ok::<_, Error>(Released {
                timer: DueTimer::read(row)?,
                waits_for: row.try_get(8)?,
                due_at: row.try_get(9)?,
                place: row.try_get(10)?,
                wrapped: row.try_get(11)?,
                priority: row.try_get(12)?,
            })
        };
        let mut all = rows.iter().map(released).collect::<Result<Vec<_>, _>>()?;
        all.sort_by_key(|one| (one.place, one.due_at, one.timer.stream_id));
        Ok(all)
    }
}

/// How many streams of a kind stand in each line whose name begins with `prefix`; 100,000 of all of them are counted at
/// most.
///
/// # Errors
/// PostgreSQL's.
pub async fn in_lines(
    client: &Client,
    kind: &str,
    (parked, prefix): (&[&str], &str),
) -> Result<Vec<(String, i64)>, tokio_postgres::Error> {
    let rows = client.query(COUNT, &[&kind, &parked, &prefix, &COUNTED_MAX]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
