//! Turns of tenants: where more is due than can be looked at, nobody's many stand before another's one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_eventstore::Connection;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::store::ASK_MAX;
use crate::{DueTimer, Error, LastTurns, Timers};

/// Tenants that have their turn in one statement, of each lane and priority.
const TENANTS_AT_ONCE: i32 = 64;

/// As the usual question, but from tenant to tenant by the index, however many timers each has: behind the last one of the
/// priority that had its turn, and from the first one again. Of each priority the tenant is returned, too, up to which it
/// was looked, where that was not up to the last.
const TAKE: &str = "
    WITH RECURSIVE turn(lane, priority, last, place, tenant_id, wrapped, number) AS (
        SELECT l.lane, p.priority, p.last, p.place, p.last, false, 0
          FROM unnest($3::text[]) AS l(lane)
         CROSS JOIN unnest($4::text[], $7::uuid[]) WITH ORDINALITY AS p(priority, last, place)
        UNION ALL
        SELECT o.lane, o.priority, o.last, o.place, coalesce(n.above, n.lowest), o.wrapped OR n.above IS NULL,
               o.number + 1
          FROM turn o
         CROSS JOIN LATERAL (
               SELECT (SELECT t.tenant_id FROM due.timers t
                        WHERE t.kind = $6 AND t.lane = o.lane AND t.priority = o.priority
                          AND t.lane NOT LIKE '% waiting' AND t.tenant_id > o.tenant_id
                        ORDER BY t.tenant_id LIMIT 1) AS above,
                      CASE WHEN NOT o.wrapped THEN
                      (SELECT t.tenant_id FROM due.timers t
                        WHERE t.kind = $6 AND t.lane = o.lane AND t.priority = o.priority
                          AND t.lane NOT LIKE '% waiting'
                        ORDER BY t.tenant_id LIMIT 1) END AS lowest) AS n
         WHERE o.number < $8 AND coalesce(n.above, n.lowest) IS NOT NULL
           AND NOT ((o.wrapped OR n.above IS NULL) AND coalesce(n.above, n.lowest) > o.last)),
    width AS (SELECT place, count(*) AS tenants FROM turn WHERE number > 0 GROUP BY place),
    taken AS (
        UPDATE due.timers t
           SET look_at = statement_timestamp() + make_interval(secs => $2)
          FROM (SELECT one.stream_id, turn.place, turn.wrapped
                  FROM turn JOIN width USING (place)
                 CROSS JOIN LATERAL (
                       SELECT first.stream_id, row_number() OVER () AS nth
                         FROM (SELECT stream_id FROM due.timers
                                WHERE kind = $6 AND lane = turn.lane AND priority = turn.priority
                                  AND lane NOT LIKE '% waiting' AND tenant_id = turn.tenant_id
                                  AND look_at <= statement_timestamp()
                                  AND statement_timestamp() BETWEEN $5::timestamptz - interval '60 s'
                                                                AND $5::timestamptz + interval '60 s'
                                ORDER BY look_at LIMIT 1 + $1::bigint / width.tenants
                                  FOR UPDATE SKIP LOCKED) AS first) AS one
                 WHERE turn.number > 0
                 ORDER BY turn.place, one.nth, turn.wrapped, turn.tenant_id LIMIT $1::bigint) AS due
         WHERE t.stream_id = due.stream_id
        RETURNING t.stream_id, t.tenant_id, t.position, t.looks, t.not_found, t.step,
                  t.undecodable_at IS NOT NULL, statement_timestamp(), due.place, due.wrapped)
    SELECT taken.*, (SELECT array_agg(reached.tenant_id ORDER BY p.place)
                       FROM unnest($4::text[]) WITH ORDINALITY AS p(priority, place)
                       LEFT JOIN LATERAL (SELECT turn.tenant_id FROM turn
                                           WHERE turn.place = p.place AND turn.number = $8
                                           ORDER BY turn.wrapped, turn.tenant_id LIMIT 1) AS reached ON true)
      FROM (SELECT) AS always LEFT JOIN taken ON true";

impl Timers {
    /// As [`take`](Self::take), of each tenant its share, beginning behind those of `turns`, who had theirs last.
    pub(crate) async fn take_in_turn(
        &self,
        (lanes, priorities): (&[&str], &[&str]),
        turns: &mut LastTurns,
        limit: usize,
        (hold, now): (Duration, DateTime<Utc>),
    ) -> Result<Vec<DueTimer>, Error> {
        let (most, hold) = (i64::try_from(limit).unwrap_or(i64::MAX), hold.as_secs_f64());
        let last = turns.of(priorities);
        let take = async |client: &mut Connection| {
            let statement = client.prepare_cached(TAKE).await?;
            let values: [&(dyn ToSql + Sync); 8] =
                [&most, &hold, &lanes, &priorities, &now, &self.kind, &last, &TENANTS_AT_ONCE];
            Ok::<_, Error>(client.query(&statement, &values).await?)
        };
        let rows = self.pool.within(ASK_MAX, take).await?;
        let (mut taken, mut had) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for row in &rows {
            if row.try_get::<_, Option<Uuid>>(0)?.is_none() {
                continue;
            }
            let (timer, place) = (DueTimer::read(row)?, row.try_get::<_, i64>(8)?);
            let place = usize::try_from(place - 1).ok();
            let priority = place.and_then(|place| priorities.get(place)).copied();
            had.extend(priority.zip(Some((row.try_get(9)?, timer.tenant_id))));
            taken.push(timer);
        }
        if taken.len() < limit {
            // All that is due of those that were looked at is taken.
            let reached = rows.first().map(|row| row.try_get::<_, Option<Vec<_>>>(10));
            let reached: Vec<Option<Uuid>> = reached.transpose()?.flatten().unwrap_or_default();
            let up_to = |tenant: Option<Uuid>| (false, tenant.unwrap_or_default());
            turns.had(priorities.iter().copied().zip(reached.into_iter().map(up_to)));
        } else {
            turns.had(had.into_iter());
        }
        Ok(taken)
    }
}
