//! Asking PostgreSQL with a limit: what becomes of connections that do not answer.

use std::time::Duration;

use hatch_eventstore::testing::{Proxy, TestDatabase};
use hatch_eventstore::{Connection, Connections, Database, Unanswered, pool};

use crate::support::*;

/// What a machine under load needs at most to answer.
const LONG: Duration = Duration::from_secs(60);

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

async fn sleep(connections: &Connections, limit: Duration, seconds: f64) -> Result<(), Failure> {
    let ask = async |client: &mut Connection| {
        let slept = client.execute("SELECT pg_sleep($1)", &[&seconds]).await;
        slept.map(drop).map_err(Failure::Postgres)
    };
    connections.within(limit, ask).await
}

async fn sleeping(database: &TestDatabase) -> i64 {
    const SLEEPING: &str = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' \
         AND datname = current_database() AND query LIKE 'SELECT pg_sleep%'";
    database.connect().await.query_one(SLEEPING, &[]).await.expect("a row").get(0)
}

#[tokio::test]
async fn a_connection_that_does_not_answer_is_closed_and_the_next_one_asks_on_another() {
    let database = database().await;
    let proxy = Proxy::start(&database.url()).await;
    let connections = pool(&proxy.url().parse().expect("a URL"), 3, LONG);
    // All three are there, and then silent.
    let all = [1, 2, 3].map(|_| sleep(&connections, LONG, 0.2));
    for slept in futures::future::join_all(all).await {
        slept.expect("an answer");
    }
    proxy.silence();
    let silent = sleep(&connections, Duration::from_millis(300), 0.0).await;
    assert!(matches!(silent, Err(Failure::Unanswered(Unanswered::Silent(_)))), "{silent:?}");
    // Not one by one: those that waited beside it are not believed either.
    pid(&connections).await;
    assert_eq!(connections.counts().open, 1);
}

#[tokio::test]
async fn a_query_that_takes_too_long_ends_on_the_server_as_well() {
    let database = database().await;
    let connections = one_connection(&database.config());
    let late = sleep(&connections, Duration::from_millis(300), 600.0).await;
    assert!(matches!(late, Err(Failure::Unanswered(Unanswered::Silent(_)))), "{late:?}");
    pid(&connections).await;
    eventually("nothing sleeps any more", async || sleeping(&database).await == 0).await;
}

#[tokio::test]
async fn who_stops_waiting_leaves_a_connection_that_is_handed_on_once_it_is_done() {
    let database = database().await;
    let connections = one_connection(&database.config());
    let before = pid(&connections).await;
    let asked = tokio::time::timeout(Duration::from_millis(300), sleep(&connections, LONG, 1.5));
    asked.await.expect_err("it sleeps for longer");
    assert_eq!(connections.counts().idle, 0, "the pool does not count it as free");
    assert_eq!(pid(&connections).await, before, "no other is made meanwhile");
    assert_eq!(sleeping(&database).await, 0);
}

#[tokio::test]
async fn who_stops_waiting_on_a_silent_connection_leaves_none() {
    let database = database().await;
    let proxy = Proxy::start(&database.url()).await;
    let connections = one_connection(&proxy.url().parse().expect("a URL"));
    let before = pid(&connections).await;
    proxy.silence();
    let asked = sleep(&connections, Duration::from_secs(1), 0.0);
    tokio::time::timeout(Duration::from_millis(100), asked).await.expect_err("it is silent");
    assert_ne!(pid(&connections).await, before);
}

#[tokio::test]
async fn a_held_connection_that_was_given_up_is_not_to_be_had_again() {
    let database = database().await;
    let connections = one_connection(&database.config());
    let mut held = connections.hold(LONG).await.expect("a connection");
    let ask = async |client: &mut Connection| {
        client.execute("SELECT pg_sleep(600)", &[]).await.map(drop).map_err(Failure::Postgres)
    };
    let late = held.within(Duration::from_millis(300), ask).await;
    assert!(matches!(late, Err(Failure::Unanswered(Unanswered::Silent(_)))), "{late:?}");
    let gone = held.within(LONG, async |_| Ok::<_, Failure>(())).await;
    assert!(matches!(gone, Err(Failure::Unanswered(Unanswered::GivenUp))), "{gone:?}");
    pid(&connections).await;
}
