//! Several accounts, and several dispatchers that know of each other by the log alone.

#[path = "shared/balance.rs"]
mod balance;
#[path = "shared/elsewhere.rs"]
mod elsewhere;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hatch_bus::testing::{TestBus, eventually};
use hatch_directory::Directory;
use hatch_dispatcher::{BreakerState, Condition, Config, Dependencies, Stats, TenantCaps, run};
use hatch_domain::carrier::{Carrier, carrier_id};
use hatch_domain::ids::TenantId;
use hatch_domain::message::Message;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::status::Status;
use hatch_domain::{Environment, ErrorClass, SendError};
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    Appender, AppenderConfig, Execute, HeadWatch, Log, Metadata, Store, SystemEnvironment, pool,
};
use hatch_providers::{
    Account, Accounts, Adapter, BoxFuture, Outbound, Outcome, Routes, Tenants, Trouble,
};
use hatch_routing::RouteTable;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::shared::{TEMPLATE, config};

const TENANT: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

/// Answers every call alike, until it is told otherwise.
struct Provider {
    calls: AtomicUsize,
    answer: watch::Sender<Option<Outcome>>,
    /// Calls wait for it.
    gate: Semaphore,
}

impl Provider {
    /// Answers so; takes every message where nothing is said.
    fn new(answer: Option<Outcome>) -> Arc<Self> {
        let (calls, gate) = (AtomicUsize::new(0), Semaphore::new(1));
        Arc::new(Self { calls, answer: watch::Sender::new(answer), gate })
    }

    /// Does not answer until its gate is opened.
    fn hanging() -> Arc<Self> {
        let (calls, gate) = (AtomicUsize::new(0), Semaphore::new(0));
        Arc::new(Self { calls, answer: watch::Sender::new(None), gate })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Adapter for Provider {
    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Outcome> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            drop(self.gate.acquire().await.expect("never closed"));
            let provider_message_id = format!("SM{}", outbound.message_id.0);
            let accepted = Outcome::Accepted { provider_message_id, segments: None };
            self.answer.borrow().clone().unwrap_or(accepted)
        })
    }
}

/// An account that carries text messages.
fn account(name: &str, tenants: Tenants, adapter: Arc<dyn Adapter>) -> Account {
    Account { tenants, ..shared::account(name, adapter) }
}

/// Everybody's accounts: in the order of their names, the first carries all that it can.
fn accounts(first: &Arc<Provider>, second: &Arc<Provider>) -> Vec<Account> {
    vec![
        account("first", Tenants::All, first.clone()),
        account("second", Tenants::All, second.clone()),
    ]
}

fn refused() -> Outcome {
    let (code, detail) = ("20003".to_owned(), "Authenticate".to_owned());
    Outcome::Account { trouble: Trouble::Credentials, code, detail }
}

fn refused_for(class: ErrorClass) -> Outcome {
    let (code, detail) = ("1".to_owned(), "no".to_owned());
    Outcome::Refused { error: SendError { code, class, detail, permanent: true } }
}

/// A log, to which nothing but the timers brings messages.
struct World {
    store: Store,
    shutdown: CancellationToken,
    database: TestDatabase,
    bus: TestBus,
}

/// A dispatcher, as a process of its own would be.
struct Process {
    stats: Arc<Stats>,
    routes: Routes,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let (bus, shutdown) = (TestBus::create().await, CancellationToken::new());
        let connections = pool(&database.config(), 8, Duration::from_secs(5));
        let (appender, _task) =
            Appender::start(AppenderConfig::default(), database.config(), shutdown.clone());
        let store = Store::new(appender, Log::new(connections), Arc::new(SystemEnvironment));
        Self { store, shutdown, database, bus }
    }

    async fn dispatch(&self, accounts: Vec<Account>, config: Config) -> Process {
        self.dispatch_by(RouteTable::default(), accounts, config).await
    }

    async fn dispatch_by(
        &self,
        routes: RouteTable,
        accounts: Vec<Account>,
        config: Config,
    ) -> Process {
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
        let (stats, routes) = (Arc::new(Stats::default()), Routes::new(routes));
        let dependencies = Dependencies {
            store: self.store.clone(),
            pool: connections,
            head,
            bus: self.bus.connect_again().await,
            accounts: Accounts::new(accounts),
            routes: routes.clone(),
            directory,
            in_doubt: BTreeMap::new(),
            tenant_caps: TenantCaps::default(),
            precondition: None,
            stats: Arc::clone(&stats),
        };
        let running = tokio::spawn(run(dependencies, config, shutdown.clone()));
        Process { stats, routes, shutdown, running }
    }

    async fn request(&self, tenant: Uuid) -> Uuid {
        let id = SystemEnvironment.new_id();
        let request = hatch_domain::testing::request(SystemEnvironment.now());
        let command = MessageCommand::Request(request.into());
        let execute = Execute::<Message>::new(tenant, id, &command, Metadata::default());
        self.store.execute(execute).await.expect("accepted");
        id
    }

    async fn becomes(&self, tenant: Uuid, id: Uuid, status: Status) -> Message {
        eventually("the message's status", async || {
            let loaded = self.store.load::<Message>(tenant, id).await.ok()?;
            (loaded.state.status() == status).then_some(loaded.state)
        })
        .await
    }

    /// The accounts of a message's attempts, in order.
    async fn attempted(&self, id: Uuid) -> Vec<String> {
        self.choices(id, "name").await
    }

    /// What the claims of a message say of how its accounts were chosen, in order.
    async fn choices(&self, id: Uuid, what: &str) -> Vec<String> {
        let session = self.database.connect().await;
        let rows = "SELECT payload::json->'choice'->>$2 FROM es.events \
                     WHERE stream_id = $1 AND type = 'SendAttempted' ORDER BY position";
        let rows = session.query(rows, &[&id, &what]).await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn stop(self, processes: Vec<Process>) {
        self.shutdown.cancel();
        for process in processes {
            process.running.await.expect("no panic");
        }
    }
}

impl Process {
    /// Waits until it finds the breaker of an account so.
    async fn finds(&self, name: &str, state: BreakerState) {
        eventually("the state of a breaker", async || {
            let known = self.stats.accounts.of("twilio", &format!("AC-{name}"));
            let stands = known.breaker();
            // What is half open was open.
            let is_so = stands == state
                || (state == BreakerState::Open && stands == BreakerState::HalfOpen);
            is_so.then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_the_accounts_fault_goes_by_the_next_one_at_once_and_is_sent_once() {
    let world = World::new().await;
    let throttled = Outcome::Throttled {
        code: "20429".to_owned(),
        retry_after: Some(Duration::from_secs(3_600)),
        detail: "slow down".to_owned(),
    };
    let away = Outcome::Unavailable { code: "connect".to_owned(), detail: "refused".to_owned() };
    let (first, second) = (Provider::new(None), Provider::new(None));
    let process = world.dispatch(accounts(&first, &second), config(8, 8)).await;
    for outcome in [throttled, away, refused_for(ErrorClass::Account), refused()] {
        let calls = (first.calls(), second.calls());
        first.answer.send_replace(Some(outcome.clone()));
        let id = world.request(TENANT).await;
        let message = world.becomes(TENANT, id, Status::Sent).await;
        assert_eq!(world.attempted(id).await, ["first", "second"], "{outcome:?}");
        assert_eq!((first.calls(), second.calls()), (calls.0 + 1, calls.1 + 1), "{outcome:?}");
        assert_eq!(message.attempted_via(2), Some(("twilio", "AC-second")));
    }
    let failovers: u64 =
        process.stats.failovers.all().iter().map(|(_, counted)| counted.get()).sum();
    assert_eq!(failovers, 4);
    world.stop(vec![process]).await;
}

#[tokio::test]
async fn what_is_the_messages_fault_or_nobody_knows_goes_by_no_other_account() {
    let world = World::new().await;
    let (first, second) = (Provider::new(None), Provider::new(None));
    let process = world.dispatch(accounts(&first, &second), config(8, 8)).await;
    let unknown = Outcome::Unknown { detail: "timeout".to_owned() };
    for (outcome, status) in [
        (refused_for(ErrorClass::InvalidRecipient), Status::Failed),
        (refused_for(ErrorClass::OptedOut), Status::Failed),
        (refused_for(ErrorClass::Content), Status::Failed),
        (unknown, Status::InDoubt),
    ] {
        first.answer.send_replace(Some(outcome.clone()));
        let id = world.request(TENANT).await;
        world.becomes(TENANT, id, status).await;
        assert_eq!(world.attempted(id).await, ["first"], "{outcome:?}");
    }
    assert_eq!(second.calls(), 0);
    world.stop(vec![process]).await;
}

#[tokio::test]
async fn what_one_dispatcher_finds_of_an_account_all_know_and_who_begins_later_too() {
    let world = World::new().await;
    let (first, second) = (Provider::new(Some(refused())), Provider::new(None));
    let finder = world.dispatch(accounts(&first, &second), config(8, 8)).await;
    let id = world.request(TENANT).await;
    world.becomes(TENANT, id, Status::Sent).await;
    finder.finds("first", BreakerState::Open).await;
    finder.shutdown.cancel();
    finder.running.await.expect("no panic");

    // Nobody of these has called it.
    let (idle, unused) = (Provider::new(None), Provider::new(None));
    let mut slow = config(8, 8);
    slow.account_backoff = (Duration::from_secs(600), Duration::from_secs(600));
    slow.breaker.open_ms = 600_000;
    let listener = world.dispatch(accounts(&idle, &unused), slow).await;
    let late = world.dispatch(accounts(&idle, &unused), slow).await;
    for process in [&listener, &late] {
        process.finds("first", BreakerState::Open).await;
        let known = process.stats.accounts.of("twilio", "AC-first").condition();
        assert!(matches!(known, Condition::Refused(_)), "{known:?}");
    }
    let id = world.request(TENANT).await;
    world.becomes(TENANT, id, Status::Sent).await;
    assert_eq!(world.attempted(id).await, ["second"]);
    assert_eq!(idle.calls(), 0);

    // One that may try closes it for all. The others have their hands full, so that messages come to it.
    let (well, other) = (Provider::new(None), Provider::new(None));
    let trier = world.dispatch(accounts(&well, &other), config(8, 8)).await;
    trier.finds("first", BreakerState::Open).await;
    unused.gate.forget_permits(1);
    eventually("it tries the account", async || {
        world.request(TENANT).await;
        (well.calls() > 0).then_some(())
    })
    .await;
    unused.gate.add_permits(1);
    for process in [&listener, &late, &trier] {
        process.finds("first", BreakerState::Closed).await;
    }
    let stream = carrier_id(TenantId(TENANT), "twilio", "AC-first", SystemEnvironment.now());
    let told = world.store.load::<Carrier>(TENANT, stream.0).await.expect("it can be read");
    assert_eq!(told.version, 2, "transitions alone");
    world.stop(vec![listener, late, trier]).await;
}

#[tokio::test]
async fn a_slow_account_takes_no_place_from_another() {
    let world = World::new().await;
    let (slow, quick) = (Provider::hanging(), Provider::new(None));
    let these = |tenant| Tenants::These(vec![TenantId(tenant)]);
    let accounts = vec![
        account("slow", these(TENANT), slow.clone()),
        account("quick", these(OTHER), quick.clone()),
    ];
    // One place, and room for two calls of each account.
    let process = world.dispatch(accounts, config(1, 2)).await;
    let mut hung = Vec::new();
    for _ in 0..6 {
        hung.push(world.request(TENANT).await);
    }
    eventually("its room is full", async || (slow.calls() == 2).then_some(())).await;
    for _ in 0..20 {
        let id = world.request(OTHER).await;
        world.becomes(OTHER, id, Status::Sent).await;
    }
    assert_eq!((slow.calls(), quick.calls()), (2, 20));
    slow.gate.add_permits(1);
    for id in hung {
        world.becomes(TENANT, id, Status::Sent).await;
    }
    world.stop(vec![process]).await;
}

#[tokio::test]
async fn a_message_without_another_account_waits_and_goes_on_when_its_own_works_again() {
    let world = World::new().await;
    let away = Outcome::Unavailable { code: "connect".to_owned(), detail: "refused".to_owned() };
    let only = Provider::new(Some(away));
    let accounts = vec![account("first", Tenants::All, only.clone())];
    let mut eager = config(8, 8);
    eager.breaker.failures = 2;
    let process = world.dispatch(accounts, eager).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(world.request(TENANT).await);
    }
    eventually("a message says for what it waits", async || {
        let mut waiting = 0;
        for id in &ids {
            let loaded = world.store.load::<Message>(TENANT, *id).await.ok()?;
            waiting += usize::from(loaded.state.waits_for_account().is_some());
        }
        (waiting > 0).then_some(())
    })
    .await;
    only.answer.send_replace(None);
    for id in ids {
        world.becomes(TENANT, id, Status::Sent).await;
    }
    world.stop(vec![process]).await;
}
