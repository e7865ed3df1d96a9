//! What was said to providers, kept for some time outside the log: nothing waits for it, and what there is no room for is
//! left out and counted.

mod table;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::time;
use hatch_providers::exchange::Exchange;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use crate::Dispatcher;
use crate::attempt::PendingMessage;

/// Attempts that wait to be written, at most. One takes some ten kibibytes.
const WAITING_MAX: usize = 4_096;

/// Between two writes.
const WRITE_EVERY: Duration = Duration::from_millis(200);

/// Rows of a statement at most.
const ROWS_MAX: usize = 512;

/// Between two looks at whether some are too old, and how many of these go at a time.
const FORGET_EVERY: Duration = Duration::from_secs(30);
const FORGOTTEN_AT_ONCE: i64 = 5_000;

/// What is kept of an attempt.
pub(crate) struct AttemptRecord {
    pub(crate) tenant_id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) attempt: u32,
    pub(crate) called_at: DateTime<Utc>,
    pub(crate) exchanged: Exchange,
}

/// Those that wait to be written.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<AttemptRecord>>);

impl Recorder {
    /// Takes one in, without a wait; false where there is no room for it.
    pub(crate) fn record(&self, record: AttemptRecord) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = waiting.len() < WAITING_MAX;
        if has_room {
            waiting.push(record);
        }
        has_room
    }

    fn take(&self) -> Vec<AttemptRecord> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Dispatcher {
    /// Has it kept what was said in a call.
    pub(crate) fn keep_attempt(
        &self,
        pending: &PendingMessage,
        attempt: u32,
        called_at: DateTime<Utc>,
        exchanged: Exchange,
    ) {
        let PendingMessage { tenant_id, message_id, .. } = *pending;
        let record = AttemptRecord { tenant_id, message_id, attempt, called_at, exchanged };
        if !self.recorder.record(record) {
            self.dependencies.stats.attempts_unkept.increment();
        }
    }

    /// Writes what there is, until the process ends, and forgets what is too old. What it writes just then, it does write.
    pub(crate) async fn keep_attempts(&self) {
        let mut ticks = interval(WRITE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forget_at = Instant::now();
        while self.shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.keep_last_attempts().await;
            if Instant::now() >= forget_at {
                let forgotten = self.forget_attempts().await;
                // Of many, the next go at once.
                let wait = if forgotten == FORGOTTEN_AT_ONCE { WRITE_EVERY } else { FORGET_EVERY };
                forget_at = Instant::now() + wait;
            }
        }
    }

    /// Writes what there is. What fails is not tried again: it is worth less than what it would hold up.
    pub(crate) async fn keep_last_attempts(&self) {
        let records = self.recorder.take();
        for some in records.chunks(ROWS_MAX) {
            if let Err(error) = table::write(&self.dependencies.pool, some).await {
                tracing::debug!(error = %error, "attempts are not kept");
                let unkept = u64::try_from(some.len()).unwrap_or_default();
                self.dependencies.stats.attempts_unkept.add(unkept);
            }
        }
    }

    /// Forgets some of those that are too old, and says how many.
    async fn forget_attempts(&self) -> i64 {
        let before = self.now() - time::delta(self.config.attempts_kept);
        let forgotten = table::forget(&self.dependencies.pool, before, FORGOTTEN_AT_ONCE).await;
        forgotten.unwrap_or_else(|error| {
            tracing::debug!(error = %error, "attempts that are too old are not forgotten");
            0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_left_out() {
        let recorder = Recorder::default();
        let record = |attempt| AttemptRecord {
            tenant_id: Uuid::nil(),
            message_id: Uuid::nil(),
            attempt,
            called_at: DateTime::UNIX_EPOCH,
            exchanged: Exchange::default(),
        };
        let taken = (1..=u32::MAX).take(WAITING_MAX + 5).filter(|n| recorder.record(record(*n)));
        assert_eq!(taken.count(), WAITING_MAX);
        assert_eq!(recorder.take().len(), WAITING_MAX);
        assert!(recorder.record(record(1)), "there is room again");
    }
}
