//! Looks at the log for a few kinds of streams.

use hatch_eventstore::{ExpectedVersion, LogError, Look, Mark, NewEvent, Position};

use crate::support::*;

/// Appends events to streams of their own: of kind `mark` those that are true, of kind `thing` the others.
async fn fill(appender: &hatch_eventstore::Appender, kinds: &[bool]) {
    for (n, is_ours) in (1..).zip(kinds) {
        let mut append = one(stream(n), ExpectedVersion::NoStream);
        let events: &mut Vec<NewEvent> = &mut append.writes[0].events;
        events[0].routing.aggregate = if *is_ours { "mark" } else { "thing" };
        appender.append(append).await.expect("appended");
    }
}

fn positions(look: &Look) -> Vec<i64> {
    look.events.iter().map(|event| event.position.0).collect()
}

#[tokio::test]
async fn a_look_finds_the_events_of_its_kinds_and_reads_no_others() {
    let database = database().await;
    fill(&appender(&database), &[false, true, false, false, true, true, false]).await;
    let log = log(&database);
    let first = log.look(&["mark"], Mark::unseen(Position::START), Position(5)).await;
    let first = first.expect("a look");
    assert_eq!((positions(&first), first.mark.position), (vec![2, 5], Position(5)));
    assert!(first.mark.event_id.is_some());
    let second = log.look(&["mark", "none"], first.mark, Position(7)).await.expect("a look");
    assert_eq!((positions(&second), second.mark.position), (vec![6], Position(7)));
    let none = log.look(&["mark"], second.mark, Position(7)).await.expect("nothing to ask");
    assert_eq!((positions(&none), none.mark), (vec![], second.mark));
}

#[tokio::test]
async fn a_look_notices_that_the_log_is_another_one_or_is_shorter() {
    let database = database().await;
    fill(&appender(&database), &[true, false, true]).await;
    let log = log(&database);
    let other = Mark { position: Position(1), event_id: Some(stream(99)) };
    let refused = log.look(&["mark"], other, Position(3)).await.expect_err("another log");
    assert!(matches!(refused, LogError::Regressed { .. }), "{refused}");
    let beyond = log.look(&["mark"], Mark::unseen(Position(1)), Position(4)).await;
    assert!(matches!(beyond, Err(LogError::Regressed { head: Position(3), .. })), "{beyond:?}");
}
