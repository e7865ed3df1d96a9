//! Many requests at a time on one connection, as HTTP/2 has them: which connections have them, which answers their
//! clients do not take, and how many there may be in a process.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures::task::AtomicWaker;
use hatch_telemetry::limit::{Limit, Limits, Share};
use tokio::time::Instant;

use crate::client_address::{ClientAddress, TrustedProxies};
use crate::connections::Full;

/// Requests that a client may give up on one connection before they are answered, beyond those that it lets be
/// answered: one that asks only to give up has us work for nothing.
const GIVEN_UP_MAX: u64 = 100;

/// What a connection of HTTP/2 is at, beside its bytes.
#[derive(Debug, Default)]
pub(crate) struct Multiplexed {
    begun: AtomicBool,
    waker: AtomicWaker,
    /// Answers of which their client has something to take.
    waiting: Mutex<Vec<Waiting>>,
    next: AtomicU64,
    given_up: AtomicU64,
}

/// An answer of which pieces are handed out that did not go out yet.
#[derive(Debug)]
struct Waiting {
    number: u64,
    pieces: usize,
    /// When the first of them was handed out, or the one before them went out.
    since: Instant,
}

impl Multiplexed {
    /// The connection speaks HTTP/2.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether it does.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits until it does.
    pub(crate) async fn begun(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.has_begun() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// A number for another answer.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A piece of the answer of this number is handed out, which its client has to take.
    pub(crate) fn hands_out(&self, number: u64, now: Instant) {
        let mut waiting = self.waiting();
        match waiting.iter_mut().find(|answer| answer.number == number) {
            Some(answer) => answer.pieces += 1,
            None => waiting.push(Waiting { number, pieces: 1, since: now }),
        }
    }

    /// A piece of it went out, or will never.
    pub(crate) fn goes_out(&self, number: u64, now: Instant) {
        self.waiting().retain_mut(|answer| {
            if answer.number == number {
                (answer.pieces, answer.since) = (answer.pieces.saturating_sub(1), now);
            }
            answer.pieces > 0
        });
    }

    /// Since when the answer waits that does so longest.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.waiting().iter().map(|answer| answer.since).min()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request was answered.
    pub(crate) fn answered(&self) {
        let one_less = |given_up: u64| Some(given_up.saturating_sub(1));
        let _ = self.given_up.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }

    /// A request was given up before it was answered; whether there were too many of them.
    pub(crate) fn gives_up(&self) -> bool {
        self.given_up.fetch_add(1, Ordering::Relaxed) >= GIVEN_UP_MAX
    }
}

/// The requests of a process that come by HTTP/2; cheap to clone.
///
/// By HTTP/1 a connection has one request at a time, so there are as many requests as connections at most. By HTTP/2
/// there would be a hundred times as many: these have a limit of their own.
#[derive(Debug, Clone)]
pub(crate) struct Streams(Arc<StreamsState>);

#[derive(Debug)]
struct StreamsState {
    all: Arc<Limit>,
    each_client_max: u64,
    trusted_proxies: TrustedProxies,
    clients: Mutex<HashMap<IpAddr, u64>>,
}

impl Streams {
    /// At most `max` at a time, of which one client has `each_client_max` unless it is a trusted proxy.
    pub(crate) fn new(
        limits: &Limits,
        (max, each_client_max): (u64, u64),
        trusted_proxies: TrustedProxies,
    ) -> Self {
        let all = limits.limit("http2_requests", max);
        Self(Arc::new(StreamsState {
            all,
            each_client_max,
            trusted_proxies,
            clients: Mutex::default(),
        }))
    }

    /// The place of a request of the client at `peer`.
    pub(crate) fn begin(&self, peer: IpAddr) -> Result<StreamPlace, Full> {
        let address = peer.to_canonical();
        let share = self.0.all.take(1).map_err(|_| Full)?;
        if self.0.trusted_proxies.contains(address) {
            return Ok(StreamPlace { _share: share, of_client: None });
        }
        let client = ClientAddress(address).counted();
        let mut clients = self.0.clients();
        let has = clients.entry(client).or_default();
        if *has >= self.0.each_client_max {
            self.0.all.refuse();
            return Err(Full);
        }
        *has += 1;
        drop(clients);
        Ok(StreamPlace { _share: share, of_client: Some((self.clone(), client)) })
    }
}

impl StreamsState {
    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, u64>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a request by HTTP/2, until its answer went out whole.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    _share: Share,
    of_client: Option<(Streams, IpAddr)>,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let Some((streams, client)) = &self.of_client else { return };
        let mut clients = streams.0.clients();
        if let Some(has) = clients.get_mut(client) {
            *has -= 1;
            if *has == 0 {
                clients.remove(client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_client_has_its_part_of_all_requests_and_a_proxy_more() {
        let limits = Limits::default();
        let trusted = TrustedProxies::parse(&["192.0.2.9".to_owned()]).expect("an address");
        let streams = Streams::new(&limits, (4, 2), trusted);
        let of = |last: u8| streams.begin(IpAddr::from([192, 0, 2, last]));
        let first = of(1).expect("a place");
        let _second = of(1).expect("a place");
        assert_eq!(of(1).err(), Some(Full), "that is its part");
        let _other = of(2).expect("a place");
        drop(first);
        let _again = of(1).expect("a place is free");
        let _proxied = of(9).expect("a place");
        assert_eq!(of(9).err(), Some(Full), "that is all");
        assert_eq!(limits.limit("http2_requests", 0).used(), 4, "what was refused takes nothing");
    }

    #[test]
    fn who_gives_up_more_than_he_lets_be_answered_has_given_up_too_much() {
        let multiplexed = Multiplexed::default();
        let given_up = |times: u64| (0..times).any(|_| multiplexed.gives_up());
        assert!(!given_up(GIVEN_UP_MAX));
        (0..GIVEN_UP_MAX * 2).for_each(|_| multiplexed.answered());
        assert!(!given_up(GIVEN_UP_MAX), "as often as he was answered");
        assert!(multiplexed.gives_up());
    }

    #[tokio::test]
    async fn the_answer_that_waits_longest_is_known() {
        let multiplexed = Multiplexed::default();
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        multiplexed.hands_out(1, now);
        multiplexed.hands_out(1, now);
        multiplexed.hands_out(2, later);
        assert_eq!(multiplexed.waits_since(), Some(now));
        multiplexed.goes_out(1, later);
        assert_eq!(multiplexed.waits_since(), Some(later), "a piece of it went out");
        multiplexed.goes_out(2, later);
        assert_eq!(multiplexed.waits_since(), Some(later), "there is another");
        multiplexed.goes_out(1, later);
        assert_eq!(multiplexed.waits_since(), None);
    }
}
