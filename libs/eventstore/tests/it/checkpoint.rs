//! Checkpoints, and how they fence a second projector.

use std::time::Duration;

use hatch_eventstore::{Checkpoint, CheckpointError, Position, pool};

use crate::support::*;

#[tokio::test]
async fn a_checkpoint_moves_with_its_transaction_and_fences_whoever_is_behind() {
    let database = database().await;
    let pool = pool(&database.config(), 2, Duration::from_secs(1));
    let mut client = pool.get().await.expect("a connection");
    let start = Checkpoint::load(&client, "messages", 1).await.expect("made");
    assert_eq!((start.position, start.epoch), (Position::START, 1));

    let rolled_back = client.transaction().await.expect("begun");
    start.advance(&rolled_back, Position(5), 1).await.expect("moved");
    rolled_back.rollback().await.expect("rolled back");
    assert_eq!(Checkpoint::load(&client, "messages", 1).await.expect("there"), start);

    let transaction = client.transaction().await.expect("begun");
    let moved = start.advance(&transaction, Position(7), 1).await.expect("moved");
    transaction.commit().await.expect("committed");
    assert_eq!(moved.position, Position(7));
    assert_eq!(Checkpoint::load(&client, "messages", 1).await.expect("there"), moved);

    let transaction = client.transaction().await.expect("begun");
    let fenced = start.advance(&transaction, Position(8), 1).await.expect_err("another moved it");
    assert!(matches!(fenced, CheckpointError::Fenced { .. }), "{fenced:?}");
    drop(transaction);
    let other = Checkpoint::load(&client, "messages", 2).await.expect("made");
    assert_eq!(other.position, Position::START, "another version is another checkpoint");
}

#[tokio::test]
async fn of_two_projectors_at_once_one_is_fenced() {
    let database = database().await;
    let pool = pool(&database.config(), 2, Duration::from_secs(1));
    let (mut a, mut b) = (pool.get().await.expect("one"), pool.get().await.expect("two"));
    let start = Checkpoint::load(&a, "messages", 1).await.expect("made");
    let first = a.transaction().await.expect("begun");
    start.advance(&first, Position(3), 1).await.expect("moved");
    let second = b.transaction().await.expect("begun");
    // The second waits for the first, and then finds the checkpoint moved.
    let (fenced, committed) =
        futures::future::join(start.advance(&second, Position(4), 1), first.commit()).await;
    committed.expect("committed");
    assert!(matches!(fenced, Err(CheckpointError::Fenced { .. })), "{fenced:?}");
}
