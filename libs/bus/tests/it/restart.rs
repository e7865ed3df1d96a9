//! The server dies and comes back.

use std::time::Duration;

use hatch_bus::testing::{Server, TestBus, beginning_at, connected, eventually, in_time};
use hatch_bus::{Bus, BusState, Settings, Work};

use crate::support::{event, last_sequence, publish, work};

fn sms_work() -> Work {
    Work {
        aggregate: "message".to_owned(),
        event_type: "MessageRequested".to_owned(),
        channel: Some("sms".to_owned()),
        priority: Some("normal".to_owned()),
        ..Work::default()
    }
}

fn sms(bus: &Bus) -> hatch_bus::WorkQueue {
    bus.work_queue(sms_work(), beginning_at(1))
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
    assert_eq!(bus.state(), BusState::Disconnected);
    assert!(bus.stream_state().await.is_err());
    server.start_again();
    connected(&bus).await;
    bus.stream_state().await.expect("answers");
}

#[tokio::test]
async fn a_server_that_stands_still_with_its_connections_open_counts_as_gone() {
    let server = Server::start().await;
    let bus = TestBus::create_at(&server.url()).await;
    connected(&bus).await;
    server.signal("STOP");
    eventually("disconnected", async || (bus.state() == BusState::Disconnected).then_some(()))
        .await;
    server.signal("CONT");
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
        eventually("disconnected", async || (bus.state() == BusState::Disconnected).then_some(()))
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
async fn a_queue_that_the_server_lost_begins_where_it_is_told() {
    let mut server = Server::start().await;
    let bus = TestBus::create_at(&server.url()).await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=5).await;
    let mut queue = bus.work_queue(sms_work(), beginning_at(4));
    worked(&mut queue, 5).await;
    let positions = |deliveries: Vec<hatch_bus::Delivery>| -> Vec<i64> {
        deliveries.iter().map(|delivery| delivery.envelope.position).collect()
    };

    // In order, so that a state that it kept on disk would be there again.
    server.stop();
    restarted(&mut server, &bus).await;
    let fetched = in_time("work", queue.fetch(10)).await;
    assert_eq!(positions(fetched), [4, 5], "not from the stream's beginning");
    publish(&bus, 1, 6..=6).await;
    assert_eq!(positions(in_time("work", queue.fetch(10)).await), [6]);
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

/// A power loss may cost the stream its end while the consumers' state survives.
#[tokio::test]
async fn a_queue_and_a_follower_go_on_after_the_stream_lost_its_end() {
    let mut server = Server::start().await;
    let bus = TestBus::create_at(&server.url()).await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=5).await;
    let (mut follow, mut queue) = (bus.follow(1), sms(&bus));
    worked(&mut queue, 5).await;

    server.kill();
    let early = tempfile::tempdir().expect("a temporary folder");
    let messages = find(&server.store(), "msgs").expect("the stream's messages");
    copy(&messages, early.path());
    restarted(&mut server, &bus).await;
    publish(&bus, 1, 6..=10).await;
    worked(&mut queue, 10).await;

    server.stop();
    std::fs::remove_dir_all(&messages).expect("is removed");
    copy(early.path(), &messages);
    let last = restarted(&mut server, &bus).await;
    assert!(matches!(last, hatch_bus::StreamState::Present { last_sequence: 5, .. }), "{last:?}");
    publish(&bus, 1, 6..=12).await;
    worked(&mut queue, 12).await;
    for position in 1..=12 {
        assert_eq!(in_time("an event", follow.next()).await.position, position);
    }
}

async fn restarted(server: &mut Server, bus: &Bus) -> hatch_bus::StreamState {
    eventually("disconnected", async || (bus.state() == BusState::Disconnected).then_some(()))
        .await;
    server.start_again();
    connected(bus).await;
    eventually("the stream", async || bus.stream_state().await.ok()).await
}

/// Works until the event at `position` was handed out.
async fn worked(queue: &mut hatch_bus::WorkQueue, position: i64) {
    let mut seen = 0;
    while seen < position {
        for delivery in in_time("work", queue.fetch(100)).await {
            seen = seen.max(delivery.envelope.position);
            delivery.ack().await;
        }
    }
}

fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let folders = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.into_iter().find_map(|path| {
        if path.file_name().is_some_and(|file| file == name) {
            Some(path)
        } else {
            find(&path, name)
        }
    })
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("is created");
    for entry in std::fs::read_dir(from).expect("is read").filter_map(Result::ok) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("is copied");
    }
}
