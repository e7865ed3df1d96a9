//! Pauses between attempts.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::Error;

/// Pauses between attempts, so that what keeps failing is not tried in a hot loop. The pause goes on
/// where a cancelled wait left it.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    failures: u32,
    until: Option<Instant>,
}

impl Retry {
    const FIRST: Duration = Duration::from_millis(10);
    const MAX: Duration = Duration::from_millis(500);

    pub(crate) async fn wait(&mut self) {
        if let Some(until) = self.until {
            sleep_until(until).await;
            self.until = None;
        }
    }

    /// Logs the first of several failures in a row; the others say nothing new.
    pub(crate) fn failed(&mut self, error: &Error) {
        if self.failures == 0 {
            let error: &dyn std::error::Error = error;
            tracing::info!(error, "the event stream cannot be read, trying again");
        }
        self.pause();
    }

    pub(crate) fn pause(&mut self) {
        let pause = (Self::FIRST * 2_u32.pow(self.failures.min(6))).min(Self::MAX);
        self.failures += 1;
        self.until = Some(Instant::now() + pause);
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }
}
