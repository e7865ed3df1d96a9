//! Turns of tenants: where more is due than can be looked at, nobody's many stand before another's one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_eventstore::Connection;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::store::ASK_MAX;
use crate::{DueTimer, Error, Timers};

/// Tenants that have their turn in one statement, of each lane and priority.
const TENANTS_AT_ONCE: i32 = 64;

/// As the usual question, but from tenant to tenant by the index, however many timers each has: behind the last one that
/// had its turn, and from the first one again. Where not all had theirs, the tenant is returned behind which to go on.
const TAKE: &str = "
    WITH RECURSIVE turn(lane, priority, place, tenant_id, wrapped, number) AS (
        SELECT l.lane, p.priority, p.place, $7::uuid, false, 0
          FROM unnest($3::text[]) AS l(lane)
         CROSS JOIN unnest($4::text[]) WITH ORDINALITY AS p(priority, place)
        UNION ALL
        SELECT o.lane, o.priority, o.place, coalesce(n.above, n.lowest), o.wrapped OR n.above IS NULL, o.number + 1
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
           AND NOT ((o.wrapped OR n.above IS NULL) AND coalesce(n.above, n.lowest) > $7)),
    width AS (SELECT place, count(*) AS tenants FROM turn WHERE number > 0 GROUP BY place),
    taken AS (
        UPDATE due.timers t
           SET look_at = statement_timestamp() + make_interval(secs => $2)
          FROM (SELECT one.stream_id
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
                 ORDER BY turn.place, one.nth, turn.number LIMIT $1::bigint) AS due
         WHERE t.stream_id = due.stream_id
        RETURNING t.stream_id, t.tenant_id, t.position, t.looks, t.not_found, t.step,
                  t.undecodable_at IS NOT NULL, statement_timestamp())
    SELECT taken.*, (SELECT turn.tenant_id FROM turn WHERE turn.number = $8
                      ORDER BY turn.wrapped, turn.tenant_id LIMIT 1)
      FROM (SELECT) AS always LEFT JOIN taken ON true";

impl Timers {
    /// As [`take`](Self::take), of each tenant its share, beginning behind `last`, who had its turn last.
    pub(crate) async fn take_in_turn(
        &self,
        (lanes, priorities): (&[&str], &[&str]),
        last: &mut Uuid,
        limit: usize,
        (hold, now): (Duration, DateTime<Utc>),
    ) -> Result<Vec<DueTimer>, Error> {
        let (limit, hold) = (i64::try_from(limit).unwrap_or(i64::MAX), hold.as_secs_f64());
        let before = *last;
        let take = async |client: &mut Connection| {
            let statement = client.prepare_cached(TAKE).await?;
            let values: [&(dyn ToSql + Sync); 8] =
                [&limit, &hold, &lanes, &priorities, &now, &self.kind, &before, &TENANTS_AT_ONCE];
            Ok::<_, Error>(client.query(&statement, &values).await?)
        };
        let rows = self.pool.within(ASK_MAX, take).await?;
        let mut taken = Vec::with_capacity(rows.len());
        *last = Uuid::nil();
        for row in &rows {
            *last = row.try_get::<_, Option<Uuid>>(8)?.unwrap_or_default();
            if row.try_get::<_, Option<Uuid>>(0)?.is_some() {
                taken.push(DueTimer::read(row)?);
            }
        }
        Ok(taken)
    }
}
