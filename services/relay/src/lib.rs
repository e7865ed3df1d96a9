//! The relay: publishes the log on the bus, event by event, in log order.
//!
//! Any number of relays may run; an advisory lock makes one of them the leader and the others stand
//! by. The lock only avoids waste: the bus itself refuses what is not next (sequence = position), so
//! two leaders at once could not do harm. The leader remembers nothing. Where it goes on follows
//! from the stream's last message, verified against the log, after every error anew.
//!
//! Nothing of the stream is believed without its MAC. Where one is foreign, and where the stream is not
//! the one on record, the next generation begins at the log's head.
//!
//! It never guesses about the log: when the stream holds an event of hatch's own that the log does not, it closes the
//! fence, which stops everybody who sends, and halts until that is lifted.

mod decision;
mod keys;
mod leader;
mod observe;
mod pace;
mod session;
mod status;
mod trace;

use std::time::Duration;

use futures::future::BoxFuture;
use hatch_bus::Bus;
use hatch_eventstore::{Fence, Log, LogError, Position, log_unless_away};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use keys::keys;
use leader::Leader;
pub use observe::{FoundForeign, Generation, RelayReport, observe};
use session::LeaderSession;
pub use status::{RelayStatus, StatusHandle};

/// Failures in a row after which the leader lets another relay try: its way to the bus may be better.
const FAILURES_MAX: u32 = 8;

/// Pauses after failures: from twice the first, doubling, to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What the relay works with.
pub struct Dependencies {
    /// The log that it reads.
    pub log: Log,
    /// Hints that the log has grown, from a [`HeadWatch`](hatch_eventstore::HeadWatch); late or
    /// missing ones cost at most
    /// [`poll_ms`](Config::poll_ms).
    pub head: watch::Receiver<Position>,
    /// How to connect to the log's database, for the session that holds the lock.
    pub postgres: hatch_eventstore::Database,
    /// The bus that it writes.
    pub bus: Bus,
    /// Whether the log may be published.
    pub fence: Fence,
    /// Where it tells its state.
    pub status: StatusHandle,
}

/// How the relay works.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Events read from the log at once: 1 to 5,000.
    pub page_events_max: usize,
    /// How often the log is read without a hint that it has grown: 10 to 60,000.
    pub poll_ms: u64,
    /// How often a relay that stands by tries to become the leader: 10 to 60,000.
    pub standby_poll_ms: u64,
    /// How often a halted leader looks whether the halt has been lifted: 10 to 60,000.
    pub halt_poll_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { page_events_max: 500, poll_ms: 500, standby_poll_ms: 1_000, halt_poll_ms: 500 }
    }
}

/// Why the relay pauses; it always tries again.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Bus(#[from] hatch_bus::Error),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("use the relay's session")]
    Postgres(#[from] tokio_postgres::Error),
    #[error("use the relay's session: PostgreSQL did not answer in time")]
    Slow(#[from] tokio::time::error::Elapsed),
}

/// Publishes the log until `shutdown`, surviving the loss of PostgreSQL, NATS and leadership.
///
/// The future is in a box, so that this crate compiles it, and not each crate that awaits it.
pub fn run(
    dependencies: Dependencies,
    config: Config,
    shutdown: CancellationToken,
) -> BoxFuture<'static, ()> {
    Box::pin(relay(dependencies, config, shutdown))
}

async fn relay(dependencies: Dependencies, config: Config, shutdown: CancellationToken) {
    let (status, bus) = (dependencies.status.clone(), dependencies.bus.clone());
    let relaying = async {
        let mut leader = Leader::new(dependencies, config.clone());
        let standby = Duration::from_millis(config.standby_poll_ms);
        loop {
            // Who cannot reach the bus leaves the lead to one who can.
            bus.connected().await;
            match LeaderSession::lead(leader.postgres()).await {
                Ok(Some(session)) => {
                    tracing::info!("this relay leads");
                    term(&mut leader, session).await;
                    tracing::info!("this relay leads no longer");
                    status.resign();
                    // Longer than the others wait, so that one of them is first.
                    tokio::time::sleep(standby).await;
                }
                Ok(None) => {}
                Err(error) => warn("become the leader", &error),
            }
            tokio::time::sleep(standby).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = relaying => {}
    }
    status.resign();
}

/// Leads until the session is lost or too much fails.
async fn term(leader: &mut Leader, session: LeaderSession) {
    leader.status().lead();
    let mut failures = 0;
    while failures < FAILURES_MAX {
        let published = leader.published();
        let error = tokio::select! {
            biased;
            () = session.hold() => return,
            error = leader.lead(&session) => error,
        };
        failures = if leader.published() > published { 1 } else { failures + 1 };
        // The same failure again and again says nothing new.
        if failures == 1 {
            warn("publish the log", &error);
        }
        if let Error::Log(damage) = &error
            && !damage.is_unavailable()
        {
            leader.status().halt(damage.to_string());
        }
        tokio::time::sleep((PAUSES.0 * 2_u32.pow(failures)).min(PAUSES.1)).await;
    }
}

fn warn(what: &'static str, error: &Error) {
    let error: &(dyn std::error::Error + 'static) = error;
    log_unless_away!(warn, error, error, "failed to {what}, trying again");
}
