//! What the commands of one batch do to each other: nothing that they would not do one by one.

use futures::future::join_all;
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    Append, AppendError, Appended, Appender, ExpectedVersion as Expected, RecordedEvent, SideRow,
    SideTable,
};

use crate::support::*;

static NOWHERE: SideTable = SideTable { name: "public.nowhere", columns: &[("id", "int")] };

/// The advisory lock under which all appenders append.
const LOG_LOCK: i64 = 0x6861_7463_686c_6f67;

/// Appends `commands` in one batch, after a plug at position 1 that held the appender up until all
/// of them were queued.
async fn together(
    database: &TestDatabase,
    appender: &Appender,
    commands: Vec<Append>,
) -> Vec<Result<Appended, AppendError>> {
    let holder = database.connect().await;
    holder.execute("SELECT pg_advisory_lock($1)", &[&LOG_LOCK]).await.expect("the lock is free");
    let plug = tokio::spawn({
        let appender = appender.clone();
        async move { appender.append(one(stream(999), Expected::NoStream)).await }
    });
    let watcher = database.connect().await;
    eventually("the appender waits for the lock", || async {
        let waiting = watcher.query_one(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            &[],
        );
        waiting.await.expect("locks can be listed").get::<_, i64>(0) == 1
    })
    .await;
    // Polled in this order: all are in the queue before the lock is given up.
    let queued = join_all(commands.into_iter().map(|command| appender.append(command)));
    let (outcomes, unlocked) = futures::future::join(
        queued,
        holder.execute("SELECT pg_advisory_unlock($1)", &[&LOG_LOCK]),
    )
    .await;
    unlocked.expect("the lock was held");
    plug.await.expect("no panic").expect("accepted");
    outcomes
}

/// The events after the plug, which must all come from one batch.
async fn of_one_batch(database: &TestDatabase) -> Vec<RecordedEvent> {
    let events = events(&log(database)).await.split_off(1);
    assert!(events.windows(2).all(|pair| pair[0].recorded_at == pair[1].recorded_at));
    check(database).await;
    events
}

#[tokio::test]
async fn neighbours_are_committed_together_at_one_time() {
    let database = database().await;
    let appender = appender(&database);
    let commands = (0..20).map(|n| one(stream(n), Expected::NoStream)).collect();
    let outcomes = together(&database, &appender, commands).await;
    for (position, outcome) in (2..).zip(outcomes) {
        assert_eq!(outcome.expect("accepted"), committed(position, position));
    }
    assert_eq!(of_one_batch(&database).await.len(), 20);
}

#[tokio::test]
async fn twins_of_a_key_and_two_commands_of_a_stream_take_turns() {
    let database = database().await;
    let appender = appender(&database);
    let keyed = |n| Append { key: key(7, 1), ..one(stream(n), Expected::NoStream) };
    let commands = vec![
        keyed(1),
        keyed(2),
        one(stream(3), Expected::NoStream),
        one(stream(3), Expected::NoStream),
        one(stream(3), Expected::Exact(1)),
    ];
    let outcomes = together(&database, &appender, commands).await;
    let [first, twin, created, again, next] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(first.as_ref().ok(), Some(&committed(2, 2)));
    assert!(matches!(twin, Ok(Appended::Duplicate { .. })), "{twin:?}");
    assert_eq!(created.as_ref().ok(), Some(&committed(3, 3)));
    assert!(matches!(again, Err(AppendError::Conflict { actual: 1, .. })), "{again:?}");
    assert_eq!(next.as_ref().ok(), Some(&committed(4, 4)));
    check(&database).await;
}

#[tokio::test]
async fn a_guard_sees_what_a_neighbour_before_it_changed() {
    let database = database().await;
    let appender = appender(&database);
    let guarded = |n| Append {
        guards: vec![guard(stream(100), Expected::NoStream)],
        ..one(stream(n), Expected::NoStream)
    };
    let commands = vec![
        guarded(1),
        one(stream(100), Expected::NoStream),
        guarded(2),
        one(stream(3), Expected::NoStream),
    ];
    let outcomes = together(&database, &appender, commands).await;
    assert_eq!(outcomes[0].as_ref().ok(), Some(&committed(2, 2)));
    let Err(AppendError::Conflict { stream_id, actual: 1, .. }) = outcomes[2] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(stream_id, stream(100));
    let streams: Vec<_> = of_one_batch(&database).await.iter().map(|e| e.stream_id).collect();
    assert_eq!(streams, [stream(1), stream(100), stream(3)], "one batch, and the broken one not");
}

#[tokio::test]
async fn what_postgresql_refuses_fails_alone() {
    let database = database().await;
    let appender = appender(&database);
    let mut nul = one(stream(2), Expected::NoStream);
    nul.writes[0].events[0].payload = "{\"text\":\"\0\"}".to_owned();
    let mut not_json = one(stream(4), Expected::NoStream);
    not_json.writes[0].events[0].payload = "{".to_owned();
    let mut nested = one(stream(5), Expected::NoStream);
    nested.writes[0].events[0].payload = "[".repeat(100_000);
    let with = |n, row: SideRow| Append { side_rows: vec![row], ..one(stream(n), Expected::Any) };
    let commands = vec![
        one(stream(1), Expected::NoStream),
        nul,
        with(3, audit(1, "fine")),
        not_json,
        nested,
        with(6, audit(2, "longer than ten characters")),
        with(7, audit(1, "a repeat")),
        with(8, SideRow { table: &NOWHERE, values: vec![None] }),
        with(9, SideRow { table: &AUDIT, values: vec![Some("9), (10".to_owned()), None] }),
        with(10, audit(10, "fine")),
    ];
    let outcomes = together(&database, &appender, commands).await;
    let refused: Vec<usize> = (0..outcomes.len())
        .filter(|n| matches!(outcomes[*n], Err(AppendError::Refused(_))))
        .collect();
    assert_eq!(refused, [1, 3, 4, 5, 6, 7, 8], "{outcomes:?}");
    let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(accepted, 3, "{outcomes:?}");
    assert_eq!(events(&log(&database)).await.len(), 4);
    assert_eq!(audits(&database).await, [1, 10]);
    check(&database).await;
}
