//! Work queues: each event to one of them, until it is acknowledged.

use std::time::{Duration, Instant};

use hatch_bus::testing::{TestBus, beginning_at, in_time};
use hatch_bus::{Bus, Delivery, Work, WorkQueue};

use crate::support::work;

fn queue(bus: &Bus, channel: &str, priority: &str, ack_wait_ms: u64) -> WorkQueue {
    bus.work_queue(
        Work {
            aggregate: "message".to_owned(),
            event_type: "MessageRequested".to_owned(),
            channel: Some(channel.to_owned()),
            priority: Some(priority.to_owned()),
            ack_wait_ms,
            ..Work::default()
        },
        beginning_at(1),
    )
}

async fn fetch(queue: &mut WorkQueue, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(in_time("work", queue.fetch(count - all.len())).await);
    }
    all
}

fn positions(deliveries: &[Delivery]) -> Vec<i64> {
    deliveries.iter().map(|delivery| delivery.envelope.position).collect()
}

async fn publish(bus: &Bus, from: i64, work_of: &[(&str, &str)]) {
    let mut publisher = bus.publisher(1, from - 1);
    for (position, (channel, priority)) in (from..).zip(work_of) {
        publisher.publish(&work(position, channel, priority)).await.expect("publishes");
    }
    publisher.flush().await.expect("is stored");
}

#[tokio::test]
async fn each_channel_and_priority_gets_only_its_own() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    let mut other_type = work(5, "sms", "high");
    other_type.event_type = "MessageSent".to_owned();
    publish(&bus, 1, &[("sms", "high"), ("sms", "low"), ("email", "high"), ("sms", "high")]).await;
    let mut publisher = bus.publisher(1, 4);
    publisher.publish(&other_type).await.expect("publishes");
    publisher.flush().await.expect("is stored");
    publish(&bus, 6, &[("sms", "high")]).await;

    let mut high = queue(&bus, "sms", "high", 30_000);
    let mut low = queue(&bus, "sms", "low", 30_000);
    let mut email = queue(&bus, "email", "high", 30_000);
    assert_eq!(positions(&fetch(&mut high, 3).await), [1, 4, 6]);
    assert_eq!(positions(&fetch(&mut low, 1).await), [2]);
    assert_eq!(positions(&fetch(&mut email, 1).await), [3]);
}

#[tokio::test]
async fn what_is_not_acknowledged_is_handed_out_again_and_what_is_acknowledged_is_not() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, &[("sms", "high"); 10]).await;
    let mut queue = queue(&bus, "sms", "high", 300);
    for delivery in fetch(&mut queue, 10).await {
        if delivery.envelope.position % 2 == 0 {
            delivery.ack().await;
        }
    }
    let mut again = positions(&fetch(&mut queue, 5).await);
    again.sort_unstable();
    assert_eq!(again, [1, 3, 5, 7, 9]);
}

#[tokio::test]
async fn a_fetch_takes_no_more_than_asked_and_the_rest_comes_with_the_next() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, &[("sms", "high"); 10]).await;
    let mut queue = queue(&bus, "sms", "high", 30_000);
    let first = in_time("work", queue.fetch(4)).await;
    assert!((1..=4).contains(&first.len()));
    let mut all = positions(&first);
    all.extend(positions(&fetch(&mut queue, 10 - first.len()).await));
    assert_eq!(all, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_idle_fetch_returns_at_once_when_work_comes() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    let mut queue = queue(&bus, "sms", "high", 30_000);
    publish(&bus, 1, &[("sms", "high")]).await;
    fetch(&mut queue, 1).await.remove(0).ack().await;
    // A fetch that waits, is given up and begun again must not lose what comes meanwhile.
    let given_up = tokio::time::timeout(Duration::from_millis(50), queue.fetch(10)).await;
    assert!(given_up.is_err());
    let begun = Instant::now();
    let (got, ()) = tokio::join!(fetch(&mut queue, 1), publish(&bus, 2, &[("sms", "high")]));
    assert_eq!(positions(&got), [2]);
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn two_queues_of_the_same_work_share_it() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, &[("sms", "high"); 20]).await;
    let (mut one, mut other) =
        (queue(&bus, "sms", "high", 30_000), queue(&bus, "sms", "high", 30_000));
    let (of_one, of_other) = tokio::join!(fetch(&mut one, 10), fetch(&mut other, 10));
    let mut all = positions(&of_one);
    all.extend(positions(&of_other));
    all.sort_unstable();
    assert_eq!(all, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn queues_that_begin_at_different_positions_share_the_one_that_was_there_first() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, &[("sms", "high"); 40]).await;
    let other = bus.connect_again().await;
    let work = Work {
        aggregate: "message".to_owned(),
        event_type: "MessageRequested".to_owned(),
        channel: Some("sms".to_owned()),
        priority: Some("high".to_owned()),
        ..Work::default()
    };
    let mut one = bus.work_queue(work.clone(), beginning_at(11));
    let mut two = other.work_queue(work, beginning_at(21));
    let (mut all, of_two) = tokio::join!(fetch(&mut one, 10), fetch(&mut two, 10));
    all.extend(of_two);
    let mut seen = positions(&all);
    seen.sort_unstable();
    assert!(
        seen == (11..=30).collect::<Vec<_>>() || seen == (21..=40).collect::<Vec<_>>(),
        "{seen:?}"
    );
    assert_eq!(bus.foreign_counts().iter().map(|(_, count)| count).sum::<u64>(), 0, "no alert");
    assert_eq!(other.foreign_counts().iter().map(|(_, count)| count).sum::<u64>(), 0, "no alert");
}

#[tokio::test]
async fn no_more_is_out_than_may_be_and_acknowledging_brings_the_rest() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, &[("sms", "high"); 5]).await;
    let mut queue = bus.work_queue(
        Work {
            aggregate: "message".to_owned(),
            event_type: "MessageRequested".to_owned(),
            channel: Some("sms".to_owned()),
            priority: Some("high".to_owned()),
            ack_pending_max: 2,
            ..Work::default()
        },
        beginning_at(1),
    );
    let out = fetch(&mut queue, 2).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), queue.fetch(10)).await.is_err());
    for delivery in out {
        delivery.ack().await;
    }
    assert_eq!(positions(&fetch(&mut queue, 2).await), [3, 4]);
}

#[tokio::test]
async fn a_queue_goes_on_in_the_next_generation() {
    let bus = TestBus::create().await;
    let mut queue = queue(&bus, "sms", "high", 30_000);
    let publishing = async {
        bus.create_generation(1, 1).await.expect("creates");
        publish(&bus, 1, &[("sms", "high"); 2]).await;
    };
    let (first, ()) = tokio::join!(fetch(&mut queue, 2), publishing);
    assert_eq!(positions(&first), [1, 2]);
    bus.create_generation(2, 10).await.expect("creates");
    let mut publisher = bus.publisher(2, 9);
    publisher.publish(&work(10, "sms", "high")).await.expect("publishes");
    publisher.flush().await.expect("is stored");
    assert_eq!(positions(&fetch(&mut queue, 1).await), [10]);
}
