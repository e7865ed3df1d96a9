//! Streams that are parked: each is in a lane apart, where nobody looks at it, and waits for somebody. Whoever can help
//! those who wait for him brings them back, and never has to look through those who wait for others.

use chrono::{DateTime, Utc};
use hatch_eventstore::{Connection, Position};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::store::ASK_MAX;
use crate::{DueTimer, Error, Timers};

const PARK: &str = "
    UPDATE due.timers SET look_at = $3, lane = $4, waits_for = $5 WHERE stream_id = $1 AND position = $2";

/// From one that is waited for to the next, by the index: however many wait for each, and however many lines there are.
const WAITED_FOR: &str = "
    WITH RECURSIVE waited(lane, waits_for) AS (
        SELECT l.lane, (SELECT t.waits_for FROM due.timers t
                         WHERE t.kind = $1 AND t.lane = l.lane AND t.lane LIKE '% waiting'
                           AND NOT starts_with(t.waits_for, 'rate:')
                         ORDER BY t.waits_for LIMIT 1)
          FROM unnest($2::text[]) AS l(lane)
        UNION ALL
        SELECT w.lane, (SELECT t.waits_for FROM due.timers t
                         WHERE t.kind = $1 AND t.lane = w.lane AND t.lane LIKE '% waiting'
                           AND NOT starts_with(t.waits_for, 'rate:') AND t.waits_for > w.waits_for
                         ORDER BY t.waits_for LIMIT 1)
          FROM waited w WHERE w.waits_for IS NOT NULL)
    SELECT DISTINCT waits_for FROM waited WHERE waits_for <> ''";

/// Of each tenant a share: from one tenant to the next by the index, however many streams each has.
const UNSORTED: &str = "
    WITH RECURSIVE turn(lane, tenant_id) AS (
        SELECT l.lane, (SELECT t.tenant_id FROM due.timers t
                         WHERE t.kind = $1 AND t.lane = l.lane AND t.lane LIKE '% waiting' AND t.waits_for = ''
                         ORDER BY t.tenant_id LIMIT 1)
          FROM unnest($2::text[]) AS l(lane)
        UNION ALL
        SELECT o.lane, (SELECT t.tenant_id FROM due.timers t
                         WHERE t.kind = $1 AND t.lane = o.lane AND t.lane LIKE '% waiting' AND t.waits_for = ''
                           AND t.tenant_id > o.tenant_id
                         ORDER BY t.tenant_id LIMIT 1)
          FROM turn o WHERE o.tenant_id IS NOT NULL)
    SELECT one.stream_id, turn.tenant_id, one.position
      FROM turn
     CROSS JOIN LATERAL (
           SELECT t.stream_id, t.position, row_number() OVER () AS place FROM due.timers t
            WHERE t.kind = $1 AND t.lane = turn.lane AND t.lane LIKE '% waiting' AND t.waits_for = ''
              AND t.tenant_id = turn.tenant_id
            LIMIT 1 + $3::bigint / (SELECT greatest(count(tenant_id), 1) FROM turn)) AS one
     ORDER BY one.place, random() LIMIT $3::bigint";

const SORTED: &str = "
    SELECT stream_id, tenant_id, position FROM due.timers
     WHERE kind = $1 AND lane LIKE '% waiting' AND waits_for <> '' AND NOT starts_with(waits_for, 'rate:')
       AND ($2::uuid IS NULL OR tenant_id = $2) AND stream_id > $3
     ORDER BY stream_id LIMIT $4";

/// Others may do the same: nobody waits for them.
const SORT: &str = "
    UPDATE due.timers t
       SET waits_for = sorted.waits_for
      FROM (SELECT t.stream_id, u.waits_for
              FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS u(stream_id, position, waits_for)
              JOIN due.timers t ON t.stream_id = u.stream_id AND t.position = u.position
             WHERE t.lane LIKE '% waiting' AND t.waits_for <> u.waits_for
               FOR UPDATE OF t SKIP LOCKED) AS sorted
     WHERE t.stream_id = sorted.stream_id";

/// Of each tenant its share, from one tenant to the next by the index, however many streams each has: as many as are asked
/// for, of the first priority first. None goes before others of a tenant's first hundred: one that cannot be helped holds up
/// no others.
const RELEASE: &str = "
    WITH RECURSIVE turn(lane, home, waits_for, priority, place, tenant_id) AS (
        SELECT l.lane, l.home, w.waits_for, p.priority, p.place,
               (SELECT t.tenant_id FROM due.timers t
                 WHERE t.kind = $1 AND t.lane = l.lane AND t.lane LIKE '% waiting' AND t.waits_for = w.waits_for
                   AND t.priority = p.priority
                 ORDER BY t.tenant_id LIMIT 1)
          FROM unnest($2::text[], $3::text[]) AS l(lane, home)
         CROSS JOIN unnest($6::text[]) AS w(waits_for)
         CROSS JOIN unnest($4::text[]) WITH ORDINALITY AS p(priority, place)
        UNION ALL
        SELECT o.lane, o.home, o.waits_for, o.priority, o.place,
               (SELECT t.tenant_id FROM due.timers t
                 WHERE t.kind = $1 AND t.lane = o.lane AND t.lane LIKE '% waiting' AND t.waits_for = o.waits_for
                   AND t.priority = o.priority AND t.tenant_id > o.tenant_id
                 ORDER BY t.tenant_id LIMIT 1)
          FROM turn o WHERE o.tenant_id IS NOT NULL),
    width AS (SELECT place, count(*) AS tenants FROM turn WHERE tenant_id IS NOT NULL GROUP BY place)
    UPDATE due.timers t
       SET look_at = statement_timestamp(), lane = parked.home
      FROM (SELECT one.stream_id, turn.home
              FROM turn JOIN width USING (place)
             CROSS JOIN LATERAL (
                   SELECT first.stream_id, (row_number() OVER () - 1) / 100 AS hundred
                     FROM (SELECT stream_id FROM due.timers
                            WHERE kind = $1 AND lane = turn.lane AND lane LIKE '% waiting'
                              AND waits_for = turn.waits_for AND priority = turn.priority
                              AND tenant_id = turn.tenant_id
                            ORDER BY due_at, stream_id LIMIT 1 + greatest($5::bigint, 99) / width.tenants
                              FOR UPDATE SKIP LOCKED) AS first) AS one
             WHERE turn.tenant_id IS NOT NULL
             ORDER BY CASE WHEN $7 AND $5::bigint > 1 THEN turn.place END, one.hundred, random()
             LIMIT $5::bigint) AS parked
     WHERE t.stream_id = parked.stream_id";

/// A parked stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parked {
    /// The stream.
    pub stream_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The event that set its timer.
    pub position: Position,
}

impl Timers {
    /// Has a stream wait in another lane for `waits_for`, until somebody releases it or `look_at`, unless the log has
    /// said something new meanwhile.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn park(
        &self,
        timer: &DueTimer,
        (lane, waits_for): (&'static str, &str),
        look_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let (id, position) = (&timer.stream_id, &timer.position.0);
        self.execute(PARK, &[id, position, &look_at, &lane, &waits_for]).await
    }

    /// For whom streams wait that are parked in these lanes, and stand in no line.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn waited_for(&self, parked: &[&str]) -> Result<Vec<String>, Error> {
        let ask = async |client: &mut Connection| {
            let statement = client.prepare_cached(WAITED_FOR).await?;
            let values: [&(dyn ToSql + Sync); 2] = [&self.kind, &parked];
            Ok::<_, Error>(client.query(&statement, &values).await?)
        };
        let rows = self.pool.within(ASK_MAX, ask).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Parked streams of which nobody has said yet for whom they wait: `limit` at most, of each tenant its share. There
    /// may be more unless there are none.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn unsorted(&self, parked: &[&str], limit: usize) -> Result<Vec<Parked>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.parked(UNSORTED, &[&self.kind, &parked, &limit]).await
    }

    /// Parked streams of which somebody has said for whom they wait, but not those in lines ([`LINES`](crate::LINES)), by their ids, `limit` at most of those behind
    /// `after`: a tenant's, or everybody's.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn sorted(
        &self,
        tenant: Option<Uuid>,
        after: Uuid,
        limit: usize,
    ) -> Result<Vec<Parked>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.parked(SORTED, &[&self.kind, &tenant, &after, &limit]).await
    }

    async fn parked(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Parked>, Error> {
        let ask = async |client: &mut Connection| {
            let statement = client.prepare_cached(sql).await?;
            Ok::<_, Error>(client.query(&statement, values).await?)
        };
        let rows = self.pool.within(ASK_MAX, ask).await?;
        let parked = |row: &tokio_postgres::Row| {
            Ok(Parked {
                stream_id: row.try_get(0)?,
                tenant_id: row.try_get(1)?,
                position: Position(row.try_get(2)?),
            })
        };
        rows.iter().map(parked).collect()
    }

    /// Says for whom parked streams wait, of which the log has said nothing new meanwhile.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn sort(&self, sorted: &[(Parked, String)]) -> Result<(), Error> {
        let ids: Vec<_> = sorted.iter().map(|(one, _)| one.stream_id).collect();
        let positions: Vec<_> = sorted.iter().map(|(one, _)| one.position.0).collect();
        let waits_for: Vec<_> = sorted.iter().map(|(_, waits_for)| waits_for.as_str()).collect();
        self.execute(SORT, &[&ids, &positions, &waits_for]).await
    }

    /// Brings streams back that are parked and wait for one of `waits_for`, to be looked at now: `limit` at most, of each
    /// tenant its share. Those of the first of `priorities` come first if they are in order, and otherwise any of them. The
    /// lanes in which they are parked have names that end in ` waiting`; those where they belong come second. How many there
    /// were is returned.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn release(
        &self,
        (parked, home): (&[&str], &[&str]),
        waits_for: &[&str],
        (priorities, are_in_order): (&[&str], bool),
        limit: usize,
    ) -> Result<u64, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let release = async |client: &mut Connection| {
            let statement = client.prepare_cached(RELEASE).await?;
            let values: [&(dyn ToSql + Sync); 7] =
                [&self.kind, &parked, &home, &priorities, &limit, &waits_for, &are_in_order];
            Ok::<_, Error>(client.execute(&statement, &values).await?)
        };
        self.pool.within(ASK_MAX, release).await
    }
}
