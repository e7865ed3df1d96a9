//! Publishing: sequence = position, whatever happens.

use hatch_bus::testing::{TestBus, in_time};
use hatch_bus::{Error, Foreign, Last, StreamState};

use crate::support::{event, last_sequence, prefix, publish, raw, stream_name};

#[tokio::test]
async fn a_generation_begins_at_its_first_position_and_sequence_is_position() {
    let bus = TestBus::create().await;
    assert_eq!(bus.stream_state().await.expect("answers"), StreamState::Absent);
    bus.create_generation(7, 1_000).await.expect("creates");
    let empty = StreamState::Present {
        generation: 7,
        first_position: 1_000,
        last_sequence: 999,
        last: Last::Empty,
    };
    assert_eq!(bus.stream_state().await.expect("answers"), empty);

    publish(&bus, 7, 1_000..=2_999).await;
    let full = StreamState::Present {
        generation: 7,
        first_position: 1_000,
        last_sequence: 2_999,
        last: Last::Event { position: 2_999, event_id: event(2_999).event_id },
    };
    assert_eq!(bus.stream_state().await.expect("answers"), full);
}

#[tokio::test]
async fn a_stored_event_carries_its_subject_and_headers() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    let mut publisher = bus.publisher(1, 0);
    let mut sent = event(1);
    sent.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    publisher.publish(&sent).await.expect("publishes");
    publisher.flush().await.expect("is stored");

    let stream = raw(&bus).await.get_stream(stream_name(&bus)).await.expect("exists");
    let stored = stream.get_raw_message(1).await.expect("is stored");
    let subject = format!(
        "{}.events.00000000-0000-0000-0000-000000000001.message.MessageRequested.sms.normal",
        prefix(&bus)
    );
    assert_eq!(stored.subject.as_str(), subject);
    let header = |name: &str| stored.headers.get(name).map(ToString::to_string);
    assert_eq!(header("Hatch-Position").as_deref(), Some("1"));
    assert_eq!(header("Hatch-Event-Id"), Some(sent.event_id.to_string()));
    assert_eq!(header("traceparent"), sent.traceparent);
    assert_eq!(stored.payload, sent.travelling().to_json());
}

#[tokio::test]
async fn a_zombie_publisher_of_an_old_point_is_refused() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=10).await;
    let mut zombie = bus.publisher(1, 10);
    publish(&bus, 1, 11..=20).await;

    zombie.publish(&event(11)).await.expect("is only sent");
    let refused = zombie.flush().await.expect_err("is refused");
    assert!(matches!(refused, Error::Publish { position: 11, .. }), "{refused:?}");
    assert_eq!(last_sequence(&bus).await, 20);
}

#[tokio::test]
async fn a_zombie_publisher_of_an_older_generation_is_refused() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=3).await;
    let mut zombie = bus.publisher(1, 3);
    bus.create_generation(2, 4).await.expect("creates");

    zombie.publish(&event(4)).await.expect("is only sent");
    assert!(zombie.flush().await.is_err());
    assert_eq!(last_sequence(&bus).await, 3);
}

#[tokio::test]
async fn a_lost_publish_fails_the_rest_of_its_window_and_resuming_repairs_it() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=10).await;
    // Event 11 never arrives: this publisher takes it for sent.
    let mut publisher = bus.publisher(1, 11);
    for position in 12..=100 {
        publisher.publish(&event(position)).await.expect("is only sent");
    }
    let refused = publisher.flush().await.expect_err("is refused");
    assert!(matches!(refused, Error::Publish { position: 12, .. }), "{refused:?}");
    assert_eq!(publisher.acknowledged(), 11);
    assert_eq!(last_sequence(&bus).await, 10);

    publish(&bus, 1, 11..=100).await;
    assert_eq!(last_sequence(&bus).await, 100);
}

#[tokio::test]
async fn publishing_again_what_is_stored_adds_nothing() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=50).await;
    let mut again = bus.publisher(1, 40);
    for position in 41..=50 {
        again.publish(&event(position)).await.expect("is only sent");
    }
    assert!(again.flush().await.is_err());
    assert_eq!(again.acknowledged(), 40);
    assert_eq!(last_sequence(&bus).await, 50);
}

#[tokio::test]
async fn what_two_publishers_write_at_once_is_still_the_log() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    let write = async |mut publisher: hatch_bus::Publisher| {
        for position in 1..=1_000 {
            if publisher.publish(&event(position)).await.is_err() {
                return;
            }
        }
        let _ = publisher.flush().await;
    };
    tokio::join!(write(bus.publisher(1, 0)), write(bus.publisher(1, 0)));
    let last = last_sequence(&bus).await;
    publish(&bus, 1, last + 1..=1_000).await;
    let mut follow = bus.follow(1);
    for position in 1..=1_000 {
        let seen = in_time("an event", follow.next()).await;
        assert_eq!((seen.position, seen.event_id), (position, event(position).event_id));
    }
}

#[tokio::test]
async fn a_message_without_hatch_headers_at_the_end_is_told_from_an_event() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=3).await;
    let foreign = format!("{}.events.x", prefix(&bus));
    let jetstream = raw(&bus).await;
    let stored = jetstream.publish(foreign, "hello".into()).await.expect("is sent");
    assert_eq!(stored.await.expect("is stored").sequence, 4);
    let state = bus.stream_state().await.expect("answers");
    assert!(matches!(
        state,
        StreamState::Present { last_sequence: 4, last: Last::Foreign(Foreign::NoMac), .. }
    ));
}

#[tokio::test]
async fn a_foreign_stream_that_takes_the_subjects_is_never_deleted() {
    let bus = TestBus::create().await;
    let name = format!("FOREIGN_{}", prefix(&bus));
    let config = async_nats::jetstream::stream::Config {
        name: name.clone(),
        subjects: vec![format!("{}.events.>", prefix(&bus))],
        ..Default::default()
    };
    raw(&bus).await.create_stream(config).await.expect("creates");
    let refused = bus.create_generation(1, 1).await.expect_err("is refused");
    assert!(matches!(&refused, Error::ForeignStream(stream) if *stream == name), "{refused:?}");
}
