//! Whether the accounts work, as the calls and look-ups of this process found them, and as other processes told.
//!
//! Each account has a [`Breaker`](crate::breaker::Breaker). While that is open the account is *down*: nothing more is claimed for it, its messages
//! go by another account, and those that have no other wait in the log. One of them at a time is a *probe*, later and
//! later, until the provider looks at a message again. Then all go on. Whoever opens or closes a breaker has it told to
//! the others ([`Transition`]).

mod state;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::carrier::Carrier;
use hatch_domain::time;
use hatch_providers::Outcome;
use hatch_routing::{Availability, Busy};
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use self::state::Transition;
use self::state::{Down, State, Why, heard, why};
use crate::breaker::{BreakerRules, BreakerState, Change, Seen, Timing};
pub use crate::condition::{Condition, Failing, Refusal, Standing};

/// Calls in a row that failed after which that is said of their account. One alone may be about its message.
const FAILED_CALLS: u32 = 3;

/// How long that is believed when nobody calls it any more.
const FAILURE_KNOWN: Duration = Duration::from_secs(60);

/// Messages that wait, and are let go at a time: for an account of which nothing is known yet, and for one that works.
pub(crate) const RELEASED: (usize, usize) = (16, 1_000);

/// How long those who only look wait, while somebody tries.
const TRIAL_PAUSE: Duration = Duration::from_millis(100);

/// Calls in a row that were too much, after which the provider's wish to be left alone is the account's, and not that of
/// one message. For how long, where it does not say; and at most.
const THROTTLED: (u32, Duration, Duration) = (3, Duration::from_secs(1), Duration::from_secs(60));

/// What is known of the accounts of a process.
#[derive(Debug, Default)]
pub struct KnownAccounts {
    all: Mutex<Vec<Arc<Health>>>,
    /// Tells that there is something to be told.
    news: Arc<Notify>,
}

impl KnownAccounts {
    /// What is known of an account.
    #[must_use]
    pub fn of(&self, provider: &'static str, account: &str) -> Arc<Health> {
        let mut known = self.lock();
        let found = known.iter().find(|known| known.is((provider, account))).cloned();
        found.unwrap_or_else(|| {
            let health = Arc::new(Health::new(provider, account, Arc::clone(&self.news)));
            known.push(Arc::clone(&health));
            health
        })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Health>> {
        self.lock().clone()
    }

    /// Nothing is known any more of others than these.
    pub(crate) fn keep(&self, is_kept: impl Fn(&Health) -> bool) {
        self.lock().retain(|health| is_kept(health));
    }

    /// Waits until one of them has something to tell.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Health>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of one account.
#[derive(Debug)]
pub struct Health {
    provider: &'static str,
    account: String,
    state: Mutex<State>,
    /// Attempts that have leave to call.
    under_way: AtomicU32,
    news: Arc<Notify>,
}

/// Leave to make one call by an account. Dropped without an outcome, it leaves the probe to another.
#[derive(Debug)]
pub(crate) struct Pass {
    health: Arc<Health>,
    begun: Instant,
    is_probe: bool,
    /// The provider answered, whatever it said.
    is_answered: bool,
}

/// What decides how breakers stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) breaker: &'a BreakerRules,
    /// Between two probes of an account that its provider refuses: the first wait; and the longest between any two.
    pub(crate) backoff: (Duration, Duration),
}

impl Rules<'_> {
    const fn at(&self, now: Instant) -> Timing {
        Timing { now, backoff: self.backoff }
    }
}

impl Health {
    fn new(provider: &'static str, account: &str, news: Arc<Notify>) -> Self {
        let (account, state, under_way) = (account.to_owned(), Mutex::default(), AtomicU32::new(0));
        Self { provider, account, state, under_way, news }
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
        self.lock().condition()
    }

    /// How its breaker stands.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.lock().breaker.state(Instant::now())
    }

    /// How it is and how its breaker stands, at one moment: asked one after the other, they may be of two.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let (state, now) = (self.lock(), Instant::now());
        let tried_in = state.breaker.until().map(|until| until.saturating_duration_since(now));
        Standing { condition: state.condition(), breaker: state.breaker.state(now), tried_in }
    }

    /// How many attempts are under way by it here.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Why its provider refuses it, if it does.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match &self.lock().down.as_ref()?.why {
            Why::Refused(refusal) => Some(refusal.clone()),
            Why::Failing(_) => None,
        }
    }

    /// Why nothing is given to it, if nothing is.
    pub(crate) fn failing(&self) -> Option<Failing> {
        match &self.lock().down.as_ref()?.why {
            Why::Failing(failing) => Some(failing.clone()),
            Why::Refused(_) => None,
        }
    }

    /// Whether a call may be made now.
    pub(crate) fn admits(&self) -> bool {
        self.lock().breaker.admits(Instant::now())
    }

    /// Whether a message may be given to it, as far as it is up to its provider. `now` is what the clock says.
    pub(crate) fn availability(&self, now: DateTime<Utc>) -> Availability {
        let (state, instant) = (self.lock(), Instant::now());
        let later = |until: Instant| {
            let wait = time::delta(until.saturating_duration_since(instant));
            now.checked_add_signed(wait).unwrap_or(now)
        };
        if !state.breaker.admits(instant) {
            let why = state.down.as_ref().map_or_else(String::new, |down| match &down.why {
                Why::Refused(refusal) => format!("refused ({})", refusal.trouble.as_str()),
                Why::Failing(failing) => format!("breaker open ({})", failing.cause),
            });
            return Availability::Open { why, until: state.breaker.until().map(later) };
        }
        match state.held_until.filter(|until| *until > instant) {
            Some(until) => Availability::Busy { why: Busy::Rate, until: Some(later(until)) },
            None => Availability::Ready,
        }
    }

    /// Leave to call; none while the breaker is open and nobody is to try.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Pass> {
        let begun = Instant::now();
        let is_probe = self.lock().breaker.admit(begun)?;
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Some(Pass { health: Arc::clone(self), begun, is_probe, is_answered: false })
    }

    /// How many waiting messages may be let go.
    pub(crate) fn releasable(&self) -> usize {
        let (state, now) = (self.lock(), Instant::now());
        match state.breaker.state(now) {
            BreakerState::Closed if state.is_proven => RELEASED.1,
            BreakerState::Closed => RELEASED.0,
            BreakerState::HalfOpen | BreakerState::Open => usize::from(state.breaker.admits(now)),
        }
    }

    /// How long to wait before the next look at what is due: while it is down, `least` at most.
    pub(crate) fn pause(&self, least: Duration) -> Option<Duration> {
        let state = self.lock();
        let left = state.breaker.until()?.saturating_duration_since(Instant::now());
        match (state.breaker.is_probing(), left.is_zero()) {
            (_, false) => Some(left.min(least)),
            (true, true) => Some(TRIAL_PAUSE),
            (false, true) => None,
        }
    }

    /// The provider answered something else that it was asked.
    pub(crate) fn answered(&self) {
        self.lock().speaks();
    }

    /// What the others are not told yet.
    pub(crate) fn untold(&self) -> Option<Transition> {
        self.lock().untold.clone()
    }

    /// The others are told so.
    pub(crate) fn is_told(&self, told: &Transition) {
        let mut state = self.lock();
        if state.untold.as_ref() == Some(told) {
            state.untold = None;
        }
    }

    /// What the fleet was told of the account, which may be what this process told. What has happened here since counts.
    pub(crate) fn hear(&self, carrier: &Carrier, now: DateTime<Utc>, rules: Rules<'_>) {
        let mut state = self.lock();
        match carrier.open() {
            Some(opening) => {
                let untold = state.untold.is_some();
                if state.knows_more_than(opening) {
                    if !untold && state.untold.is_some() {
                        self.news.notify_one();
                    }
                    return;
                }
                let ago = (now - opening.at).to_std().unwrap_or_default();
                let why = heard(opening, &self.account);
                let timing = rules.at(Instant::now());
                let earlier = carrier.openings().filter(|at| *at < opening.at);
                let when = |at: DateTime<Utc>| timing.now.checked_sub((now - at).to_std().ok()?);
                state.breaker.remember(earlier.filter_map(when));
                state.breaker.heard_open((why.cause(), ago), timing, rules.breaker);
                state.down = Some(Down { why, since: opening.at });
                (state.untold, state.is_proven) = (None, false);
                let (provider, account, cause) = (self.provider, &self.account, &opening.cause);
                let detail = &opening.detail;
                tracing::warn!(
                    provider,
                    account,
                    cause,
                    detail,
                    "another process found an account down"
                );
            }
            None => {
                let Some(closed_at) = carrier.closed_at() else { return };
                state.closed = state.closed.max(Some(closed_at));
                let Some(down) = &state.down else { return };
                if down.since > closed_at {
                    // It opened again while that was told, and who closed it took it for no news.
                    let news = down.news();
                    state.untold.get_or_insert(news);
                    return;
                }
                // What is not told yet is newer than what was.
                if matches!(state.untold, Some(Transition::Opened { .. })) {
                    return;
                }
                state.breaker.heard_closed(Instant::now());
                (state.down, state.untold) = (None, None);
                state.is_proven = true;
                state.speaks();
                let (provider, account) = (self.provider, &self.account);
                tracing::info!(
                    provider,
                    account,
                    "another process found that an account works again"
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// The call was answered: a failure of it is no silence.
    pub(crate) fn answered(&mut self) {
        self.is_answered = true;
    }

    /// A call was made, or could not be.
    pub(crate) fn called(mut self, outcome: &Outcome, now: DateTime<Utc>, rules: Rules<'_>) {
        let health = Arc::clone(&self.health);
        let is_probe = std::mem::take(&mut self.is_probe);
        let mut state = health.lock();
        let seen = match outcome {
            Outcome::Accepted { .. } | Outcome::Refused { .. } => Seen::Success,
            Outcome::Unavailable { .. } | Outcome::Unknown { .. } => Seen::Failure,
            Outcome::Throttled { .. } => Seen::Throttled,
            Outcome::Account { .. } => Seen::Refused,
            // Nobody was called.
            Outcome::Shortage(_) => Seen::Nothing,
        };
        match seen {
            Seen::Nothing => {}
            Seen::Failure => state.fails(now, self.is_answered),
            _ => state.speaks(),
        }
        state.throttle(outcome);
        state.is_proven |= seen == Seen::Success && state.down.is_none();
        let timing = rules.at(Instant::now());
        let change = state.breaker.saw((self.begun, is_probe), seen, timing, rules.breaker);
        match change {
            Some(Change::Opened { cause, failures, calls }) => {
                let why = why(outcome, (cause, failures, calls), (now, &state.failed));
                self.log_down(&why);
                state.opened(why, now);
                health.news.notify_one();
            }
            Some(Change::Closed { open_for }) => {
                if let Some(down) = state.closed(open_for, now) {
                    self.log_back(&down, open_for);
                }
                health.news.notify_one();
            }
            // Its provider may refuse it for something else by now.
            None if is_probe => state.refused_again(outcome),
            None => {}
        }
    }

    fn log_down(&self, why: &Why) {
        let Health { provider, account, .. } = &*self.health;
        match why {
            Why::Refused(Refusal { trouble, code, detail, .. }) => {
                let (reason, remedy) = (trouble.as_str(), trouble.remedy());
                tracing::error!(
                    provider,
                    account,
                    reason,
                    code,
                    detail,
                    remedy,
                    "a provider refuses the account: its messages go by another or wait, none fails"
                );
            }
            Why::Failing(Failing { cause, detail, .. }) => tracing::error!(
                provider,
                account,
                reason = cause,
                detail,
                "an account's breaker opens: its messages go by another or wait"
            ),
        }
    }

    fn log_back(&self, down: &Down, open_for: Duration) {
        let Health { provider, account, .. } = &*self.health;
        let reason = match &down.why {
            Why::Refused(refusal) => refusal.trouble.as_str(),
            Why::Failing(failing) => &failing.cause,
        };
        let down_s = open_for.as_secs();
        tracing::info!(provider, account, reason, down_s, "the account works again");
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.health.under_way.fetch_sub(1, Ordering::Relaxed);
        if self.is_probe {
            self.health.lock().breaker.give_back(self.begun);
        }
    }
}

#[cfg(test)]
mod tests;
