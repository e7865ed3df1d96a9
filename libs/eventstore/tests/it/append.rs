//! What an append promises.

use futures::future::join_all;
use hatch_eventstore::{
    Append, AppendError, Appended, ExpectedVersion as Expected, Guard, Position, SideRow,
    SideTable, StreamWrite,
};
use uuid::Uuid;

use crate::support::*;

static INJECTION: SideTable =
    SideTable { name: "audit; DROP TABLE audit", columns: &[("id", "int")] };

#[tokio::test]
async fn events_get_dense_positions_and_versions_and_come_back_as_written() {
    let database = database().await;
    let (appender, log) = (appender(&database), log(&database));
    let first = Append {
        writes: vec![write(stream(1), Expected::NoStream, 2), write(stream(2), Expected::Any, 1)],
        ..Append::default()
    };
    let written = first.clone();
    assert_eq!(appender.append(first).await.expect("accepted"), committed(1, 3));
    let second = one(stream(1), Expected::Exact(2));
    assert_eq!(appender.append(second).await.expect("accepted"), committed(4, 4));

    let events = events(&log).await;
    let places: Vec<_> = events.iter().map(|e| (e.position.0, e.stream_id, e.version)).collect();
    let expected = [(1, stream(1), 1), (2, stream(1), 2), (3, stream(2), 1), (4, stream(1), 3)];
    assert_eq!(places, expected);
    let (event, new) = (&events[1], &written.writes[0].events[1]);
    assert_eq!(event.event_id, new.event_id);
    assert_eq!(event.payload.get(), new.payload);
    assert_eq!(event.metadata, new.metadata);
    assert_eq!((event.aggregate.as_str(), event.epoch), ("thing", 1));
    assert_eq!(log.head().await.expect("readable"), Position(4));
}

#[tokio::test]
async fn a_stream_in_another_state_is_a_conflict() {
    let database = database().await;
    let appender = appender(&database);
    for expected in [Expected::Exact(1), Expected::Exists] {
        let error = appender.append(one(stream(1), expected)).await.expect_err("a conflict");
        let AppendError::Conflict { stream_id, actual, .. } = error else { panic!("{error:?}") };
        assert_eq!((stream_id, actual), (stream(1), 0));
    }
    appender.append(one(stream(1), Expected::NoStream)).await.expect("accepted");
    let again = appender.append(one(stream(1), Expected::NoStream)).await;
    assert!(matches!(again, Err(AppendError::Conflict { actual: 1, .. })), "{again:?}");
    check(&database).await;
}

#[tokio::test]
async fn one_stream_that_exists_already_keeps_no_other_from_beginning() {
    let database = database().await;
    let (appender, log) = (appender(&database), log(&database));
    appender.append(one(stream(3), Expected::NoStream)).await.expect("accepted");
    let commands = (1..=5).map(|n| appender.append(one(stream(n), Expected::NoStream)));
    for (n, outcome) in (1..=5).zip(join_all(commands).await) {
        match outcome {
            Err(AppendError::Conflict { stream_id, actual: 1, .. }) => {
                assert_eq!((n, stream_id), (3, stream(3)));
            }
            outcome => assert!(n != 3 && outcome.is_ok(), "{n}: {outcome:?}"),
        }
    }
    assert_eq!(events(&log).await.len(), 5);
    check(&database).await;
}

#[tokio::test]
async fn of_two_appenders_that_expect_the_same_version_one_wins() {
    let database = database().await;
    let (a, b) = (appender(&database), appender(&database));
    for n in 0..50 {
        let command = || one(stream(n), Expected::NoStream);
        let (a, b) = tokio::join!(a.append(command()), b.append(command()));
        let wins = [&a, &b].into_iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(wins, 1, "{a:?} {b:?}");
        let lost = if a.is_ok() { b } else { a };
        assert!(matches!(lost, Err(AppendError::Conflict { actual: 1, .. })), "{lost:?}");
    }
    check(&database).await;
}

#[tokio::test]
async fn concurrent_twins_of_one_key_make_one_command() {
    let database = database().await;
    let appenders = [appender(&database), appender(&database)];
    let twins = (0..10).map(|n| {
        // Each twin has made an id of its own for what it creates.
        let command = Append { key: key(7, 1), ..one(stream(n), Expected::NoStream) };
        appenders[usize::try_from(n % 2).expect("small")].append(command)
    });
    let mut committed = 0;
    for outcome in join_all(twins).await {
        match outcome.expect("accepted") {
            Appended::Committed { first: Position(1), last: Position(1) } => committed += 1,
            Appended::Duplicate { first: Position(1), last: Position(1) } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(committed, 1);
    assert_eq!(events(&log(&database)).await.len(), 1);
    check(&database).await;
}

#[tokio::test]
async fn a_key_is_remembered_with_its_request() {
    let database = database().await;
    let (appender, log) = (appender(&database), log(&database));
    let two = || Append {
        writes: vec![write(stream(1), Expected::NoStream, 2)],
        key: key(7, 1),
        ..Append::default()
    };
    appender.append(one(stream(9), Expected::Any)).await.expect("accepted");
    assert_eq!(appender.append(two()).await.expect("accepted"), committed(2, 3));
    let duplicate = Appended::Duplicate { first: Position(2), last: Position(3) };
    assert_eq!(appender.append(two()).await.expect("accepted"), duplicate);
    let other = Append { key: key(7, 2), ..two() };
    assert!(matches!(appender.append(other).await, Err(AppendError::KeyReused)));

    let recorded = log.command(Uuid::from_u128(7)).await.expect("readable").expect("recorded");
    assert_eq!((recorded.first, recorded.last), (Position(2), Position(3)));
    assert_eq!(recorded.request_hash, [1; 32]);
    check(&database).await;
}

#[tokio::test]
async fn a_stream_of_another_tenant_is_refused() {
    let database = database().await;
    let (appender, log) = (appender(&database), log(&database));
    appender.append(one(stream(1), Expected::Any)).await.expect("accepted");
    let foreign =
        StreamWrite { tenant_id: Uuid::from_u128(2), ..write(stream(1), Expected::Exact(1), 1) };
    let error = appender.append(Append { writes: vec![foreign], ..Append::default() }).await;
    assert!(matches!(error, Err(AppendError::ForeignTenant(id)) if id == stream(1)), "{error:?}");
    let others = log.read_stream(Uuid::from_u128(2), stream(1)).await.expect("readable");
    assert_eq!(others.len(), 0, "nor can it be read");
}

#[tokio::test]
async fn a_stream_of_another_kind_is_refused() {
    let database = database().await;
    let (appender, log) = (appender(&database), log(&database));
    appender.append(one(stream(1), Expected::Any)).await.expect("accepted");
    let other = |expected| {
        let mut write = write(stream(1), expected, 1);
        write.events[0].routing.aggregate = "other";
        Append { writes: vec![write], ..Append::default() }
    };
    // To begin it, to go on with it.
    for expected in [Expected::NoStream, Expected::Exact(1)] {
        let error = appender.append(other(expected)).await;
        assert!(matches!(error, Err(AppendError::ForeignKind(id)) if id == stream(1)), "{error:?}");
    }
    let mut mixed = one(stream(2), Expected::Any);
    mixed.writes[0].events.extend(other(Expected::Any).writes.remove(0).events);
    assert!(matches!(appender.append(mixed).await, Err(AppendError::Refused(_))));
    let of_kind =
        async |kind| log.read_stream_of(kind, TENANT, stream(1)).await.expect("readable").len();
    assert_eq!((of_kind("thing").await, of_kind("other").await), (1, 0));
    appender.append(one(stream(1), Expected::Exact(1))).await.expect("accepted");
    check(&database).await;
}

#[tokio::test]
async fn a_guard_of_another_tenant_or_kind_is_refused() {
    let database = database().await;
    let appender = appender(&database);
    appender.append(one(stream(100), Expected::Any)).await.expect("accepted");
    let ours = guard(stream(100), Expected::Exact(1));
    let guarded = |guard| Append { guards: vec![guard], ..one(stream(1), Expected::NoStream) };
    let foreign = Guard { tenant_id: Uuid::from_u128(2), ..ours };
    let error = appender.append(guarded(foreign)).await;
    assert!(matches!(error, Err(AppendError::ForeignTenant(id)) if id == stream(100)), "{error:?}");
    let other = Guard { kind: "other", ..ours };
    let error = appender.append(guarded(other)).await;
    assert!(matches!(error, Err(AppendError::ForeignKind(id)) if id == stream(100)), "{error:?}");
    appender.append(guarded(ours)).await.expect("accepted");
}

#[tokio::test]
async fn a_command_over_several_streams_is_all_or_nothing() {
    let database = database().await;
    let appender = appender(&database);
    let command = |last| Append {
        writes: vec![
            write(stream(1), Expected::Any, 2),
            write(stream(2), Expected::NoStream, 1),
            write(stream(3), last, 1),
        ],
        side_rows: vec![audit(1, "with them")],
        ..Append::default()
    };
    let error = appender.append(command(Expected::Exists)).await.expect_err("a conflict");
    assert!(matches!(error, AppendError::Conflict { .. }), "{error:?}");
    assert_eq!(events(&log(&database)).await.len(), 0);
    assert!(audits(&database).await.is_empty());
    assert_eq!(appender.append(command(Expected::Any)).await.expect("accepted"), committed(1, 4));
    assert_eq!(audits(&database).await, [1]);
    check(&database).await;
}

#[tokio::test]
async fn guards_hold_without_being_written() {
    let database = database().await;
    let appender = appender(&database);
    let guarded = |n, expected| Append {
        guards: vec![guard(stream(100), expected)],
        ..one(stream(n), Expected::Any)
    };
    appender.append(guarded(1, Expected::NoStream)).await.expect("accepted");
    appender.append(one(stream(100), Expected::Any)).await.expect("accepted");
    let error = appender.append(guarded(2, Expected::NoStream)).await.expect_err("a conflict");
    let AppendError::Conflict { stream_id, actual, guarded: true, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((stream_id, actual), (stream(100), 1));
    appender.append(guarded(2, Expected::Exact(1))).await.expect("accepted");
    // Where both have moved, the written one is named.
    let both = Append {
        guards: vec![guard(stream(100), Expected::NoStream)],
        ..one(stream(2), Expected::Exact(7))
    };
    let error = appender.append(both).await.expect_err("a conflict");
    assert!(matches!(error, AppendError::Conflict { guarded: false, .. }), "{error:?}");
    check(&database).await;
}

#[tokio::test]
async fn side_rows_and_keys_can_come_without_events() {
    let database = database().await;
    let appender = appender(&database);
    appender.append(one(stream(1), Expected::Any)).await.expect("accepted");
    let rows = || Append {
        key: key(7, 1),
        side_rows: vec![audit(1, "one"), audit(2, "two")],
        ..Append::default()
    };
    assert_eq!(appender.append(rows()).await.expect("accepted"), committed(1, 1));
    let duplicate = Appended::Duplicate { first: Position(1), last: Position(1) };
    assert_eq!(appender.append(rows()).await.expect("accepted"), duplicate);
    assert_eq!(audits(&database).await, [1, 2]);
}

#[tokio::test]
async fn what_breaks_a_limit_is_refused_before_it_waits() {
    let database = database().await;
    let appender = appender(&database);
    let refused = [
        Append { writes: vec![write(stream(1), Expected::Any, 0)], ..Append::default() },
        Append { writes: vec![write(stream(1), Expected::Any, 513)], ..Append::default() },
        Append {
            writes: vec![write(stream(1), Expected::Any, 1), write(stream(1), Expected::Any, 1)],
            ..Append::default()
        },
        Append { side_rows: vec![audit(1, &"x".repeat(1024 * 1024))], ..Append::default() },
        Append {
            side_rows: vec![SideRow { table: &INJECTION, values: vec![None] }],
            ..Append::default()
        },
        Append {
            side_rows: vec![SideRow { table: &AUDIT, values: vec![Some("1".to_owned())] }],
            ..Append::default()
        },
    ];
    for append in refused {
        let outcome = appender.append(append).await;
        assert!(matches!(outcome, Err(AppendError::Refused(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn many_writers_leave_a_dense_log() {
    let database = database().await;
    let appenders: Vec<_> = (0..3).map(|_| appender(&database)).collect();
    let writers = (0..60_u128).map(|n| {
        let appender = &appenders[usize::try_from(n % 3).expect("small")];
        async move {
            let mut acknowledged = 0;
            for round in 0..10 {
                let command = Append {
                    writes: vec![
                        write(stream(n), Expected::Exact(round * 2), 2),
                        write(stream(1000 + n % 7), Expected::Any, 1),
                    ],
                    ..Append::default()
                };
                appender.append(command).await.expect("accepted");
                acknowledged += 3;
            }
            acknowledged
        }
    });
    let acknowledged: usize = join_all(writers).await.into_iter().sum();
    assert_eq!(events(&log(&database)).await.len(), acknowledged);
    check(&database).await;
}
