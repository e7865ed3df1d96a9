//! The request to archive partitions, its progress and its errors.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::error::ArchiveError;
use crate::{Position, Unanswered};

/// The partitions to archive, and the directory.
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
    /// The reader's name, as the beginning of a sentence.
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
