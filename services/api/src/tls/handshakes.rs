//! How many handshakes are under way at a time: each is a connection of which nobody knows what it wants.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hatch_telemetry::limit::{Limit, Limits};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Handshakes at a time, at most.
const HANDSHAKES_MAX: u64 = 512;

/// How long one has in any case, before another takes its turn.
const GRACE: Duration = Duration::from_secs(1);

/// Of all of them, the part that one client may have.
const CLIENT_SHARE: u64 = 2;

/// The handshakes of a listener.
pub(super) struct Handshakes {
    limit: Arc<Limit>,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    next: u64,
    /// By their order.
    turns: BTreeMap<u64, Begun>,
    /// How many each client has.
    clients: HashMap<IpAddr, u64>,
}

struct Begun {
    at: Instant,
    client: Option<IpAddr>,
    taken_away: CancellationToken,
}

impl Handshakes {
    pub(super) fn new(limits: &Limits) -> Self {
        let limit = limits.limit("tls_handshakes", HANDSHAKES_MAX);
        Self { limit, under_way: Mutex::default() }
    }

    /// A turn for `client`, or for a proxy, which is many. Where there are too many, the oldest goes of the client that has
    /// most; none where that is new, too.
    pub(super) fn begin(&self, client: Option<IpAddr>) -> Option<Turn<'_>> {
        self.begin_at(client, Instant::now())
    }

    fn begin_at(&self, client: Option<IpAddr>, now: Instant) -> Option<Turn<'_>> {
        let mut under_way = self.under_way();
        let max = self.limit.max();
        let has_share = under_way.has(client) >= max.div_ceil(CLIENT_SHARE);
        if has_share || under_way.turns.len() as u64 >= max {
            self.limit.refuse();
            let number = under_way.gives_way(client, has_share, now)?;
            if let Some(begun) = under_way.end(number) {
                begun.taken_away.cancel();
            }
        }
        let (number, taken_away) = (under_way.next, CancellationToken::new());
        under_way.next += 1;
        under_way.turns.insert(number, Begun { at: now, client, taken_away: taken_away.clone() });
        if let Some(client) = client {
            *under_way.clients.entry(client).or_default() += 1;
        }
        self.limit.set_used(under_way.turns.len() as u64);
        Some(Turn { handshakes: self, number, taken_away })
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    fn has(&self, client: Option<IpAddr>) -> u64 {
        client.and_then(|client| self.clients.get(&client)).copied().unwrap_or_default()
    }

    /// The turn that goes for one of `client`: its own where it has its share. A client that has far more has no moment
    /// of grace, because otherwise whoever begins most has all turns.
    fn gives_way(&self, client: Option<IpAddr>, has_share: bool, now: Instant) -> Option<u64> {
        let several = self.clients.iter().filter(|(_, has)| **has > 1);
        let most = several.max_by_key(|(_, has)| **has).map(|(client, _)| *client);
        let from = if has_share { client } else { most };
        let mut turns = self.turns.iter();
        let (number, oldest) = turns.find(|(_, begun)| from.is_none() || begun.client == from)?;
        let has_far_more = self.has(from) > 2 * (self.has(client) + 1);
        let is_over = now.saturating_duration_since(oldest.at) >= GRACE;
        (is_over || has_far_more).then_some(*number)
    }

    fn end(&mut self, number: u64) -> Option<Begun> {
        let begun = self.turns.remove(&number)?;
        if let Some(client) = begun.client
            && let Some(has) = self.clients.get_mut(&client)
        {
            *has -= 1;
            if *has == 0 {
                self.clients.remove(&client);
            }
        }
        Some(begun)
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
        under_way.end(self.number);
        self.handshakes.limit.set_used(under_way.turns.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u64 = HANDSHAKES_MAX / CLIENT_SHARE;

    fn client(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test]
    async fn who_says_nothing_leaves_his_turn_to_others() {
        let handshakes = Handshakes::new(&Limits::default());
        let now = Instant::now();
        let first = handshakes.begin_at(None, now).expect("a turn");
        let others: Vec<_> = (1..HANDSHAKES_MAX).map(|_| handshakes.begin_at(None, now)).collect();
        assert!(others.iter().all(Option::is_some), "a proxy is many clients");
        assert!(handshakes.begin_at(None, now).is_none(), "all have just begun");
        assert!(!first.taken_away.is_cancelled());
        let late = handshakes.begin_at(None, now + GRACE).expect("the oldest goes");
        first.taken_away().await;
        assert_eq!(handshakes.limit.used(), HANDSHAKES_MAX);
        drop((first, others, late));
        assert_eq!(handshakes.limit.used(), 0);
        assert!(handshakes.under_way().clients.is_empty());
    }

    #[tokio::test]
    async fn one_client_leaves_half_to_the_others_and_takes_no_turn_of_theirs() {
        let handshakes = Handshakes::new(&Limits::default());
        let now = Instant::now();
        let begin = |last, at| handshakes.begin_at(client(last), at);
        let early = begin(3, now).expect("a turn");
        let first: Vec<_> = (0..HALF).map(|_| begin(1, now).expect("a turn")).collect();
        assert!(begin(1, now).is_none(), "that is its share");
        let again = begin(1, now + GRACE).expect("its own oldest goes");
        first[0].taken_away().await;
        assert!(!early.taken_away.is_cancelled());
        let second: Vec<_> = (1..HALF).map(|_| begin(2, now + GRACE).expect("a turn")).collect();
        assert_eq!(handshakes.limit.used(), HANDSHAKES_MAX);
        let newcomer = begin(4, now).expect("who has most leaves a turn at once");
        first[1].taken_away().await;
        assert!(!early.taken_away.is_cancelled() && !newcomer.taken_away.is_cancelled());
        drop((early, first, again, second, newcomer));
        assert_eq!(handshakes.limit.used(), 0);
    }
}
