//! Two dispatchers that share the buckets of one database: an account is given no more than it takes, whichever of them
//! sends, and nobody's many stand before another's one.

mod shared;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use hatch_bus::testing::{TestBus, eventually};
use hatch_directory::Directory;
use hatch_dispatcher::{Dependencies, Stats, TenantCaps, run};
use hatch_domain::address::Address;
use hatch_domain::message::Message;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::{Environment, Priority};
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    Appender, AppenderConfig, Execute, HeadWatch, Log, Metadata, Store, SystemEnvironment, pool,
};
use hatch_providers::{Account, Accounts, Adapter, BoxFuture, Limits, Outbound, Outcome, Routes};
use hatch_routing::RouteTable;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::shared::{TEMPLATE, config};

const TENANT: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

/// What is between the time that a call begins and the one at which its provider is asked.
const JITTER: Duration = Duration::from_millis(100);

/// Requests that are made side by side.
const AT_ONCE: usize = 100;

/// A call, as the provider sees it.
#[derive(Debug, Clone, Copy)]
struct Call {
    at: Instant,
    message: Uuid,
    /// Which dispatcher made it.
    by: usize,
}

/// Takes every message, of whichever dispatcher.
struct Provider {
    calls: Mutex<Vec<Call>>,
    under_way: AtomicUsize,
    /// The most that were under way at a time.
    most: AtomicUsize,
    /// One for each call that may end; none: all may.
    gate: Option<Semaphore>,
}

impl Provider {
    fn new(gate: Option<Semaphore>) -> Arc<Self> {
        let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { calls: Mutex::default(), under_way, most, gate })
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("not poisoned").clone()
    }

    /// The calls, when there are so many.
    async fn has_had(&self, number: usize) -> Vec<Call> {
        eventually("all calls", async || {
            let calls = self.calls();
            (calls.len() >= number).then_some(calls)
        })
        .await
    }

    fn has_had_message(&self, id: Uuid) -> bool {
        self.calls().iter().any(|call| call.message == id)
    }
}

/// The provider, as one dispatcher reaches it.
struct Side {
    provider: Arc<Provider>,
    by: usize,
}

impl Adapter for Side {
    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Outcome> {
        let Self { provider, by } = self;
        let message = outbound.message_id.0;
        let call = Call { at: Instant::now(), message, by: *by };
        provider.calls.lock().expect("not poisoned").push(call);
        let under_way = provider.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        provider.most.fetch_max(under_way, Ordering::SeqCst);
        Box::pin(async move {
            if let Some(gate) = &provider.gate {
                gate.acquire().await.expect("never closed").forget();
            }
            provider.under_way.fetch_sub(1, Ordering::SeqCst);
            let provider_message_id = format!("SM{message}");
            Outcome::Accepted { provider_message_id, segments: None }
        })
    }
}

/// A log, to which nothing but the timers brings messages, and the provider of everybody's one account.
struct World {
    store: Store,
    provider: Arc<Provider>,
    limits: Limits,
    shutdown: CancellationToken,
    database: TestDatabase,
    bus: TestBus,
}

/// A dispatcher, as a process of its own would be.
struct Process {
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl World {
    async fn new(limits: Limits, provider: Arc<Provider>) -> Self {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let (bus, shutdown) = (TestBus::create().await, CancellationToken::new());
        let connections = pool(&database.config(), 8, Duration::from_secs(5));
        let (appender, _task) =
            Appender::start(AppenderConfig::default(), database.config(), shutdown.clone());
        let store = Store::new(appender, Log::new(connections), Arc::new(SystemEnvironment));
        Self { store, provider, limits, shutdown, database, bus }
    }

    /// Starts the dispatcher of that number.
    async fn dispatch(&self, by: usize) -> Process {
        let shutdown = self.shutdown.child_token();
        let connections = pool(&self.database.config(), 8, Duration::from_secs(5));
        let (head, _task) = HeadWatch::start(self.database.config(), shutdown.clone());
        let (directory, following) = Directory::start(
            connections.clone(),
            self.store.log().clone(),
            head.clone(),
            Arc::new(SystemEnvironment),
            shutdown.clone(),
        );
        tokio::spawn(following);
        let adapter = Arc::new(Side { provider: Arc::clone(&self.provider), by });
        let dependencies = Dependencies {
            store: self.store.clone(),
            pool: connections,
            head,
            bus: self.bus.connect_again().await,
            accounts: Accounts::new(vec![account(self.limits, adapter)]),
            routes: Routes::new(RouteTable::default()),
            directory,
            in_doubt: BTreeMap::new(),
            tenant_caps: TenantCaps::default(),
            precondition: None,
            stats: Arc::new(Stats::default()),
        };
        let running = tokio::spawn(run(dependencies, config(32, 32), shutdown.clone()));
        Process { shutdown, running }
    }

    async fn request(&self, tenant: Uuid, priority: Priority) -> Uuid {
        let request = hatch_domain::testing::request(SystemEnvironment.now());
        self.request_this(tenant, MessageRequested { priority, ..request }).await
    }

    async fn request_by(&self, sender: &str) -> Uuid {
        let from = Address::phone(sender).expect("a possible number");
        let request = hatch_domain::testing::request(SystemEnvironment.now());
        self.request_this(TENANT, MessageRequested { from, ..request }).await
    }

    async fn request_this(&self, tenant: Uuid, request: MessageRequested) -> Uuid {
        let id = SystemEnvironment.new_id();
        let command = MessageCommand::Request(request.into());
        let execute = Execute::<Message>::new(tenant, id, &command, Metadata::default());
        self.store.execute(execute).await.expect("accepted");
        id
    }

    async fn request_many(&self, number: usize, priority: Priority) -> HashSet<Uuid> {
        let mut ids = HashSet::new();
        for first in (0..number).step_by(AT_ONCE) {
            let some = first..number.min(first + AT_ONCE);
            ids.extend(join_all(some.map(|_| self.request(TENANT, priority))).await);
        }
        ids
    }

    async fn count(&self, sql: &str) -> i64 {
        self.database.connect().await.query_one(sql, &[]).await.expect("a count").get(0)
    }

    async fn stop(self, processes: Vec<Process>) {
        self.shutdown.cancel();
        for process in processes {
            process.running.await.expect("no panic");
        }
    }
}

impl Process {
    async fn end(self) {
        self.shutdown.cancel();
        self.running.await.expect("no panic");
    }
}

/// An account that carries everybody's text messages.
fn account(limits: Limits, adapter: Arc<dyn Adapter>) -> Account {
    Account { limits, ..shared::account("first", adapter) }
}

/// Fails where one of these was called twice, or another one.
fn assert_each_once(calls: &[Call], ids: &HashSet<Uuid>) {
    let called: HashSet<_> = calls.iter().map(|call| call.message).collect();
    assert_eq!(called.len(), calls.len(), "none twice");
    assert!(called.is_subset(ids), "no other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_no_second_two_dispatchers_give_an_account_more_than_it_takes_and_both_send() {
    const RATE: usize = 20;
    let limits = Limits { per_s: Some(RATE as f64), ..Limits::default() };
    let world = World::new(limits, Provider::new(None)).await;
    let processes = vec![world.dispatch(0).await, world.dispatch(1).await];
    let ids = world.request_many(120, Priority::Normal).await;
    let calls = world.provider.has_had(ids.len()).await;
    assert_each_once(&calls, &ids);
    let mut times: Vec<_> = calls.iter().map(|call| call.at).collect();
    times.sort_unstable();
    for span in times.windows(RATE + 1) {
        let apart = span[RATE].duration_since(span[0]);
        assert!(apart + JITTER >= Duration::from_secs(1), "{} within {apart:?}", RATE + 1);
    }
    let by: HashSet<_> = calls.iter().map(|call| call.by).collect();
    assert_eq!(by.len(), 2, "both have a part of it");
    let twice = "SELECT count(*) FROM (SELECT FROM es.events WHERE type = 'MessageDeferred' \
                 GROUP BY stream_id HAVING count(*) > 1) AS twice";
    assert_eq!(world.count(twice).await, 0, "each says once that it waits");
    world.stop(processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_dispatchers_have_no_more_calls_under_way_than_an_account_takes() {
    let limits = Limits { concurrency: Some(3), ..Limits::default() };
    let world = World::new(limits, Provider::new(Some(Semaphore::new(0)))).await;
    let processes = vec![world.dispatch(0).await, world.dispatch(1).await];
    let ids = world.request_many(24, Priority::Normal).await;
    for number in 1..=ids.len() {
        world.provider.has_had(number).await;
        world.provider.gate.as_ref().expect("it has one").add_permits(1);
    }
    let calls = world.provider.has_had(ids.len()).await;
    assert_each_once(&calls, &ids);
    assert!(world.provider.most.load(Ordering::SeqCst) <= 3);
    world.stop(processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dispatcher_had_of_calls_and_of_the_day_is_anothers_when_it_ends() {
    let limits = Limits { concurrency: Some(1), per_day: Some(10), ..Limits::default() };
    let world = World::new(limits, Provider::new(None)).await;
    let first = world.dispatch(0).await;
    let mut ids = world.request_many(4, Priority::Normal).await;
    world.provider.has_had(4).await;
    first.end().await;

    let second = world.dispatch(1).await;
    let begun = Instant::now();
    ids.extend(world.request_many(8, Priority::Normal).await);
    let calls = world.provider.has_had(10).await;
    // Left to itself, its share of calls would come back after ten seconds, and that of the day at midnight.
    let waited = calls[4].at.duration_since(begun);
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    let deferred = "SELECT count(DISTINCT stream_id) FROM es.events WHERE type = 'MessageDeferred' \
                    AND stream_id NOT IN (SELECT stream_id FROM es.events WHERE type = 'SendAttempted')";
    eventually("the others wait for the next day", async || {
        (world.count(deferred).await == 2).then_some(())
    })
    .await;
    assert_each_once(&world.provider.calls(), &ids);
    assert_eq!(world.provider.calls().len(), 10, "no more than a day has");
    world.stop(vec![second]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_many_delay_anothers_one_by_less_than_two_seconds() {
    const MANY: usize = 1_000;
    let limits = Limits { per_s: Some(25.0), ..Limits::default() };
    let world = World::new(limits, Provider::new(None)).await;
    let processes = vec![world.dispatch(0).await, world.dispatch(1).await];
    let many = world.request_many(MANY, Priority::Normal).await;
    let mut waits = Vec::new();
    // The first ones while most of the many are in no line yet.
    for _ in 0..12 {
        let begun = Instant::now();
        let id = world.request(OTHER, Priority::Normal).await;
        eventually("it is sent", async || world.provider.has_had_message(id).then_some(())).await;
        waits.push(begun.elapsed());
    }
    waits.sort_unstable();
    let (median, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!("behind {MANY} of another tenant one waits {median:?}, and {longest:?} at most");
    assert!(longest < Duration::from_secs(2), "{waits:?}");
    let sent = many.iter().filter(|id| world.provider.has_had_message(**id)).count();
    assert!(sent > 0 && sent < MANY, "{sent} of the many, which wait still");
    world.stop(processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_whose_account_takes_less_than_all_of_them_may_send_share_it() {
    const MANY: usize = 100;
    // The first two alone may send all that the account takes.
    let limits = Limits { per_s: Some(10.0), per_sender_per_s: Some(5.0), ..Limits::default() };
    let world = World::new(limits, Provider::new(None)).await;
    let processes = vec![world.dispatch(0).await];
    let mut many = HashSet::new();
    for sender in ["+12025550143", "+12025550144"] {
        many.extend(join_all((0..MANY).map(|_| world.request_by(sender))).await);
    }
    world.provider.has_had(10).await;
    let few = join_all((0..8).map(|_| world.request_by("+12025550149"))).await;
    eventually("they are sent", async || {
        few.iter().all(|id| world.provider.has_had_message(*id)).then_some(())
    })
    .await;
    let sent = many.iter().filter(|id| world.provider.has_had_message(**id)).count();
    assert!(sent < MANY, "{sent} of {} were sent before", many.len());
    world.stop(processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_urgent_goes_before_all_that_stands_in_line() {
    const RATE: f64 = 20.0;
    let limits = Limits { per_s: Some(RATE), ..Limits::default() };
    let world = World::new(limits, Provider::new(None)).await;
    let processes = vec![world.dispatch(0).await, world.dispatch(1).await];
    let bulk = world.request_many(400, Priority::Bulk).await;
    world.provider.has_had(20).await;
    let urgent = world.request_many(5, Priority::High).await;
    let before = world.provider.calls().len();
    let calls = eventually("they are sent", async || {
        let calls = world.provider.calls();
        let is_sent = |id: &Uuid| calls.iter().any(|call| call.message == *id);
        urgent.iter().all(is_sent).then_some(calls)
    })
    .await;
    let between = calls.iter().skip(before).filter(|call| bulk.contains(&call.message)).count();
    // What has its allowance when they come, and a second's worth until they are known.
    assert!(between <= RATE as usize * 2, "{between} of bulk went before");
    world.stop(processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_does_not_wait_until_nothing_else_stands_in_line() {
    const MANY: usize = 400;
    let limits = Limits { per_s: Some(20.0), ..Limits::default() };
    let world = World::new(limits, Provider::new(None)).await;
    let processes = vec![world.dispatch(0).await, world.dispatch(1).await];
    let normal = world.request_many(MANY, Priority::Normal).await;
    world.provider.has_had(20).await;
    let bulk = world.request_many(5, Priority::Bulk).await;
    eventually("they are sent", async || {
        bulk.iter().all(|id| world.provider.has_had_message(*id)).then_some(())
    })
    .await;
    let sent = normal.iter().filter(|id| world.provider.has_had_message(**id)).count();
    assert!(sent < MANY, "the others wait still");
    world.stop(processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_next_day_goes_on_when_the_account_is_given_more() {
    let limits = Limits { per_day: Some(5), ..Limits::default() };
    let mut world = World::new(limits, Provider::new(None)).await;
    let first = world.dispatch(0).await;
    let mut ids = world.request_many(5, Priority::Normal).await;
    world.provider.has_had(5).await;
    // By and by it is known that the day is used up.
    let of_next_day = "SELECT count(*) FROM es.events WHERE type = 'MessageDeferred' \
                       AND payload->>'reason' = 'daily_cap'";
    eventually("one waits for the next day", async || {
        ids.insert(world.request(TENANT, Priority::Normal).await);
        (world.count(of_next_day).await > 0).then_some(())
    })
    .await;
    assert_eq!(world.provider.calls().len(), 5);
    first.end().await;
    world.limits.per_day = Some(100_000);
    let second = world.dispatch(1).await;
    let calls = world.provider.has_had(ids.len()).await;
    assert_each_once(&calls, &ids);
    world.stop(vec![second]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_urgent_finds_room_however_much_else_is_due() {
    // Of room for 32 calls, a sixteenth is kept.
    const OTHERS: usize = 30;
    let provider = Provider::new(Some(Semaphore::new(0)));
    let world = World::new(Limits::default(), provider).await;
    let processes = vec![world.dispatch(0).await];
    let mut ids = world.request_many(60, Priority::Normal).await;
    let in_line = "SELECT count(DISTINCT stream_id) FROM es.events WHERE type = 'MessageDeferred' \
                   AND stream_id NOT IN (SELECT stream_id FROM es.events WHERE type = 'SendAttempted')";
    eventually("all others stand in the line", async || {
        (world.count(in_line).await == 60 - OTHERS as i64).then_some(())
    })
    .await;
    assert_eq!(world.provider.has_had(OTHERS).await.len(), OTHERS);
    let urgent = world.request(TENANT, Priority::High).await;
    eventually("it is sent", async || world.provider.has_had_message(urgent).then_some(())).await;
    ids.insert(urgent);
    world.provider.gate.as_ref().expect("it has one").add_permits(ids.len());
    assert_each_once(&world.provider.has_had(ids.len()).await, &ids);
    world.stop(processes).await;
}
