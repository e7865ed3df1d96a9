//! How many connections a process has, and which of them make room for another.
//!
//! A connection on which nothing is asked costs its client nothing to lose, so when all places are taken the idle
//! ones go: first those that never asked anything, then those that did so longest ago. One that was made a
//! moment ago is about to ask. Only where no connection is idle is a new one refused.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures::task::AtomicWaker;
use hatch_telemetry::limit::{Limit, Limits};
use tokio::time::Instant;

use crate::client_address::{ClientAddress, TrustedProxies};
use crate::multiplexed::{Multiplexed, Streams};
use crate::problem::ErrorPages;
use crate::refusal::Refusals;
use crate::sites::Sites;

/// Of all connections, the part that one client may have: one that keeps its connections busy leaves as many
/// to the others.
const CLIENT_SHARE: u64 = 2;

/// Of all connections, the part that is closed at once when room is needed, so that a flood does not look at
/// every connection for each of its own.
const ROOM_SHARE: usize = 64;

/// How long a head may be on its way before its connection counts as idle where room is needed.
const HEAD_GRACE: Duration = Duration::from_secs(5);

/// How long nothing may have happened on a connection before it counts as idle where room is needed: a newcomer
/// has as long to ask, and an answer to be written.
const QUIET_GRACE: Duration = Duration::from_secs(1);

/// The connections of a process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Connections(Arc<ConnectionsState>);

#[derive(Debug)]
struct ConnectionsState {
    all: Arc<Limit>,
    /// Shows what the client of the newest connection has.
    each_client: Arc<Limit>,
    /// Files of the system, which may end before the connections do.
    files: Arc<Limit>,
    trusted_proxies: TrustedProxies,
    began: Instant,
    open: Mutex<Open>,
    /// Requests on connections that have many at a time.
    streams: Streams,
    refusals: Arc<Refusals>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    places: HashMap<u64, (IpAddr, Arc<Activity>)>,
    /// How many each client has.
    clients: HashMap<IpAddr, u64>,
}

/// Why a connection gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Connections {
    /// At most `max` connections of a process that may open `files_max` files. Those of trusted proxies are many
    /// clients', and have no limit of their own.
    #[must_use]
    pub fn new(limits: &Limits, max: u64, files_max: u64, trusted_proxies: TrustedProxies) -> Self {
        let each_client = max.div_ceil(CLIENT_SHARE);
        let streams = Streams::new(limits, (max, each_client), trusted_proxies.clone());
        Self(Arc::new(ConnectionsState {
            all: limits.limit("connections", max),
            each_client: limits.limit("connections_per_client", each_client),
            files: limits.limit("files", files_max),
            trusted_proxies,
            began: Instant::now(),
            open: Mutex::default(),
            streams,
            refusals: Arc::new(Refusals::new(files_max)),
        }))
    }

    /// The same, whose errors the pages of the installation explain that `sites` names.
    #[must_use]
    pub fn explained_by(self, sites: &Sites) -> Self {
        self.0.refusals.explain_by(sites.error_pages());
        self
    }

    /// Answers the clients that get no place.
    pub(crate) fn refusals(&self) -> &Arc<Refusals> {
        &self.0.refusals
    }

    /// The places of requests where a connection has many at a time: as many as there are connections.
    pub(crate) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// The client at `peer`, as it is counted; none where that is a trusted proxy, which is many.
    pub(crate) fn client(&self, peer: IpAddr) -> Option<IpAddr> {
        let address = peer.to_canonical();
        let is_proxy = self.0.trusted_proxies.contains(address);
        (!is_proxy).then(|| ClientAddress(address).counted())
    }

    /// A place for the connection from `peer`, for which idle ones are closed where none is free.
    pub(crate) fn admit(&self, peer: SocketAddr) -> Result<ConnectionSlot, Full> {
        self.admit_at(peer, Instant::now())
    }

    /// The same, as it is at `now`.
    pub(crate) fn admit_at(&self, peer: SocketAddr, now: Instant) -> Result<ConnectionSlot, Full> {
        let shared = &*self.0;
        let address = peer.ip().to_canonical();
        let client = ClientAddress(address).counted();
        let is_proxy = shared.trusted_proxies.contains(address);
        let mut open = shared.open();
        let has = open.clients.get(&client).copied().unwrap_or_default();
        if !is_proxy
            && has >= shared.each_client.max()
            && !shared.make_room(&mut open, now, |other| other == client)
        {
            shared.each_client.set_used(has);
            shared.each_client.refuse();
            return Err(Full);
        }
        let full = open.places.len() as u64 >= shared.all.max();
        if full && !shared.make_room(&mut open, now, |_| true) {
            shared.all.refuse();
            return Err(Full);
        }
        let number = open.next;
        open.next += 1;
        let activity = Arc::new(Activity::new(shared.began, now));
        open.places.insert(number, (client, Arc::clone(&activity)));
        let has = open.clients.entry(client).or_default();
        *has += 1;
        let has = *has;
        shared.all.set_used(open.places.len() as u64);
        shared.each_client.set_used(if is_proxy { 0 } else { has });
        Ok(ConnectionSlot { connections: self.clone(), number, activity })
    }

    /// The system has no file for another connection: idle ones are closed.
    pub(crate) fn out_of_files(&self) {
        self.0.files.refuse();
        self.0.make_room(&mut self.0.open(), Instant::now(), |_| true);
    }
}

impl ConnectionsState {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes idle connections of the clients that `of` names; whether there was one.
    fn make_room(&self, open: &mut Open, now: Instant, of: impl Fn(IpAddr) -> bool) -> bool {
        let idle = open.places.iter().filter(|(_, (client, _))| of(*client));
        let mut idle: Vec<_> = idle
            .filter_map(|(number, (_, activity))| Some((activity.idle_since(now)?, *number)))
            .collect();
        let room = open.places.len() / ROOM_SHARE + 1;
        if idle.len() > room {
            idle.select_nth_unstable(room);
            idle.truncate(room);
        }
        for (_, number) in &idle {
            if let Some(activity) = open.leave(*number) {
                activity.close();
            }
        }
        self.all.set_used(open.places.len() as u64);
        !idle.is_empty()
    }
}

impl Open {
    fn leave(&mut self, number: u64) -> Option<Arc<Activity>> {
        let (client, activity) = self.places.remove(&number)?;
        if let Some(has) = self.clients.get_mut(&client) {
            *has -= 1;
            if *has == 0 {
                self.clients.remove(&client);
            }
        }
        Some(activity)
    }
}

/// The place of a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    connections: Connections,
    number: u64,
    pub(crate) activity: Arc<Activity>,
}

impl ConnectionSlot {
    /// Where errors are explained.
    pub(crate) fn error_pages(&self) -> ErrorPages {
        self.connections.0.refusals.error_pages()
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let shared = &*self.connections.0;
        let mut open = shared.open();
        open.leave(self.number);
        shared.all.set_used(open.places.len() as u64);
    }
}

/// The activity of a connection, which decides whether it may be closed.
#[derive(Debug)]
pub(crate) struct Activity {
    began: Instant,
    /// When it began to do what it does, in milliseconds after `began`.
    since_ms: AtomicU64,
    doing: AtomicU8,
    /// Requests that were taken.
    requests: AtomicU64,
    /// Requests and streams that are being answered.
    busy: AtomicU32,
    streaming: AtomicBool,
    closing: AtomicBool,
    pub(crate) waker: AtomicWaker,
    pub(crate) multiplexed: Multiplexed,
}

/// What the bytes of a connection say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Neither end has anything to send, or the client sends what nobody reads.
    Nothing,
    /// The client has begun to send, and had no answer since.
    Asking,
    /// The client does not take what is sent.
    Stalling,
}

impl Activity {
    fn new(began: Instant, now: Instant) -> Self {
        let activity = Self {
            began,
            since_ms: AtomicU64::new(0),
            doing: AtomicU8::new(Doing::Nothing as u8),
            requests: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            streaming: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            multiplexed: Multiplexed::default(),
        };
        activity.does(Doing::Nothing, now);
        activity
    }

    pub(crate) fn does(&self, doing: Doing, since: Instant) {
        let since = since.saturating_duration_since(self.began).as_millis();
        self.since_ms.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.doing.store(doing as u8, Ordering::Relaxed);
    }

    /// A request came whole as far as its head goes; it is being answered until the value is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// As [`busy`](Self::busy), of a request that is counted elsewhere.
    pub(crate) fn held(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    pub(crate) fn streams(self: &Arc<Self>) -> Busy {
        self.streaming.store(true, Ordering::Relaxed);
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Whether a stream was opened on it.
    pub(crate) fn is_streaming(&self) -> bool {
        self.streaming.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Whether it gave its place to another.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Waits until it did, where nothing else does.
    pub(crate) async fn closes(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.is_closing() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// How long nothing has been asked and nothing is being answered, whatever bytes moved.
    pub(crate) fn idle_for(&self, now: Instant) -> Option<Duration> {
        let since = self.began + Duration::from_millis(self.since_ms.load(Ordering::Relaxed));
        (!self.is_busy()).then(|| now.saturating_duration_since(since))
    }

    /// The client takes what is sent, or does not, which is no news of what it asks.
    pub(crate) fn flows(&self) {
        self.doing.store(Doing::Nothing as u8, Ordering::Relaxed);
    }

    pub(crate) fn stalls(&self) {
        self.doing.store(Doing::Stalling as u8, Ordering::Relaxed);
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether it ever asked anything and since when it is idle, where it may be closed: the least goes first.
    fn idle_since(&self, now: Instant) -> Option<(bool, u64)> {
        let since_ms = self.since_ms.load(Ordering::Relaxed);
        let since = self.began + Duration::from_millis(since_ms);
        let (spoke, lasted) = (self.requests() > 0, now.saturating_duration_since(since));
        let idle = match self.doing.load(Ordering::Relaxed) {
            doing if doing == Doing::Nothing as u8 => lasted >= QUIET_GRACE,
            doing if doing == Doing::Asking as u8 => lasted >= HEAD_GRACE,
            _ => false,
        };
        (idle && !self.is_busy()).then_some((spoke, since_ms))
    }
}

/// A connection that is not idle, though no byte may move.
#[derive(Debug)]
#[must_use]
pub struct Busy(Arc<Activity>);

impl Clone for Busy {
    fn clone(&self) -> Self {
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.does(Doing::Nothing, Instant::now());
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(max: u64, trusted: &[&str]) -> (Connections, Limits) {
        let limits = Limits::default();
        let trusted: Vec<_> = trusted.iter().map(|text| (*text).to_owned()).collect();
        let trusted = TrustedProxies::parse(&trusted).expect("addresses");
        (Connections::new(&limits, max, 100, trusted), limits)
    }

    fn from(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 1))
    }

    #[tokio::test]
    async fn an_answer_that_is_being_written_is_not_idle() {
        let (connections, _limits) = connections(1, &[]);
        let place = connections.admit(from(1)).expect("a place");
        drop(place.activity.busy());
        assert_eq!(place.activity.idle_since(Instant::now()), None);
        assert!(place.activity.idle_since(Instant::now() + QUIET_GRACE).is_some());
    }

    #[tokio::test]
    async fn a_newcomer_has_a_moment_to_ask_before_another_gets_its_place() {
        let (connections, limits) = connections(2, &[]);
        let (now, half) = (Instant::now(), QUIET_GRACE / 2);
        let first = connections.admit_at(from(1), now).expect("a place");
        let second = connections.admit_at(from(2), now + half).expect("a place");
        let refused = connections.admit_at(from(3), now + half).err();
        assert_eq!(refused, Some(Full), "both are about to ask");
        let later = now + QUIET_GRACE;
        let _third = connections.admit_at(from(3), later).expect("the first did not ask");
        assert!(first.activity.is_closing() && !second.activity.is_closing());
        assert_eq!(connections.admit_at(from(3), later).err(), Some(Full), "a client has half");
        let of_client = limits.limit("connections_per_client", 0);
        assert_eq!((of_client.used(), of_client.refused()), (1, 1), "what it has is shown");
    }

    #[tokio::test]
    async fn who_asks_nothing_makes_room_and_who_is_busy_stays() {
        let (connections, limits) = connections(4, &[]);
        let busy = connections.admit(from(1)).expect("a place");
        let _request = busy.activity.busy();
        let spoke = connections.admit(from(2)).expect("a place");
        drop(spoke.activity.busy());
        let silent: Vec<_> = (3..5).map(|n| connections.admit(from(n)).expect("a place")).collect();
        let later = Instant::now() + QUIET_GRACE;
        let fifth = connections.admit_at(from(6), later).expect("another makes room");
        assert_eq!(silent.iter().filter(|place| place.activity.is_closing()).count(), 1);
        assert!(!busy.activity.is_closing() && !spoke.activity.is_closing());
        assert_eq!(limits.limit("connections", 0).used(), 4);
        let _all_busy = [&spoke, &silent[1], &fifth].map(|place| place.activity.busy());
        assert_eq!(connections.admit(from(7)).err(), Some(Full));
        assert_eq!(limits.limit("connections", 0).refused(), 1);
        drop(fifth);
        let _free = connections.admit(from(7)).expect("a place is free");
    }

    #[tokio::test]
    async fn one_client_leaves_as_much_to_the_others_unless_it_is_many() {
        let (connections, _limits) = connections(4, &["192.0.2.9"]);
        let places = [1, 1].map(|n| connections.admit(from(n)).expect("a place"));
        let _busy = [&places[0], &places[1]].map(|place| place.activity.busy());
        assert_eq!(connections.admit(from(1)).err(), Some(Full));
        let _others = [2, 3].map(|n| connections.admit(from(n)).expect("a place"));
        drop(places);
        let later = Instant::now() + QUIET_GRACE;
        let proxied = |n| connections.admit_at(from(n), later).expect("a place");
        let _proxied = [9, 9, 9, 9].map(proxied);
    }

    #[tokio::test]
    async fn a_head_that_is_late_makes_room() {
        let (connections, _limits) = connections(1, &[]);
        let place = connections.admit(from(1)).expect("a place");
        let now = Instant::now();
        place.activity.does(Doing::Asking, now);
        assert_eq!(connections.admit(from(2)).err(), Some(Full), "it may come yet");
        let later = now + HEAD_GRACE + Duration::from_secs(1);
        assert!(place.activity.idle_since(later).is_some(), "it came too slowly");
    }
}
