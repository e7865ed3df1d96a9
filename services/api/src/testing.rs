//! The API for tests that stand beside its endpoints: all routes of clients, as a process answers them, on a database
//! of the test's own. Nothing listens, publishes, projects or sends: what an endpoint does by itself is tested here,
//! and what roles do together is a scenario.

mod doubts;
mod parts;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use chrono::{DateTime, TimeDelta, Utc};
use hatch_directory::{Attempts, Directory, Sessions};
use hatch_domain::actor::Actor;
use hatch_domain::api_key::command::ApiKeyCommand;
use hatch_domain::api_key::event::ApiKeyCreated;
use hatch_domain::api_key::{self, ApiKey, ApiKeyText, KeyId, KeyType, api_key_id};
use hatch_domain::carrier::command::CarrierCommand;
use hatch_domain::carrier::{Carrier, carrier_id};
use hatch_domain::ids::TenantId;
use hatch_domain::message::Message;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::scope::{Scope, Scopes};
use hatch_domain::tenant::Tenant;
use hatch_domain::tenant::command::TenantCommand;
use hatch_domain::traffic::Traffic;
use hatch_domain::{Channel, Decider, Environment};
use hatch_eventstore::testing::{ScriptedClock, Template, TestDatabase};
use hatch_eventstore::{
    Appender, AppenderConfig, Execute, FenceConfig, HeadWatch, Log, Metadata, Position,
    RecordedEvent, ServerClock, Store, SystemEnvironment, pool,
};
use hatch_providers::{Account, Accounts, Pools, Routes, Tenants};
use hatch_readmodel::{Definition, Origin, PROJECTIONS, Projection, ReadModel, ReadPosition};
use hatch_seal::Keyring;
use hatch_telemetry::limit::{Limit, Limits};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) use self::doubts::{in_doubt, resolved};
pub(crate) use self::parts::NoFigures;
use self::parts::{account, app, carriers, commands, planning, vault};
use crate::commands::PoolSenders;
use crate::live::{CatchingUp, Live, StreamSlots};
use crate::people::People;
use crate::planning::route_table;
use crate::queries::{DoubtRules, Queries};
use crate::resources::accounts::Vault;
use crate::{Door, Sites};

/// Our number in tests, and a customer's.
pub(crate) const SENDER: &str = "+12016661234";
pub(crate) const CUSTOMER: &str = "+18045551234";

/// Our mailbox, and a customer's.
pub(crate) const MAILBOX: &str = "user@usehatchapp.com";
pub(crate) const OTHER_MAILBOX: &str = "contact@gmail.com";

/// How long PostgreSQL may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const TEMPLATE: Template = Template {
    name: "api",
    schemas: || {
        let read = hatch_readmodel::schemas(PROJECTIONS).into_iter();
        read.chain([hatch_due::SCHEMA, hatch_dispatcher::SCHEMA, hatch_directory::SCHEMA]).collect()
    },
    sql: "",
};

/// Events of a test at most.
const EVENTS_MAX: usize = 1_000;

/// The API on a database.
pub(crate) struct Api {
    app: Router,
    clock: ScriptedClock,
    store: Store,
    directory: Directory,
    pub(crate) accounts: Accounts,
    /// The pools of senders that there are: a test sets them.
    pub(crate) pools: Pools,
    pub(crate) routes: Routes,
    // Before the database, which goes when nobody uses it any more.
    _running: DropGuard,
    database: TestDatabase,
}

impl Api {
    /// The routes of the command and the query role, of health and the document, as `up` has them.
    pub(crate) async fn start() -> Self {
        Self::start_behind(Door::open).await
    }

    /// As [`start`](Self::start), of an installation that has no master key.
    pub(crate) async fn start_without_master_key() -> Self {
        Self::start_with(Door::open, Vault { keyring: Keyring::default(), ..vault() }).await
    }

    /// The same routes, as `serve` has them: nobody is let in without a key.
    pub(crate) async fn start_closed() -> Self {
        Self::start_behind(Door::closed).await
    }

    /// The same routes behind that door.
    pub(crate) async fn start_behind(
        door: impl FnOnce(Directory, Arc<dyn Environment>) -> Door,
    ) -> Self {
        Self::start_with(door, vault()).await
    }

    async fn start_with(
        door: impl FnOnce(Directory, Arc<dyn Environment>) -> Door,
        vault: Vault,
    ) -> Self {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let (config, shutdown) = (database.config(), CancellationToken::new());
        let clock = ScriptedClock::of(&config).await;
        let pool = pool(&config, 8, PATIENCE);
        let server_clock = ServerClock::on(Arc::new(clock.clone()));
        let fence = FenceConfig::default();
        let (head, _) = HeadWatch::start_by(server_clock, fence, config.clone(), shutdown.clone());
        head.clock().ask(&pool).await.expect("PostgreSQL says the time");
        let (appender, _) = Appender::start(AppenderConfig::default(), config, shutdown.clone());
        let log = Log::new(pool.clone());
        let store = Store::new(appender, log.clone(), Arc::new(head.clock().clone()));
        let read_model = ReadModel::of(pool.clone(), PROJECTIONS);
        let (directory, following) = Directory::start(
            pool.clone(),
            log.clone(),
            head.clone(),
            Arc::new(clock.clone()),
            shutdown.clone(),
        );
        tokio::spawn(following);
        let queries = Queries {
            read_position: ReadPosition::new(read_model.clone()),
            read_model,
            log: log.clone(),
            head: head.clone(),
            doubts: Arc::new(DoubtRules {
                accounts: vault.accounts.clone(),
                ..DoubtRules::default()
            }),
            waiting: Arc::new(Limit::new("waiting_reads", 16)),
            carriers: carriers(&vault, &directory),
        };
        let limits = Limits::default();
        let live = Live {
            log,
            head,
            feed: None,
            slots: StreamSlots::new(&limits, 16),
            shutdown: shutdown.clone(),
            turns: CatchingUp::default(),
        };
        let (sessions, looking) =
            Sessions::start(pool.clone(), Arc::new(clock.clone()), shutdown.clone());
        tokio::spawn(looking);
        assert!(directory.wait_for(Position::START, PATIENCE).await, "the directory is read");
        let door = door(directory.clone(), Arc::new(clock.clone()));
        let door = door.with_sessions(sessions.clone(), Sites::new("http://localhost", None, &[]));
        let people = People::new(
            (store.clone(), directory.clone()),
            (sessions, Attempts::new(pool)),
            (vault.keyring.clone(), None),
            "http://localhost".to_owned(),
        );
        let accounts = vault.accounts.clone();
        let pools = Pools::default();
        let senders = PoolSenders::new(pools.clone(), directory.clone());
        let routes = Routes::default();
        let planning = planning((&accounts, &routes), &directory, &queries.log);
        let commands = commands(store.clone(), &queries, (planning, vault), senders);
        let app = app((commands, queries, live, people), door, &limits, shutdown.clone());
        let _running = shutdown.drop_guard();
        Self { app, clock, store, directory, accounts, pools, routes, _running, database }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path, &[], Some(body.to_string())).await
    }

    /// With a body of JSON, if there is one, and no content type that `headers` name.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let typed = headers.iter().any(|(name, _)| *name == "content-type");
        let json = (body.is_some() && !typed).then_some(("content-type", "application/json"));
        let mut request =
            Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        for (name, value) in headers.iter().copied().chain(json) {
            request = request.header(name, value);
        }
        let body = body.map_or_else(Body::empty, Body::from);
        self.send(request.body(body).expect("a request")).await
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        let response = self.app.clone().oneshot(request).await;
        let (head, body) = response.unwrap_or_else(|never| match never {}).into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        let text = String::from_utf8_lossy(&body).into_owned();
        let body = serde_json::from_slice(&body).unwrap_or(Value::String(text));
        Answer { status: head.status, headers: head.headers, body }
    }

    /// As [`request`](Self::request), with a key and a body of JSON, if there is one.
    pub(crate) async fn by(
        &self,
        key: &TestKey,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let authorization = format!("Bearer {}", key.text);
        let headers = [("authorization", authorization.as_str())];
        self.request(method, path, &headers, body.map(Value::to_string)).await
    }

    /// A new key of the tenant with these scopes, and otherwise as `set` has it. It is let in from now on.
    pub(crate) async fn key(
        &self,
        tenant: TenantId,
        scopes: &[Scope],
        set: impl FnOnce(&mut ApiKeyCreated),
    ) -> TestKey {
        let mint = |key_type| {
            let minted = std::iter::repeat_with(|| ApiKeyText::mint(key_type, &entropy()));
            minted.flatten().next().expect("a key")
        };
        let minted = mint(KeyType::Live);
        let mut created = ApiKeyCreated {
            key_id: minted.id,
            name: "a test's".to_owned(),
            key_type: KeyType::Live,
            scopes: Scopes::of(scopes),
            senders: Vec::new(),
            channels: Vec::new(),
            ip_ranges: Vec::new(),
            secret_hash: minted.hash,
            expires_at: None,
            created_by: Actor::System("cli".to_owned()).to_string(),
            at: self.clock.now(),
        };
        set(&mut created);
        // The text says of which type it is.
        let minted = mint(created.key_type);
        (created.key_id, created.secret_hash) = (minted.id.clone(), minted.hash);
        let key = TestKey { tenant, id: minted.id, text: minted.text };
        self.change_key(&key, &ApiKeyCommand::Create(Box::new(created))).await;
        key
    }

    /// Replaces the accounts by one for each kind of traffic. Each carries these channels.
    pub(crate) fn set_accounts(&self, traffic: &[Traffic], channels: &[Channel]) {
        let made = traffic.iter().map(|traffic| Account {
            name: traffic.as_str().parse().expect("a name"),
            account: traffic.as_str().to_owned(),
            traffic: *traffic,
            channels: channels.to_vec(),
            ..account()
        });
        self.accounts.replace(made.collect());
    }

    /// Replaces the accounts by these, by name and tenants. Each carries these channels.
    pub(crate) fn name_accounts(&self, named: &[(&str, Tenants)], channels: &[Channel]) {
        let made = named.iter().map(|(name, tenants)| Account {
            name: name.parse().expect("a name"),
            account: (*name).to_owned(),
            tenants: tenants.clone(),
            channels: channels.to_vec(),
            ..account()
        });
        self.accounts.replace(made.collect());
    }

    /// Has the process work by the routes that the log has by now, as its worker does.
    pub(crate) fn join_routes(&self) {
        self.routes.replace(route_table(&[], self.directory.routes()));
    }

    /// Tells of an account what the fleet is to know.
    pub(crate) async fn tell_of_account(&self, name: &str, command: &CarrierCommand) {
        let id = carrier_id(TenantId::DEFAULT, "nobody", name, self.clock.now());
        self.execute::<Carrier>(TenantId::DEFAULT, id.0, command).await;
    }

    /// Changes a key. The change holds from now on.
    pub(crate) async fn change_key(&self, key: &TestKey, command: &ApiKeyCommand) {
        self.execute::<ApiKey>(key.tenant, api_key_id(&key.id).0, command).await;
    }

    /// Changes a message as a dispatcher does, or a provider.
    pub(crate) async fn change_message(
        &self,
        tenant: TenantId,
        id: Uuid,
        command: &MessageCommand,
    ) {
        self.execute::<Message>(tenant, id, command).await;
    }

    /// The log.
    pub(crate) fn store(&self) -> Store {
        self.store.clone()
    }

    /// What reads the tables.
    pub(crate) fn read_model(&self) -> ReadModel {
        ReadModel::of(pool(&self.database.config(), 4, PATIENCE), PROJECTIONS)
    }

    /// Writes to tables that are beside the log.
    pub(crate) async fn sql(&self, statement: &str) {
        let client = pool(&self.database.config(), 1, PATIENCE).get().await.expect("a connection");
        client.batch_execute(statement).await.expect("a statement");
    }

    /// Creates or changes a tenant. The change holds from now on.
    pub(crate) async fn change_tenant(&self, tenant: TenantId, command: &TenantCommand) {
        self.execute::<Tenant>(tenant, tenant.0, command).await;
    }

    async fn execute<D: Decider + 'static>(
        &self,
        tenant: TenantId,
        id: Uuid,
        command: &D::Command,
    ) {
        let metadata =
            Metadata { correlation_id: id, actor: "cli".to_owned(), ..Metadata::default() };
        let executed = self.store.execute(Execute::<D>::new(tenant.0, id, command, metadata)).await;
        let executed = executed.unwrap_or_else(|error| panic!("{error}"));
        let position = executed.appended.expect("something new").last();
        assert!(self.directory.wait_for(position, PATIENCE).await, "the directory follows");
    }

    /// A door that lets nobody in without a key.
    pub(crate) fn door(&self) -> Door {
        Door::closed(self.directory.clone(), Arc::new(self.clock.clone()))
    }

    /// The time that is `delta` away.
    pub(crate) fn in_time(&self, delta: TimeDelta) -> DateTime<Utc> {
        self.clock.now() + delta
    }

    /// Sets all clocks forward.
    pub(crate) async fn advance(&self, by: TimeDelta) {
        self.clock.advance(by.to_std().expect("forward")).await;
    }

    /// Brings the tables of `definition` to the end of the log, as a projector does.
    pub(crate) async fn project(&self, definition: &'static Definition) {
        // One for the tables, and one for the log meanwhile.
        let pool = pool(&self.database.config(), 2, PATIENCE);
        let log = Log::new(pool.clone());
        let mut client = pool.get().await.expect("the test server answers");
        let checkpoint = definition.checkpoint(&client).await.expect("a checkpoint");
        let page = log.read_page(checkpoint.position, EVENTS_MAX).await.expect("the log");
        let page: Vec<Arc<RecordedEvent>> = page.into_iter().map(Arc::new).collect();
        let mut projection = Projection::of(definition);
        let advanced = projection.advance(&mut client, &checkpoint, (&page[..], Origin::Log)).await;
        advanced.expect("a lawful history");
    }

    /// The payloads of all events, as the log keeps them.
    pub(crate) async fn payloads(&self) -> Vec<String> {
        let log = Log::new(pool(&self.database.config(), 1, PATIENCE));
        let page = log.read_page(Position::START, EVENTS_MAX).await.expect("the log");
        page.iter().map(|event| event.payload.get().to_owned()).collect()
    }

    /// What people sign in by, without what goes on beside it.
    pub(crate) fn people(&self) -> People {
        let pool = pool(&self.database.config(), 2, PATIENCE);
        let clock = Arc::new(self.clock.clone());
        let (sessions, _) = Sessions::start(pool.clone(), clock, CancellationToken::new());
        People::new(
            (self.store.clone(), self.directory.clone()),
            (sessions, Attempts::new(pool)),
            (vault().keyring, None),
            "http://localhost".to_owned(),
        )
    }

    /// The session that a test signs in by, which no page of a browser keeps for it.
    pub(crate) async fn by_session(
        &self,
        cookie: &str,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let own = [("cookie", cookie), ("origin", "http://localhost")];
        let named = |name: &str| headers.iter().any(|(other, _)| *other == name);
        let own = own.into_iter().filter(|(name, _)| !named(name));
        let all: Vec<_> = headers.iter().copied().chain(own).collect();
        self.request(method, path, &all, body.map(|body| body.to_string())).await
    }

    /// Waits until what is done by the position of `answer` is known to whoever lets people in.
    pub(crate) async fn known(&self, answer: &Answer) {
        let position = answer.header("hatch-position").parse().expect("a position");
        assert!(self.directory.wait_for(Position(position), PATIENCE).await, "it follows");
    }

    /// How many events the log holds.
    pub(crate) async fn log_length(&self) -> i64 {
        let session = self.database.connect().await;
        let counted = session.query_one("SELECT count(*) FROM es.events", &[]).await;
        session.close().await;
        counted.expect("a count").get(0)
    }
}

/// A key that a test has made.
pub(crate) struct TestKey {
    pub(crate) tenant: TenantId,
    pub(crate) id: KeyId,
    /// As it is presented.
    pub(crate) text: String,
}

impl TestKey {
    /// A key of the same id that was never made.
    pub(crate) fn with_another_secret(&self) -> String {
        let key_type = api_key::read(&self.text).expect("a key").key_type;
        let minted =
            std::iter::repeat_with(|| ApiKeyText::mint_for(key_type, self.id.clone(), &entropy()));
        minted.flatten().next().expect("a key").text
    }
}

fn entropy() -> [u8; 64] {
    let mut bytes = [0; 64];
    for part in bytes.chunks_mut(8) {
        // The other half is the time.
        part.copy_from_slice(&SystemEnvironment.new_id().as_bytes()[8..]);
    }
    bytes
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}"));
        value.to_str().expect("text")
    }

    /// The fields that are said to be wrong.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().unwrap_or_else(|| panic!("{}", self.body));
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    }
}
