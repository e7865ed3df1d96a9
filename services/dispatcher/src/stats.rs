//! What the dispatcher counts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hatch_due::Halts;
use hatch_providers::Outcome;
use hatch_telemetry::measure::{Counter, Family, Gauge, Histogram};
use tokio::time::Instant;

use crate::shortage::Shortage;

/// Calls in a row without an answer after which a provider is said to be away. One alone may be about its
/// message.
const SILENT_CALLS: u32 = 3;

/// How long that is believed when nobody calls it any more.
const SILENCE_KNOWN: Duration = Duration::from_secs(60);

/// Whether a provider answers, by the calls and look-ups that were made of it.
#[derive(Debug, Default)]
pub struct Reach(Mutex<Silence>);

#[derive(Debug, Default)]
struct Silence {
    calls: u32,
    last: Option<Instant>,
}

impl Reach {
    pub(crate) fn called(&self, outcome: &Outcome) {
        let mut silence = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *silence = match outcome {
            // No provider was called.
            Outcome::Shortage(_) => return,
            Outcome::Unavailable { .. } | Outcome::Unknown { .. } => {
                Silence { calls: silence.calls.saturating_add(1), last: Some(Instant::now()) }
            }
            _ => Silence::default(),
        };
    }

    /// It answered something else that it was asked.
    pub(crate) fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Silence::default();
    }

    /// How many calls in a row got no answer, where that says that the provider is away.
    #[must_use]
    pub fn silent_calls(&self) -> Option<u32> {
        let silence = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = silence.last.is_some_and(|last| last.elapsed() < SILENCE_KNOWN);
        (recent && silence.calls >= SILENT_CALLS).then_some(silence.calls)
    }
}

/// What a dispatcher has done since it started.
#[derive(Debug, Default)]
pub struct Stats {
    /// Messages whose next attempt is being claimed, made or recorded.
    pub under_way: Gauge,
    /// Requests that this build does not know how to read.
    pub undecodable: Counter,
    /// Attempts that were claimed and have an outcome, by provider and outcome.
    pub attempts: Family<(&'static str, &'static str), Counter>,
    /// Whether each provider answers.
    pub reach: Family<&'static str, Reach>,
    /// What this process lacks for calls.
    pub shortage: Shortage,
    /// How long calls of a provider took, in seconds.
    pub call_seconds: Family<&'static str, Histogram>,
    /// Whether the timers are stopped by damage of the log.
    pub timers: Arc<Halts>,
}

/// An attempt whose deadline had passed before the call.
pub(crate) const ABANDONED: &str = "abandoned";

#[cfg(test)]
mod tests {
    use super::*;

    fn silence() -> Outcome {
        Outcome::Unavailable { code: "connect".to_owned(), detail: "refused".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_is_away_after_some_calls_in_a_row_until_one_is_answered_or_for_a_while() {
        let reach = Reach::default();
        for _ in 0..SILENT_CALLS {
            assert_eq!(reach.silent_calls(), None);
            reach.called(&silence());
        }
        assert_eq!(reach.silent_calls(), Some(SILENT_CALLS));
        reach.called(&Outcome::Shortage(hatch_providers::Lack::Files));
        assert_eq!(reach.silent_calls(), Some(SILENT_CALLS), "our own want tells nothing");
        reach.called(&Outcome::Throttled { retry_after: None, detail: String::new() });
        assert_eq!(reach.silent_calls(), None);
        for _ in 0..SILENT_CALLS {
            reach.called(&silence());
        }
        reach.answered();
        assert_eq!(reach.silent_calls(), None, "it answers look-ups");
        for _ in 0..SILENT_CALLS {
            reach.called(&silence());
        }
        tokio::time::advance(SILENCE_KNOWN).await;
        assert_eq!(reach.silent_calls(), None);
    }
}
