//! Archives as a check of the whole log sees them.

use std::sync::Arc;

use deadpool_postgres::Transaction;

use super::error::ArchiveError;
use super::record::{ArchiveRecord, blocking};
use crate::{Position, RecordedEvent};

/// What the log's promises are about, in a table that is gone with the transaction.
const TABLE: &str = "CREATE TEMPORARY TABLE archived (position bigint PRIMARY KEY, stream_id uuid, \
     version bigint, tenant_id uuid, event_id uuid, epoch int, aggregate text, type text, \
     schema_version smallint) ON COMMIT DROP";
const INSERT: &str = "INSERT INTO archived SELECT * FROM unnest($1::bigint[], $2::uuid[], \
     $3::bigint[], $4::uuid[], $5::uuid[], $6::int[], $7::text[], $8::text[], $9::smallint[])";

/// What was loaded.
pub(crate) struct Loaded {
    /// The last archived position.
    pub(crate) last: Position,
    /// What is wrong with the files.
    pub(crate) damages: Vec<ArchiveError>,
}

/// Checks all that the archives hold and brings it into the table `archived` of `transaction`; none
/// when there is no archive. Tells `progress` each position that it has come to.
///
/// # Errors
/// PostgreSQL's; what is wrong with files is no error.
pub(crate) async fn load(
    transaction: &Transaction<'_>,
    mut progress: impl FnMut(Position),
) -> Result<Option<Loaded>, tokio_postgres::Error> {
    let records = ArchiveRecord::all(&**transaction).await?;
    let Some(last) = records.last().map(|record| record.last) else { return Ok(None) };
    transaction.batch_execute(TABLE).await?;
    let mut damages = Vec::new();
    for record in records {
        if let Err(damage) = load_one(transaction, &record, &mut progress).await? {
            damages.push(damage);
        }
    }
    Ok(Some(Loaded { last, damages }))
}

async fn load_one(
    transaction: &Transaction<'_>,
    record: &ArchiveRecord,
    progress: &mut impl FnMut(Position),
) -> Result<Result<(), ArchiveError>, tokio_postgres::Error> {
    let archive = match record.open().await {
        Ok(archive) => Arc::new(archive),
        Err(error) => return Ok(Err(error)),
    };
    let checked = Arc::clone(&archive);
    if let Err(error) = blocking(move || checked.check_files()).await {
        return Ok(Err(error));
    }
    for number in 0..archive.manifest.events.blocks.len() {
        let read = Arc::clone(&archive);
        let events = match blocking(move || read.events(number, |_| true)).await {
            Ok(events) => events,
            Err(error) => return Ok(Err(error)),
        };
        insert(transaction, &events).await?;
        if let Some(last) = events.last() {
            progress(last.position);
        }
    }
    Ok(Ok(()))
}

async fn insert(
    transaction: &Transaction<'_>,
    events: &[RecordedEvent],
) -> Result<(), tokio_postgres::Error> {
    fn column<T>(events: &[RecordedEvent], of: impl Fn(&RecordedEvent) -> T) -> Vec<T> {
        events.iter().map(of).collect()
    }
    let statement = transaction.prepare_cached(INSERT).await?;
    transaction
        .execute(
            &statement,
            &[
                &column(events, |event| event.position.0),
                &column(events, |event| event.stream_id),
                &column(events, |event| event.version),
                &column(events, |event| event.tenant_id),
                &column(events, |event| event.event_id),
                &column(events, |event| event.epoch),
                &column(events, |event| event.aggregate.clone()),
                &column(events, |event| event.event_type.clone()),
                &column(events, |event| event.schema_version),
            ],
        )
        .await?;
    Ok(())
}
