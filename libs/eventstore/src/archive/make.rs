//! Which partitions are cold, and moving those into files, one by one.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::job::Job;
use super::partition::{Partition, partitions};
use super::record::ArchiveRecord;
use super::request::{
    ArchiveProgress, ArchiveRequest, Archived, ArchivingError, Need, RemainingPartition,
};
use crate::locks::ARCHIVE_LOCK;
use crate::postgres::{CONNECT_TIMEOUT, Connection, Database, Held};
use crate::{Position, postgres, rows};

/// Readers that are named at most of those that a partition waits for.
const HINDRANCES_MAX: i64 = 20;

/// How long to wait for that lock. PostgreSQL may take a moment to see that its holder was killed.
const LOCK_WAIT: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(100);

/// No timeout of the server: each call has a limit of its own. A commit is on the disk. The server checks its client,
/// so that it frees the lock of a process that was killed.
const SESSION: &str = "
    SET statement_timeout = 0;
    SET lock_timeout = 0;
    SET synchronous_commit = on;
    SET client_connection_check_interval = '1s'";

const OWNER: &str = "SELECT pg_get_userbyid(relowner)::text, pg_has_role(relowner, 'MEMBER') \
     FROM pg_class WHERE oid = 'es.events'::regclass";

/// One that has a later version counts no more. A projector of an earlier build that runs while its tables are made anew
/// begins its own version again, and leaves it where it was stopped.
const BEHIND: &str = "SELECT name, version, position FROM es.checkpoints AS c WHERE position < $1 \
     AND NOT EXISTS (SELECT FROM es.checkpoints AS later WHERE later.name = c.name AND later.version > c.version) \
     ORDER BY position LIMIT $2";

/// Moves every cold partition, or the one that is asked for, into files; the oldest first, beside
/// appends and readers. Tells `on_progress` of every step.
///
/// A partition is cold when the head is beyond it and everybody in `es.checkpoints` and
/// [`ArchiveRequest::needs`] has read it. `postgres` is to log in as the owner of the tables. Killed at
/// any moment, it leaves a log that readers find whole; the next run finishes.
///
/// # Errors
/// [`ArchivingError`]. A partition that is not cold is none: it is [`ArchiveProgress::Kept`].
pub async fn archive(
    postgres: &Database,
    request: &ArchiveRequest,
    mut on_progress: impl FnMut(ArchiveProgress),
) -> Result<(), ArchivingError> {
    let mut session = session(postgres, request.answer_max).await?;
    let directory = std::path::absolute(&request.directory)
        .map_err(|source| ArchivingError::Write { path: request.directory.clone(), source })?;
    let look = async |client: &mut Connection| {
        Ok::<_, ArchivingError>((partitions(client).await?, head(client).await?))
    };
    let (partitions, head) = session.within(request.answer_max, look).await?;
    if let Some(asked) = request.partition
        && !partitions.iter().any(|partition| partition.number == asked)
    {
        return Err(ArchivingError::NoPartition(asked));
    }
    let mut older = None;
    for partition in partitions {
        let asked = request.partition.is_none_or(|number| number == partition.number);
        let look = async |client: &mut Connection| {
            let recorded = recorded(client, &partition).await?;
            let reasons = match recorded {
                Some(_) => Vec::new(),
                None => hindrances(client, &partition, head, &request.needs).await?,
            };
            Ok::<_, ArchivingError>((recorded, reasons))
        };
        let (recorded, mut reasons) = session.within(request.answer_max, look).await?;
        if let (None, Some(older)) = (&recorded, older) {
            reasons.push(format!("partition {older} is older and not archived"));
        }
        let Partition { number, first, last, .. } = partition;
        if asked && reasons.is_empty() {
            let mut job = Job {
                session: &mut session,
                request,
                directory: &directory,
                partition: &partition,
            };
            let folder = job.run(recorded, &mut on_progress).await?;
            on_progress(ArchiveProgress::Archived(Archived {
                partition: number,
                first,
                last,
                folder,
            }));
            continue;
        }
        older.get_or_insert(number);
        // Partitions for positions to come are not reported, unless one was asked for by its number.
        if asked && (request.partition.is_some() || first <= head) {
            on_progress(ArchiveProgress::Kept(RemainingPartition {
                partition: number,
                first,
                last,
                reasons,
            }));
        }
    }
    Ok(())
}

/// A connection of one's own that may detach partitions, and that nobody else has at the same time.
async fn session(postgres: &Database, answer_max: Duration) -> Result<Held, ArchivingError> {
    let mut postgres = postgres.clone();
    postgres.application_name("hatch-archive");
    let mut session = postgres::pool(&postgres, 1, CONNECT_TIMEOUT).own(answer_max).await?;
    let become_owner = async |client: &mut Connection| {
        client.batch_execute(SESSION).await?;
        let row = client.query_one(OWNER, &[]).await?;
        let (owner, member): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
        if !member {
            return Err(ArchivingError::NotOwner(owner));
        }
        let set_role =
            client.query_one("SELECT format('SET ROLE %I', $1::text)", &[&owner]).await?;
        Ok(client.batch_execute(set_role.try_get(0)?).await?)
    };
    session.within(answer_max, become_owner).await?;
    let deadline = Instant::now() + LOCK_WAIT;
    let lock = async |client: &mut Connection| {
        let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&ARCHIVE_LOCK]).await?;
        Ok::<bool, ArchivingError>(row.try_get(0)?)
    };
    while !session.within(answer_max, lock).await? {
        if Instant::now() >= deadline {
            return Err(ArchivingError::Busy);
        }
        sleep(LOCK_POLL).await;
    }
    Ok(session)
}

async fn head(client: &Connection) -> Result<Position, tokio_postgres::Error> {
    Ok(Position(client.query_one(rows::HEAD, &[]).await?.try_get(0)?))
}

async fn recorded(
    client: &Connection,
    partition: &Partition,
) -> Result<Option<ArchiveRecord>, tokio_postgres::Error> {
    let records = ArchiveRecord::all(&**client).await?;
    Ok(records.into_iter().find(|record| record.first == partition.first))
}

/// Why `partition` is not cold.
async fn hindrances(
    client: &Connection,
    partition: &Partition,
    head: Position,
    needs: &[Need],
) -> Result<Vec<String>, tokio_postgres::Error> {
    let Partition { first, last, .. } = partition;
    // No reader can have read positions to come, so readers that lag are no reason here.
    if head < *first {
        return Ok(vec![format!("it is for positions to come: the log ends at {head}")]);
    }
    if head <= *last {
        return Ok(vec![format!("it holds the log's head, position {head}")]);
    }
    let mut reasons = Vec::new();
    for row in client.query(BEHIND, &[&last.0, &HINDRANCES_MAX]).await? {
        let (name, version, at): (&str, i32, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        reasons.push(format!("{name} version {version} has come to position {at} only"));
    }
    for Need { who, position } in needs.iter().filter(|need| need.position < *last) {
        reasons.push(format!("{who} has come to position {position} only"));
    }
    Ok(reasons)
}
