//! Asking PostgreSQL with a limit: what becomes of connections that do not answer.

use std::time::Duration;

use hatch_eventstore::testing::{Proxy, TestDatabase};
use hatch_eventstore::{Connected, Connection, Connections, Database, Unanswered, pool};

use crate::support::*;

/// What a machine under load needs at most to answer.
const LONG: Duration = Duration::from_secs(60);
/// How long is waited for what does not come.
const SHORT: Duration = Duration::from_millis(300);

#[derive(Debug)]
enum Failure {
    Unanswered(Unanswered),
    Postgres(
        #[expect(dead_code, reason = "for whoever reads the test's output")] tokio_postgres::Error,
    ),
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unanswered(unanswered)
    }
}

fn one_connection(database: &Database) -> Connections {
    pool(database, 1, LONG)
}

async fn pid(connections: &Connections) -> i32 {
    let ask = async |client: &mut Connection| {
        let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
        row.map(|row| row.get::<_, i32>(0)).map_err(Failure::Postgres)
    };
    connections.within(LONG, ask).await.expect("an answer")
}

async fn ask(connections: &Connections, limit: Duration, sql: &str) -> Result<(), Failure> {
    let ask =
        async |client: &mut Connection| client.batch_execute(sql).await.map_err(Failure::Postgres);
    connections.within(limit, ask).await
}

/// What is not answered while somebody [`held`] the lock.
const LOCK: &str = "SELECT pg_advisory_lock(1)";

/// Holds the lock until it is dropped.
async fn held(database: &TestDatabase) -> Connected {
    let holder = database.connect().await;
    holder.batch_execute(LOCK).await.expect("nobody has it");
    holder
}

async fn waiting(database: &TestDatabase) -> i64 {
    const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event = 'advisory'";
    database.connect().await.query_one(WAITING, &[]).await.expect("a row").get(0)
}

#[tokio::test]
async fn a_connection_that_does_not_answer_is_closed_and_the_next_one_asks_on_another() {
    let database = database().await;
    let proxy = Proxy::start(&database.url()).await;
    let connections = pool(&proxy.url().parse().expect("a URL"), 3, LONG);
    // All three are there, and then silent.
    let all = futures::future::join_all([1, 2, 3].map(|_| connections.hold(LONG))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    drop(all);
    assert_eq!(connections.counts().idle, 3);
    proxy.silence();
    let silent = ask(&connections, SHORT, "").await;
    assert!(matches!(silent, Err(Failure::Unanswered(Unanswered::Silent(_)))), "{silent:?}");
    // Not one by one: those that waited beside it are not believed either.
    pid(&connections).await;
    assert_eq!(connections.counts().open, 1);
}

#[tokio::test]
async fn a_query_that_takes_too_long_ends_on_the_server_as_well() {
    let database = database().await;
    let (_holder, connections) = (held(&database).await, one_connection(&database.config()));
    let late = ask(&connections, SHORT, LOCK).await;
    assert!(matches!(late, Err(Failure::Unanswered(Unanswered::Silent(_)))), "{late:?}");
    pid(&connections).await;
    eventually("nothing waits any more", async || waiting(&database).await == 0).await;
}

#[tokio::test]
async fn who_stops_waiting_leaves_a_connection_that_is_handed_on_once_it_is_done() {
    let database = database().await;
    let (holder, connections) = (held(&database).await, one_connection(&database.config()));
    let before = pid(&connections).await;
    tokio::select! {
        answer = ask(&connections, LONG, LOCK) => panic!("somebody has the lock: {answer:?}"),
        () = eventually("it waits", async || waiting(&database).await == 1) => {}
    }
    assert_eq!(connections.counts().idle, 0, "the pool does not count it as free");
    holder.close().await;
    assert_eq!(pid(&connections).await, before, "no other is made meanwhile");
    assert_eq!(waiting(&database).await, 0);
}

#[tokio::test]
async fn who_stops_waiting_on_a_silent_connection_leaves_none() {
    let database = database().await;
    let proxy = Proxy::start(&database.url()).await;
    let connections = one_connection(&proxy.url().parse().expect("a URL"));
    let before = pid(&connections).await;
    proxy.silence();
    let asked = ask(&connections, Duration::from_secs(1), "");
    tokio::time::timeout(Duration::from_millis(100), asked).await.expect_err("it is silent");
    assert_ne!(pid(&connections).await, before);
}

#[tokio::test]
async fn a_held_connection_that_was_given_up_is_not_to_be_had_again() {
    let database = database().await;
    let (_holder, connections) = (held(&database).await, one_connection(&database.config()));
    let mut mine = connections.hold(LONG).await.expect("a connection");
    let ask =
        async |client: &mut Connection| client.batch_execute(LOCK).await.map_err(Failure::Postgres);
    let late = mine.within(SHORT, ask).await;
    assert!(matches!(late, Err(Failure::Unanswered(Unanswered::Silent(_)))), "{late:?}");
    let gone = mine.within(LONG, async |_| Ok::<_, Failure>(())).await;
    assert!(matches!(gone, Err(Failure::Unanswered(Unanswered::GivenUp))), "{gone:?}");
    pid(&connections).await;
}
