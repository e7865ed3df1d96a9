//! The projector: keeps the read models up with the log.
//!
//! Each projection follows the log by a subscription of its own, from its own checkpoint, so that one
//! that halts or is rebuilt holds up no other. The checkpoint commits with the rows: whatever ends a projector,
//! the next goes on from there. What is remembered between pages beside it only saves reading.
//! Any number of projectors may run. One is active; the checkpoint's compare-and-set refuses the
//! others, which stand by.

mod worker;

use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use hatch_eventstore::{Connections, Feed, Follower, HeadWatch, Log};
use hatch_readmodel::Projections;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use worker::Worker;

/// What the projector works with.
#[derive(Clone)]
pub struct Dependencies {
    /// Connections to the read models' database; one for each projection is kept.
    pub pool: Connections,
    /// The log that it reads.
    pub log: Log,
    /// Tells how far the log has grown.
    pub head: HeadWatch,
    /// The projections that it keeps up.
    pub projections: Projections,
    /// Brings live events without a look at the log; without it everything is read from the log.
    pub feed: Option<Feed>,
}

/// How the projector works.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Events applied in one transaction at most, 1 to 5,000. More make catching up cheaper, and a failed
    /// page dearer.
    pub page_events_max: usize,
    /// How often a projector that stands by looks whether the active one still moves:
    /// 10 to 60,000.
    pub standby_poll_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { page_events_max: 1_000, standby_poll_ms: 1_000 }
    }
}

/// Keeps every projection up with the log until `shutdown`. It waits out whatever PostgreSQL does; a
/// projection that meets an event that it cannot apply halts, says so in its status, and goes on once
/// it was rebuilt beyond that event.
///
/// The future is in a box, so that this crate compiles it, and not each crate that awaits it.
pub fn run(
    dependencies: Dependencies,
    config: Config,
    shutdown: CancellationToken,
) -> BoxFuture<'static, ()> {
    Box::pin(follow(dependencies, config, shutdown))
}

async fn follow(dependencies: Dependencies, config: Config, shutdown: CancellationToken) {
    let standstill = Duration::from_millis(config.standby_poll_ms);
    let workers = dependencies.projections.iter().map(|definition| {
        let follower =
            Follower { name: definition.name(), head: dependencies.head.clone(), standstill };
        let worker = Worker::new(definition, dependencies.clone(), config.clone());
        async move { follower.run(worker).await }
    });
    // Dropped halfway, a page is rolled back.
    let _ = shutdown.run_until_cancelled(join_all(workers)).await;
}
