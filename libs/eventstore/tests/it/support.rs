//! What the tests share: a database with appenders and a log, and short ways to say an append.

use std::time::Duration;

use hatch_domain::Routing;
use hatch_eventstore::testing::{Template, TestDatabase};
use hatch_eventstore::{
    Append, Appended, Appender, AppenderConfig, CommandKey, ExpectedVersion, Guard, Log, Metadata,
    NewEvent, Position, RecordedEvent, SideRow, StreamWrite,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The tenant of everything that does not say otherwise.
pub(crate) const TENANT: Uuid = Uuid::from_u128(1);

/// A table for side rows, as the event store's users have them.
const TEMPLATE: Template = Template {
    name: "eventstore_it",
    schemas: &[],
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

pub(crate) fn appender_at(postgres: tokio_postgres::Config) -> Appender {
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
        event_id: Uuid::now_v7(),
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
    Guard { stream_id, expected }
}

pub(crate) fn audit(id: i32, note: &str) -> SideRow {
    let row = format!("{{\"id\":{id},\"note\":{note:?}}}");
    SideRow { table: "public.audit", row }
}

pub(crate) fn committed(first: i64, last: i64) -> Appended {
    Appended::Committed { first: Position(first), last: Position(last) }
}

pub(crate) fn stream(n: u128) -> Uuid {
    Uuid::from_u128(0x5000 + n)
}
