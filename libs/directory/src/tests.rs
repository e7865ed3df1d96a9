//! A directory on a real server. Nothing here knows of NATS.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::account::account_id;
use hatch_domain::api_key::{KeyId, api_key_id};
use hatch_domain::ids::{MemberId, SessionId, TenantId};
use hatch_domain::{Environment as _, Routing};
use hatch_eventstore::testing::{Fault, PATIENCE, Proxy, Template, TestDatabase, eventually};
use hatch_eventstore::{
    Append, Appended, Appender, AppenderConfig, Connections, Database, ExpectedVersion, HeadWatch,
    Log, Metadata, NewEvent, Position, RecordedEvent, StreamWrite, SystemEnvironment, pool,
};
use hatch_readmodel::{Origin, PROJECTIONS, Page, Projection, ReadModel, configuration};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::follow::Following;
use crate::{
    Attempts, Begun, Directory, KeyCount, SESSION_LIFE_MAX, Session, SessionHash, Sessions, Use,
};

const TEMPLATE: Template = Template {
    name: "directory",
    schemas: || hatch_readmodel::schemas(PROJECTIONS).into_iter().chain([crate::SCHEMA]).collect(),
    sql: "",
};

const TENANT: TenantId = TenantId(Uuid::from_u128(0x7e));
const KEY: &str = "AbCdEfGhIj12";

/// For how long nothing that should not happen happens.
const A_WHILE: Duration = Duration::from_millis(600);

/// A log, its database, and a directory that may reach it by another way.
struct Place {
    directory: Directory,
    appender: Appender,
    connections: Connections,
    worker: JoinHandle<()>,
    shutdown: CancellationToken,
    _running: DropGuard,
    // The last to go: the others use it.
    database: TestDatabase,
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("in range")
}

fn key() -> KeyId {
    KEY.parse().expect("an id")
}

impl Place {
    async fn new() -> Self {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let directly = database.config();
        Self::reached_by(database, directly)
    }

    fn reached_by(database: TestDatabase, way: Database) -> Self {
        let shutdown = CancellationToken::new();
        let token = || shutdown.clone();
        let (appender, _) = Appender::start(AppenderConfig::default(), database.config(), token());
        let connections = pool(&database.config(), 4, PATIENCE);
        let (directory, worker) = follow(&way, token());
        let worker = tokio::spawn(worker);
        let _running = shutdown.clone().drop_guard();
        Self { directory, appender, connections, worker, shutdown, _running, database }
    }

    /// Appends one event to a stream; says where it is.
    async fn record(
        &self,
        (kind, stream, version): (&'static str, Uuid, i64),
        event_type: &'static str,
        payload: Value,
    ) -> Position {
        let event = NewEvent {
            event_id: SystemEnvironment.new_id(),
            event_type,
            schema_version: 1,
            routing: Routing { aggregate: kind, ..Routing::default() },
            metadata: Metadata { actor: "test".to_owned(), ..Metadata::default() },
            payload: payload.to_string(),
        };
        let expected = match version {
            1 => ExpectedVersion::NoStream,
            version => ExpectedVersion::Exact(version - 1),
        };
        let write =
            StreamWrite { stream_id: stream, tenant_id: TENANT.0, expected, events: vec![event] };
        let append = Append { writes: vec![write], ..Append::default() };
        match self.appender.append(append).await.expect("appended") {
            Appended::Committed { last, .. } => last,
            other => panic!("{other:?}"),
        }
    }

    async fn create_tenant(&self) -> Position {
        let payload = json!({"name": "Acme", "at": at(0)});
        self.record(("tenant", TENANT.0, 1), "TenantCreated", payload).await
    }

    async fn create_key(&self) -> Position {
        let payload = json!({
            "key_id": KEY, "name": "shop", "key_type": "live", "scopes": ["messages:read"],
            "senders": [], "channels": [], "ip_ranges": [], "secret_hash": "00".repeat(32),
            "created_by": "cli", "at": at(1),
        });
        self.record(("api_key", api_key_id(&key()).0, 1), "ApiKeyCreated", payload).await
    }

    async fn revoke_key(&self) -> Position {
        let stream = ("api_key", api_key_id(&key()).0, 2);
        self.record(stream, "ApiKeyRevoked", json!({"at": at(2)})).await
    }

    /// Something that is nobody's business here.
    async fn record_others(&self, count: i64) -> Position {
        let stream = SystemEnvironment.new_id();
        let mut last = Position::START;
        for version in 1..=count {
            last = self.record(("thing", stream, version), "Happened", json!({})).await;
        }
        last
    }

    /// Has the projection apply the log as far as it is, from what the bus carries of it.
    async fn project(&self) {
        let log = Log::new(self.connections.clone());
        let mut client = self.connections.get().await.expect("a connection");
        let checkpoint = configuration::DEFINITION.checkpoint(&client).await.expect("a checkpoint");
        let page = log.read_page(checkpoint.position, 100).await.expect("a page");
        // As the bus brings it.
        let page = page.into_iter().map(|event| RecordedEvent::told_by(event.into()));
        let page: Vec<_> = page.map(|event| Arc::new(event.expect("its data"))).collect();
        let page = (page.as_slice(), Origin::MadeUp);
        let mut projection = Projection::of(&configuration::DEFINITION);
        projection.advance(&mut client, &checkpoint, page).await.expect("the next page");
    }

    async fn reached(&self, position: Position) {
        assert!(self.directory.wait_for(position, PATIENCE).await, "not reached: {position}");
    }

    fn is_revoked(&self) -> bool {
        self.directory.key(&key()).is_some_and(|entry| entry.key.revoked_at().is_some())
    }

    /// Stops the directory, which writes down what it has noted.
    async fn stop(self) -> (Connections, TestDatabase) {
        self.shutdown.cancel();
        self.worker.await.expect("it ends in order");
        (self.connections, self.database)
    }
}

/// A directory that reaches the database by `way`.
fn follow(
    way: &Database,
    shutdown: CancellationToken,
) -> (Directory, impl Future<Output = ()> + Send + use<>) {
    let connections = pool(way, 4, Duration::from_secs(2));
    let (head, _) = HeadWatch::start(way.clone(), shutdown.clone());
    let log = Log::new(connections.clone());
    Directory::start(connections, log, head, Arc::new(SystemEnvironment), shutdown)
}

#[tokio::test]
async fn a_key_is_known_and_refused_as_soon_as_the_log_says_so() {
    let place = Place::new().await;
    place.reached(Position::START).await;
    assert!(place.directory.key(&key()).is_none());
    assert!(!place.directory.has_keys());
    place.create_tenant().await;
    place.reached(place.create_key().await).await;
    let entry = place.directory.key(&key()).expect("it is known");
    assert_eq!((entry.tenant_id, entry.key.revoked_at()), (TENANT, None));
    assert!(place.directory.has_keys());
    let count = |tenant| place.directory.keys_of(tenant, at(9));
    assert_eq!(count(TENANT), KeyCount { all: 1, live: 1 });
    assert_eq!(count(TenantId::DEFAULT), KeyCount::default());
    place.reached(place.revoke_key().await).await;
    assert!(place.is_revoked());
    assert!(place.directory.has_keys(), "one that has ended is one");
    assert_eq!(count(TENANT), KeyCount { all: 1, live: 0 });
}

#[tokio::test]
async fn who_is_asked_for_someone_new_waits_for_what_the_log_is_known_to_have() {
    let place = Place::new().await;
    place.reached(Position::START).await;
    assert!(!place.directory.catch_up(PATIENCE).await, "there is nothing to wait for");
    let position = place.create_key().await;
    let mut heads = place.directory.shared.head.as_ref().expect("one").subscribe();
    heads.wait_for(|head| *head >= position).await.expect("the head is followed");
    // Where it is not behind any more, it knows the key without.
    place.directory.catch_up(PATIENCE).await;
    assert!(place.directory.key(&key()).is_some());
    assert!(!place.directory.catch_up(PATIENCE).await);
    assert!(!Directory::of_nobody().catch_up(PATIENCE).await);
}

#[tokio::test]
async fn a_suspended_tenant_is_known_and_the_default_one_needs_no_event() {
    let place = Place::new().await;
    place.reached(place.create_tenant().await).await;
    let is_suspended = |id| place.directory.tenant(id).map(|tenant| tenant.is_suspended());
    assert_eq!(is_suspended(TENANT), Some(false));
    assert_eq!(is_suspended(TenantId::DEFAULT), Some(false));
    assert_eq!(is_suspended(TenantId(Uuid::from_u128(99))), None);
    let suspended = json!({"reason": "unpaid", "at": at(2)});
    place.reached(place.record(("tenant", TENANT.0, 2), "TenantSuspended", suspended).await).await;
    assert_eq!(is_suspended(TENANT), Some(true));
}

#[tokio::test]
async fn it_begins_with_the_tables_and_goes_on_where_they_end() {
    let place = Place::new().await;
    place.create_tenant().await;
    place.create_key().await;
    place.project().await;
    let revoked = place.revoke_key().await;
    let (later, worker) = follow(&place.database.config(), place.shutdown.clone());
    let worker = tokio::spawn(worker);
    assert!(later.wait_for(revoked, PATIENCE).await);
    let entry = later.key(&key()).expect("the tables have it");
    assert_eq!((entry.tenant_id, entry.key.revoked_at()), (TENANT, Some(at(2))));
    place.reached(revoked).await;
    let followed = place.directory.key(&key()).expect("it is known");
    assert_eq!(entry.key, followed.key, "the tables have the hashes of secrets, too");
    place.stop().await;
    worker.await.expect("it ends in order");
}

#[tokio::test]
async fn an_account_is_known_with_its_sealed_secrets_until_it_is_removed() {
    let place = Place::new().await;
    place.reached(Position::START).await;
    let mut changes = place.directory.account_changes();
    changes.mark_unchanged();
    let name = "main".parse().expect("a name");
    let stream = account_id(&name);
    let sealed = "s1.0123456789abcdef.d3JhcHBlZA.Ym94";
    let created = json!({
        "name": "main", "provider": "twilio", "traffic": "live", "settings": {"account_sid": "AC1"},
        "secrets": {"auth_token": sealed}, "created_by": "cli", "at": at(1),
    });
    place.reached(place.record(("account", stream.0, 1), "AccountCreated", created).await).await;
    assert!(changes.has_changed().expect("it goes on"));
    place.project().await;
    let (later, worker) = follow(&place.database.config(), place.shutdown.clone());
    let worker = tokio::spawn(worker);
    assert!(later.wait_for(Position(1), PATIENCE).await);
    for directory in [&place.directory, &later] {
        let accounts = directory.accounts();
        let [entry] = accounts.as_slice() else { panic!("{accounts:?}") };
        assert_eq!((entry.id, entry.tenant_id), (stream, TENANT));
        let account = entry.account.as_ref().expect("it can be read");
        assert_eq!(account.name(), Some(&name));
        assert_eq!(String::from(account.secrets()["auth_token"].clone()), sealed);
    }
    let other = place.record_others(1).await;
    place.reached(other).await;
    changes.mark_unchanged();
    let removed = ("account", stream.0, 2);
    place.reached(place.record(removed, "AccountRemoved", json!({"at": at(2)})).await).await;
    assert!(changes.has_changed().expect("it goes on") && place.directory.accounts().is_empty());
    let known = place.directory.account(stream).expect("its name stays its tenant's");
    assert_eq!(known.tenant_id, TENANT);
    place.stop().await;
    worker.await.expect("it ends in order");
}

/// A log that does not answer.
fn log_that_is_away() -> Log {
    let nowhere: Database = "postgres://nobody@127.0.0.1:1/nothing".parse().expect("a URL");
    Log::new(pool(&nowhere, 1, Duration::from_secs(1)))
}

#[tokio::test]
async fn tables_that_are_behind_the_log_are_shown_to_nobody() {
    let place = Place::new().await;
    place.create_key().await;
    place.project().await;
    let revoked = place.revoke_key().await;
    let (head, _) = HeadWatch::start(place.database.config(), place.shutdown.clone());
    let (connections, clock) = (place.connections.clone(), Arc::new(SystemEnvironment));
    let log = log_that_is_away();
    let (unread, worker) = Directory::start(connections, log, head, clock, place.shutdown.clone());
    let unread_worker = tokio::spawn(worker);
    let (later, worker) = follow(&place.database.config(), place.shutdown.clone());
    let later_worker = tokio::spawn(worker);
    assert!(later.wait_for(Position::START, PATIENCE).await);
    let entry = later.key(&key()).expect("the log has it");
    assert!(entry.key.revoked_at().is_some() && later.position() >= revoked);
    assert!(!unread.wait_for(Position::START, A_WHILE).await, "the log is not read");
    assert!(unread.key(&key()).is_none(), "in the tables it opens");
    place.stop().await;
    for worker in [unread_worker, later_worker] {
        worker.await.expect("it ends in order");
    }
}

#[tokio::test]
async fn who_looks_once_sees_what_the_log_has_also_where_the_tables_are_behind() {
    let place = Place::new().await;
    let (read_model, log) =
        (ReadModel::new(place.connections.clone()), Log::new(place.connections.clone()));
    let ids = |directory: &Directory| {
        let keys = directory.keys().into_iter();
        keys.map(|entry| (entry.tenant_id, entry.key.id().clone())).collect::<Vec<_>>()
    };
    let of_nobody = Directory::read(&read_model, &log).await.expect("a log without events");
    assert!(of_nobody.is_read() && ids(&of_nobody).is_empty());
    place.create_tenant().await;
    place.create_key().await;
    let before = Directory::read(&read_model, &log).await.expect("the log");
    assert_eq!(ids(&before), [(TENANT, key())], "no projector has read it");
    place.project().await;
    let revoked = place.revoke_key().await;
    let after = Directory::read(&read_model, &log).await.expect("tables and log");
    assert_eq!((ids(&after), after.position()), (vec![(TENANT, key())], revoked));
    let is_revoked = |directory: &Directory| {
        directory.key(&key()).is_some_and(|entry| entry.key.revoked_at().is_some())
    };
    assert!(is_revoked(&after) && !is_revoked(&before), "what was read once stays as it was");
    assert!(Directory::read(&read_model, &log_that_is_away()).await.is_err());
    place.stop().await;
}

#[tokio::test]
async fn who_begins_anew_shows_what_he_has_until_he_is_further() {
    let place = Place::new().await;
    place.create_key().await;
    place.project().await;
    let revoked = place.revoke_key().await;
    place.reached(revoked).await;
    let (head, _) = HeadWatch::start(place.database.config(), place.shutdown.clone());
    // As after a gap: nothing is known of how far it was.
    let anew = Following {
        read_model: ReadModel::new(place.connections.clone()),
        log: log_that_is_away(),
        head,
        environment: Arc::new(SystemEnvironment),
        shared: Arc::clone(&place.directory.shared),
    };
    assert!(tokio::time::timeout(A_WHILE, anew.run()).await.is_err(), "it goes on for ever");
    assert!(place.is_revoked(), "in the tables it is not yet");
    assert!(place.directory.position() >= revoked);
}

#[tokio::test]
async fn a_log_that_is_another_one_is_noticed_though_only_the_tables_were_read() {
    let place = Place::new().await;
    place.reached(place.create_key().await).await;
    place.project().await;
    let (later, worker) = follow(&place.database.config(), place.shutdown.clone());
    let worker = tokio::spawn(worker);
    assert!(later.wait_for(Position::START, PATIENCE).await);
    assert!(later.key(&key()).is_some());
    // As where an older log took over, and has gone on from there.
    let session = place.database.connect().await;
    let swap = "SET session_replication_role = replica; -- no triggers
                UPDATE es.events SET event_id = gen_random_uuid(), aggregate = 'thing';
                DELETE FROM rm_configuration.api_keys";
    session.batch_execute(swap).await.expect("a superuser may");
    session.close().await;
    place.record_others(1).await;
    eventually("the key is gone", async || later.key(&key()).is_none()).await;
    place.stop().await;
    worker.await.expect("it ends in order");
}

#[tokio::test]
async fn events_of_other_kinds_are_passed_over() {
    let place = Place::new().await;
    place.create_key().await;
    place.reached(place.record_others(30).await).await;
    place.reached(place.revoke_key().await).await;
    assert!(place.is_revoked());
}

#[tokio::test]
async fn what_this_build_cannot_read_lets_nobody_in() {
    let place = Place::new().await;
    place.reached(place.create_key().await).await;
    assert!(place.directory.key(&key()).is_some());
    let stream = ("api_key", api_key_id(&key()).0, 2);
    place.reached(place.record(stream, "ApiKeyFolded", json!({})).await).await;
    assert!(place.directory.key(&key()).is_none());
}

#[tokio::test]
async fn while_postgresql_is_away_it_answers_with_what_it_has_and_then_goes_on() {
    let database = TestDatabase::create_from(&TEMPLATE).await;
    let proxy = Proxy::start(&database.url()).await;
    let way = proxy.url().parse().expect("a URL");
    let place = Place::reached_by(database, way);
    place.reached(place.create_key().await).await;
    proxy.begin(Fault::Reset);
    let revoked = place.revoke_key().await;
    assert!(!place.directory.wait_for(revoked, A_WHILE).await);
    assert!(place.directory.key(&key()).is_some(), "it is kept");
    proxy.end();
    place.reached(revoked).await;
    assert!(place.is_revoked());
}

#[tokio::test]
async fn the_last_use_of_a_key_is_in_the_list_of_keys() {
    let place = Place::new().await;
    place.reached(place.create_key().await).await;
    let ip = IpAddr::from([192, 0, 2, 7]);
    let entry = place.directory.key(&key()).expect("it is known");
    let used = |second, user_agent| Use::new(at(second), ip, user_agent);
    place.directory.used(&entry, used(20, Some("curl/8.0")));
    place.directory.used(&entry, used(10, None));
    place.project().await;
    let read_model = ReadModel::new(place.connections.clone());
    let (_connections, _database) = place.stop().await;
    let list = read_model.api_keys(TENANT, &Page::default()).await.expect("a list");
    assert_eq!((list.data.len(), list.next_cursor.as_deref()), (1, None));
    let last = list.data[0].last_used.as_ref().expect("it was used");
    assert_eq!((last.at, last.ip, last.user_agent.as_deref()), (at(20), ip, Some("curl/8.0")));
    let one = read_model.api_key(TENANT, &key()).await.expect("an answer");
    assert_eq!(one.as_ref(), list.data.first());
    let foreign = read_model.api_key(TenantId::DEFAULT, &key()).await.expect("an answer");
    assert_eq!(foreign, None, "it is another tenant's");
}

#[tokio::test]
async fn an_older_use_is_not_written_over_a_newer_one() {
    let place = Place::new().await;
    place.reached(place.create_key().await).await;
    let sql = format!(
        "INSERT INTO access.key_uses VALUES ('{KEY}', '{TENANT}', '2100-01-01', '192.0.2.1', NULL)"
    );
    let client = place.connections.get().await.expect("a connection");
    client.batch_execute(&sql).await.expect("another process has written");
    drop(client);
    let entry = place.directory.key(&key()).expect("it is known");
    place.directory.used(&entry, Use::new(at(5), IpAddr::from([192, 0, 2, 9]), None));
    let (connections, _database) = place.stop().await;
    let client = connections.get().await.expect("a connection");
    let row = client.query_one("SELECT ip FROM access.key_uses", &[]).await.expect("one row");
    assert_eq!(row.get::<_, IpAddr>(0), IpAddr::from([192, 0, 2, 1]));
}

#[tokio::test]
async fn the_list_of_tenants_has_the_default_one_last() {
    let place = Place::new().await;
    place.create_tenant().await;
    place.project().await;
    let read_model = ReadModel::new(place.connections.clone());
    let names = async |limit, cursor| {
        let page = Page::new(Some(limit), cursor).expect("a page");
        let list = read_model.tenants(&page).await.expect("a list");
        let names: Vec<String> = list.data.into_iter().map(|tenant| tenant.name).collect();
        (names, list.next_cursor)
    };
    let (first, cursor) = names(1, None).await;
    assert_eq!(first, ["Acme"]);
    assert_eq!(names(1, cursor).await, (vec!["default".to_owned()], None));
    let default = read_model.tenant(TenantId::DEFAULT).await.expect("an answer");
    assert_eq!(default.map(|tenant| tenant.created_at), Some(None));
}

#[tokio::test]
async fn an_empty_directory_knows_nobody_but_the_default_tenant() {
    let directory = Directory::of_nobody();
    assert!(directory.key(&key()).is_none());
    assert!(directory.tenant(TenantId::DEFAULT).is_some());
    assert!(!directory.has_keys());
    assert_eq!(directory.position(), Position::START);
}

fn session(n: u128, now: DateTime<Utc>) -> Session {
    Session {
        id: SessionId(Uuid::from_u128(n)),
        tenant_id: TENANT,
        member_id: MemberId(Uuid::from_u128(7)),
        generation: 1,
        position: Position::START,
        ends_at: now + SESSION_LIFE_MAX,
    }
}

/// Two processes.
fn two(place: &Place) -> [Sessions; 2] {
    [(); 2].map(|()| {
        let token = place.shutdown.clone();
        let clock = Arc::new(SystemEnvironment);
        let (sessions, worker) = Sessions::start(place.connections.clone(), clock, token);
        tokio::spawn(worker);
        sessions
    })
}

#[tokio::test]
async fn a_session_that_is_ended_in_one_process_is_refused_in_the_other() {
    let place = Place::new().await;
    let [here, there] = two(&place);
    let now = SystemEnvironment.now();
    let used = || Use::new(SystemEnvironment.now(), IpAddr::from([192, 0, 2, 1]), Some("browser"));
    let hashes = ["one", "two"].map(SessionHash::of);
    for (n, hash) in (1..).zip(hashes) {
        let begun = Begun { session: session(n, now), way: "password", used: used() };
        here.begin(hash, &begun).await.expect("recorded");
    }
    for hash in hashes {
        for sessions in [&here, &there] {
            let found = sessions.find(hash, &used()).await.expect("an answer");
            assert!(found.is_some() && sessions.goes_on(hash));
        }
    }
    let none = SessionHash::of("three");
    assert!(!there.opens_nothing(none, now), "nobody has looked");
    assert_eq!(there.find(none, &used()).await.expect("an answer"), None);
    assert!(there.opens_nothing(none, now) && !there.opens_nothing(hashes[0], now));
    let listed = there.list(TENANT, None).await.expect("a list");
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].user_agent.as_deref(), Some("browser"));
    let other = TenantId(Uuid::from_u128(2));
    let id = session(1, now).id;
    assert_eq!(here.end(other, None, id).await.expect("an answer"), None, "of another tenant");
    let of_another = Some(MemberId(Uuid::from_u128(8)));
    assert_eq!(here.end(TENANT, of_another, id).await.expect("an answer"), None);
    let ended = here.end(TENANT, None, id).await.expect("an answer");
    assert_eq!(ended, Some(session(1, now).member_id));
    assert!(!here.goes_on(hashes[0]));
    eventually("it is refused there", async || {
        there.find(hashes[0], &used()).await.expect("an answer").is_none()
    })
    .await;
    assert!(there.goes_on(hashes[1]));
}

#[tokio::test]
async fn attempts_are_counted_by_address_and_by_account_and_a_step_is_taken_once() {
    let place = Place::new().await;
    let attempts = Attempts::new(place.connections.clone());
    let address = |n: u8| IpAddr::from([192, 0, 2, n]);
    let count = async |n, account, second| {
        attempts.count(address(n), account, at(second)).await.expect("counted")
    };
    for _ in 0..5 {
        assert_eq!(count(1, "ann", 0).await, None);
    }
    let sixth = count(1, "ann", 5).await.expect("one too many");
    assert!(sixth.is_of_address);
    assert_eq!(sixth.retry_after_seconds, 16);
    assert_eq!(count(1, "ann", 20).await, None, "a window later");
    // Six of them count for the account by now: what an address had too many of does not.
    for n in 2..16 {
        assert_eq!(count(n, "ann", 21).await, None, "{n}");
    }
    let by_account = count(20, "ann", 22).await.expect("one too many");
    assert!(!by_account.is_of_address);
    assert_eq!(count(21, "bob", 22).await, None);
    // Whoever signs in takes his own attempt back, and no other.
    attempts.give_back("ann").await.expect("given back");
    assert!(count(22, "ann", 23).await.is_some(), "what others tried counts on");
    for _ in 0..2 {
        attempts.give_back("ann").await.expect("given back");
    }
    assert_eq!(count(23, "ann", 24).await, None);

    let alone =
        async |second| attempts.count_alone("an answer", 2, at(second)).await.expect("counted");
    assert_eq!((alone(30).await, alone(31).await), (None, None));
    let third = alone(32).await.expect("one too many");
    assert_eq!((third.is_of_address, third.retry_after_seconds), (false, 299));
    assert_eq!(alone(330).await, None, "a window later");

    let member = MemberId(Uuid::from_u128(7));
    for (step, fresh) in [(10, true), (10, false), (9, false), (11, true)] {
        let taken = attempts.take_step(TENANT, member, step).await.expect("an answer");
        assert_eq!(taken, fresh, "{step}");
    }
}
