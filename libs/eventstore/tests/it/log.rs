//! Reading the log when it is damaged or away.

use std::time::Duration;

use futures::FutureExt;
use hatch_eventstore::{
    Append, ExpectedVersion as Expected, Log, LogError, PAGE_BYTES_MAX, Position, pool,
};

use crate::support::*;

#[tokio::test]
async fn a_stream_is_read_in_order_and_an_event_by_its_position() {
    let database = database().await;
    let (appender, log) = (appender(&database), log(&database));
    for n in [1, 2, 1, 1] {
        appender.append(one(stream(n), Expected::Any)).await.expect("accepted");
    }
    let of_stream = log.read_stream(TENANT, stream(1)).await.expect("readable");
    let places: Vec<_> = of_stream.iter().map(|e| (e.version, e.position.0)).collect();
    assert_eq!(places, [(1, 1), (2, 3), (3, 4)]);
    let event = log.read_at(Position(2)).await.expect("readable").expect("there");
    assert_eq!(event.stream_id, stream(2));
    assert!(log.read_at(Position(5)).await.expect("readable").is_none());
    assert!(log.read_page(Position(4), 10).await.expect("readable").is_empty());
}

#[tokio::test]
async fn a_missing_position_or_version_is_an_error_that_names_it() {
    let database = database().await;
    let (appender, log) = (appender(&database), log(&database));
    let writes = vec![write(stream(1), Expected::Any, 6)];
    appender.append(Append { writes, ..Append::default() }).await.expect("accepted");
    let client = database.connect().await;
    client
        .batch_execute(
            "SET session_replication_role = replica; -- no triggers
             DELETE FROM es.events WHERE position IN (3, 4)",
        )
        .await
        .expect("a superuser may");
    for (after, limit) in [(0, 10), (2, 1)] {
        let error = log.read_page(Position(after), limit).await.expect_err("a gap");
        assert!(!error.is_unavailable());
        let LogError::Gap { expected: Position(3), found: Position(5) } = error else {
            panic!("{error:?}")
        };
    }
    assert_eq!(log.read_page(Position::START, 2).await.expect("before the gap").len(), 2);
    let error = log.read_stream(TENANT, stream(1)).await.expect_err("a gap");
    assert!(matches!(error, LogError::StreamGap { expected: 3, found: 5, .. }), "{error:?}");
}

#[tokio::test]
async fn a_page_of_large_events_ends_early() {
    let database = database().await;
    let (appender, log) = (appender(&database), log(&database));
    let payload = format!("\"{}\"", "x".repeat(1_000_000));
    let count = PAGE_BYTES_MAX / payload.len() + 3;
    for _ in 0..count {
        let mut command = one(stream(1), Expected::Any);
        command.writes[0].events[0].payload.clone_from(&payload);
        appender.append(command).await.expect("accepted");
    }
    let page = log.read_page(Position::START, 100).await.expect("readable");
    assert!(page.len() < count, "{}", page.len());
    let rest = log.read_page(page[page.len() - 1].position, 100).await.expect("readable");
    assert_eq!(page.len() + rest.len(), count);
}

#[tokio::test]
async fn a_log_that_cannot_be_reached_is_unavailable() {
    let mut nowhere = tokio_postgres::Config::new();
    nowhere.host("127.0.0.1").port(1).user("nobody");
    let log = Log::new(pool(&nowhere.into(), 1, Duration::from_millis(100)));
    let error = log.head().await.expect_err("nobody listens there");
    assert!(error.is_unavailable(), "{error:?}");
}

#[tokio::test]
async fn the_pool_does_not_hand_on_an_open_transaction() {
    let database = database().await;
    let pool = pool(&database.config(), 1, Duration::from_secs(1));
    let held =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    let lock = "SELECT pg_advisory_xact_lock(1)";

    let mut client = pool.get().await.expect("a connection");
    // A future that is dropped while BEGIN is on its way.
    assert!(client.transaction().now_or_never().is_none());
    drop(client);
    let client = pool.get().await.expect("a connection");
    client.batch_execute(lock).await.expect("a usable connection");
    let row = client.query_one(held, &[]).await.expect("a usable connection");
    assert_eq!(row.get::<_, i64>(0), 0, "the lock ended with its statement");
    drop(client);

    for statement in [lock, "SELECT 1/0"] {
        let mut client = pool.get().await.expect("a connection");
        let transaction = client.transaction().await.expect("a transaction");
        let _ = transaction.batch_execute(statement).await;
        drop(transaction);
        drop(client);
        let client = pool.get().await.expect("a connection");
        let row = client.query_one(held, &[]).await.expect("a usable connection");
        assert_eq!(row.get::<_, i64>(0), 0, "{statement}");
    }
}
