//! Accounts that are replaced and accounts that are down, against real servers: those of one tenant hold up no other's.

mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hatch_bus::testing::{TestBus, eventually};
use hatch_directory::Directory;
use hatch_dispatcher::{Dependencies, Stats, TenantCaps, run};
use hatch_domain::Environment;
use hatch_domain::ids::TenantId;
use hatch_domain::message::Message;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::status::Status;
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    Appender, AppenderConfig, Execute, HeadWatch, Log, Metadata, Store, SystemEnvironment, pool,
};
use hatch_providers::{
    Account, Accounts, Adapter, BoxFuture, Outbound, Outcome, Routes, Tenants, Trouble,
};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::shared::{TEMPLATE, config};

/// The tenants; each has an account.
const FIRST: Uuid = Uuid::from_u128(1);
const SECOND: Uuid = Uuid::from_u128(2);

/// Messages that wait for an account that stays down: more than are considered when one is to be tried.
const MANY: i64 = 200;

/// Takes what comes, once its gate is open, or refuses its account.
struct Provider {
    calls: AtomicUsize,
    refuses: AtomicBool,
    gate: Semaphore,
}

impl Provider {
    fn new(refuses: bool, is_open: bool) -> Arc<Self> {
        let gate = Semaphore::new(usize::from(is_open));
        Arc::new(Self { calls: AtomicUsize::new(0), refuses: AtomicBool::new(refuses), gate })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until it was called.
    async fn is_called(&self) {
        eventually("a call", async || (self.calls() > 0).then_some(())).await;
    }
}

impl Adapter for Provider {
    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Outcome> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if self.refuses.load(Ordering::SeqCst) {
                let (code, detail) = ("20003".to_owned(), "Authenticate".to_owned());
                return Outcome::Account { trouble: Trouble::Credentials, code, detail };
            }
            drop(self.gate.acquire().await.expect("never closed"));
            let provider_message_id = format!("SM{}", outbound.message_id.0);
            Outcome::Accepted { provider_message_id, segments: None }
        })
    }
}

/// The account of a tenant.
fn account(tenant: Uuid, adapter: Arc<dyn Adapter>) -> Account {
    let (n, tenants) = (tenant.as_u128(), Tenants::These(vec![TenantId(tenant)]));
    Account { account: format!("AC{n}"), tenants, ..shared::account(&format!("of-{n}"), adapter) }
}

/// A dispatcher that nothing but the timers brings messages to.
struct World {
    store: Store,
    accounts: Accounts,
    stats: Arc<Stats>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    database: TestDatabase,
    _bus: TestBus,
}

impl World {
    async fn start(accounts: Vec<Account>) -> Self {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let (bus, shutdown) = (TestBus::create().await, CancellationToken::new());
        let connections = pool(&database.config(), 8, Duration::from_secs(5));
        let (appender, _task) =
            Appender::start(AppenderConfig::default(), database.config(), shutdown.clone());
        let log = Log::new(connections.clone());
        let store = Store::new(appender, log, Arc::new(SystemEnvironment));
        let (head, _task) = HeadWatch::start(database.config(), shutdown.clone());
        let (accounts, stats) = (Accounts::new(accounts), Arc::new(Stats::default()));
        let dependencies = Dependencies {
            store: store.clone(),
            pool: connections,
            head,
            bus: bus.connect_again().await,
            accounts: accounts.clone(),
            routes: Routes::default(),
            directory: Directory::of_nobody(),
            in_doubt: BTreeMap::new(),
            tenant_caps: TenantCaps::default(),
            precondition: None,
            stats: Arc::clone(&stats),
        };
        let running = tokio::spawn(run(dependencies, config(64, 8), shutdown.clone()));
        Self { store, accounts, stats, shutdown, running, database, _bus: bus }
    }

    /// Asks for a message of the tenant.
    async fn request(&self, tenant: Uuid) -> Uuid {
        let id = SystemEnvironment.new_id();
        let request = hatch_domain::testing::request(SystemEnvironment.now());
        let command = MessageCommand::Request(request.into());
        let execute = Execute::<Message>::new(tenant, id, &command, Metadata::default());
        self.store.execute(execute).await.expect("accepted");
        id
    }

    async fn is_sent(&self, tenant: Uuid, id: Uuid) {
        eventually("it is sent", async || {
            let loaded = self.store.load::<Message>(tenant, id).await.ok()?;
            (loaded.state.status() == Status::Sent).then_some(())
        })
        .await;
    }

    /// Waits until so many messages wait for an account.
    async fn wait_apart(&self, count: i64) {
        let session = self.database.connect().await;
        let apart = "SELECT count(*) FROM due.timers WHERE lane = 'sms waiting'";
        eventually("all wait apart", async || {
            let found: i64 = session.query_one(apart, &[]).await.expect("a count").get(0);
            (found >= count).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.expect("no panic");
    }
}

#[tokio::test]
async fn an_account_that_is_made_anew_waits_for_no_call_of_another_and_changes_nothing_for_it() {
    let (slow, wrong) = (Provider::new(false, false), Provider::new(true, true));
    let world =
        World::start(vec![account(FIRST, slow.clone()), account(SECOND, wrong.clone())]).await;
    let first = world.request(FIRST).await;
    slow.is_called().await;
    let second = world.request(SECOND).await;
    world.wait_apart(1).await;
    let known = |account: &str| world.stats.accounts.of("twilio", account);
    let before = (known("AC1"), known("AC2"));

    // Its token is mended while the first tenant's provider does not answer.
    let mended = Provider::new(false, true);
    let accounts = vec![account(FIRST, slow.clone()), account(SECOND, mended.clone())];
    world.accounts.replace(accounts);
    world.is_sent(SECOND, second).await;
    let another = world.request(SECOND).await;
    world.is_sent(SECOND, another).await;
    assert_eq!((slow.calls(), mended.calls()), (1, 2));
    assert!(Arc::ptr_eq(&before.0, &known("AC1")), "it is the same account");
    assert!(!Arc::ptr_eq(&before.1, &known("AC2")), "what the old token met says nothing of it");

    // Without its account the call that is under way is recorded all the same.
    world.accounts.replace(vec![account(SECOND, mended)]);
    slow.gate.add_permits(1);
    world.is_sent(FIRST, first).await;
    assert_eq!(slow.calls(), 1);
    world.stop().await;
}

#[tokio::test]
async fn messages_of_an_account_that_stays_down_stand_before_nobody_elses() {
    let (passing, dead) = (Provider::new(true, true), Provider::new(true, true));
    let accounts = vec![account(FIRST, passing.clone()), account(SECOND, dead.clone())];
    let world = World::start(accounts).await;
    for _ in 0..MANY {
        world.request(SECOND).await;
    }
    let last = world.request(FIRST).await;
    world.wait_apart(MANY + 1).await;
    passing.refuses.store(false, Ordering::SeqCst);
    world.is_sent(FIRST, last).await;
    assert!(dead.calls() < usize::try_from(MANY).expect("few"), "few are tried");
    world.stop().await;
}
