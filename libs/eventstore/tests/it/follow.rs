//! Following the log: subscriptions, the feed, and the head.

use std::sync::Arc;
use std::time::Duration;

use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    Append, Appender, ExpectedVersion as Expected, FeedPublisher, HeadWatch, LogError, Position,
    RecordedEvent, Subscription,
};
use tokio_util::sync::CancellationToken;

use crate::support::*;

const BATCH_EVENTS_MAX: usize = 10;

fn head(database: &TestDatabase) -> HeadWatch {
    HeadWatch::start(database.config(), CancellationToken::new()).0
}

async fn append(appender: &Appender, count: usize) {
    let writes = vec![write(stream(1), Expected::Any, count)];
    appender.append(Append { writes, ..Append::default() }).await.expect("accepted");
}

/// The next `count` events' positions; each batch within its bound.
async fn positions(subscription: &mut Subscription, count: usize) -> Vec<i64> {
    let mut positions = Vec::new();
    while positions.len() < count {
        let batch = soon(subscription.next_batch()).await.expect("nothing to halt for");
        assert!((1..=BATCH_EVENTS_MAX).contains(&batch.len()));
        positions.extend(batch.iter().map(|event| event.position.0));
    }
    positions
}

/// An event as the bus would bring it; the actor says that it came that way.
fn by_bus(like: &RecordedEvent, position: i64) -> Arc<RecordedEvent> {
    let mut event = RecordedEvent { position: Position(position), ..like.clone() };
    event.metadata.actor = "bus".to_owned();
    Arc::new(event)
}

fn way(event: &RecordedEvent) -> (i64, &str) {
    (event.position.0, &event.metadata.actor)
}

#[tokio::test]
async fn the_head_is_seen_as_it_moves() {
    let database = database().await;
    let appender = appender(&database);
    append(&appender, 3).await;
    let watch = head(&database);
    let mut head = watch.subscribe();
    soon(head.wait_for(|head| *head == Position(3))).await.expect("the watch lives");
    append(&appender, 2).await;
    soon(head.wait_for(|head| *head == Position(5))).await.expect("the watch lives");
    assert_eq!(watch.current(), Position(5));
}

#[tokio::test]
async fn whoever_holds_hints_hears_what_the_log_is_not_asked_for() {
    let database = database().await;
    let watch = head(&database);
    let mut head = watch.subscribe();
    let _hints = watch.hints();
    // No event is there, so only the hint itself can say so; until it is listened for, it is lost.
    let client = database.connect().await;
    let heard = async {
        loop {
            client.batch_execute("NOTIFY hatch_head, '7'").await.expect("anybody may");
            let hint = head.wait_for(|head| *head == Position(7));
            if let Ok(seen) = tokio::time::timeout(Duration::from_millis(20), hint).await {
                seen.expect("the watch lives");
                return;
            }
        }
    };
    soon(heard).await;
}

#[tokio::test]
async fn the_head_is_seen_again_after_the_connection_broke() {
    let database = database().await;
    let appender = appender(&database);
    append(&appender, 1).await;
    let mut head = head(&database).subscribe();
    soon(head.wait_for(|head| *head == Position(1))).await.expect("the watch lives");
    let client = database.connect().await;
    let killed = client
        .query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'hatch-head' AND datname = current_database()",
            &[],
        )
        .await;
    assert_eq!(killed.expect("a superuser may").len(), 1);
    append(&appender, 1).await;
    soon(head.wait_for(|head| *head == Position(2))).await.expect("the watch lives");
}

#[tokio::test]
async fn a_subscription_catches_up_in_bounded_batches_and_then_follows() {
    let database = database().await;
    let (appender, log, head) = (appender(&database), log(&database), head(&database));
    append(&appender, 25).await;
    let mut subscription = Subscription::new(log, &head, None, Position(2), BATCH_EVENTS_MAX);
    assert_eq!(positions(&mut subscription, 23).await, (3..=25).collect::<Vec<_>>());
    for n in 26..30 {
        append(&appender, 1).await;
        assert_eq!(positions(&mut subscription, 1).await, [n]);
    }
}

#[tokio::test]
async fn live_events_are_taken_from_the_feed() {
    let database = database().await;
    let (appender, log, head) = (appender(&database), log(&database), head(&database));
    append(&appender, 2).await;
    let stored = events(&log).await;
    let publisher = FeedPublisher::new(64);
    let feed = publisher.feed();
    let mut subscription =
        Subscription::new(log, &head, Some(&feed), Position::START, BATCH_EVENTS_MAX);
    assert_eq!(positions(&mut subscription, 2).await, [1, 2]);

    // Each is in the log first, as on the real bus; the reader gives the feed a moment to bring it.
    // A loaded machine may need longer than that now and then.
    let mut by_feed = 0;
    for position in 3..23 {
        append(&appender, 1).await;
        let mut known = head.subscribe();
        soon(known.wait_for(|head| *head == Position(position))).await.expect("the watch lives");
        // With repeats, as buses do.
        for repeated in [position - 1, position, position] {
            publisher.publish(by_bus(&stored[0], repeated));
        }
        let batch = soon(subscription.next_batch()).await.expect("nothing to halt for");
        assert_eq!(batch.len(), 1);
        assert_eq!(batch[0].position, Position(position));
        by_feed += i32::from(way(&batch[0]).1 == "bus");
    }
    assert!(by_feed > 0, "the feed was never used");
}

#[tokio::test]
async fn a_gap_in_the_feed_is_repaired_from_the_log() {
    let database = database().await;
    let (appender, log, head) = (appender(&database), log(&database), head(&database));
    append(&appender, 1).await;
    let publisher = FeedPublisher::new(64);
    let feed = publisher.feed();
    let mut subscription =
        Subscription::new(log.clone(), &head, Some(&feed), Position::START, BATCH_EVENTS_MAX);
    assert_eq!(positions(&mut subscription, 1).await, [1]);
    let stored = events(&log).await;
    append(&appender, 3).await;
    publisher.publish(by_bus(&stored[0], 4));
    let batch = soon(subscription.next_batch()).await.expect("nothing to halt for");
    let ways: Vec<_> = batch.iter().map(|event| way(event)).collect();
    assert_eq!(ways, [(2, "test"), (3, "test"), (4, "test")]);
}

#[tokio::test]
async fn a_feed_that_stalls_or_ends_is_not_waited_for() {
    let database = database().await;
    let (appender, log, head) = (appender(&database), log(&database), head(&database));
    append(&appender, 1).await;
    let publisher = FeedPublisher::new(64);
    let feed = publisher.feed();
    let mut subscription =
        Subscription::new(log, &head, Some(&feed), Position::START, BATCH_EVENTS_MAX);
    assert_eq!(positions(&mut subscription, 1).await, [1]);
    append(&appender, 1).await;
    assert_eq!(positions(&mut subscription, 1).await, [2], "though the feed is silent");
    drop(publisher);
    append(&appender, 1).await;
    assert_eq!(positions(&mut subscription, 1).await, [3], "though the feed is gone");
}

#[tokio::test]
async fn a_feed_that_is_behind_is_passed_by_and_taken_again_once_it_has_caught_up() {
    let database = database().await;
    let (appender, log, head) = (appender(&database), log(&database), head(&database));
    append(&appender, 1).await;
    let publisher = FeedPublisher::new(256);
    let feed = publisher.feed();
    let mut subscription =
        Subscription::new(log.clone(), &head, Some(&feed), Position::START, BATCH_EVENTS_MAX);
    assert_eq!(positions(&mut subscription, 1).await, [1]);
    let stored = events(&log).await;
    // A relay that is far behind: the reader has long paged what it brings.
    append(&appender, 60).await;
    let mut bring = 2..;
    let mut seen = Vec::new();
    while seen.len() < 60 {
        for position in bring.by_ref().take(3) {
            publisher.publish(by_bus(&stored[0], position));
        }
        let batch = soon(subscription.next_batch()).await.expect("nothing to halt for");
        seen.extend(batch.iter().map(|event| event.position.0));
    }
    assert_eq!(seen, (2..=61).collect::<Vec<_>>());
    // What it brings from then on was taken before, up to where it has caught up.
    for position in bring.take_while(|position| *position <= 61) {
        publisher.publish(by_bus(&stored[0], position));
    }
    let mut by_feed = 0;
    for position in 62..82 {
        append(&appender, 1).await;
        let mut known = head.subscribe();
        soon(known.wait_for(|head| *head == Position(position))).await.expect("the watch lives");
        publisher.publish(by_bus(&stored[0], position));
        let batch = soon(subscription.next_batch()).await.expect("nothing to halt for");
        assert_eq!(batch.iter().map(|e| e.position.0).collect::<Vec<_>>(), [position]);
        by_feed += i32::from(way(&batch[0]).1 == "bus");
    }
    assert!(by_feed > 0, "the feed was never used again");
}

#[tokio::test]
async fn a_reader_that_lags_behind_the_feed_misses_nothing() {
    let database = database().await;
    let (appender, log, head) = (appender(&database), log(&database), head(&database));
    append(&appender, 1).await;
    let publisher = FeedPublisher::new(4);
    let feed = publisher.feed();
    let mut subscription =
        Subscription::new(log.clone(), &head, Some(&feed), Position::START, BATCH_EVENTS_MAX);
    assert_eq!(positions(&mut subscription, 1).await, [1]);
    append(&appender, 40).await;
    for event in events(&log).await {
        publisher.publish(Arc::new(event));
    }
    assert_eq!(positions(&mut subscription, 40).await, (2..=41).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_that_nobody_waited_for_comes_the_next_time() {
    let database = database().await;
    let (appender, log, head) = (appender(&database), log(&database), head(&database));
    append(&appender, 30).await;
    let mut subscription = Subscription::new(log, &head, None, Position::START, BATCH_EVENTS_MAX);
    let mut seen = Vec::new();
    while seen.len() < 30 {
        // Dropped after each poll but the last, wherever it was.
        let mut next = Box::pin(subscription.next_batch());
        if let std::task::Poll::Ready(batch) = futures::poll!(&mut next) {
            seen.extend(batch.expect("nothing to halt for").iter().map(|e| e.position.0));
            continue;
        }
        let patience = Duration::from_millis(5);
        if let Ok(batch) = tokio::time::timeout(patience, next).await {
            seen.extend(batch.expect("nothing to halt for").iter().map(|e| e.position.0));
        }
    }
    assert_eq!(seen, (1..=30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_ahead_of_the_log_halts() {
    let database = database().await;
    let (appender, log, head) = (appender(&database), log(&database), head(&database));
    append(&appender, 2).await;
    let mut subscription = Subscription::new(log, &head, None, Position(5), BATCH_EVENTS_MAX);
    let error = soon(subscription.next_batch()).await.expect_err("a reason to halt");
    let LogError::Regressed { seen: Position(5), head: Position(2) } = error else {
        panic!("{error:?}")
    };
}
