//! Filling a projection that is far behind the log, such as a new one, while everything else goes on.

use std::time::Duration;

use hatch_eventstore::{Checkpoint, Connection, Held, Log, Position};
use tokio::time::{Instant, sleep};

use super::projection::{Origin, Projection};
use super::stretch::Stretches;
use crate::Error;

/// The longest pause between two transactions: a projector that stands by takes one that moves no further for one that
/// is gone.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// How long one transaction may take.
const APPLY_MAX: Duration = Duration::from_secs(6);

impl Projection {
    /// Applies what `log` has after `checkpoint`, up to and with `target`, at most `events_max` events in one
    /// transaction, and moves `checkpoint` along. The log is read ahead in stretches. After each transaction it pauses
    /// as long as that took, but no longer than 250 ms, so that it leaves processor and connection to those that do
    /// not wait for this projection.
    ///
    /// # Errors
    /// As [`advance`](Self::advance); the log's. What is applied by then is committed, and `checkpoint` is there.
    pub async fn fill(
        &mut self,
        held: &mut Held,
        log: &Log,
        (checkpoint, target): (&mut Checkpoint, Position),
        events_max: usize,
    ) -> Result<(), Error> {
        let mut stretches = Stretches::read(log.clone(), checkpoint.position, target);
        while let Some(stretch) = stretches.next().await {
            for part in stretch?.chunks(events_max) {
                let begun = Instant::now();
                let apply = async |client: &mut Connection| {
                    self.advance(client, checkpoint, (part, Origin::Log)).await
                };
                *checkpoint = held.within(APPLY_MAX, apply).await?;
                sleep(begun.elapsed().min(PAUSE_MAX)).await;
            }
        }
        Ok(())
    }
}
