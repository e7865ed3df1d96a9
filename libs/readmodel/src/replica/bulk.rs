//! Replaying much of the log at once.
//!
//! The log is read ahead and cut into stretches. What belongs to one stream only is folded and written
//! by several connections side by side, each with streams of its own; what several streams have a say
//! in follows stretch by stretch, in the order of the log, on one more connection, while the next
//! stretch is under way.

use std::sync::Arc;
use std::time::Duration;

use hatch_eventstore::{
    Connection, Connections, Held, Log, LogError, PAGE_EVENTS_MAX, Position, RecordedEvent,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Progress, STRETCH_MAX, session};
use crate::projection::{Projection, Rows, Tables, Target};
use crate::{Error, MaintenanceError};

/// Events of a stretch, at most. A message whose whole life is in one is written once.
const STRETCH_EVENTS_MAX: usize = 4 * PAGE_EVENTS_MAX;

/// Bytes of their payloads at which a stretch ends, too: a log of mails with files has large ones. A page may go
/// beyond it.
const STRETCH_BYTES_MAX: usize = 64 << 20;

/// Stretches that are read ahead.
const STRETCHES_AHEAD: usize = 1;

/// Connections for what belongs to one stream: at least, and at most.
const LANES: (usize, usize) = (2, 8);

/// How often a page of the log is asked for while PostgreSQL does not answer in time.
const READS_MAX: usize = 10;
const READ_PAUSE: Duration = Duration::from_secs(1);

type Stretch = Vec<Arc<RecordedEvent>>;

/// Replays into one copy.
pub(crate) struct Bulk {
    projection: Projection,
    tables: Tables,
    log: Log,
    lanes: Vec<Held>,
    /// At most one stretch at a time is written here. Ends with the connection.
    shared: JoinSet<Result<Held, Error>>,
}

impl Bulk {
    pub(crate) async fn start(
        connections: &Connections,
        log: &Log,
        projection: Projection,
        tables: Tables,
    ) -> Result<Self, MaintenanceError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut lanes = Vec::new();
        for _ in 0..cores.clamp(LANES.0, LANES.1) {
            lanes.push(session(connections).await?);
        }
        let client = session(connections).await?;
        let mut shared = JoinSet::new();
        shared.spawn(std::future::ready(Ok(client)));
        Ok(Self { projection, tables, log: log.clone(), lanes, shared })
    }

    /// Replays the events after `after`, up to and with `target`.
    pub(crate) async fn replay(
        &mut self,
        after: Position,
        target: Position,
        on_progress: &mut impl FnMut(Progress),
    ) -> Result<(), Error> {
        let (sender, mut stretches) = mpsc::channel(STRETCHES_AHEAD);
        let mut reading = JoinSet::new();
        reading.spawn(read_ahead(self.log.clone(), after, target, sender));
        let mut position = after;
        while let Some(stretch) = stretches.recv().await {
            let stretch = stretch?;
            position = stretch.last().map_or(position, |event| event.position);
            let halves = self.replay_streams(stretch).await?;
            self.replay_shared(halves).await?;
            on_progress(Progress::Replaying { position, target });
        }
        let client = self.written().await?;
        self.shared.spawn(std::future::ready(Ok(client)));
        Ok(())
    }

    async fn replay_streams(&mut self, stretch: Stretch) -> Result<Vec<Rows>, Error> {
        let mut parts = vec![Vec::new(); self.lanes.len()];
        for event in stretch {
            let lane = lane(&event, parts.len());
            parts[lane].push(event);
        }
        let (projection, tables) = (self.projection, self.tables);
        let mut writing = JoinSet::new();
        for (mut held, part) in self.lanes.drain(..).zip(parts) {
            writing.spawn(async move {
                let write = async |client: &mut Connection| {
                    let transaction = client.transaction().await?;
                    let target = Target { tables, transaction: &transaction };
                    let rows = projection.replay_streams(target, &part).await?;
                    transaction.commit().await?;
                    Ok::<_, Error>(rows)
                };
                let rows = held.within(STRETCH_MAX, write).await?;
                Ok::<_, Error>((held, rows))
            });
        }
        let mut halves = Vec::new();
        while let Some(written) = writing.join_next().await {
            let (client, rows) = written.expect("writing rows does not panic")?;
            self.lanes.push(client);
            halves.push(rows);
        }
        Ok(halves)
    }

    /// Begins to write once the stretch before is written.
    async fn replay_shared(&mut self, halves: Vec<Rows>) -> Result<(), Error> {
        let mut held = self.written().await?;
        let (projection, tables) = (self.projection, self.tables);
        self.shared.spawn(async move {
            let write = async |client: &mut Connection| {
                let transaction = client.transaction().await?;
                let target = Target { tables, transaction: &transaction };
                projection.replay_shared(target, halves).await?;
                transaction.commit().await?;
                Ok::<_, Error>(())
            };
            held.within(STRETCH_MAX, write).await?;
            Ok(held)
        });
        Ok(())
    }

    async fn written(&mut self) -> Result<Held, Error> {
        let written = self.shared.join_next().await.expect("it is there between two stretches");
        written.expect("writing rows does not panic")
    }
}

/// Which of `lanes` has the event's stream.
fn lane(event: &RecordedEvent, lanes: usize) -> usize {
    // The last bytes of an id are random, whatever its version.
    let [.., last] = event.stream_id.into_bytes();
    usize::from(last) % lanes
}

/// Sends the events after `after`, up to and with `target`, in stretches.
async fn read_ahead(
    log: Log,
    mut after: Position,
    target: Position,
    stretches: mpsc::Sender<Result<Stretch, LogError>>,
) {
    while after < target {
        let stretch = read_stretch(&log, after, target).await;
        let last = stretch.as_ref().ok().and_then(|stretch| stretch.last());
        let end = last.map_or(target, |event| event.position);
        if stretches.send(stretch).await.is_err() {
            return;
        }
        after = end;
    }
}

async fn read_stretch(
    log: &Log,
    mut after: Position,
    target: Position,
) -> Result<Stretch, LogError> {
    let (mut stretch, mut bytes) = (Vec::new(), 0);
    while after < target && stretch.len() < STRETCH_EVENTS_MAX && bytes < STRETCH_BYTES_MAX {
        let page = read_page(log, after, target).await?;
        bytes += page.iter().map(|event| event.payload.get().len()).sum::<usize>();
        after = page.last().map_or(target, |event| event.position);
        stretch.extend(page.into_iter().map(Arc::new));
    }
    Ok(stretch)
}

/// The next page after `after`, at most up to `target`, which the log has reached.
pub(super) async fn read_page(
    log: &Log,
    after: Position,
    target: Position,
) -> Result<Vec<RecordedEvent>, LogError> {
    let events = usize::try_from(target.0 - after.0).unwrap_or(PAGE_EVENTS_MAX);
    let mut reads = 1;
    loop {
        match log.read_page(after, events).await {
            Ok(page) if page.is_empty() => {
                return Err(LogError::Regressed { seen: target, head: log.head().await? });
            }
            // A file of the archives that is not there is named at once, to whoever can bring it.
            Err(LogError::Unavailable(_)) if reads < READS_MAX => {
                reads += 1;
                sleep(READ_PAUSE).await;
            }
            read => return read,
        }
    }
}
