//! Leases what is wanted of the buckets, in one statement for all of them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::bucket::{Ask, Settled};
use super::hand::Size;
use super::{Key, Rates, State, want_more};

/// Between two leases, while somebody wants some.
const TICK: Duration = Duration::from_millis(50);

/// Between two looks at calls under way, whose share is renewed.
const CALLS_TICK: Duration = Duration::from_secs(1);

/// Buckets of one statement, at most.
const LEASES_AT_ONCE: usize = 2_000;

/// A hand that nobody has used for so long is forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// Between two looks at buckets that nobody uses any more.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

impl Rates {
    /// Leases what is wanted, for ever.
    pub(crate) async fn run(&self) -> Infallible {
        let mut forgotten = Instant::now();
        loop {
            // Who asks while nobody listens is heard all the same; calls are looked at without being asked.
            let _ = timeout(CALLS_TICK, self.0.wanted.notified()).await;
            let begun = Instant::now();
            let is_answered = self.lease(begun).await;
            let pause = if is_answered { TICK } else { TICK * 10 };
            sleep_until(begun + pause).await;
            if forgotten.elapsed() > FORGET_EVERY {
                forgotten = Instant::now();
                if let Err(error) = self.0.buckets.forget().await {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, "buckets that nobody uses stay");
                }
            }
        }
    }

    /// Leases once; whether PostgreSQL answered, or nothing was to be asked.
    async fn lease(&self, begun: Instant) -> bool {
        let (keys, asked, settled) = self.asks(begun);
        if asked.is_empty() {
            return true;
        }
        let granted = match self.0.buckets.lease(&asked, &settled).await {
            Ok(granted) => granted,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "no room is leased: messages wait");
                return false;
            }
        };
        let granted: HashMap<_, _> =
            granted.iter().map(|grant| (grant.key.as_str(), grant)).collect();
        let (now, mut state) = (Instant::now(), self.0.lock());
        for (key, ask) in keys.iter().zip(&asked) {
            let Some(grant) = granted.get(ask.key.as_str()) else {
                // Its bucket is new: it is asked again.
                let wanted = usize::try_from(ask.wanted).unwrap_or(1);
                want_more(&mut state, &[(key.clone(), Size::per_day(1))], wanted);
                self.0.wanted.notify_one();
                continue;
            };
            if let Some(hand) = state.hands.get_mut(key) {
                hand.granted(ask.wanted, grant, begun, now);
            }
            if grant.tokens > 0 {
                self.0.stats.leases.of(&key.what.as_str()).increment();
            }
        }
        drop(state);
        self.0.brought.notify_waiters();
        true
    }

    /// Gives back what is not in use, for others or for whoever comes next: nobody here begins a call any more.
    pub(crate) async fn end(&self) {
        let (asked, settled) = self.ends();
        if !asked.is_empty()
            && let Err(error) = self.0.buckets.lease(&asked, &settled).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "what was leased and not used comes back by itself");
        }
    }

    fn ends(&self) -> (Vec<Ask>, Vec<Settled>) {
        let (mut asked, mut settled) = (Vec::new(), Vec::new());
        let mut state = self.0.lock();
        for (key, hand) in &mut state.hands {
            if let Some((ask, over)) = hand.end(&key.name()) {
                asked.push(ask);
                settled.extend(over);
            }
        }
        (asked, settled)
    }

    /// What is asked for now: of very many buckets some each time, in turn.
    pub(super) fn asks(&self, now: Instant) -> (Vec<Key>, Vec<Ask>, Vec<Settled>) {
        let (mut keys, mut asked, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        let mut state = self.0.lock();
        let State { hands, ask_from, .. } = &mut *state;
        hands.retain(|_, hand| !hand.is_idle(now, IDLE));
        let from = std::mem::take(ask_from);
        let in_turn = (from..hands.len()).chain(0..from.min(hands.len()));
        let mut all: Vec<_> = hands.iter_mut().collect();
        for place in in_turn {
            let Some((key, hand)) = all.get_mut(place) else { continue };
            if keys.len() >= LEASES_AT_ONCE {
                *ask_from = place;
                self.0.wanted.notify_one();
                break;
            }
            if let Some((ask, over)) = hand.ask(&key.name(), now) {
                keys.push((*key).clone());
                asked.push(ask);
                settled.extend(over);
            }
        }
        (keys, asked, settled)
    }
}
