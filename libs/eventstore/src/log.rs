//! Reading the log.
//!
//! Positions are gapless and commit in order, so a page needs no care about transactions that are
//! still under way: what follows a position is there or is not there yet. Every read checks that,
//! and an error names the first place where it does not hold.
//!
//! The tables are asked first, and the archives for what they lack: an archive is on record before
//! its partition leaves the tables, so in this order nothing is missed while that happens.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::append::CommandKey;
use crate::archive::Archives;
use crate::rows::{
    HEAD, LogError, READ_TIMEOUT, RecordedCommand, STREAM_EVENTS_MAX, read, select_events,
    unavailable,
};
use crate::streams::StreamReader;
use crate::{Connection, Connections, Position, RecordedEvent};

/// Events of a page at most.
pub const PAGE_EVENTS_MAX: usize = 5_000;

/// Bytes of payload after which a page ends early.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

const PAGE: &str = select_events!("WHERE position > $1 ORDER BY position LIMIT $2");
const AT: &str = select_events!("WHERE position = $1");
const POSITIONS: &str = select_events!("WHERE position = ANY($1) ORDER BY position");
const RECORDED_AT: &str = "SELECT recorded_at FROM es.events WHERE position = $1";
/// By their bounds, which say what a partition is for.
const PARTITIONS_AHEAD: &str = "SELECT count(*) FROM pg_inherits AS i \
     JOIN pg_class AS c ON c.oid = i.inhrelid \
     WHERE i.inhparent = 'es.events'::regclass \
       AND (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\(''(\\d+)''\\)'))[1]::bigint \
           > (SELECT coalesce(max(position), 0) + 1 FROM es.events)";
const TENANTS: &str = "SELECT stream_id, tenant_id FROM es.streams WHERE stream_id = ANY($1)";
const COMMAND: &str = "SELECT request_hash, first_position, last_position FROM es.commands \
     WHERE command_key = $1";
const COMMANDS: &str = "SELECT request_hash, first_position, last_position FROM es.commands \
     WHERE command_key = ANY($1)";

/// Reads the log through a pool of connections; cheap to clone.
#[derive(Clone)]
pub struct Log {
    connections: Connections,
    archives: Archives,
    streams: StreamReader,
}

impl Log {
    /// Reads through `connections`; make them with [`pool`](crate::pool).
    #[must_use]
    pub fn new(connections: Connections) -> Self {
        let archives = Archives::default();
        let streams = StreamReader::new(connections.clone(), archives.clone());
        Self { streams, archives, connections }
    }

    /// The last position; [`Position::START`] when the log is empty.
    ///
    /// # Errors
    /// [`LogError::Unavailable`].
    pub async fn head(&self) -> Result<Position, LogError> {
        self.ask(async |client| head(client).await).await
    }

    /// The events after `after`, in order and without a gap, at most `limit` (and at most
    /// [`PAGE_EVENTS_MAX`]). A page also ends after [`PAGE_BYTES_MAX`], so only an empty one means
    /// that there is nothing more.
    ///
    /// # Errors
    /// [`LogError::Gap`] when positions are missing, [`LogError::Regressed`] when `after` lies
    /// beyond the log's head, and what every read can fail of.
    pub async fn read_page(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        self.read_page_within(after, limit, PAGE_BYTES_MAX).await
    }

    /// As [`read_page`](Self::read_page), of a page that ends after `bytes_max`.
    pub(crate) async fn read_page_within(
        &self,
        after: Position,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let events_max = limit.min(PAGE_EVENTS_MAX);
        let limit = i64::try_from(events_max).unwrap_or(i64::MAX);
        let archives = &self.archives;
        let known = archives.known_page(after, events_max, bytes_max);
        if let Some(page) = in_time(known).await? {
            check_positions(after, &page)?;
            return Ok(page);
        }
        self.ask(async |client| {
            let mut page = read(client, PAGE, &[&after.0, &limit], bytes_max).await?;
            // The newest events are never archived: an empty page is not for want of one.
            if page.first().is_some_and(|event| event.position != after.next()) {
                let archived = archives.page(client, after, events_max, bytes_max).await?;
                page = archived.unwrap_or(page);
            }
            check_positions(after, &page)?;
            if page.is_empty() && after > Position::START {
                let head = head(client).await?;
                if head < after {
                    return Err(LogError::Regressed { seen: after, head });
                }
            }
            Ok(page)
        })
        .await
    }

    /// All events of a stream, in order; none when it does not exist or is another tenant's.
    ///
    /// # Errors
    /// [`LogError::StreamGap`], [`LogError::StreamTooLong`], and what every read can fail of.
    pub async fn read_stream(
        &self,
        tenant_id: Uuid,
        stream_id: Uuid,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        in_time(async {
            let events = self.streams.read(tenant_id, stream_id).await?;
            if events.len() > STREAM_EVENTS_MAX {
                return Err(LogError::StreamTooLong(stream_id));
            }
            check_versions(stream_id, &events)?;
            Ok(events)
        })
        .await
    }

    /// As [`read_stream`](Self::read_stream), of a stream of `kind`, such as `message`; none when the stream is of
    /// another kind.
    ///
    /// # Errors
    /// As [`read_stream`](Self::read_stream).
    pub async fn read_stream_of(
        &self,
        kind: &str,
        tenant_id: Uuid,
        stream_id: Uuid,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let events = self.read_stream(tenant_id, stream_id).await?;
        let is_other = events.first().is_some_and(|first| first.aggregate != kind);
        Ok(if is_other { Vec::new() } else { events })
    }

    /// Whose those of `streams` are that exist: each with its tenant. For who has to find out the tenant; whoever knows
    /// it asks for the stream.
    ///
    /// # Errors
    /// [`LogError::Unavailable`].
    pub async fn tenants_of(&self, streams: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>, LogError> {
        self.ask(async |client| {
            let statement = client.prepare_cached(TENANTS).await.map_err(unavailable)?;
            let rows = client.query(&statement, &[&streams]).await.map_err(unavailable)?;
            let pair = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
            rows.iter().map(pair).collect::<Result<_, tokio_postgres::Error>>().map_err(unavailable)
        })
        .await
    }

    /// The event at `position`, if the log reaches that far.
    ///
    /// # Errors
    /// What every read can fail of.
    pub async fn read_at(&self, position: Position) -> Result<Option<RecordedEvent>, LogError> {
        self.ask(async |client| {
            let event = read(client, AT, &[&position.0], usize::MAX).await?;
            Ok(self.archives.complete_positions(client, &[position], event).await?.pop())
        })
        .await
    }

    /// The events at `positions`, in order; those that the log has of them.
    ///
    /// # Errors
    /// What every read can fail of.
    pub async fn read_positions(
        &self,
        positions: &[Position],
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let numbers: Vec<i64> = positions.iter().map(|position| position.0).collect();
        self.ask(async |client| {
            let events = read(client, POSITIONS, &[&numbers], usize::MAX).await?;
            self.archives.complete_positions(client, positions, events).await
        })
        .await
    }

    /// The last position that was recorded at `time` or before; [`Position::START`] when none was.
    /// Times grow with positions, so a few dozen looks find it in any log.
    ///
    /// # Errors
    /// What every read can fail of.
    pub async fn position_at(&self, time: DateTime<Utc>) -> Result<Position, LogError> {
        self.ask(async |client| {
            let statement = client.prepare_cached(RECORDED_AT).await.map_err(unavailable)?;
            // What was recorded by then is up to `low`; what was not is from `high` on.
            let (mut low, mut high) = (Position::START.0, head(client).await?.0 + 1);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                let row = client.query_opt(&statement, &[&middle]).await.map_err(unavailable)?;
                let recorded_at = match row {
                    Some(row) => Some(row.try_get(0).map_err(LogError::Malformed)?),
                    None => self.archived_at(client, Position(middle)).await?,
                };
                // A hole is for those to report who read what is around it.
                if recorded_at.is_none_or(|at| at <= time) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            Ok(Position(low))
        })
        .await
    }

    /// How many partitions wait for the positions to come, beside the one that is being filled. Appends
    /// stop when the last is full.
    ///
    /// # Errors
    /// [`LogError::Unavailable`].
    pub async fn partitions_ahead(&self) -> Result<i64, LogError> {
        self.ask(async |client| {
            let statement = client.prepare_cached(PARTITIONS_AHEAD).await.map_err(unavailable)?;
            let row = client.query_one(&statement, &[]).await.map_err(unavailable)?;
            row.try_get(0).map_err(unavailable)
        })
        .await
    }

    /// The command that a client's key was used for, if it was used.
    ///
    /// # Errors
    /// What every read can fail of.
    pub async fn command(&self, key: Uuid) -> Result<Option<RecordedCommand>, LogError> {
        self.ask(async |client| {
            let statement = client.prepare_cached(COMMAND).await.map_err(unavailable)?;
            let row = client.query_opt(&statement, &[&key]).await.map_err(unavailable)?;
            row.map(|row| command(&row)).transpose()
        })
        .await
    }

    /// The commands for which some of `keys` were used before.
    ///
    /// # Errors
    /// What every read can fail of.
    pub async fn commands(&self, keys: &[CommandKey]) -> Result<Vec<RecordedCommand>, LogError> {
        let ids: Vec<Uuid> = keys.iter().map(|key| key.id).collect();
        self.ask(async |client| {
            let statement = client.prepare_cached(COMMANDS).await.map_err(unavailable)?;
            let rows = client.query(&statement, &[&ids]).await.map_err(unavailable)?;
            rows.iter().map(command).collect()
        })
        .await
    }

    async fn archived_at(
        &self,
        client: &Connection,
        position: Position,
    ) -> Result<Option<DateTime<Utc>>, LogError> {
        let event = self.archives.complete_positions(client, &[position], Vec::new()).await?.pop();
        Ok(event.map(|event| event.recorded_at))
    }

    pub(crate) async fn ask<T>(
        &self,
        read: impl AsyncFnOnce(&mut Connection) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        self.connections.within(READ_TIMEOUT, read).await
    }
}

/// Reads that need no connection have the same limit.
async fn in_time<T>(read: impl Future<Output = Result<T, LogError>>) -> Result<T, LogError> {
    match tokio::time::timeout(READ_TIMEOUT, read).await {
        Ok(result) => result,
        Err(elapsed) => Err(LogError::Unavailable(Some(Box::new(elapsed)))),
    }
}

pub(crate) async fn head(client: &Connection) -> Result<Position, LogError> {
    let statement = client.prepare_cached(HEAD).await.map_err(unavailable)?;
    let row = client.query_one(&statement, &[]).await.map_err(unavailable)?;
    Ok(Position(row.get(0)))
}

fn check_positions(after: Position, page: &[RecordedEvent]) -> Result<(), LogError> {
    let mut expected = after;
    for event in page {
        expected = expected.next();
        if event.position != expected {
            return Err(LogError::Gap { expected, found: event.position });
        }
    }
    Ok(())
}

fn check_versions(stream_id: Uuid, events: &[RecordedEvent]) -> Result<(), LogError> {
    for (expected, event) in (1..).zip(events) {
        if event.version != expected {
            return Err(LogError::StreamGap { stream_id, expected, found: event.version });
        }
    }
    Ok(())
}

fn command(row: &Row) -> Result<RecordedCommand, LogError> {
    RecordedCommand::read(row, 0).map_err(LogError::Malformed)
}
