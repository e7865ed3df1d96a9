//! Cold partitions of the log as compressed files, which readers see as they see the tables.
//!
//! [`archive`] moves a partition, oldest first. A row of `es.archives` is committed before the
//! partition is detached: whoever misses events in the tables finds them here, at any moment.

mod error;
mod file;
mod format;
mod job;
mod make;
mod partition;
mod record;
mod request;
mod verified;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use uuid::Uuid;

use crate::rows::{LogError, STREAM_EVENTS_MAX, unavailable};
use crate::{Connection, Position, RecordedEvent};
use file::Archive;
use record::blocking;

pub use error::ArchiveError;
pub use make::archive;
pub use record::ArchiveRecord;
pub use request::{
    ArchiveProgress, ArchiveRequest, Archived, ArchivingError, Need, RemainingPartition,
};
pub(crate) use verified::load;

const HOLDING: &str = "SELECT first_position, last_position, folder, manifest_sha256 \
     FROM es.archives WHERE first_position <= $1 ORDER BY first_position DESC LIMIT 1";

/// The streams that may have events in archives.
const STREAMS: &str = "SELECT stream_id FROM es.streams \
     WHERE stream_id = ANY($1) AND tenant_id = ANY($2) AND EXISTS (SELECT FROM es.archives)";

/// Reads archives; cheap to clone. Keeps the manifests of those that were needed.
#[derive(Clone, Default)]
pub(crate) struct Archives {
    /// By their first positions.
    known: Arc<Mutex<BTreeMap<Position, Arc<Archive>>>>,
}

impl Archives {
    /// The page after `after`, if it is known to be archived: nothing is asked of the database.
    pub(crate) async fn known_page(
        &self,
        after: Position,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Option<Vec<RecordedEvent>>, LogError> {
        match self.known(after.next()) {
            None => Ok(None),
            Some(archive) => self
                .read(&archive, move |archive| archive.page(after, limit, bytes_max))
                .await
                .map(Some),
        }
    }

    /// The page after `after`, if it is archived.
    pub(crate) async fn page(
        &self,
        client: &Connection,
        after: Position,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Option<Vec<RecordedEvent>>, LogError> {
        match self.holding(client, after.next()).await? {
            None => Ok(None),
            Some(_) => self.known_page(after, limit, bytes_max).await,
        }
    }

    /// Adds what the tables lack of `positions` to what they had, in order.
    pub(crate) async fn complete_positions(
        &self,
        client: &Connection,
        positions: &[Position],
        mut events: Vec<RecordedEvent>,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let there: HashSet<Position> = events.iter().map(|event| event.position).collect();
        let mut missing: Vec<Position> =
            positions.iter().copied().filter(|position| !there.contains(position)).collect();
        missing.sort_unstable();
        missing.dedup();
        while let Some(last) = missing.last() {
            let Some(archive) = self.holding(client, *last).await? else {
                // Archives are the oldest of the log: what is between is not there.
                missing.pop();
                continue;
            };
            let of_it = missing.partition_point(|position| *position < archive.manifest.first);
            let of_it = missing.split_off(of_it);
            events.extend(self.read(&archive, move |archive| archive.at(&of_it)).await?);
        }
        events.sort_unstable_by_key(|event| event.position);
        Ok(events)
    }

    /// Adds what the tables lack of the `streams` of `tenants` to what they had, by stream and
    /// version.
    pub(crate) async fn complete_streams(
        &self,
        client: &Connection,
        streams: &[Uuid],
        tenants: &[Uuid],
        mut events: Vec<RecordedEvent>,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let begun: HashSet<Uuid> =
            events.iter().filter(|event| event.version == 1).map(|event| event.stream_id).collect();
        let missing: Vec<Uuid> = streams.iter().copied().filter(|id| !begun.contains(id)).collect();
        if missing.is_empty() {
            return Ok(events);
        }
        // Most of them do not exist yet.
        let statement = client.prepare_cached(STREAMS).await.map_err(unavailable)?;
        let rows = client.query(&statement, &[&missing, &tenants]).await.map_err(unavailable)?;
        let missing: Result<Arc<[Uuid]>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        let missing = missing.map_err(LogError::Malformed)?;
        if missing.is_empty() {
            return Ok(events);
        }
        for archive in self.all(client).await? {
            let missing = Arc::clone(&missing);
            events.extend(self.read(&archive, move |archive| of_streams(archive, &missing)).await?);
        }
        events.retain(|event| tenants.contains(&event.tenant_id));
        events.sort_unstable_by_key(|event| (event.stream_id, event.version, event.position));
        // A partition that is not detached yet is in both.
        events.dedup_by_key(|event| event.position);
        Ok(events)
    }

    async fn holding(
        &self,
        client: &Connection,
        position: Position,
    ) -> Result<Option<Arc<Archive>>, LogError> {
        if let Some(known) = self.known(position) {
            return Ok(Some(known));
        }
        let statement = client.prepare_cached(HOLDING).await.map_err(unavailable)?;
        let row = client.query_opt(&statement, &[&position.0]).await.map_err(unavailable)?;
        let record = row.map(|row| ArchiveRecord::read(&row)).transpose();
        match record.map_err(LogError::Malformed)? {
            Some(record) if position <= record.last => Ok(Some(self.open(&record).await?)),
            _ => Ok(None),
        }
    }

    async fn all(&self, client: &Connection) -> Result<Vec<Arc<Archive>>, LogError> {
        let mut archives = Vec::new();
        for record in ArchiveRecord::all(&**client).await.map_err(unavailable)? {
            archives.push(match self.known(record.first) {
                Some(archive) => archive,
                None => self.open(&record).await?,
            });
        }
        Ok(archives)
    }

    async fn open(&self, record: &ArchiveRecord) -> Result<Arc<Archive>, ArchiveError> {
        let archive = Arc::new(record.open().await?);
        self.lock().insert(record.first, Arc::clone(&archive));
        Ok(archive)
    }

    /// After an error the next reader looks the archive up again, because its folder may have been moved.
    async fn read<T: Send + 'static>(
        &self,
        archive: &Arc<Archive>,
        read: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, LogError> {
        let shared = Arc::clone(archive);
        let result = blocking(move || read(&shared)).await;
        if result.is_err() {
            self.lock().remove(&archive.manifest.first);
        }
        Ok(result?)
    }

    fn known(&self, position: Position) -> Option<Arc<Archive>> {
        let known = self.lock();
        let (_, archive) = known.range(..=position).next_back()?;
        archive.holds(position).then(|| Arc::clone(archive))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Position, Arc<Archive>>> {
        self.known.lock().expect("nothing panics while it holds the archives")
    }
}

fn of_streams(archive: &Archive, streams: &[Uuid]) -> Result<Vec<RecordedEvent>, ArchiveError> {
    let mut positions = Vec::new();
    for stream_id in streams {
        positions.extend(archive.stream(*stream_id, STREAM_EVENTS_MAX + 1)?);
    }
    positions.sort_unstable();
    archive.at(&positions)
}
