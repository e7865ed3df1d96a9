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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use hatch_eventstore::testing::{Template, TestDatabase};

    use super::*;

    const TEMPLATE: Template =
        Template { name: "dispatch", schemas: || vec![hatch_due::SCHEMA, crate::SCHEMA], sql: "" };

    #[tokio::test]
    async fn those_who_ask_at_once_share_an_answer_that_is_younger_than_their_question() {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let pool = hatch_eventstore::pool(&database.config(), 2, Duration::from_secs(5));
        let present = Present::new(ServerClock::default(), pool.clone());
        let before = ServerClock::default().ask(&pool).await.expect("an answer");
        let answers = futures::future::join_all((0..100).map(|_| present.now())).await;
        let answers: BTreeSet<_> = answers.into_iter().map(|now| now.expect("an answer")).collect();
        assert!(answers.first().is_some_and(|first| *first > before));
        assert!(answers.len() <= 2, "the first has its own, the others one: {}", answers.len());
        let later = present.now().await.expect("an answer");
        assert!(answers.last().is_some_and(|last| later > *last), "who asks later asks anew");
    }
}
