//! Somebody else who has the credentials of NATS.

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::Config as ConsumerConfig;
use async_nats::jetstream::message::StreamMessage;
use hatch_bus::testing::{TestBus, beginning_at, eventually, in_time};
use hatch_bus::{Bus, Foreign, Key, Keys, Last, StreamState, Work};

use crate::support::{event, prefix, publish, raw, stream_name, work};

/// Publishes a message as it is.
async fn forge(bus: &Bus, subject: &str, headers: &HeaderMap, payload: &[u8]) {
    let (jetstream, payload) = (raw(bus).await, payload.to_owned().into());
    // But for what the relay expected.
    let headers: HeaderMap = headers
        .iter()
        .filter(|(name, _)| !AsRef::<str>::as_ref(*name).starts_with("Nats-"))
        .flat_map(|(name, values)| values.iter().map(move |value| (name.clone(), value.clone())))
        .collect();
    let sent = jetstream.publish_with_headers(subject.to_owned(), headers, payload);
    sent.await.expect("is sent").await.expect("is stored");
}

async fn stored(bus: &Bus, sequence: u64) -> StreamMessage {
    let stream = raw(bus).await.get_stream(stream_name(bus)).await.expect("exists");
    stream.get_raw_message(sequence).await.expect("is stored")
}

fn met(bus: &Bus, why: Foreign) -> u64 {
    let counts = bus.foreign_counts();
    counts.iter().find(|(reason, _)| *reason == why).expect("each is counted").1
}

/// The attacker's messages, each made of the genuine one at position 3, and what is wrong with them.
fn forgeries(genuine: &StreamMessage) -> Vec<(&'static str, StreamMessage, Foreign)> {
    let changed = |what, change: &dyn Fn(&mut StreamMessage), why| {
        let mut message = genuine.clone();
        message.headers.insert("Hatch-Position", "4");
        change(&mut message);
        (what, message, why)
    };
    let next = bytes::Bytes::from(event(4).travelling().to_json());
    vec![
        ("no event at all", changed_to("hello", genuine), Foreign::NoMac),
        changed(
            "the next event, unsigned",
            &|m| {
                m.payload = next.clone();
                m.headers = HeaderMap::new();
                m.headers.insert("Hatch-Position", "4");
                m.headers.insert("Hatch-Event-Id", event(4).event_id.to_string());
            },
            Foreign::NoMac,
        ),
        changed("with the MAC of another", &|m| m.payload = next.clone(), Foreign::WrongMac),
        changed("truncated", &|m| m.payload = next.slice(..next.len() / 2), Foreign::WrongMac),
        ("replayed", genuine.clone(), Foreign::OutOfPlace),
        changed("replayed with another position", &|_| {}, Foreign::WrongMac),
        changed(
            "moved to another queue",
            &|m| {
                m.subject = m.subject.replace("normal", "high").into();
            },
            Foreign::WrongMac,
        ),
    ]
}

fn changed_to(text: &'static str, genuine: &StreamMessage) -> StreamMessage {
    StreamMessage { payload: text.into(), headers: HeaderMap::new(), ..genuine.clone() }
}

#[tokio::test]
async fn nothing_that_somebody_else_wrote_is_followed_or_handed_out() {
    let genuine = {
        let bus = TestBus::create().await;
        bus.create_generation(1, 1).await.expect("creates");
        publish(&bus, 1, 1..=3).await;
        forgeries(&stored(&bus, 3).await).len()
    };
    for n in 0..genuine {
        let bus = TestBus::create().await;
        bus.create_generation(1, 1).await.expect("creates");
        publish(&bus, 1, 1..=3).await;
        let (what, forged, why) = forgeries(&stored(&bus, 3).await).swap_remove(n);
        forge(&bus, &forged.subject, &forged.headers, &forged.payload).await;
        let state = bus.stream_state().await.expect("answers");
        let StreamState::Present { last, .. } = state else { panic!("{state:?}") };
        assert_eq!(last, Last::Foreign(why), "{what}");
        assert_eq!(bus.first_foreign(0).await.expect("answers"), Some((4, why)), "{what}");

        publish(&bus, 1, 5..=6).await;
        let mut follow = bus.follow(1);
        for position in [1, 2, 3, 5, 6] {
            assert_eq!(in_time(what, follow.next()).await.position, position, "{what}");
        }
        assert_eq!(met(&bus, why), 1, "{what}");
        let found = bus.foreign().borrow().expect("it is told");
        assert_eq!((found.generation, found.sequence, found.why), (1, 4, why), "{what}");

        let mut handed_out = Vec::new();
        let mut queue = queue(&bus, "normal");
        while handed_out.len() < 5 {
            for delivery in in_time(what, queue.fetch(10)).await {
                handed_out.push(delivery.envelope.position);
                delivery.ack().await;
            }
        }
        assert_eq!(handed_out, [1, 2, 3, 5, 6], "{what}");
        done(&bus, "message_MessageRequested_sms_normal_memory").await;
    }
}

fn queue(bus: &Bus, priority: &str) -> hatch_bus::WorkQueue {
    bus.work_queue(
        Work {
            aggregate: "message".to_owned(),
            event_type: "MessageRequested".to_owned(),
            channel: Some("sms".to_owned()),
            priority: Some(priority.to_owned()),
            ack_wait_ms: 300,
            ..Work::default()
        },
        beginning_at(1),
    )
}

/// Waits until nothing of the queue is handed out any more: what is foreign does not come again.
async fn done(bus: &Bus, consumer: &str) {
    let stream = raw(bus).await.get_stream(stream_name(bus)).await.expect("exists");
    eventually("nothing is left", async || {
        let info = stream.consumer_info(consumer).await.ok()?;
        (info.num_ack_pending == 0 && info.num_pending == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_consumer_that_somebody_changed_hands_out_no_other_work() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    let mut publisher = bus.publisher(1, 0);
    publisher.publish(&work(1, "sms", "low")).await.expect("publishes");
    publisher.publish(&work(2, "sms", "high")).await.expect("publishes");
    publisher.flush().await.expect("is stored");
    let mut high = queue(&bus, "high");
    let first = in_time("work", high.fetch(1)).await.remove(0);
    assert_eq!(first.envelope.position, 2);
    first.ack().await;

    let stream = raw(&bus).await.get_stream(stream_name(&bus)).await.expect("exists");
    let name = "message_MessageRequested_sms_high_memory";
    stream.delete_consumer(name).await.expect("deletes");
    let everything = ConsumerConfig {
        durable_name: Some(name.to_owned()),
        max_ack_pending: Work::default().ack_pending_max,
        ack_wait: std::time::Duration::from_millis(300),
        filter_subject: format!("{}.events.>", prefix(&bus)),
        ..ConsumerConfig::default()
    };
    stream.create_consumer(everything).await.expect("creates");
    publish(&bus, 1, 3..=3).await;
    // Asking for the queue makes it the right one again.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), async {
        loop {
            for delivery in high.fetch(10).await {
                assert_eq!(delivery.envelope.position, 2);
                delivery.ack().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_consumer_that_somebody_made_in_another_way_is_no_queue() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    let stream = raw(&bus).await.get_stream(stream_name(&bus)).await.expect("exists");
    let last = ConsumerConfig {
        durable_name: Some("message_MessageRequested_sms_high_memory".to_owned()),
        deliver_policy: DeliverPolicy::Last,
        filter_subject: format!("{}.events.>", prefix(&bus)),
        ..ConsumerConfig::default()
    };
    stream.create_consumer(last).await.expect("creates");
    publish(&bus, 1, 1..=3).await;
    let mut high = queue(&bus, "high");
    let fetched = tokio::time::timeout(std::time::Duration::from_secs(1), high.fetch(1)).await;
    assert!(fetched.is_err(), "nothing of it is handed out");
    assert!(met(&bus, Foreign::OtherWork) > 0);
    let found = bus.foreign().borrow().expect("it is told");
    assert_eq!(found.to_string(), "a consumer: other_work");
}

#[tokio::test]
async fn a_stream_of_another_epoch_or_of_another_hatch_is_not_believed() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=3).await;
    let other = Key::new(b"the secret of another epoch");
    bus.trust(Keys { epoch: other.clone(), generation: Some((1, other.clone())) });
    let state = bus.stream_state().await.expect("answers");
    assert!(matches!(state, StreamState::Present { last: Last::Foreign(Foreign::WrongMac), .. }));

    // A generation that is not on record is not even read.
    bus.trust(Keys { epoch: other.clone(), generation: Some((2, other)) });
    let mut follow = bus.follow(1);
    let nothing = tokio::time::timeout(std::time::Duration::from_secs(1), follow.next()).await;
    assert!(nothing.is_err());
    assert_eq!(met(&bus, Foreign::WrongMac), 0);
}

#[tokio::test]
async fn without_keys_nothing_is_written_or_read() {
    let bus = TestBus::create().await;
    bus.create_generation(1, 1).await.expect("creates");
    publish(&bus, 1, 1..=1).await;
    let bare = Bus::connect(bus.settings().clone()).await.expect("good settings");
    hatch_bus::testing::connected(&bare).await;
    let refused = bare.publisher(1, 1).publish(&event(2)).await.expect_err("has no key");
    assert!(matches!(refused, hatch_bus::Error::NotOnRecord(1)), "{refused:?}");
    let state = bare.stream_state().await.expect("answers");
    assert!(matches!(state, StreamState::Present { last: Last::Foreign(_), .. }), "{state:?}");
}
