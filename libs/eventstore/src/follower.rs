//! Following the log from a checkpoint for ever. Any number of processes may: the checkpoint's compare-and-set
//! refuses all but one, and the others stand by until that one no longer moves.

use std::convert::Infallible;
use std::time::Duration;

use crate::{Backoff, HeadWatch, Position};

/// What follows the log.
pub trait Follow: Send {
    /// What can stop it, beside another process that follows.
    type Reason: Send;

    /// Goes through the log, from the checkpoint as it is, until something stops it. Resets `backoff` when it has
    /// come further.
    fn follow(
        &mut self,
        backoff: &mut Backoff,
    ) -> impl Future<Output = Result<Infallible, Stop<Self::Reason>>> + Send;

    /// Where the checkpoint is; none while PostgreSQL is away.
    fn position(&self) -> impl Future<Output = Option<Position>> + Send;

    /// Says what stopped it, and waits until it may go on.
    fn wait_out(
        &mut self,
        reason: Self::Reason,
        backoff: &mut Backoff,
    ) -> impl Future<Output = ()> + Send;
}

/// Why the log is no longer followed.
#[derive(Debug)]
pub enum Stop<R> {
    /// Another process follows: it moved the checkpoint.
    Fenced,
    /// Anything else.
    For(R),
}

/// Keeps something following the log.
#[derive(Clone)]
pub struct Follower {
    /// What follows, for log lines, such as `timers`.
    pub name: &'static str,
    /// Tells how far the log has grown.
    pub head: HeadWatch,
    /// How long a checkpoint may stand still behind the head before whoever moves it counts as gone.
    pub standstill: Duration,
}

impl Follower {
    /// Follows for ever.
    pub async fn run(&self, mut what: impl Follow) -> Infallible {
        let (name, mut backoff) = (self.name, Backoff::default());
        loop {
            match what.follow(&mut backoff).await {
                Err(Stop::Fenced) => {
                    tracing::info!(name, "another process follows the log, standing by");
                    self.stand_by(&what).await;
                    tracing::info!(name, "the one that follows does not move, taking over");
                }
                Err(Stop::For(reason)) => what.wait_out(reason, &mut backoff).await,
            }
        }
    }

    /// Waits until the log has something that no other process takes.
    async fn stand_by(&self, what: &impl Follow) {
        let mut seen = None;
        loop {
            tokio::time::sleep(self.standstill).await;
            // While PostgreSQL is away, no process is active and nothing can be taken over.
            let Some(position) = what.position().await else { continue };
            let waits = self.head.current() > position;
            if waits && seen == Some(position) {
                return;
            }
            seen = waits.then_some(position);
        }
    }
}
