//! How many handshakes are under way at a time: each is a connection of which nobody knows what it wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hatch_telemetry::limit::{Limit, Limits};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Handshakes at a time, at most.
const HANDSHAKES_MAX: u64 = 512;

/// How long one has in any case, before another takes its turn.
const GRACE: Duration = Duration::from_secs(1);

/// The handshakes of a listener.
pub(super) struct Handshakes {
    limit: Arc<Limit>,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    next: u64,
    turns: BTreeMap<u64, (Instant, CancellationToken)>,
}

impl Handshakes {
    pub(super) fn new(limits: &Limits) -> Self {
        let limit = limits.limit("tls_handshakes", HANDSHAKES_MAX);
        Self { limit, under_way: Mutex::default() }
    }

    /// A turn for another, for which the oldest goes where there are too many; none where that is new, too.
    pub(super) fn begin(&self) -> Option<Turn<'_>> {
        self.begin_at(Instant::now())
    }

    fn begin_at(&self, now: Instant) -> Option<Turn<'_>> {
        let mut under_way = self.under_way();
        if under_way.turns.len() as u64 >= self.limit.max() {
            self.limit.refuse();
            let oldest = under_way.turns.first_entry()?;
            if now.saturating_duration_since(oldest.get().0) < GRACE {
                return None;
            }
            oldest.remove().1.cancel();
        }
        let (number, taken_away) = (under_way.next, CancellationToken::new());
        under_way.next += 1;
        under_way.turns.insert(number, (now, taken_away.clone()));
        self.limit.set_used(under_way.turns.len() as u64);
        Some(Turn { handshakes: self, number, taken_away })
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of a handshake, until it is dropped.
pub(super) struct Turn<'a> {
    handshakes: &'a Handshakes,
    number: u64,
    taken_away: CancellationToken,
}

impl Turn<'_> {
    /// Waits until it is another's.
    pub(super) async fn taken_away(&self) {
        self.taken_away.cancelled().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut under_way = self.handshakes.under_way();
        under_way.turns.remove(&self.number);
        self.handshakes.limit.set_used(under_way.turns.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_says_nothing_leaves_his_turn_to_others() {
        let handshakes = Handshakes::new(&Limits::default());
        let now = Instant::now();
        let first = handshakes.begin_at(now).expect("a turn");
        let others: Vec<_> = (1..HANDSHAKES_MAX).map(|_| handshakes.begin_at(now)).collect();
        assert!(others.iter().all(Option::is_some));
        assert!(handshakes.begin_at(now).is_none(), "all have just begun");
        assert!(!first.taken_away.is_cancelled());
        let late = handshakes.begin_at(now + GRACE).expect("the oldest goes");
        first.taken_away().await;
        assert_eq!(handshakes.limit.used(), HANDSHAKES_MAX);
        drop((first, others, late));
        assert_eq!(handshakes.limit.used(), 0);
    }
}
