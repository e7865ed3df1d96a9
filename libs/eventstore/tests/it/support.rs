//! What the tests share: a database with appenders and a log, and short ways to say an append.

use std::time::Duration;

use hatch_domain::{Environment, Routing};
pub(crate) use hatch_eventstore::testing::{PATIENCE, eventually};
use hatch_eventstore::testing::{Template, TestDatabase};
use hatch_eventstore::{
    Append, Appended, Appender, AppenderConfig, CommandKey, ExpectedVersion, Guard, Log, Metadata,
    NewEvent, Position, RecordedEvent, SideRow, SideTable, StreamWrite, SystemEnvironment,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The tenant of everything that does not say otherwise.
pub(crate) const TENANT: Uuid = Uuid::from_u128(1);

/// A table for side rows, as the event store's users have them.
const TEMPLATE: Template = Template {
    name: "eventstore_it",
    schemas: Vec::new,
    sql: "CREATE TABLE public.audit (id int PRIMARY KEY, note varchar(10) NOT NULL)",
};

/// A database with the event store's tables and the table `public.audit`.
pub(crate) async fn database() -> TestDatabase {
    TestDatabase::create_from(&TEMPLATE).await
}

/// An appender of `database`, as a process of its own would have it.
pub(crate) fn appender(database: &TestDatabase) -> Appender {
    appender_at(database.config())
}

/// An appender that connects as `postgres` says.
pub(crate) fn appender_at(postgres: hatch_eventstore::Database) -> Appender {
    Appender::start(AppenderConfig::default(), postgres, CancellationToken::new()).0
}

pub(crate) fn log(database: &TestDatabase) -> Log {
    Log::new(hatch_eventstore::pool(&database.config(), 2, Duration::from_secs(2)))
}

/// The whole log.
pub(crate) async fn events(log: &Log) -> Vec<RecordedEvent> {
    log.read_page(Position::START, 5000).await.expect("the log can be read")
}

pub(crate) fn event(payload: &str) -> NewEvent {
    NewEvent {
        event_id: SystemEnvironment.new_id(),
        event_type: "Happened",
        schema_version: 1,
        routing: Routing { aggregate: "thing", ..Routing::default() },
        metadata: Metadata { actor: "test".to_owned(), ..Metadata::default() },
        payload: payload.to_owned(),
    }
}

/// `count` events for `stream_id`.
pub(crate) fn write(stream_id: Uuid, expected: ExpectedVersion, count: usize) -> StreamWrite {
    let events = (0..count).map(|n| event(&format!("{{\"n\":{n}}}"))).collect();
    StreamWrite { stream_id, tenant_id: TENANT, expected, events }
}

/// A command that writes one event to `stream_id`.
pub(crate) fn one(stream_id: Uuid, expected: ExpectedVersion) -> Append {
    Append { writes: vec![write(stream_id, expected, 1)], ..Append::default() }
}

pub(crate) fn key(id: u128, request: u8) -> Option<CommandKey> {
    Some(CommandKey { id: Uuid::from_u128(id), request_hash: [request; 32] })
}

pub(crate) fn guard(stream_id: Uuid, expected: ExpectedVersion) -> Guard {
    Guard { stream_id, tenant_id: TENANT, kind: "thing", expected }
}

pub(crate) static AUDIT: SideTable =
    SideTable { name: "public.audit", columns: &[("id", "int"), ("note", "text")] };

pub(crate) fn audit(id: i32, note: &str) -> SideRow {
    SideRow { table: &AUDIT, values: vec![Some(id.to_string()), Some(note.to_owned())] }
}

pub(crate) fn committed(first: i64, last: i64) -> Appended {
    Appended::Committed { first: Position(first), last: Position(last) }
}

pub(crate) fn stream(n: u128) -> Uuid {
    Uuid::from_u128(0x5000 + n)
}

/// Fails when `future` takes too long.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it should not take that long")
}

/// What holds of every log: positions dense from 1, versions dense in each stream, the streams'
/// versions those of their events, and no event twice.
pub(crate) async fn check(database: &TestDatabase) {
    let client = database.connect().await;
    let faults = client
        .query(
            "SELECT 'position ' || position FROM (
                 SELECT position, row_number() OVER (ORDER BY position) AS n FROM es.events) e
             WHERE position <> n
             UNION ALL
             SELECT 'version of position ' || position FROM (
                 SELECT position, version,
                     row_number() OVER (PARTITION BY stream_id ORDER BY position) AS n
                 FROM es.events) e
             WHERE version <> n
             UNION ALL
             SELECT 'stream ' || coalesce(s.stream_id, e.stream_id)
             FROM es.streams s FULL JOIN (
                 SELECT stream_id, max(version) AS version, max(aggregate) AS kind
                   FROM es.events GROUP BY stream_id) e
                 USING (stream_id)
             WHERE s.version IS DISTINCT FROM e.version OR s.kind <> e.kind
             UNION ALL
             SELECT 'event ' || event_id FROM es.events GROUP BY event_id HAVING count(*) > 1",
            &[],
        )
        .await
        .expect("the log can be checked");
    let faults: Vec<String> = faults.iter().map(|row| row.get(0)).collect();
    assert_eq!(faults, Vec::<String>::new());
}

/// The ids in `public.audit`.
pub(crate) async fn audits(database: &TestDatabase) -> Vec<i32> {
    let client = database.connect().await;
    let rows = client.query("SELECT id FROM public.audit ORDER BY id", &[]).await;
    rows.expect("the table can be read").iter().map(|row| row.get(0)).collect()
}
