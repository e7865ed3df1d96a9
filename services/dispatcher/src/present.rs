//! PostgreSQL's time, asked for right before a call.
//!
//! A virtual machine can be paused by its host, and none of its clocks shows that: not before somebody
//! outside of it is asked. Those who ask at the same moment share one round trip.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use hatch_eventstore::{Connections, ServerClock};
use tokio::sync::Mutex;

/// Asks for the time.
pub(crate) struct Present {
    clock: ServerClock,
    pool: Connections,
    /// How many have asked.
    asked: AtomicU64,
    answered: Mutex<Answered>,
}

/// An answer, or that none came in time; and how many had asked before it was asked for.
#[derive(Default)]
struct Answered {
    asked: u64,
    now: Option<DateTime<Utc>>,
}

impl Present {
    pub(crate) fn new(clock: ServerClock, pool: Connections) -> Self {
        Self { clock, pool, asked: AtomicU64::new(0), answered: Mutex::default() }
    }

    /// PostgreSQL's time, of a moment after this was called; none when it does not answer.
    pub(crate) async fn now(&self) -> Option<DateTime<Utc>> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut answered = self.answered.lock().await;
        if answered.asked < number {
            let asked = self.asked.load(Ordering::SeqCst);
            let now = self.clock.ask(&self.pool).await;
            *answered = Answered { asked, now: now.ok() };
        }
        answered.now
    }
}
