//! What an append promises.

use hatch_eventstore::{Append, AppendError, ExpectedVersion as Expected, Position};

use crate::support::*;

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
    for (expected, version) in [(Expected::Exact(1), 0), (Expected::Exists, 0)] {
        let error = appender.append(one(stream(1), expected)).await.expect_err("a conflict");
        let AppendError::Conflict { stream_id, actual, .. } = error else { panic!("{error:?}") };
        assert_eq!((stream_id, actual), (stream(1), version));
    }
    appender.append(one(stream(1), Expected::NoStream)).await.expect("accepted");
    let again = appender.append(one(stream(1), Expected::NoStream)).await;
    assert!(matches!(again, Err(AppendError::Conflict { actual: 1, .. })), "{again:?}");
}
