//! A claim whose guard has moved, against real servers: it ends at once, by what the guarded stream says.

mod shared;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_bus::testing::{TestBus, eventually};
use hatch_directory::Directory;
use hatch_dispatcher::{Checked, Dependencies, Precondition, Stats, TenantCaps, run};
use hatch_domain::message::Message;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::message::status::Status;
use hatch_domain::{Environment, Routing};
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    Append, Appender, AppenderConfig, Execute, ExpectedVersion, Guard, HeadWatch, LoadError, Log,
    Metadata, NewEvent, Store, StreamWrite, SystemEnvironment, pool,
};
use hatch_providers::{Accounts, Adapter, BoxFuture, Outbound, Outcome, Routes};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::shared::{TEMPLATE, account, config};

const TENANT: Uuid = Uuid::from_u128(1);

/// The stream that has to be as the claims expect it.
const GUARDED: Uuid = Uuid::from_u128(0xc0);

const KIND: &str = "consent";

/// Expects that the stream does not exist; having read it, says what the test wants.
struct Expecting {
    then: fn(DateTime<Utc>) -> Checked,
    asked: Mutex<Vec<Uuid>>,
}

impl Precondition for Expecting {
    fn guards(&self, tenant_id: Uuid, _: &MessageRequested) -> Option<Vec<Guard>> {
        let expected = ExpectedVersion::NoStream;
        Some(vec![Guard { stream_id: GUARDED, tenant_id, kind: KIND, expected }])
    }

    fn check<'a>(
        &'a self,
        tenant_id: Uuid,
        _: &'a MessageRequested,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Checked, LoadError>> {
        self.asked.lock().expect("not poisoned").push(tenant_id);
        Box::pin(async move { Ok((self.then)(now)) })
    }
}

/// Takes everything.
#[derive(Default)]
struct Provider(AtomicUsize);

impl Adapter for Provider {
    fn send<'a>(&'a self, _: &'a Outbound) -> BoxFuture<'a, Outcome> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            Outcome::Accepted { provider_message_id: "SM1".to_owned(), segments: None }
        })
    }
}

struct World {
    store: Store,
    provider: Arc<Provider>,
    expecting: Arc<Expecting>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    _bus: TestBus,
    _database: TestDatabase,
}

impl World {
    /// A dispatcher, and the guarded stream with one event.
    async fn start(then: fn(DateTime<Utc>) -> Checked) -> Self {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let (bus, shutdown) = (TestBus::create().await, CancellationToken::new());
        let connections = pool(&database.config(), 8, Duration::from_secs(5));
        let (appender, _task) =
            Appender::start(AppenderConfig::default(), database.config(), shutdown.clone());
        let log = Log::new(connections.clone());
        let store = Store::new(appender, log, Arc::new(SystemEnvironment));
        let (head, _task) = HeadWatch::start(database.config(), shutdown.clone());
        let provider = Arc::new(Provider::default());
        let expecting = Arc::new(Expecting { then, asked: Mutex::default() });
        let dependencies = Dependencies {
            store: store.clone(),
            pool: connections,
            head,
            bus: bus.connect_again().await,
            accounts: Accounts::new(vec![account("twilio", provider.clone())]),
            routes: Routes::default(),
            directory: Directory::of_nobody(),
            in_doubt: BTreeMap::new(),
            tenant_caps: TenantCaps::default(),
            precondition: Some(expecting.clone()),
            stats: Arc::new(Stats::default()),
        };
        store.appender().append(begin(GUARDED)).await.expect("appended");
        let running = tokio::spawn(run(dependencies, config(1, 1), shutdown.clone()));
        let (_bus, _database) = (bus, database);
        Self { store, provider, expecting, shutdown, running, _bus, _database }
    }

    /// Asks for a message; the timers bring it to the dispatcher.
    async fn request(&self) -> Uuid {
        let id = SystemEnvironment.new_id();
        let request = hatch_domain::testing::request(SystemEnvironment.now());
        let command = MessageCommand::Request(request.into());
        let execute = Execute::<Message>::new(TENANT, id, &command, Metadata::default());
        self.store.execute(execute).await.expect("accepted");
        id
    }

    async fn becomes(&self, id: Uuid, status: Status) {
        eventually("the message's status", async || {
            let loaded = self.store.load::<Message>(TENANT, id).await.ok()?;
            (loaded.state.status() == status).then_some(())
        })
        .await;
    }

    async fn stop(self) -> usize {
        self.shutdown.cancel();
        self.running.await.expect("no panic");
        assert_eq!(*self.expecting.asked.lock().expect("not poisoned"), [TENANT], "asked once");
        self.provider.0.load(Ordering::Relaxed)
    }
}

/// One event for a stream of the guarded kind.
fn begin(stream_id: Uuid) -> Append {
    let event = NewEvent {
        event_id: SystemEnvironment.new_id(),
        event_type: "Given",
        schema_version: 1,
        routing: Routing { aggregate: KIND, ..Routing::default() },
        metadata: Metadata::default(),
        payload: "{}".to_owned(),
    };
    let expected = ExpectedVersion::NoStream;
    let write = StreamWrite { stream_id, tenant_id: TENANT, expected, events: vec![event] };
    Append { writes: vec![write], ..Append::default() }
}

#[tokio::test]
async fn a_claim_whose_guard_moved_is_made_again_by_what_is_expected_now() {
    let world = World::start(|_| {
        let expected = ExpectedVersion::Exact(1);
        let guard = Guard { stream_id: GUARDED, tenant_id: TENANT, kind: KIND, expected };
        Checked::Holds(vec![guard])
    })
    .await;
    let id = world.request().await;
    world.becomes(id, Status::Sent).await;
    assert_eq!(world.stop().await, 1, "one call");
}

#[tokio::test]
async fn a_message_whose_precondition_fails_ends_at_once_and_without_a_call() {
    let world = World::start(|at| Checked::Fails(Box::new(MessageCommand::Cancel { at }))).await;
    let id = world.request().await;
    world.becomes(id, Status::Canceled).await;
    assert_eq!(world.stop().await, 0, "no call");
}
