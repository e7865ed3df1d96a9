//! The fence: what closes it, what it stops, and how it is lifted.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::FutureExt;
use hatch_domain::Environment;
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    Append, AppendError, Appender, AppenderConfig, AskBus, BusEnd, BusSecrets, Closed,
    DatabasePlace, ExpectedVersion as Expected, Fence, FenceConfig, FenceState, HeadWatch,
    Position, SystemEnvironment, fence_state, lift_fence, report_foreign,
};
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::*;

fn place(host: &str) -> DatabasePlace {
    DatabasePlace { host: Some(host.to_owned()), deployment_name: Some("tests".to_owned()) }
}

fn watch_with(database: &TestDatabase, config: FenceConfig) -> HeadWatch {
    HeadWatch::start_with(config, database.config(), CancellationToken::new()).0
}

fn watch(database: &TestDatabase) -> HeadWatch {
    watch_with(database, FenceConfig { place: place("db1"), bus: None })
}

fn appender_in(database: &TestDatabase, host: &str) -> Appender {
    let config = AppenderConfig { place: place(host), ..AppenderConfig::default() };
    Appender::start(config, database.config(), CancellationToken::new()).0
}

fn sending(n: u128) -> Append {
    Append { sends: true, ..one(stream(n), Expected::Any) }
}

async fn closed(fence: &Fence) -> Closed {
    eventually("the fence is closed", async || fence.closed().is_some()).await;
    fence.closed().expect("just seen")
}

/// As if the log had been begun in another data directory.
async fn move_database(database: &TestDatabase) {
    let sql = "UPDATE es.log_epoch SET data_directory = '/elsewhere'";
    database.connect().await.batch_execute(sql).await.expect("a superuser may");
}

/// As if a backup had been restored that ends at `position`, in the same place.
async fn restore_to(database: &TestDatabase, position: i64) {
    let sql = format!(
        "SET session_replication_role = replica; DELETE FROM es.events WHERE position > {position};
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()"
    );
    database.connect().await.batch_execute(&sql).await.expect("a superuser may");
}

async fn begin_generation(database: &TestDatabase, generation: i32) {
    let sql = "INSERT INTO es.bus_generations (generation, first_position, epoch)
        SELECT $1, 1, max(epoch) FROM es.log_epoch";
    database.connect().await.execute(sql, &[&generation]).await.expect("inserted");
}

async fn epochs(database: &TestDatabase) -> Vec<i32> {
    events(&log(database)).await.iter().map(|event| event.epoch).collect()
}

#[tokio::test]
async fn another_server_is_fenced_until_a_new_epoch_begins() {
    let database = database().await;
    let (watch, appender) = (watch(&database), appender_in(&database, "db1"));
    soon(watch.fence().opened()).await;
    appender.append(sending(1)).await.expect("open");

    move_database(&database).await;
    let why = closed(watch.fence()).await;
    assert_eq!(why.code(), "FENCED");
    assert!(why.to_string().contains("data directory was /elsewhere"), "{why}");
    let refused = appender.append(sending(2)).await;
    assert!(matches!(refused, Err(AppendError::Fenced)), "{refused:?}");
    appender.append(one(stream(2), Expected::Any)).await.expect("what is not sent goes on");
    let late = appender_in(&database, "db1").append(sending(3)).await;
    assert!(matches!(late, Err(AppendError::Fenced)), "{late:?}");

    let mut client = database.connect().await;
    let lifted =
        lift_fence(&mut client, &place("db1"), "test").await.expect("done").expect("closed");
    assert_eq!((lifted.epoch, lifted.base_position), (2, Position(2)));
    assert_eq!(lifted.closed, why);
    assert_eq!(
        lift_fence(&mut client, &place("db1"), "test").await.expect("done"),
        None,
        "nothing to do"
    );
    soon(watch.fence().opened()).await;
    appender.append(sending(2)).await.expect("open again, on the same connection");
    assert_eq!(epochs(&database).await, [1, 1, 2]);
}

#[tokio::test]
async fn the_first_who_is_told_names_host_and_deployment_and_another_host_is_fenced() {
    let database = database().await;
    let first = watch(&database);
    soon(first.fence().opened()).await;
    let elsewhere = watch_with(&database, FenceConfig { place: place("db2"), bus: None });
    let why = closed(elsewhere.fence()).await;
    assert!(why.to_string().contains("host was db1 and is db2"), "{why}");
    let refused = appender_in(&database, "db2").append(sending(1)).await;
    assert!(matches!(refused, Err(AppendError::Fenced)), "{refused:?}");
    let silent = watch_with(&database, FenceConfig::default());
    soon(silent.fence().opened()).await;
    assert!(first.fence().is_open_in(1));

    // Whoever lifts may come by any name: the first who works in the new epoch gives the next.
    let mut client = database.connect().await;
    let lifted = lift_fence(&mut client, &place("db3"), "test").await.expect("done");
    assert_eq!(lifted.expect("closed for db3").epoch, 2);
    let new = watch_with(&database, FenceConfig { place: place("db2"), bus: None });
    soon(new.fence().opened()).await;
}

#[tokio::test]
async fn what_a_process_remembers_and_the_log_lost_closes_the_fence_for_all() {
    let database = database().await;
    let (watch, appender) = (watch(&database), appender_in(&database, "db1"));
    for n in 1..=3 {
        appender.append(sending(n)).await.expect("open");
    }
    soon(watch.subscribe().wait_for(|head| *head == Position(3))).await.expect("it lives");
    restore_to(&database, 2).await;
    // Another event takes the position before anybody could have seen that the log was shorter.
    appender_in(&database, "db1").append(one(stream(9), Expected::Any)).await.expect("taken");
    let refused = appender.append(sending(10)).await;
    assert!(matches!(refused, Err(AppendError::Fenced)), "{refused:?}");
    let why = closed(watch.fence()).await;
    assert_eq!(why.code(), "LOG_REGRESSED");
    let other = appender_in(&database, "db1").append(sending(11)).await;
    assert!(matches!(other, Err(AppendError::Fenced)), "{other:?}");

    let mut client = database.connect().await;
    lift_fence(&mut client, &place("db1"), "test").await.expect("done").expect("was closed");
    appender.append(sending(10)).await.expect("open again");
    soon(watch.fence().opened()).await;
}

#[tokio::test]
async fn a_head_that_goes_back_closes_the_fence() {
    let database = database().await;
    let (watch, appender) = (watch(&database), appender_in(&database, "db1"));
    for n in 1..=3 {
        appender.append(one(stream(n), Expected::Any)).await.expect("accepted");
    }
    soon(watch.subscribe().wait_for(|head| *head == Position(3))).await.expect("it lives");
    soon(watch.fence().opened()).await;
    restore_to(&database, 2).await;
    let why = closed(watch.fence()).await;
    assert!(why.to_string().contains("seen at position 3, the log ends at 2"), "{why}");
    assert_eq!(watch.current(), Position(2));
}

/// As if the files of before the second epoch had been put back, in the same place.
async fn restore_first_epoch(database: &TestDatabase, position: i64) {
    let sql = format!(
        "SET session_replication_role = replica; DELETE FROM es.events WHERE position > {position};
         DELETE FROM es.epoch_secrets WHERE epoch > 1; DELETE FROM es.log_epoch WHERE epoch > 1;
         UPDATE es.log_epoch SET data_directory = current_setting('data_directory');
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()"
    );
    database.connect().await.batch_execute(&sql).await.expect("a superuser may");
}

/// Three events, of which the last is of the second epoch; the watch ends with the token.
async fn two_epochs(database: &TestDatabase) -> (HeadWatch, Appender, CancellationToken) {
    let (config, token) =
        (FenceConfig { place: place("db1"), bus: None }, CancellationToken::new());
    let (watch, _) = HeadWatch::start_with(config, database.config(), token.clone());
    let appender = appender_in(database, "db1");
    for n in 1..=2 {
        appender.append(sending(n)).await.expect("open");
    }
    move_database(database).await;
    closed(watch.fence()).await;
    let mut client = database.connect().await;
    lift_fence(&mut client, &place("db1"), "test").await.expect("done").expect("was closed");
    soon(watch.fence().opened()).await;
    appender.append(sending(3)).await.expect("open");
    soon(watch.subscribe().wait_for(|head| *head == Position(3))).await.expect("it lives");
    (watch, appender, token)
}

#[tokio::test]
async fn a_log_of_an_earlier_epoch_closes_the_fence_however_long_it_is() {
    for position in [2, 3] {
        let database = database().await;
        let (watch, _appender, _token) = two_epochs(&database).await;
        restore_first_epoch(&database, position).await;
        let why = closed(watch.fence()).await;
        assert_eq!((why.code(), why.epoch()), ("LOG_REGRESSED", 1), "{why}");

        // The next epoch is after all that anybody has seen, so that no memory speaks of it.
        let mut client = database.connect().await;
        let lifted = lift_fence(&mut client, &place("db1"), "test").await.expect("done");
        assert_eq!(lifted.expect("was closed").epoch, 3);
        soon(watch.fence().opened()).await;
    }
}

#[tokio::test]
async fn an_appender_that_remembers_a_later_epoch_closes_the_fence() {
    let database = database().await;
    let (_watch, appender, token) = two_epochs(&database).await;
    token.cancel();
    restore_first_epoch(&database, 2).await;
    // Another event has its position before anybody could have seen that the log was shorter.
    appender_in(&database, "db1").append(one(stream(9), Expected::Any)).await.expect("taken");
    let refused = appender.append(sending(10)).await;
    assert!(matches!(refused, Err(AppendError::Fenced)), "{refused:?}");
    let mut client = database.connect().await;
    let lifted = lift_fence(&mut client, &place("db1"), "test").await.expect("done");
    assert_eq!(lifted.expect("was closed").epoch, 3);
    // A connection that is lost brings the memory back, and it says nothing of this epoch.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'hatch-appender'";
    client.batch_execute(end).await.expect("a superuser may");
    appender.append(sending(10)).await.expect("open");
}

/// A bus whose last event is the log's at a position, or another for a negative one; 0 is no event.
fn bus(database: &TestDatabase, generation: i32, last: Arc<AtomicI64>) -> AskBus {
    let log = log(database);
    Arc::new(move |_, _| {
        let (log, last) = (log.clone(), last.load(Ordering::Relaxed));
        async move {
            let position = Position(last.abs());
            let event = log.read_at(position).await.ok()?;
            let stray = SystemEnvironment.new_id();
            let event_id = event.filter(|_| last > 0).map_or(stray, |event| event.event_id);
            Some(BusEnd { generation, position, event_id: (last != 0).then_some(event_id) })
        }
        .boxed()
    })
}

fn trusted(watch: &HeadWatch) -> Option<i32> {
    match watch.fence().state() {
        FenceState::Open { generation, .. } => generation,
        FenceState::Unknown | FenceState::Closed(_) => None,
    }
}

#[tokio::test]
async fn a_generation_is_trusted_once_its_end_is_found_in_the_log() {
    let database = database().await;
    appender(&database).append(one(stream(1), Expected::Any)).await.expect("accepted");
    let last = Arc::new(AtomicI64::new(1));
    let asked = FenceConfig { place: place("db1"), bus: Some(bus(&database, 4, last)) };
    let watch = watch_with(&database, asked);
    soon(watch.fence().opened()).await;
    assert_eq!(trusted(&watch), None, "nobody has put it on record");
    begin_generation(&database, 3).await;
    begin_generation(&database, 4).await;
    soon(watch.fence().trusting()).await;
    assert!(watch.fence().trusts(4) && !watch.fence().trusts(3));

    move_database(&database).await;
    closed(watch.fence()).await;
    assert!(!watch.fence().trusts(4));
    let mut client = database.connect().await;
    lift_fence(&mut client, &place("db1"), "test").await.expect("done").expect("was closed");
    soon(watch.fence().opened()).await;
    assert_eq!(trusted(&watch), None, "it carries the epoch before");
    begin_generation(&database, 5).await;
    let new = FenceConfig { place: place("db1"), bus: Some(bus(&database, 5, Arc::default())) };
    let watch = watch_with(&database, new);
    soon(watch.fence().trusting()).await;
    assert!(watch.fence().trusts(5), "new and empty: nothing contradicts the log");
}

#[tokio::test]
async fn a_bus_ahead_of_the_log_closes_the_fence_before_it_was_ever_open() {
    for (last, what) in [(7, "the log has none"), (-1, "the log has 0")] {
        let database = database().await;
        appender(&database).append(one(stream(1), Expected::Any)).await.expect("accepted");
        begin_generation(&database, 1).await;
        let ask = bus(&database, 1, Arc::new(AtomicI64::new(last)));
        let watch = watch_with(&database, FenceConfig { place: place("db1"), bus: Some(ask) });
        let why = closed(watch.fence()).await;
        assert_eq!(why.code(), "LOG_REGRESSED");
        assert!(why.to_string().contains(what), "{why}");
        let refused = appender_in(&database, "db1").append(sending(2)).await;
        assert!(matches!(refused, Err(AppendError::Fenced)), "{refused:?}");
        // Whoever goes on with this log is not stopped by what the bus still has.
        let mut client = database.connect().await;
        lift_fence(&mut client, &place("db1"), "test").await.expect("done").expect("was closed");
        soon(watch.fence().opened()).await;
        let ask = bus(&database, 1, Arc::new(AtomicI64::new(last)));
        let again = watch_with(&database, FenceConfig { place: place("db1"), bus: Some(ask) });
        soon(again.fence().opened()).await;
        assert_eq!(trusted(&again), None);
    }
}

#[tokio::test]
async fn an_empty_stream_that_says_to_be_further_than_the_log_proves_nothing() {
    let database = database().await;
    appender(&database).append(one(stream(1), Expected::Any)).await.expect("accepted");
    begin_generation(&database, 1).await;
    let end = BusEnd { generation: 1, position: Position(1_000_000), event_id: None };
    let ask: AskBus = Arc::new(move |_, _| std::future::ready(Some(end)).boxed());
    let watch = watch_with(&database, FenceConfig { place: place("db1"), bus: Some(ask) });
    soon(watch.fence().opened()).await;
    assert_eq!(trusted(&watch), None);
    let count = "SELECT count(*) FROM es.log_regressions";
    let regressions = database.connect().await.query_one(count, &[]).await.expect("a row");
    assert_eq!(regressions.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn each_epoch_has_a_secret_of_its_own_that_the_application_reads_and_cannot_change() {
    let database = database().await;
    let first = secrets(&database).await;
    assert_eq!((first.epoch.bytes().len(), first.generation.clone()), (32, None));
    begin_generation(&database, 1).await;
    let generation = Some((1, first.epoch.clone()));
    assert_eq!(secrets(&database).await.generation, generation);

    move_database(&database).await;
    let mut client = database.connect().await;
    lift_fence(&mut client, &place("db1"), "test").await.expect("done").expect("was closed");
    let second = secrets(&database).await;
    assert_ne!(second.epoch, first.epoch);
    assert_eq!(second.generation, generation, "it was begun in the epoch before");

    client.batch_execute("SET ROLE hatch_app").await.expect("a superuser may");
    BusSecrets::read(&client).await.expect("it may read them");
    for sql in [
        "UPDATE es.epoch_secrets SET secret = sha256('known')",
        "DELETE FROM es.epoch_secrets",
        "INSERT INTO es.epoch_secrets SELECT 3, sha256('known')",
        "SELECT es.random_secret()",
    ] {
        let refused = client.batch_execute(sql).await.expect_err(sql);
        assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}");
    }
}

async fn secrets(database: &TestDatabase) -> BusSecrets {
    let client = database.connect().await;
    BusSecrets::read(&client).await.expect("read")
}

#[tokio::test]
async fn a_generation_with_something_foreign_is_trusted_by_nobody_any_more() {
    let database = database().await;
    let ask = bus(&database, 1, Arc::default());
    let watch = watch_with(&database, FenceConfig { place: place("db1"), bus: Some(ask) });
    begin_generation(&database, 1).await;
    soon(watch.fence().trusting()).await;
    let client = database.connect().await;
    client.batch_execute("SET ROLE hatch_app").await.expect("a superuser may");
    // What is said first is kept.
    for detail in ["a note at sequence 2", "another"] {
        report_foreign(&client, 1, detail).await.expect("the application may");
    }
    eventually("not trusted", async || !watch.fence().trusts(1)).await;
    assert_eq!(watch.fence().foreign(), Some((1, "a note at sequence 2".to_owned())));
    assert!(watch.fence().has_foreign(1) && watch.fence().is_open_in(1));

    begin_generation(&database, 2).await;
    eventually("the next has none", async || watch.fence().foreign().is_none()).await;
    report_foreign(&client, 3, "not on record").await.expect("changes nothing");
    assert_eq!(watch.fence().foreign(), None);
}

#[tokio::test]
async fn old_generations_are_forgotten_so_that_their_table_does_not_grow() {
    let database = database().await;
    let client = database.connect().await;
    let sql = "INSERT INTO es.bus_generations (generation, first_position, epoch)
        SELECT n, 1, 1 FROM generate_series(1, 2500) AS n";
    client.batch_execute(sql).await.expect("inserted");
    let kept = "SELECT count(*), min(generation) FROM es.bus_generations";
    let kept = client.query_one(kept, &[]).await.expect("a row");
    assert_eq!((kept.get::<_, i64>(0), kept.get::<_, i32>(1)), (1_000, 1_501));
}

#[tokio::test]
async fn the_fence_is_not_open_while_postgresql_is_away() {
    let database = database().await;
    let watch = watch(&database);
    soon(watch.fence().opened()).await;
    let client = database.connect().await;
    let name: String = client
        .query_one("SELECT current_database()::text", &[])
        .await
        .expect("it has a name")
        .get(0);
    let mut elsewhere = database.config();
    elsewhere.dbname("postgres");
    let admin = hatch_eventstore::connect(&elsewhere).await.expect("connects");
    let allow =
        |yes: bool| format!("UPDATE pg_database SET datallowconn = {yes} WHERE datname = '{name}'");
    admin.batch_execute(&allow(false)).await.expect("a superuser may");
    let end =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    admin.batch_execute(&end).await.expect("a superuser may");
    eventually("unknown", async || watch.fence().state() == FenceState::Unknown).await;
    admin.batch_execute(&allow(true)).await.expect("a superuser may");
    soon(watch.fence().opened()).await;
}

#[tokio::test]
async fn the_applications_role_is_enough() {
    let database = database().await;
    let mut as_application = database.config();
    as_application.options("-c role=hatch_app");
    let config = FenceConfig { place: place("db1"), bus: None };
    let watch = HeadWatch::start_with(config, as_application.clone(), CancellationToken::new()).0;
    soon(watch.fence().opened()).await;
    move_database(&database).await;
    closed(watch.fence()).await;
    let mut client = hatch_eventstore::connect(&as_application).await.expect("connects");
    let state = fence_state(&client, &place("db1")).await.expect("readable");
    let FenceState::Closed(why) = state else { panic!("{state:?}") };
    assert!(why.to_string().contains("/elsewhere"), "{why}");
    lift_fence(&mut client, &place("db1"), "test").await.expect("granted").expect("was closed");
    soon(watch.fence().opened()).await;
    let id = Uuid::nil();
    hatch_eventstore::report_regression(&client, 2, &format!("lost {id}")).await.expect("granted");
    assert_eq!(closed(watch.fence()).await.code(), "LOG_REGRESSED");
    hatch_eventstore::report_regression(&client, 1, "old news").await.expect("no error");
}
