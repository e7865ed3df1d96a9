//! A process knows its own limits: how much of each is used, how much there is, and how often it refused.
//!
//! A limit is named once, by whoever keeps it. `/metrics` shows all that a process has, and the log says once an
//! episode that one was reached: a flood of refusals is a number, not a flood of lines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::measure::Counter;

/// A refusal so long after the last one begins another episode, and another line in the log.
const EPISODE_PAUSE: Duration = Duration::from_secs(60);

/// The limits of a process, by name; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Limits(Arc<Mutex<BTreeMap<&'static str, Arc<Limit>>>>);

impl Limits {
    /// The limit of that name. Whoever asks first says how much there is of it.
    #[must_use]
    pub fn limit(&self, name: &'static str, max: u64) -> Arc<Limit> {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(limits.entry(name).or_insert_with(|| Arc::new(Limit::new(name, max))))
    }

    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Limit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// One thing that a process has so much of and no more: connections, bytes of bodies, open streams.
#[derive(Debug)]
pub struct Limit {
    name: &'static str,
    max: u64,
    used: AtomicU64,
    refused: Counter,
    refused_last: Mutex<Option<Instant>>,
}

/// The limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached;

impl Limit {
    /// A limit that no process shows; [`Limits::limit`] makes one that is shown.
    #[must_use]
    pub fn new(name: &'static str, max: u64) -> Self {
        let refused_last = Mutex::new(None);
        Self { name, max, used: AtomicU64::new(0), refused: Counter::default(), refused_last }
    }

    /// What it limits, such as `connections`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How much there is.
    #[must_use]
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// How much of it is used.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// How often it refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Takes `amount` of it until the share is dropped.
    ///
    /// # Errors
    /// There is not so much left, which is counted and logged.
    pub fn take(self: &Arc<Self>, amount: u64) -> Result<Share, Reached> {
        let mut share = Share { limit: Arc::clone(self), amount: 0 };
        share.grow(amount)?;
        Ok(share)
    }

    /// Counts a refusal that the keeper of the limit decided by itself, and logs the first of an episode.
    pub fn refuse(&self) {
        self.refused.increment();
        let now = Instant::now();
        let mut last = self.refused_last.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = last.is_some_and(|last| now.duration_since(last) < EPISODE_PAUSE);
        *last = Some(now);
        drop(last);
        if !goes_on {
            tracing::warn!(
                limit = self.name,
                max = self.max,
                used = self.used(),
                "a limit of this process is reached: what goes beyond it is refused for now"
            );
        }
    }

    /// Says how much is used, where the keeper counts by itself.
    pub fn set_used(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
    }
}

/// A share of a limit that is in use until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Share {
    limit: Arc<Limit>,
    amount: u64,
}

impl Share {
    /// Takes `amount` more.
    ///
    /// # Errors
    /// There is not so much left: the share stays as it is, and the refusal is counted and logged.
    pub fn grow(&mut self, amount: u64) -> Result<(), Reached> {
        let Limit { used, max, .. } = &*self.limit;
        let more = |used: u64| used.checked_add(amount).filter(|sum| sum <= max);
        if used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.limit.refuse();
            return Err(Reached);
        }
        self.amount += amount;
        Ok(())
    }

    /// How much it is.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.amount
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.limit.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_and_what_goes_beyond_is_refused_and_counted() {
        let limits = Limits::default();
        let limit = limits.limit("bytes", 10);
        let mut first = limit.take(4).expect("there is enough");
        let second = limit.take(5).expect("there is enough");
        assert_eq!(first.grow(2), Err(Reached));
        assert_eq!(limit.take(u64::MAX).err(), Some(Reached), "no overflow");
        assert_eq!(first.grow(1), Ok(()));
        assert_eq!((limit.used(), limit.max(), limit.refused(), first.amount()), (10, 10, 2, 5));
        drop(second);
        assert_eq!(limit.used(), 5);
        drop(first);
        assert_eq!(limit.used(), 0);
    }

    #[test]
    fn a_name_has_one_limit() {
        let limits = Limits::default();
        let _share = limits.limit("b", 2).take(1);
        assert_eq!(limits.limit("b", 7).used(), 1);
        assert!(limits.limit("a", 1).take(2).is_err());
        let all: Vec<_> = limits.all().iter().map(|l| (l.name(), l.max(), l.refused())).collect();
        assert_eq!(all, [("a", 1, 1), ("b", 2, 0)]);
    }
}
