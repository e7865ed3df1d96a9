//! Whether appends wait and none is committed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A batch that is not answered for as long stands still: an append takes milliseconds.
const STANDSTILL_MIN: Duration = Duration::from_secs(3);

/// After the last try nobody may want anything any more, and nothing is known.
const TRIED_WITHIN: Duration = Duration::from_secs(10);

/// That there was something to commit for some seconds, and nothing was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standstill {
    /// For how long.
    pub lasted: Duration,
    /// What the last try failed of, if one has ended.
    pub reason: Option<String>,
}

/// The tries since the last one that PostgreSQL answered.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<Option<Tried>>);

#[derive(Debug)]
struct Tried {
    since: Instant,
    last: Instant,
    reason: Option<String>,
}

impl Tries {
    /// A batch is tried.
    pub(super) fn begin(&self) {
        let now = Instant::now();
        let mut tries = self.lock();
        tries.get_or_insert(Tried { since: now, last: now, reason: None }).last = now;
    }

    /// It was not committed, and is tried again.
    pub(super) fn fail(&self, reason: &str) {
        if let Some(tried) = self.lock().as_mut() {
            tried.last = Instant::now();
            tried.reason = Some(reason.to_owned());
        }
    }

    /// PostgreSQL answered: nothing stands still.
    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    pub(super) fn standstill(&self) -> Option<Standstill> {
        let tries = self.lock();
        let tried = tries.as_ref().filter(|tried| tried.last.elapsed() < TRIED_WITHIN)?;
        let lasted = tried.since.elapsed();
        let reason = tried.reason.clone();
        (lasted >= STANDSTILL_MIN).then_some(Standstill { lasted, reason })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Tried>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
