//! The tables themselves: what they refuse, and who may do what.

use hatch_eventstore::schema::{EVENTSTORE, SchemaError};
use hatch_eventstore::{Append, ExpectedVersion as Expected, Position, migrate};
use tokio_postgres::error::SqlState;

use crate::support::*;

#[tokio::test]
async fn migrating_again_changes_nothing_and_another_version_is_refused() {
    let database = database().await;
    let mut client = database.connect().await;
    let current = EVENTSTORE.current_version(&client).await.expect("readable");
    assert_eq!(current, EVENTSTORE.expected_version());
    EVENTSTORE.check(&client).await.expect("as expected");
    migrate(&mut client).await.expect("nothing to do");
    EVENTSTORE.check(&client).await.expect("as expected");

    let newer = "INSERT INTO es.schema_history SELECT 1000, name, applied_on, checksum
        FROM es.schema_history WHERE version = 1";
    client.batch_execute(newer).await.expect("a superuser may");
    let refused = EVENTSTORE.check(&client).await;
    assert!(matches!(refused, Err(SchemaError::Unexpected { current: 1000, .. })), "{refused:?}");
}

#[tokio::test]
async fn streams_of_earlier_builds_get_the_kind_of_their_events() {
    let database = database().await;
    let mut client = database.connect().await;
    let appender = appender(&database);
    appender.append(one(stream(1), Expected::Any)).await.expect("accepted");
    let earlier = format!(
        "ALTER TABLE es.streams DROP COLUMN kind; DELETE FROM es.schema_history WHERE version > 10;
         INSERT INTO es.streams VALUES ('{}', '{TENANT}', 1)",
        stream(2)
    );
    client.batch_execute(&earlier).await.expect("a superuser may");
    migrate(&mut client).await.expect("migrated");
    let rows = client.query("SELECT kind FROM es.streams ORDER BY stream_id", &[]).await;
    let kinds: Vec<String> = rows.expect("readable").iter().map(|row| row.get(0)).collect();
    assert_eq!(kinds, ["thing", "message"]);
}

#[tokio::test]
async fn two_that_migrate_at_once_take_turns() {
    let database = database().await;
    let (mut a, mut b) = (database.connect().await, database.connect().await);
    a.batch_execute("DROP SCHEMA es CASCADE").await.expect("a superuser may");
    assert_eq!(EVENTSTORE.current_version(&a).await.expect("readable"), 0);
    let (first, second) = tokio::join!(migrate(&mut a), migrate(&mut b));
    first.expect("migrated");
    second.expect("migrated");
    EVENTSTORE.check(&a).await.expect("as expected");
}

#[tokio::test]
async fn events_are_not_changed_even_by_their_owner() {
    let database = database().await;
    let appender = appender(&database);
    appender.append(one(stream(1), Expected::Any)).await.expect("accepted");
    let client = database.connect().await;
    for statement in [
        "UPDATE es.events SET type = 'Other'",
        "UPDATE es.events_000000 SET type = 'Other'",
        "DELETE FROM es.events",
        "TRUNCATE es.events",
        "TRUNCATE es.events_000000",
    ] {
        let error = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}");
    }
    assert_eq!(events(&log(&database)).await.len(), 1);
}

#[tokio::test]
async fn the_applications_role_can_do_its_work_and_no_more() {
    let database = database().await;
    let mut as_application = database.config();
    as_application.options("-c role=hatch_app");
    let appender = appender_at(as_application.clone());
    let keyed = Append { key: key(7, 1), ..one(stream(1), Expected::Any) };
    appender.append(keyed).await.expect("accepted");
    appender.append(one(stream(1), Expected::Any)).await.expect("accepted");
    let pool = hatch_eventstore::pool(&as_application, 1, std::time::Duration::from_secs(1));
    let log = hatch_eventstore::Log::new(pool.clone());
    assert_eq!(events(&log).await.len(), 2);
    let client = pool.get().await.expect("a connection");
    let start = hatch_eventstore::Checkpoint::load(&client, "messages", 1).await.expect("made");
    start.advance(&client, Position(1), 1).await.expect("moved");
    EVENTSTORE.check(&client).await.expect("as expected");
    client.query_one("SHOW data_directory", &[]).await.expect("granted");
    for statement in [
        "UPDATE es.events SET type = 'Other'",
        "DELETE FROM es.events",
        "TRUNCATE es.events",
        "DELETE FROM es.streams",
        "DELETE FROM es.commands",
        "UPDATE es.log_epoch SET epoch = 2",
        "SELECT es.create_partition(1000000000)",
    ] {
        let error = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}");
    }
}

#[tokio::test]
async fn partitions_are_made_ahead_of_the_head() {
    let database = database().await;
    let client = database.connect().await;
    let partitions = || async {
        let sql = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'es.events'::regclass";
        client.query_one(sql, &[]).await.expect("readable").get::<_, i64>(0)
    };
    assert_eq!(partitions().await, 4);
    // A log that is about to fill its first partition.
    client
        .batch_execute(
            "INSERT INTO es.events SELECT 9999998, gen_random_uuid(), 1, gen_random_uuid(),
                 gen_random_uuid(), 'Old', 1, 1, now(), 'thing', NULL, NULL, NULL,
                 json_build_object('correlation_id', gen_random_uuid(), 'actor', 'test'), '{}'",
        )
        .await
        .expect("a superuser may");
    let appender = appender(&database);
    for position in 9_999_999..=10_000_001 {
        let appended = appender.append(one(stream(1), Expected::Any)).await.expect("accepted");
        assert_eq!(appended, committed(position, position));
    }
    eventually("another partition is made", || async { partitions().await == 5 }).await;
    let log = log(&database);
    assert_eq!(log.read_stream(TENANT, stream(1)).await.expect("readable").len(), 3);
    assert_eq!(log.read_page(Position(9_999_997), 10).await.expect("readable").len(), 4);
}

#[tokio::test]
async fn a_missing_partition_is_made_instead_of_refusing_the_command() {
    let database = database().await;
    let client = database.connect().await;
    let appender = appender(&database);
    appender.append(one(stream(1), Expected::Any)).await.expect("accepted");
    client
        .batch_execute(
            "INSERT INTO es.events SELECT 39999999, gen_random_uuid(), 1, gen_random_uuid(),
                 gen_random_uuid(), 'Old', 1, 1, now(), 'thing', NULL, NULL, NULL,
                 json_build_object('correlation_id', gen_random_uuid(), 'actor', 'test'), '{}'",
        )
        .await
        .expect("a superuser may");
    let appended = appender.append(one(stream(1), Expected::Any)).await.expect("accepted");
    assert_eq!(appended, committed(40_000_000, 40_000_000));
}

#[tokio::test]
async fn partitions_that_could_not_be_made_are_made_later() {
    let database = database().await;
    let client = database.connect().await;
    let away = "ALTER FUNCTION es.ensure_partitions(int) RENAME TO away;
        ALTER TABLE es.events DETACH PARTITION es.events_000003; DROP TABLE es.events_000003";
    client.batch_execute(away).await.expect("a superuser may");
    let (appender, log) = (appender(&database), log(&database));
    appender.append(one(stream(1), Expected::Any)).await.expect("accepted");
    assert_eq!(log.partitions_ahead().await.expect("readable"), 2);

    let back = "ALTER FUNCTION es.away(int) RENAME TO ensure_partitions";
    client.batch_execute(back).await.expect("a superuser may");
    eventually("the partition is made", || async {
        appender.append(one(stream(1), Expected::Any)).await.expect("accepted");
        log.partitions_ahead().await.expect("readable") == 3
    })
    .await;
}

#[tokio::test]
async fn whoever_goes_around_the_locks_holder_is_refused() {
    let database = database().await;
    let (holder, other) = (database.connect().await, database.connect().await);
    let insert = "INSERT INTO es.events SELECT 1, gen_random_uuid(), 1, gen_random_uuid(),
             gen_random_uuid(), 'Old', 1, 1, now(), 'thing', NULL, NULL, NULL,
             json_build_object('correlation_id', gen_random_uuid(), 'actor', 'test'), '{}'";
    // "hatchlog" in ASCII.
    let lock = "BEGIN; SELECT pg_advisory_xact_lock(x'68617463686c6f67'::bigint)";
    holder.batch_execute(lock).await.expect("locked");
    let refused = other.batch_execute(insert).await.expect_err("it has no lock");
    assert_eq!(refused.code(), Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE));
    holder.batch_execute(insert).await.expect("it has the lock");
    holder.batch_execute("COMMIT").await.expect("committed");
    let appended = appender(&database).append(one(stream(1), Expected::Any)).await;
    assert_eq!(appended.expect("accepted"), committed(2, 2));
}
