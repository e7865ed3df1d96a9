//! Replaying much of the log at once.
//!
//! The log is read ahead and cut into stretches. Of a projection that can be replayed in parallel, what belongs
//! to one stream only is folded and written by several connections side by side, each with streams of its own;
//! what several streams have a say in follows stretch by stretch, in the order of the log, on one more
//! connection, while the next stretch is under way. Any other projection writes all of a stretch there.

use std::sync::Arc;

use hatch_eventstore::{Connection, Connections, Held, Log, Position, RecordedEvent};
use tokio::task::JoinSet;

use super::definition::{Definition, Half, Parallel, WriteContext};
use super::session::{STRETCH_MAX, session};
use super::stretch::{Stretch, Stretches};
use super::tables::Tables;
use crate::{Error, MaintenanceError};

/// Connections for what belongs to one stream: at least, and at most.
const LANES: (usize, usize) = (2, 8);

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildProgress {
    /// Events are applied.
    Replaying {
        /// The last one that is.
        position: Position,
        /// The last one that is to be.
        target: Position,
    },
    /// Indexes are built.
    Indexing,
    /// The copy takes over as soon as nobody reads for a moment.
    TakingOver,
    /// The copy is compared with the live tables.
    Comparing,
}

/// Replays into one copy.
pub(super) struct Bulk {
    definition: &'static Definition,
    tables: Tables,
    log: Log,
    /// None where nothing is replayed in parallel.
    lanes: Vec<Held>,
    /// At most one stretch at a time is written here. Ends with the connection.
    shared: JoinSet<Result<Held, Error>>,
}

/// The part of a stretch that is written in the order of the log.
enum InOrder {
    /// Rows that depend on several streams, once each stream's own rows are written.
    Shared(&'static dyn Parallel, Vec<Half>),
    /// All of it.
    Whole(Stretch),
}

impl Bulk {
    pub(super) async fn start(
        connections: &Connections,
        log: &Log,
        definition: &'static Definition,
        tables: Tables,
    ) -> Result<Self, MaintenanceError> {
        let mut lanes = Vec::new();
        if definition.parallel.is_some() {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            for _ in 0..cores.clamp(LANES.0, LANES.1) {
                lanes.push(session(connections, definition).await?);
            }
        }
        let client = session(connections, definition).await?;
        let mut shared = JoinSet::new();
        shared.spawn(std::future::ready(Ok(client)));
        Ok(Self { definition, tables, log: log.clone(), lanes, shared })
    }

    /// Replays the events after `after`, up to and with `target`.
    pub(super) async fn replay(
        &mut self,
        after: Position,
        target: Position,
        on_progress: &mut impl FnMut(RebuildProgress),
    ) -> Result<(), Error> {
        let mut stretches = Stretches::read(self.log.clone(), after, target);
        let mut position = after;
        while let Some(stretch) = stretches.next().await {
            let stretch = stretch?;
            position = stretch.last().map_or(position, |event| event.position);
            let rest = match self.definition.parallel {
                Some(parallel) => {
                    InOrder::Shared(parallel, self.replay_streams(parallel, stretch).await?)
                }
                None => InOrder::Whole(stretch),
            };
            self.write(rest).await?;
            on_progress(RebuildProgress::Replaying { position, target });
        }
        let client = self.written().await?;
        self.shared.spawn(std::future::ready(Ok(client)));
        Ok(())
    }

    async fn replay_streams(
        &mut self,
        parallel: &'static dyn Parallel,
        stretch: Stretch,
    ) -> Result<Vec<Half>, Error> {
        let mut parts = vec![Vec::new(); self.lanes.len()];
        for event in stretch {
            let lane = lane(&event, parts.len());
            parts[lane].push(event);
        }
        let tables = self.tables;
        let mut writing = JoinSet::new();
        for (mut held, part) in self.lanes.drain(..).zip(parts) {
            writing.spawn(async move {
                let write = async |client: &mut Connection| {
                    let transaction = client.transaction().await?;
                    let into = WriteContext { tables, transaction: &transaction };
                    let half = parallel.streams(into, &part).await?;
                    transaction.commit().await?;
                    Ok::<_, Error>(half)
                };
                let half = held.within(STRETCH_MAX, write).await?;
                Ok::<_, Error>((held, half))
            });
        }
        let mut halves = Vec::new();
        while let Some(written) = writing.join_next().await {
            let (client, half) = written.expect("writing rows does not panic")?;
            self.lanes.push(client);
            halves.push(half);
        }
        Ok(halves)
    }

    /// Begins to write once the stretch before is written.
    async fn write(&mut self, rest: InOrder) -> Result<(), Error> {
        let mut held = self.written().await?;
        let (definition, tables) = (self.definition, self.tables);
        self.shared.spawn(async move {
            let write = async |client: &mut Connection| {
                let transaction = client.transaction().await?;
                let into = WriteContext { tables, transaction: &transaction };
                match rest {
                    InOrder::Shared(parallel, halves) => parallel.shared(into, halves).await?,
                    InOrder::Whole(stretch) => (definition.writer)().apply(into, &stretch).await?,
                }
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
fn lane(event: &Arc<RecordedEvent>, lanes: usize) -> usize {
    // The last bytes of an id are random, whatever its version.
    let [.., last] = event.stream_id.into_bytes();
    usize::from(last) % lanes
}
