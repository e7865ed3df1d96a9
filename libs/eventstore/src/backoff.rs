//! Ever longer waits between tries.

use std::time::Duration;

/// Waits between tries: from the first, doubling, to the last.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits from `first` to `last`.
    #[must_use]
    pub const fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, next: first }
    }

    /// How long the next wait is.
    #[must_use]
    pub const fn upcoming(&self) -> Duration {
        self.next
    }

    /// The longest wait.
    #[must_use]
    pub const fn last(&self) -> Duration {
        self.last
    }

    /// Waits; the next wait is twice as long.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.lengthen()).await;
    }

    /// How long to wait now; the next wait is twice as long.
    pub fn lengthen(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.last);
        now
    }

    /// A try succeeded: the next wait is the first again.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Waits of those who wait for PostgreSQL.
impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_last_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(50));
        let waits: Vec<_> = (0..4).map(|_| backoff.lengthen().as_millis()).collect();
        assert_eq!(waits, [20, 40, 50, 50]);
        backoff.reset();
        assert_eq!(backoff.upcoming().as_millis(), 20);
    }
}
