//! Which partitions are cold, and moving those into files, one by one.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Row;

use super::job::Job;
use super::{ArchiveError, ArchiveRecord};
use crate::postgres::{CONNECT_TIMEOUT, Connection, Database, Held, Unanswered};
use crate::{Position, log, postgres};

/// Readers that are named at most of those that a partition waits for.
const HINDRANCES_MAX: i64 = 20;

/// Advisory lock of whoever archives ("archive" in ASCII).
const ARCHIVE_LOCK: i64 = 0x61_7263_6869_7665;

/// How long to wait for that lock. PostgreSQL may take a moment to see that its holder was killed.
const LOCK_WAIT: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(100);

/// Whoever asks says how long he waits, and what is committed is on the disk. A server that looks after its
/// client frees the lock of one that was killed.
const SESSION: &str = "
    SET statement_timeout = 0;
    SET lock_timeout = 0;
    SET synchronous_commit = on;
    SET client_connection_check_interval = '1s'";

const OWNER: &str = "SELECT pg_get_userbyid(relowner)::text, pg_has_role(relowner, 'MEMBER') \
     FROM pg_class WHERE oid = 'es.events'::regclass";

/// Partitions by their bounds, and tables that are detached and not dropped yet.
const PARTITIONS: &str = r"
    SELECT c.relname::text, b.bounds[1]::bigint, b.bounds[2]::bigint, i.inhdetachpending
      FROM pg_inherits AS i
      JOIN pg_class AS c ON c.oid = i.inhrelid
     CROSS JOIN LATERAL (SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid),
               'FROM \(''(\d+)''\) TO \(''(\d+)''\)')) AS b(bounds)
     WHERE i.inhparent = 'es.events'::regclass AND c.relname ~ '^events_[0-9]+$'
    UNION ALL
    SELECT c.relname::text, a.first_position, a.last_position + 1, NULL
      FROM es.archives AS a
      JOIN pg_class AS c ON c.relname = a.partition AND c.relnamespace = 'es'::regnamespace
     WHERE NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
     ORDER BY 2";

const BEHIND: &str = "SELECT name, version, position FROM es.checkpoints WHERE position < $1 \
     ORDER BY position LIMIT $2";

/// What to archive, and where to.
#[derive(Debug, Clone)]
pub struct ArchiveRequest {
    /// Where each archive gets a folder; made if it is not there. Every process that reads the log
    /// must reach it by this path, which is made absolute. It is for one database alone.
    pub directory: PathBuf,
    /// The number of one partition; none for all that are cold.
    pub partition: Option<i64>,
    /// Readers that the database does not know.
    pub needs: Vec<Need>,
    /// How long PostgreSQL may take to answer each question, of a block of events at most.
    pub answer_max: Duration,
    /// How long it may take to detach a partition: transactions that began before have to end.
    pub detach_max: Duration,
}

/// Somebody who has read the log up to a position.
#[derive(Debug, Clone)]
pub struct Need {
    /// Who, as a sentence begins.
    pub who: String,
    /// The last position that was read.
    pub position: Position,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveProgress {
    /// Events are written to the files.
    Writing {
        /// The last one that is.
        position: Position,
        /// The last one that is to be.
        last: Position,
    },
    /// The files are complete and named, and nobody knows of them yet.
    Written,
    /// The files are compared with the table.
    Verifying {
        /// The last position that is equal.
        position: Position,
        /// The last one that is to be.
        last: Position,
    },
    /// The archive is on record; the partition is detached once transactions that began before end.
    Recorded,
    /// The partition is a table by itself.
    Detached,
    /// The table is gone.
    Archived(Archived),
    /// A partition stays.
    Kept(RemainingPartition),
}

/// A partition that is in files now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The partition's number.
    pub partition: i64,
    /// Its first position.
    pub first: Position,
    /// Its last one.
    pub last: Position,
    /// Where its files are.
    pub folder: PathBuf,
}

/// A partition that is not cold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemainingPartition {
    /// The partition's number.
    pub partition: i64,
    /// Its first position.
    pub first: Position,
    /// Its last one.
    pub last: Position,
    /// Each thing that hinders.
    pub reasons: Vec<String>,
}

/// Why nothing more was archived. No event was lost by it.
#[derive(Debug, thiserror::Error)]
pub enum ArchivingError {
    /// One at a time.
    #[error("somebody else is archiving: wait until that has ended")]
    Busy,
    /// The session may not detach partitions.
    #[error(
        "only {0}, who owns the log's tables, can do this: set HATCH_DATABASE_URL to the one that \
         `hatch migrate` uses"
    )]
    NotOwner(String),
    /// There is no such partition.
    #[error("the database has no partition {0} of the log: it was archived, or is yet to be made")]
    NoPartition(i64),
    /// The partition lacks events.
    #[error("the log lacks position {0}: run `hatch log verify`")]
    Gap(Position),
    /// The files hold something else than the table.
    #[error(
        "{} is not what partition {partition} of the log holds ({what}): move it away, or name \
         another --directory", folder.display()
    )]
    Different {
        /// The folder.
        folder: PathBuf,
        /// The partition's number.
        partition: i64,
        /// The first difference.
        what: String,
    },
    /// The files cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Files that are there cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// There is no connection, or no answer in time.
    #[error("no answer from the log's database: run it again, and it goes on")]
    Unanswered(#[from] Unanswered),
    /// PostgreSQL refused or was lost.
    #[error("the log's database refused or was lost")]
    Postgres(#[from] tokio_postgres::Error),
}

/// A partition, or what is left of one.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) table: String,
    pub(super) number: i64,
    pub(super) first: Position,
    pub(super) last: Position,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Attached,
    /// Detaching it was interrupted.
    Detaching,
    Detached,
}

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
        // Those that wait for positions to come are nobody's question.
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

async fn partitions(client: &Connection) -> Result<Vec<Partition>, tokio_postgres::Error> {
    let rows = client.query(PARTITIONS, &[]).await?;
    rows.iter().map(partition).collect()
}

fn partition(row: &Row) -> Result<Partition, tokio_postgres::Error> {
    let table: String = row.try_get(0)?;
    let (lower, upper): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    // The pattern of the name leaves digits.
    let number = table.trim_start_matches("events_").parse().unwrap_or_default();
    let state = match row.try_get(3)? {
        Some(false) => State::Attached,
        Some(true) => State::Detaching,
        None => State::Detached,
    };
    Ok(Partition { table, number, first: Position(lower.max(1)), last: Position(upper - 1), state })
}

async fn head(client: &Connection) -> Result<Position, tokio_postgres::Error> {
    Ok(Position(client.query_one(log::HEAD, &[]).await?.try_get(0)?))
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
    // Nobody can have read what is yet to come: those who lag are no reason here.
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
