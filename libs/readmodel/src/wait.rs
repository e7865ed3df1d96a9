//! Reading one's own writes: waiting until the projections have passed a position.

use std::sync::Arc;
use std::time::Duration;

use hatch_eventstore::{Connection, Position};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::engine::checkpoints::{self, At};
use crate::{Definition, Error, QueryError, ReadModel};

/// The pause between two looks at the checkpoints.
const POLL_INTERVAL: Duration = Duration::from_millis(4);

/// How long the answer of one look is taken for the present. Far less than PostgreSQL needs to
/// recover from a crash, which may take checkpoints back: they are committed without waiting for
/// the disk.
const FRESH: Duration = Duration::from_millis(20);

/// How long one look may take: who does not wait at all is told how far they are, too.
const LOOK: Duration = Duration::from_millis(100);

/// Waits for checkpoints. Cheap to clone; clones share one poller.
///
/// However many wait, one of them looks at the checkpoints every few milliseconds and tells the
/// others; while nobody waits, nobody looks.
#[derive(Clone)]
pub struct ReadPosition {
    shared: Arc<ReadPositionState>,
}

struct ReadPositionState {
    read_model: ReadModel,
    /// Held by the waiter that looks on behalf of all.
    poller: Mutex<()>,
    seen: watch::Sender<Option<Seen>>,
}

/// The checkpoints as they were at one time.
#[derive(Debug, Clone)]
struct Seen {
    at: Instant,
    checkpoints: Vec<At>,
}

impl ReadPosition {
    /// Waits until `read_model` shows a position.
    #[must_use]
    pub fn new(read_model: ReadModel) -> Self {
        let seen = watch::Sender::new(None);
        Self { shared: Arc::new(ReadPositionState { read_model, poller: Mutex::new(()), seen }) }
    }

    /// Whether every one of `projections` has applied everything up to `position`; waits for that
    /// no longer than `wait`, and for one look at least.
    ///
    /// # Errors
    /// [`QueryError::Database`] at once when the checkpoints cannot be read.
    pub async fn wait_for(
        &self,
        projections: &[&Definition],
        position: Position,
        wait: Duration,
    ) -> Result<bool, QueryError> {
        match timeout(wait.max(LOOK), self.shared.wait(projections, position)).await {
            Ok(reached) => Ok(reached.map(|()| true)?),
            Err(_) => Ok(false),
        }
    }
}

impl ReadPositionState {
    async fn wait(&self, projections: &[&Definition], position: Position) -> Result<(), Error> {
        let mut seen = self.seen.subscribe();
        loop {
            let passed = seen.borrow_and_update().as_ref().is_some_and(|seen| {
                seen.at.elapsed() <= FRESH && seen.passed(projections, position)
            });
            if passed {
                return Ok(());
            }
            tokio::select! {
                biased;
                // The sender lives as long as this does, so a change is the only outcome.
                _ = seen.changed() => {}
                _poller = self.poller.lock() => self.poll(projections, position).await?,
            }
        }
    }

    /// Looks at the checkpoints, for everybody, until `position` is reached. Dropped halfway, it
    /// leaves the task to the next waiter.
    async fn poll(&self, projections: &[&Definition], position: Position) -> Result<(), Error> {
        loop {
            // The connection is not kept while pausing: others may need it.
            let ReadModel { projections: kept, .. } = self.read_model;
            let look = async |client: &mut Connection| checkpoints::read_all(client, kept).await;
            let checkpoints = self.read_model.ask(look).await?;
            let seen = Seen { at: Instant::now(), checkpoints };
            let passed = seen.passed(projections, position);
            self.seen.send_replace(Some(seen));
            if passed {
                return Ok(());
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

impl Seen {
    fn passed(&self, projections: &[&Definition], position: Position) -> bool {
        let passed = |one: &&Definition| checkpoints::has_passed(&self.checkpoints, one, position);
        projections.iter().all(passed)
    }
}
