//! Following: in order, through everything.

use futures::StreamExt;
use hatch_bus::testing::{TestBus, eventually, in_time};

use crate::support::{event, prefix, publish, raw, stream_name};

async fn positions(follow: &mut hatch_bus::BusReader, count: usize) -> Vec<i64> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.push(in_time("the next event", follow.next()).await.position);
    }
    seen
}

#[tokio::test]
async fn a_follower_sees_every_event_from_its_position_in_order() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=1_500).await;
    let mut follow = bus.follow(100);
    let first = in_time("the first event", follow.next()).await;
    assert_eq!(format!("{first:?}"), format!("{:?}", event(100)));
    assert_eq!(positions(&mut follow, 1_400).await, (101..=1_500).collect::<Vec<_>>());

    let live = async {
        publish(&bus, 1, 1_501..=2_000).await;
    };
    let (seen, ()) = tokio::join!(positions(&mut follow, 500), live);
    assert_eq!(seen, (1_501..=2_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_follower_that_starts_before_the_stream_exists_waits() {
    let bus = TestBus::create().await;
    let mut follow = bus.follow(1);
    let publishing = async {
        bus.create_generation(1, 1).await.expect("creates");
        publish(&bus, 1, 1..=10).await;
    };
    let (seen, ()) = tokio::join!(positions(&mut follow, 10), publishing);
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_follower_that_is_ahead_of_the_stream_sees_nothing_before_its_position() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=3).await;
    let mut follow = bus.follow(8);
    let publishing = async {
        let stream = raw(&bus).await.get_stream(stream_name(&bus)).await.expect("exists");
        eventually("the consumer", async || {
            (stream.get_info().await.ok()?.state.consumer_count == 1).then_some(())
        })
        .await;
        publish(&bus, 1, 4..=10).await;
    };
    let (seen, ()) = tokio::join!(positions(&mut follow, 3), publishing);
    assert_eq!(seen, [8, 9, 10]);
}

#[tokio::test]
async fn a_follower_goes_on_after_its_consumer_is_deleted() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=3).await;
    let mut follow = bus.follow(1);
    assert_eq!(positions(&mut follow, 3).await, [1, 2, 3]);

    let stream = raw(&bus).await.get_stream(stream_name(&bus)).await.expect("exists");
    let consumers: Vec<_> = stream.consumer_names().collect().await;
    assert_eq!(consumers.len(), 1);
    for consumer in consumers {
        stream.delete_consumer(&consumer.expect("a name")).await.expect("deletes");
    }
    publish(&bus, 1, 4..=6).await;
    assert_eq!(positions(&mut follow, 3).await, [4, 5, 6]);
}

#[tokio::test]
async fn a_follower_goes_on_in_the_next_generation() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=3).await;
    let mut follow = bus.follow(1);
    assert_eq!(positions(&mut follow, 3).await, [1, 2, 3]);

    // Events 4 to 9 were never published: the reader takes them from the log.
    bus.create_generation(2, 10).await.expect("creates");
    publish(&bus, 2, 10..=12).await;
    assert_eq!(positions(&mut follow, 3).await, [10, 11, 12]);
}

#[tokio::test]
async fn a_follower_skips_foreign_messages() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=1).await;
    let jetstream = raw(&bus).await;
    let foreign = format!("{}.events.x", prefix(&bus));
    // No envelope, and an envelope whose position is not its sequence.
    for payload in ["hello".into(), event(77).travelling().to_json().into()] {
        let sent = jetstream.publish(foreign.clone(), payload).await.expect("is sent");
        sent.await.expect("is stored");
    }
    publish(&bus, 1, 4..=5).await;
    let mut follow = bus.follow(1);
    assert_eq!(positions(&mut follow, 3).await, [1, 4, 5]);
}
