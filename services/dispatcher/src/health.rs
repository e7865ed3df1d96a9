//! Whether the accounts work, as the calls and look-ups of this process found them.
//!
//! An account that its provider refuses is *down*: nothing more is claimed for it, and its messages wait in the log.
//! One of them at a time is its *trial*, later and later, until the provider looks at a message again. Then all go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_providers::{Outcome, Trouble};
use tokio::time::Instant;

/// Calls in a row without an answer after which a provider is said to be away. One alone may be about its
/// message.
const SILENT_CALLS: u32 = 3;

/// How long that is believed when nobody calls it any more.
const SILENCE_KNOWN: Duration = Duration::from_secs(60);

/// Messages that wait, and are let go at a time: for an account of which nothing is known yet, and for one that works.
pub(crate) const RELEASED: (usize, usize) = (16, 1_000);

/// How long those who only look wait, while somebody tries.
const TRIAL_PAUSE: Duration = Duration::from_millis(100);

/// A trial waits for this part of the time that the account has been down, at least. A message that waits alone is the
/// only one to try, each trial is two events of its stream, and a stream holds 10,000.
const RARER: u32 = 32;

/// What is known of the accounts of a process.
#[derive(Debug, Default)]
pub struct KnownAccounts(Mutex<Vec<Arc<Health>>>);

impl KnownAccounts {
    /// What is known of an account.
    #[must_use]
    pub fn of(&self, provider: &'static str, account: &str) -> Arc<Health> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|known| known.is((provider, account))).cloned();
        found.unwrap_or_else(|| {
            let health = Arc::new(Health::new(provider, account));
            known.push(Arc::clone(&health));
            health
        })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Health>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nothing is known any more of others than these.
    pub(crate) fn keep(&self, is_kept: impl Fn(&Health) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|health| is_kept(health));
    }
}

/// What is known of one account.
#[derive(Debug)]
pub struct Health {
    provider: &'static str,
    account: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    silent_calls: u32,
    silent_since: Option<DateTime<Utc>>,
    silent_last: Option<Instant>,
    /// The provider has looked at a message.
    is_proven: bool,
    /// When it did so again after a refusal.
    recovered: Option<Instant>,
    down: Option<Down>,
}

#[derive(Debug)]
struct Down {
    refusal: Refusal,
    met: Instant,
    /// Nobody tries before.
    until: Instant,
    /// The next wait.
    wait: Duration,
    /// Somebody tries.
    trying: bool,
}

/// How a provider refused an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub trouble: Trouble,
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub detail: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// How an account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is wrong that is known.
    Up,
    /// Its provider refuses it.
    Refused(Refusal),
    /// Its provider does not answer.
    Silent {
        /// Calls in a row.
        calls: u32,
        /// Since when.
        since: DateTime<Utc>,
    },
}

impl Condition {
    /// Its name in metrics: what is wrong, and `-` where nothing is.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Up => "-",
            Self::Refused(refusal) => refusal.trouble.as_str(),
            Self::Silent { .. } => "silent",
        }
    }
}

/// Leave to make one call by an account. Dropped without an outcome, it leaves the trial to another.
#[derive(Debug)]
pub(crate) struct Pass {
    health: Arc<Health>,
    begun: Instant,
    is_trial: bool,
}

impl Health {
    fn new(provider: &'static str, account: &str) -> Self {
        Self { provider, account: account.to_owned(), state: Mutex::default() }
    }

    /// The provider.
    #[must_use]
    pub const fn provider(&self) -> &'static str {
        self.provider
    }

    /// What the provider calls the account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Whether it is of the account with this key.
    pub(crate) fn is(&self, key: (&str, &str)) -> bool {
        (self.provider, self.account.as_str()) == key
    }

    /// How it is.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let state = self.lock();
        let recent = state.silent_last.is_some_and(|last| last.elapsed() < SILENCE_KNOWN);
        match (&state.down, state.silent_since) {
            (Some(down), _) => Condition::Refused(down.refusal.clone()),
            (None, Some(since)) if recent && state.silent_calls >= SILENT_CALLS => {
                Condition::Silent { calls: state.silent_calls, since }
            }
            _ => Condition::Up,
        }
    }

    /// Why its provider refuses it, if it does.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.lock().down.as_ref().map(|down| down.refusal.clone())
    }

    /// Whether a call may be made now.
    pub(crate) fn admits(&self) -> bool {
        self.lock().down.as_ref().is_none_or(Down::may_try)
    }

    /// Leave to call; none while the account is down and nobody is to try it.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Pass> {
        let mut state = self.lock();
        let is_trial = state.down.is_some();
        if let Some(down) = &mut state.down {
            if !down.may_try() {
                return None;
            }
            down.trying = true;
        }
        drop(state);
        Some(Pass { health: Arc::clone(self), begun: Instant::now(), is_trial })
    }

    /// How many waiting messages may be let go.
    pub(crate) fn releasable(&self) -> usize {
        let state = self.lock();
        match &state.down {
            Some(down) => usize::from(down.may_try()),
            None if state.is_proven => RELEASED.1,
            None => RELEASED.0,
        }
    }

    /// How long to wait before the next look at what is due: while it is down, `least` at most.
    pub(crate) fn pause(&self, least: Duration) -> Option<Duration> {
        let state = self.lock();
        let down = state.down.as_ref()?;
        let left = down.until.saturating_duration_since(Instant::now());
        match (down.trying, left.is_zero()) {
            (_, false) => Some(left.min(least)),
            (true, true) => Some(TRIAL_PAUSE),
            (false, true) => None,
        }
    }

    /// The provider answered something else that it was asked.
    pub(crate) fn answered(&self) {
        self.lock().speaks();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Down {
    fn may_try(&self) -> bool {
        !self.trying && self.until <= Instant::now()
    }

    /// Puts the next trial off.
    fn put_off(&mut self, most: Duration) {
        self.until = Instant::now() + self.wait.max(self.met.elapsed() / RARER);
        self.wait = (self.wait * 2).min(most);
    }
}

impl State {
    fn speaks(&mut self) {
        (self.silent_calls, self.silent_since, self.silent_last) = (0, None, None);
    }

    fn is_silent(&mut self, now: DateTime<Utc>) {
        self.silent_calls = self.silent_calls.saturating_add(1);
        self.silent_since.get_or_insert(now);
        self.silent_last = Some(Instant::now());
    }
}

impl Pass {
    /// A call was made, or could not be. `backoff` is the first wait and the longest between two trials.
    pub(crate) fn called(
        mut self,
        outcome: &Outcome,
        now: DateTime<Utc>,
        backoff: (Duration, Duration),
    ) {
        let health = Arc::clone(&self.health);
        let was_trial = std::mem::take(&mut self.is_trial);
        let mut state = health.lock();
        match outcome {
            // Nobody was called.
            Outcome::Shortage(_) => {}
            Outcome::Unavailable { .. } | Outcome::Unknown { .. } => state.is_silent(now),
            _ => state.speaks(),
        }
        match outcome {
            Outcome::Account { trouble, code, detail } => {
                let (trouble, code, detail) = (*trouble, code.clone(), detail.clone());
                let refusal = Refusal { trouble, code, detail, since: now };
                self.refused(&mut state, refusal, was_trial, backoff);
            }
            Outcome::Accepted { .. } | Outcome::Refused { .. } => {
                state.is_proven = true;
                // What was under way when the account went says nothing of it now.
                if let Some(down) = state.down.take_if(|_| was_trial) {
                    state.recovered = Some(Instant::now());
                    self.log_back(&down);
                }
            }
            // Nothing follows for the account.
            Outcome::Throttled { .. }
            | Outcome::Unavailable { .. }
            | Outcome::Shortage(_)
            | Outcome::Unknown { .. } => {
                if let Some(down) = state.down.as_mut().filter(|_| was_trial) {
                    down.trying = false;
                    down.put_off(backoff.1);
                }
            }
        }
    }

    fn refused(
        &self,
        state: &mut State,
        refusal: Refusal,
        was_trial: bool,
        (least, most): (Duration, Duration),
    ) {
        let now = Instant::now();
        match &mut state.down {
            // Those that were under way side by side met one refusal.
            Some(_) if !was_trial => {}
            Some(down) => {
                let since = down.refusal.since;
                down.refusal = Refusal { since, ..refusal };
                down.trying = false;
                down.put_off(most);
            }
            None if state.recovered.is_some_and(|recovered| self.begun <= recovered) => {}
            None => {
                self.log_down(&refusal);
                let wait = (least * 2).min(most);
                state.down =
                    Some(Down { refusal, met: now, until: now + least, wait, trying: false });
                state.is_proven = false;
            }
        }
    }

    fn log_down(&self, refusal: &Refusal) {
        let Health { provider, account, .. } = &*self.health;
        let Refusal { trouble, code, detail, .. } = refusal;
        let (reason, remedy) = (trouble.as_str(), trouble.remedy());
        tracing::error!(
            provider,
            account,
            reason,
            code,
            detail,
            remedy,
            "a provider refuses the account: its messages wait, none fails"
        );
    }

    fn log_back(&self, down: &Down) {
        let Health { provider, account, .. } = &*self.health;
        let reason = down.refusal.trouble.as_str();
        let down_s = down.met.elapsed().as_secs();
        tracing::info!(provider, account, reason, down_s, "the account works again");
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.is_trial
            && let Some(down) = &mut self.health.lock().down
        {
            down.trying = false;
        }
    }
}

#[cfg(test)]
mod tests;
