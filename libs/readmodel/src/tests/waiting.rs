//! Reading one's own writes.

use std::time::Duration;

use hatch_eventstore::Position;

use super::Db;
use crate::history::*;
use crate::messages::DEFINITION;
use crate::{Definition, ReadPosition};

/// What the tests wait for.
const ASKED: &[&Definition] = &[&DEFINITION];

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(30);

fn two_events() -> History {
    let mut history = History::default();
    history.record(TENANT, 1, requested(TENANT, &phone(OURS), &customer(1)));
    history.record(TENANT, 1, attempted(1));
    history
}

#[tokio::test]
async fn a_position_that_is_applied_already_is_reached_at_once() {
    let db = Db::with(&two_events().events).await;
    let position = ReadPosition::new(db.read_model());
    for applied in [Position::START, Position(1), Position(2)] {
        let reached = position.wait_for(ASKED, applied, LONG).await;
        assert!(reached.expect("the checkpoints can be read"));
    }
}

#[tokio::test]
async fn many_waiters_are_released_when_their_positions_are_applied() {
    let history = two_events();
    let db = Db::new().await;
    let position = ReadPosition::new(db.read_model());
    let waiters = (0..200).map(|n| {
        let position = position.clone();
        async move { position.wait_for(ASKED, Position(1 + n % 2), LONG).await }
    });
    let applying = async {
        db.advance(Position::START, &history.events[..1]).await.expect("it is the next");
        db.advance(Position(1), &history.events[1..]).await.expect("it is the next");
    };
    let (released, ()) = tokio::join!(futures::future::join_all(waiters), applying);
    assert!(released.into_iter().all(|reached| reached.expect("the checkpoints can be read")));
}

#[tokio::test]
async fn a_waiter_that_gives_up_leaves_the_polling_to_another() {
    let history = two_events();
    let db = Db::new().await;
    let position = ReadPosition::new(db.read_model());
    let hasty = position.wait_for(ASKED, Position(1), SHORT);
    let patient = position.wait_for(ASKED, Position(1), LONG);
    let applying = async {
        assert!(!hasty.await.expect("the checkpoints can be read"));
        db.advance(Position::START, &history.events).await.expect("it is the next");
    };
    let (patient, ()) = tokio::join!(patient, applying);
    assert!(patient.expect("the checkpoints can be read"), "it was applied in time");
}

#[tokio::test]
async fn a_position_that_is_not_applied_in_time_is_said_to_be_missing() {
    let db = Db::with(&two_events().events).await;
    let position = ReadPosition::new(db.read_model());
    let reached = position.wait_for(ASKED, Position(3), SHORT).await;
    assert!(!reached.expect("the checkpoints can be read"));
}
