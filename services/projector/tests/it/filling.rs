//! A projection that is new on a long log.

use hatch_eventstore::Position;
use hatch_projector::Config;
use hatch_readmodel::testing::{COUNTS, long_log, with_counts};
use hatch_readmodel::{rebuild, verify};

use crate::support::{World, eventually};

/// Events that are there before the projection is.
const EVENTS: i64 = 100_000;

/// A database with a long log, which the other projection has applied already.
async fn world(events: i64) -> World {
    let mut world = World::new().await;
    let client = world.database.connect().await;
    client.batch_execute(&long_log(events)).await.expect("filled");
    client.close().await;
    world.projections = with_counts();
    world
}

async fn position(world: &World) -> Position {
    let client = world.pool.get().await.expect("the test server answers");
    COUNTS.checkpoint(&client).await.expect("a checkpoint").position
}

/// How many events it has counted, and in how many rows.
async fn counted(world: &World) -> (i64, i64) {
    let client = world.pool.get().await.expect("the test server answers");
    let sql = "SELECT coalesce(sum(events), 0)::bigint, count(*) FROM rm_counts.counts";
    let row = client.query_one(sql, &[]).await.expect("a row");
    (row.get(0), row.get(1))
}

async fn is_at(world: &World, head: Position) {
    eventually("it has caught up", || async { position(world).await >= head }).await;
}

#[tokio::test]
async fn a_new_projection_is_filled_and_then_follows_beside_the_others() {
    let world = world(EVENTS).await;
    // Somebody holds its checkpoint: it cannot move.
    let mut session = world.database.connect().await;
    let row = "INSERT INTO es.checkpoints VALUES ('counts', 1, 0, 1)";
    session.batch_execute(row).await.expect("a superuser may");
    let held = session.transaction().await.expect("it begins");
    let lock = "SELECT FROM es.checkpoints WHERE name = 'counts' FOR UPDATE";
    held.execute(lock, &[]).await.expect("it is free");
    let projector = world.projector();
    let (_, first) = world.deliver(1).await;
    world.reached(first).await;
    assert_eq!(position(&world).await, Position::START, "the others do not wait for it");
    held.rollback().await.expect("it ends");
    session.close().await;
    is_at(&world, first).await;
    let (_, last) = world.deliver(2).await;
    is_at(&world, last).await;
    // The past has three types of events, and the four of each of two messages have four.
    assert_eq!(counted(&world).await, (EVENTS + 8, 7));
    projector.stop().await;
    let verified = verify(&world.pool, &COUNTS, |_| {}).await.expect("it can be verified");
    assert!(verified.is_equal(), "{verified:#?}");
}

#[tokio::test]
async fn filling_that_is_stopped_goes_on_where_it_was() {
    const EVENTS: i64 = 30_000;
    let world = world(EVENTS).await;
    for part in 1..=3 {
        let projector = world.projector();
        is_at(&world, Position(part * 5_000)).await;
        projector.stop().await;
        let at = position(&world).await;
        assert_eq!(counted(&world).await.0, at.0, "rows and checkpoint are one");
    }
    let second = world.projector_with(world.head.clone(), None, Config::default());
    let first = world.projector();
    is_at(&world, Position(EVENTS)).await;
    first.stop().await;
    second.stop().await;
    assert_eq!(counted(&world).await, (EVENTS, 3));
}

#[tokio::test]
async fn a_projection_of_its_own_schema_is_rebuilt_and_verified_as_any_other() {
    const EVENTS: i64 = 20_000;
    let world = world(EVENTS).await;
    let projector = world.projector();
    is_at(&world, Position(EVENTS)).await;
    let spoil = "UPDATE rm_counts.counts SET events = events + 1 WHERE event_type = 'Past1'";
    world.database.connect().await.batch_execute(spoil).await.expect("a superuser may");
    let verified = verify(&world.pool, &COUNTS, |_| {}).await.expect("it can be verified");
    let table = &verified.tables[0];
    assert_eq!(verified.tables.len(), 1, "its history is no table of it");
    assert_eq!((table.surplus.count, table.missing.count), (1, 1), "{table:?}");
    rebuild(&world.pool, &COUNTS, |_| {}).await.expect("it can be rebuilt");
    assert_eq!(counted(&world).await, (EVENTS, 3));
    let (_, last) = world.deliver(1).await;
    is_at(&world, last).await;
    let verified = verify(&world.pool, &COUNTS, |_| {}).await.expect("it can be verified");
    assert!(verified.is_equal(), "{verified:#?}");
    projector.stop().await;
}

#[tokio::test]
async fn every_projection_is_rebuilt_to_what_the_log_says() {
    let mut world = World::new().await;
    world.projections = with_counts();
    let projector = world.projector();
    let mut last = Position::START;
    for n in 0..5 {
        (_, last) = world.deliver(n % 2).await;
    }
    world.reached(last).await;
    is_at(&world, last).await;
    for definition in with_counts() {
        let position = rebuild(&world.pool, definition, |_| {}).await.expect("it can be rebuilt");
        assert!(position >= last, "{definition:?}");
        let verified = verify(&world.pool, definition, |_| {}).await.expect("it can be verified");
        assert!(verified.is_equal(), "{definition:?}: {verified:#?}");
    }
    let (_, last) = world.deliver(1).await;
    world.reached(last).await;
    is_at(&world, last).await;
    projector.stop().await;
}
