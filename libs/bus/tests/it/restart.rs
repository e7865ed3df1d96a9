//! The server dies and comes back.

use std::time::Duration;

use hatch_bus::testing::{Server, TestBus, connected};
use hatch_bus::{Bus, Settings, State, Work};

use crate::support::{event, eventually, in_time, last_sequence, publish, work};

fn sms(bus: &Bus) -> hatch_bus::WorkQueue {
    bus.work_queue(Work {
        aggregate: "message".to_owned(),
        event_type: "MessageRequested".to_owned(),
        channel: Some("sms".to_owned()),
        priority: Some("normal".to_owned()),
        ..Work::default()
    })
}

#[tokio::test]
async fn connecting_does_not_wait_for_a_server_and_succeeds_when_it_comes() {
    let mut server = Server::start().await;
    server.kill();
    let settings = Settings { url: server.url(), ..Settings::default() };
    let connecting = Bus::connect(settings);
    let bus = tokio::time::timeout(Duration::from_millis(500), connecting)
        .await
        .expect("returns at once")
        .expect("good settings");
    assert_eq!(bus.state(), State::Disconnected);
    assert!(bus.stream_state().await.is_err());
    server.start_again();
    connected(&bus).await;
    bus.stream_state().await.expect("answers");
}

#[tokio::test]
async fn followers_and_queues_go_on_after_the_server_was_killed() {
    let mut server = Server::start().await;
    let bus = TestBus::create_at(&server.url()).await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=3).await;
    let (mut follow, mut queue) = (bus.follow(1), sms(&bus));
    for position in 1..=3 {
        assert_eq!(in_time("an event", follow.next()).await.position, position);
    }
    let mut worked = 0;
    while worked < 3 {
        for delivery in in_time("work", queue.fetch(10)).await {
            delivery.ack().await;
            worked += 1;
        }
    }

    let restart = async {
        server.kill();
        eventually("disconnected", async || (bus.state() == State::Disconnected).then_some(()))
            .await;
        server.start_again();
        connected(&bus).await;
        let after = eventually("the stream", async || bus.stream_state().await.ok()).await;
        assert!(matches!(after, hatch_bus::StreamState::Present { last_sequence: 3, .. }));
        publish(&bus, 1, 4..=5).await;
    };
    let feed = async { (follow.next().await.position, follow.next().await.position) };
    let work = async {
        let mut seen = Vec::new();
        while seen.len() < 2 {
            for delivery in queue.fetch(10).await {
                // Acknowledgements that the kill swallowed come again.
                if delivery.envelope.position > 3 {
                    seen.push(delivery.envelope.position);
                }
                delivery.ack().await;
            }
        }
        seen
    };
    let ((), feed, work) =
        tokio::join!(restart, in_time("the feed", feed), in_time("the work", work));
    assert_eq!(feed, (4, 5));
    assert_eq!(work, [4, 5]);
}

#[tokio::test]
async fn a_publisher_resumes_after_the_server_was_killed_under_its_window() {
    let mut server = Server::start().await;
    let bus = TestBus::create_at(&server.url()).await;
    bus.create_generation(1, 1).await.expect("creates");
    let mut publisher = bus.publisher(1, 0);
    let mut failed = false;
    for position in 1..=3_000 {
        if position == 1_500 {
            server.kill();
        }
        failed = publisher.publish(&work(position, "sms", "normal")).await.is_err();
        if failed {
            break;
        }
    }
    assert!(failed || publisher.flush().await.is_err());
    let stored = publisher.acknowledged();

    server.start_again();
    connected(&bus).await;
    eventually("the stream", async || bus.stream_state().await.ok()).await;
    let last = last_sequence(&bus).await;
    assert!(last >= stored, "{stored} were acknowledged, {last} are there");
    publish(&bus, 1, last + 1..=3_000).await;
    let mut follow = bus.follow(1);
    for position in 1..=3_000 {
        let seen = in_time("an event", follow.next()).await;
        assert_eq!((seen.position, seen.event_id), (position, event(position).event_id));
    }
}
