//! Appending while connections break and PostgreSQL does not answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use hatch_eventstore::testing::{Cut, Fault, Proxy, TestDatabase};
use hatch_eventstore::{
    Append, AppendError, Appended, Appender, AppenderConfig, ExpectedVersion as Expected,
};
use tokio::net::TcpListener;
use tokio_postgres::Config;
use tokio_util::sync::CancellationToken;

use crate::support::*;

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_and_not_doubled() {
    let database = database().await;
    let proxy = Proxy::start(&database.url()).await;
    let appender = appender_at(proxy.url().parse().expect("a URL"));
    appender.append(one(stream(1), Expected::NoStream)).await.expect("accepted");

    proxy.cut(Cut::Answer, "");
    // `Any`: appended again, it would be there twice.
    let command = Append { side_rows: vec![audit(1, "once")], ..one(stream(1), Expected::Any) };
    assert_eq!(appender.append(command).await.expect("accepted"), committed(2, 2));
    assert!(proxy.has_cut());
    assert_eq!(events(&log(&database)).await.len(), 2);
    assert_eq!(audits(&database).await, [1]);
    check(&database).await;
}

#[tokio::test]
async fn a_lost_answer_to_side_rows_alone_is_found_as_well() {
    let database = database().await;
    let proxy = Proxy::start(&database.url()).await;
    let appender = appender_at(proxy.url().parse().expect("a URL"));
    proxy.cut(Cut::Answer, "");
    let command = Append { side_rows: vec![audit(1, "once")], ..Append::default() };
    assert_eq!(appender.append(command).await.expect("accepted"), committed(0, 0));
    assert!(proxy.has_cut());
    assert_eq!(audits(&database).await, [1]);
}

/// Gives each of two databases the other's name, as a failover gives a server's name to another server.
async fn exchange_names(one: &TestDatabase, other: &TestDatabase) {
    let (one, other) = (one.config(), other.config());
    let (a, b) = (one.get_dbname().expect("a name"), other.get_dbname().expect("a name"));
    let mut elsewhere = one.clone();
    elsewhere.dbname("postgres");
    let admin = hatch_eventstore::connect(&elsewhere).await.expect("the test server answers");
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('{a}', '{b}')"
    );
    admin.batch_execute(&end).await.expect("a superuser may");
    for (from, to) in [(a, "{a}_away"), (b, a), ("{a}_away", b)] {
        let (from, to) = (from.replace("{a}", a), to.replace("{a}", a));
        let rename = format!("ALTER DATABASE {from} RENAME TO {to}");
        admin.batch_execute(&rename).await.expect("nobody is connected");
    }
}

/// The server that goes on never got the transaction, and another one has its number there: both databases
/// are of one server, which numbers the transactions of all of its databases in one series.
#[tokio::test]
async fn side_rows_that_a_failover_lost_are_written_again_whatever_has_their_transactions_number() {
    let (database, other) = (database().await, database().await);
    let proxy = Proxy::start(&database.url()).await;
    let appender = appender_at(proxy.url().parse().expect("a URL"));
    proxy.cut(Cut::Silence, "");
    let append = Append { side_rows: vec![audit(1, "once")], ..Append::default() };
    let failover = async {
        eventually("it is committed", async || audits(&database).await == [1]).await;
        proxy.begin(Fault::Reset);
        exchange_names(&database, &other).await;
        assert!(audits(&database).await.is_empty(), "the server that goes on lacks it");
        proxy.end();
    };
    let (appended, ()) = futures::join!(appender.append(append), failover);
    assert_eq!(appended.expect("accepted"), committed(0, 0));
    assert_eq!(audits(&database).await, [1]);
}

#[tokio::test]
async fn a_commit_that_does_not_arrive_is_sent_again() {
    let database = database().await;
    let proxy = Proxy::start(&database.url()).await;
    let appender = appender_at(proxy.url().parse().expect("a URL"));
    proxy.cut(Cut::Request, "");
    let command = Append { key: key(7, 1), ..one(stream(1), Expected::NoStream) };
    assert_eq!(appender.append(command).await.expect("accepted"), committed(1, 1));
    assert!(proxy.has_cut());
    assert_eq!(events(&log(&database)).await.len(), 1);
    check(&database).await;
}

#[tokio::test]
async fn connections_that_are_killed_under_load_lose_and_double_nothing() {
    let database = database().await;
    let proxy = Proxy::start(&database.url()).await;
    let appenders = [appender(&database), appender_at(proxy.url().parse().expect("a URL"))];
    // There is something to cut for as long as it takes.
    let killing = &AtomicBool::new(true);
    let writers = (0..20_u128).map(|n| {
        let appender = &appenders[usize::try_from(n % 2).expect("small")];
        async move {
            let mut acknowledged = Vec::new();
            while acknowledged.len() < 15 || killing.load(Ordering::Relaxed) {
                let command = one(stream(n % 5), Expected::Any);
                let event_id = command.writes[0].events[0].event_id;
                appender.append(command).await.expect("accepted in the end");
                acknowledged.push(event_id);
            }
            acknowledged
        }
    });
    let killer = async {
        let client = database.connect().await;
        for cut in [Cut::Answer, Cut::Request, Cut::Answer] {
            proxy.cut(cut, "");
            client
                .execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE application_name = 'hatch-appender' AND datname = current_database()
                     ORDER BY pid LIMIT 1",
                    &[],
                )
                .await
                .expect("a superuser may");
            eventually("the proxy has cut", || async { proxy.has_cut() }).await;
        }
        killing.store(false, Ordering::Relaxed);
    };
    let (acknowledged, ()) = tokio::join!(join_all(writers), killer);
    let mut acknowledged: Vec<_> = acknowledged.into_iter().flatten().collect();
    let mut recorded: Vec<_> =
        events(&log(&database)).await.iter().map(|event| event.event_id).collect();
    acknowledged.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(recorded, acknowledged);
    check(&database).await;
}

/// A server that takes connections and never says a word.
async fn silent_server() -> (TcpListener, Config) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut config = Config::new();
    config.host("127.0.0.1").user("nobody");
    config.port(listener.local_addr().expect("bound").port());
    (listener, config)
}

#[tokio::test]
async fn a_caller_is_told_in_time_when_postgresql_does_not_answer() {
    let (_listener, config) = silent_server().await;
    let limits =
        AppenderConfig { append_timeout: Duration::from_millis(200), ..AppenderConfig::default() };
    let (appender, _task) = Appender::start(limits, config.into(), CancellationToken::new());
    let begun = Instant::now();
    let outcome = appender.append(one(stream(1), Expected::Any)).await;
    assert!(matches!(outcome, Err(AppendError::Unavailable)), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let (_listener, config) = silent_server().await;
    let limits = AppenderConfig {
        queue_commands_max: 3,
        append_timeout: Duration::from_millis(200),
        ..AppenderConfig::default()
    };
    let (appender, _task) = Appender::start(limits, config.into(), CancellationToken::new());
    let outcomes = join_all((0..5).map(|n| appender.append(one(stream(n), Expected::Any)))).await;
    let overloaded = |o: &&Result<_, _>| matches!(o, Err(AppendError::Overloaded));
    assert_eq!(outcomes.iter().filter(overloaded).count(), 2, "{outcomes:?}");

    let (_listener, config) = silent_server().await;
    let limits = AppenderConfig { queue_bytes_max: 1000, ..AppenderConfig::default() };
    let (appender, _task) = Appender::start(limits, config.into(), CancellationToken::new());
    let outcome = appender
        .append(Append { writes: vec![write(stream(1), Expected::Any, 4)], ..Append::default() });
    assert!(matches!(outcome.await, Err(AppendError::Overloaded)));
}

#[tokio::test]
async fn shutdown_commits_what_is_queued_and_refuses_the_rest() {
    let database = database().await;
    let shutdown = CancellationToken::new();
    let (appender, task) =
        Appender::start(AppenderConfig::default(), database.config(), shutdown.clone());
    let queued = join_all((0..10).map(|n| appender.append(one(stream(n), Expected::Any))));
    let (outcomes, ()) = tokio::join!(queued, async { shutdown.cancel() });
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    soon(task).await.expect("no panic");
    let late = appender.append(one(stream(1), Expected::Any)).await;
    assert!(matches!(late, Err(AppendError::Unavailable)), "{late:?}");
    check(&database).await;
}

#[tokio::test]
async fn a_command_whose_caller_has_gone_is_not_appended() {
    let database = database().await;
    let appender = appender(&database);
    // Queued and given up before the appender's task could run.
    let mut given_up = Box::pin(appender.append(one(stream(1), Expected::Any)));
    assert!(futures::poll!(&mut given_up).is_pending());
    drop(given_up);
    let next = appender.append(one(stream(2), Expected::Any)).await.expect("accepted");
    assert_eq!(
        next,
        Appended::Committed {
            first: hatch_eventstore::Position(1),
            last: hatch_eventstore::Position(1),
        }
    );
}
