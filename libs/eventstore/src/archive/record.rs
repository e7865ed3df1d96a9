//! The archives that the database has on record.

use std::path::PathBuf;

use tokio_postgres::{GenericClient, Row};

use super::error::ArchiveError;
use super::file::{self, Archive};
use super::format::Sha256;
use crate::Position;

const ALL: &str = "SELECT first_position, last_position, folder, manifest_sha256 \
     FROM es.archives ORDER BY first_position";

/// An archive as the database has it on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveRecord {
    /// The first position in it.
    pub first: Position,
    /// The last one.
    pub last: Position,
    /// The folder of its files.
    pub folder: PathBuf,
    /// Of the manifest.
    pub(super) sha256: Sha256,
}

impl ArchiveRecord {
    /// Every archive, oldest first.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn all(client: &impl GenericClient) -> Result<Vec<Self>, tokio_postgres::Error> {
        client.query(ALL, &[]).await?.iter().map(Self::read).collect()
    }

    /// The first of its files that this machine does not have, if one is missing. Waits for the
    /// disk.
    #[must_use]
    pub fn missing_file(&self) -> Option<PathBuf> {
        file::missing(&self.folder)
    }

    pub(super) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            first: Position(row.try_get(0)?),
            last: Position(row.try_get(1)?),
            folder: PathBuf::from(row.try_get::<_, String>(2)?),
            // The table checks the length.
            sha256: Sha256(row.try_get::<_, &[u8]>(3)?.try_into().unwrap_or_default()),
        })
    }

    pub(super) async fn open(&self) -> Result<Archive, ArchiveError> {
        let (folder, sha256) = (self.folder.clone(), self.sha256);
        blocking(move || Archive::open(folder, Some(sha256))).await
    }
}

/// Runs what waits for the disk beside the runtime.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("reading and writing files does not panic")
}
