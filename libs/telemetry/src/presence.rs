//! What a process needs of others, such as PostgreSQL: the log says once that it is away, and once that it is back.
//! What waits for it meanwhile has nothing to add.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Whether something is there, as the log tells it.
#[derive(Debug)]
pub struct Presence {
    name: &'static str,
    away_since: Mutex<Option<Instant>>,
}

impl Presence {
    /// That of `name`, which is taken to be there.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, away_since: Mutex::new(None) }
    }

    /// It is away; whether that is news, which is logged.
    pub fn away(&self, why: &str) -> bool {
        let mut since = self.lock();
        if since.is_some() {
            return false;
        }
        *since = Some(Instant::now());
        drop(since);
        let dependency = self.name;
        tracing::error!(dependency, why, "{dependency} is away: what needs it waits");
        true
    }

    /// It is there.
    pub fn back(&self) {
        let Some(since) = self.lock().take() else { return };
        let away_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let dependency = self.name;
        tracing::info!(dependency, away_ms, "{dependency} is back");
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.away_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_news_once_that_something_is_away_until_it_was_back() {
        let presence = Presence::new("it");
        presence.back();
        let news = [presence.away("a"), presence.away("a"), presence.away("b")];
        assert_eq!(news, [true, false, false]);
        presence.back();
        assert!(presence.away("a"));
    }
}
