//! The shortages of this process: files, memory, ports. No provider causes them, and no message.
//!
//! The first call that could not be made begins a shortage. While it lasts nothing is claimed: what is on the bus
//! stays there, where another process may take it, and what is due stays in the timers. When a wait is over and
//! a socket can be had, the next attempts find out whether the shortage is over.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hatch_providers::Lack;
use hatch_telemetry::measure::{Counter, Family};
use tokio::time::{Instant, sleep_until};

/// Waits during a shortage: the first, doubling, to the last.
const WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// A shortage so long after the one before is news, and another line in the log.
const EPISODE_PAUSE: Duration = Duration::from_secs(60);

/// The shortage of a dispatcher, as its calls met it.
#[derive(Debug, Default)]
pub struct Shortage {
    /// Calls that could not be made, by what was lacking.
    pub unmade: Family<&'static str, Counter>,
    state: Mutex<Option<State>>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    lack: Lack,
    /// When it was met last.
    met: Instant,
    /// No call has been made since.
    lasts: bool,
    /// Nothing is claimed before.
    until: Instant,
    /// The next wait.
    wait: Duration,
}

impl Shortage {
    /// The resource that is lacking, as long as calls have met the shortage lately.
    #[must_use]
    pub fn lasting(&self) -> Option<&'static str> {
        let recent = |state: &State| state.met.elapsed() < EPISODE_PAUSE;
        self.now().filter(recent).map(|state| state.lack.as_str())
    }

    /// For how long nothing is to be claimed; none when something may be.
    pub(crate) fn forbids(&self) -> Option<Duration> {
        if self.now()?.until <= Instant::now() {
            self.met(Lack::now()?);
        }
        Some(self.now()?.until - Instant::now()).filter(|wait| !wait.is_zero())
    }

    /// Waits until something may be claimed.
    pub(crate) async fn passed(&self) {
        while let Some(state) = self.now() {
            sleep_until(state.until).await;
            match Lack::now() {
                Some(lack) => self.met(lack),
                None => return,
            }
        }
    }

    /// A call could not be made.
    pub(crate) fn could_not_call(&self, lack: Lack) {
        self.unmade.of(&lack.as_str()).increment();
        self.met(lack);
    }

    /// A call was made, whatever came of it.
    pub(crate) fn called(&self) {
        if let Some(state) = &mut *self.lock() {
            state.lasts = false;
        }
    }

    fn met(&self, lack: Lack) {
        let now = Instant::now();
        let mut held = self.lock();
        let before = *held;
        let known = before.filter(|state| now - state.met < EPISODE_PAUSE);
        let lasting = before.filter(|state| state.lasts);
        // Those that were under way side by side met one shortage, not one after another.
        let (until, wait) = match lasting {
            Some(state) if now < state.until => (state.until, state.wait),
            Some(state) => (now + state.wait, (state.wait * 2).min(WAITS.1)),
            None => (now + WAITS.0, WAITS.0 * 2),
        };
        *held = Some(State { lack, met: now, lasts: true, until, wait });
        drop(held);
        if known.is_none() {
            let lack = lack.as_str();
            tracing::warn!(lack, "this process lacks what a call takes: messages wait, none fails");
        }
    }

    fn now(&self) -> Option<State> {
        self.lock().filter(|state| state.lasts)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_shortage_holds_everything_back_for_longer_and_longer_until_a_call_is_made() {
        let shortage = Shortage::default();
        shortage.passed().await;
        let meets = |lack| {
            shortage.could_not_call(lack);
            shortage.forbids().expect("a wait").as_millis()
        };
        assert_eq!((meets(Lack::Files), shortage.lasting()), (250, Some("files")));
        assert_eq!(meets(Lack::Files), 250, "side by side");

        let mut waited = Vec::new();
        for _ in 0..6 {
            shortage.passed().await;
            assert!(shortage.forbids().is_none() && shortage.lasting().is_some(), "to be tried");
            waited.push(meets(Lack::Ports));
        }
        assert_eq!(waited, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);

        shortage.called();
        assert_eq!((shortage.forbids(), shortage.lasting()), (None, None));
        shortage.passed().await;
        assert_eq!(meets(Lack::Files), 250, "another one");
        let unmade: Vec<_> = shortage.unmade.all().iter().map(|(l, c)| (*l, c.get())).collect();
        assert_eq!(unmade, [("files", 3), ("ports", 6)]);
    }
}
