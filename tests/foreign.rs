//! Somebody else who has NATS' credentials: what he writes is neither sent nor shown, and costs nobody
//! a message.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull::Config as ConsumerConfig;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::Config as StreamConfig;
use chrono::TimeDelta;
use hatch::roles::Role;
use hatch_bus::testing::jetstream;
use hatch_bus::{Envelope, Key, Keys, StreamState};
use reqwest::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::dispatch::NOBODY_DISPATCHES;
use crate::generations::{deliver, delivered, generation, hurried, published, ready, send};
use crate::harness::{CUSTOMER, Hatch, SENDER, unique};
use crate::live::{Source, ids};
use crate::time::{eventually, paced};

/// The text that must appear nowhere.
const FORGED: &str = "a forged text";
/// Whom the forged messages are to go to.
const VICTIM: &str = "+18045550000";

const FOREIGN: &str = "SELECT count(*) FROM es.bus_generations WHERE foreign_at IS NOT NULL";

/// Somebody with the credentials, and no more.
struct Attacker {
    jetstream: Context,
    start: String,
}

impl Attacker {
    async fn of(hatch: &Hatch) -> Self {
        let settings = hatch.bus.settings();
        let jetstream = jetstream(&settings.url).await.expect("he has the credentials");
        Self { jetstream, start: format!("{}_EVENTS_", settings.prefix.to_uppercase()) }
    }

    async fn stream(&self, generation: i32) -> async_nats::jetstream::stream::Stream {
        let name = format!("{}{generation}", self.start);
        self.jetstream.get_stream(name).await.expect("there")
    }

    /// The newest generation that has its stream: the log knows one a little before NATS does.
    async fn newest(&self, hatch: &Hatch) -> i32 {
        let newest = Cell::new(0);
        eventually("the newest generation has its stream", async || {
            let sql = "SELECT max(generation)::bigint FROM es.bus_generations";
            newest.set(i32::try_from(hatch.count(sql).await).expect("few"));
            let name = format!("{}{}", self.start, newest.get());
            self.jetstream.get_stream(name).await.is_ok()
        })
        .await;
        newest.get()
    }

    async fn stored(&self, generation: i32, sequence: i64) -> StreamMessage {
        let sequence = u64::try_from(sequence).expect("positive");
        let stream = self.stream(generation).await;
        stream.get_raw_message(sequence).await.expect("stored")
    }

    /// Everything in the stream.
    async fn all(&self, generation: i32, head: i64) -> Vec<StreamMessage> {
        let mut all = Vec::new();
        for sequence in 1..=head {
            all.push(self.stored(generation, sequence).await);
        }
        all
    }

    async fn publish(&self, message: &StreamMessage) {
        let headers: HeaderMap = message
            .headers
            .iter()
            .filter(|(name, _)| !AsRef::<str>::as_ref(*name).starts_with("Nats-"))
            .flat_map(|(name, values)| {
                values.iter().map(move |value| (name.clone(), value.clone()))
            })
            .collect();
        let (subject, payload) = (message.subject.to_string(), message.payload.clone());
        let sent = self.jetstream.publish_with_headers(subject, headers, payload).await;
        sent.expect("is sent").await.expect("is stored");
    }

    /// Makes the stream anew under its own name, with these messages.
    async fn make_again(&self, generation: i32, messages: &[StreamMessage]) {
        let config = self.stream(generation).await.cached_info().config.clone();
        self.jetstream.delete_stream(&config.name).await.expect("he may");
        self.jetstream.create_stream(config).await.expect("he may");
        for message in messages {
            self.publish(message).await;
        }
    }
}

/// A message that is due tomorrow: its id, and its request as it travels the bus.
async fn scheduled(hatch: &Hatch, attacker: &Attacker) -> (String, StreamMessage) {
    let at = hatch.in_time(TimeDelta::days(1));
    let request = json!({"from": SENDER, "to": CUSTOMER, "body": "Tomorrow", "send_at": at});
    let answer = hatch.post("/api/v1/messages", &request).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let position = answer.header("hatch-position").parse().expect("a position");
    published(hatch).await;
    (answer.text("id").to_owned(), attacker.stored(1, position).await)
}

fn envelope(message: &StreamMessage) -> Envelope {
    Envelope::decode(&message.payload).expect("an event")
}

/// As `genuine`, with another envelope and the headers that it would have.
fn with(genuine: &StreamMessage, envelope: &Envelope) -> StreamMessage {
    let mut forged =
        StreamMessage { payload: envelope.travelling().to_json().into(), ..genuine.clone() };
    forged.headers.insert("Hatch-Position", envelope.position.to_string());
    forged.headers.insert("Hatch-Event-Id", envelope.event_id.to_string());
    forged
}

/// The scheduled request, changed so that it would be sent at once, and elsewhere.
fn changed(genuine: &StreamMessage, position: i64) -> Envelope {
    let genuine = envelope(genuine);
    let data = genuine.data.as_ref().expect("travels");
    let mut data: Value = serde_json::from_str(data.get()).expect("JSON");
    data.as_object_mut().expect("an object").remove("send_at");
    data["body"] = FORGED.into();
    data["to"] = json!([VICTIM]);
    let data = RawValue::from_string(data.to_string()).expect("JSON");
    Envelope {
        position,
        event_id: Uuid::parse_str(&unique()).expect("an id"),
        data: Some(data),
        ..genuine
    }
}

/// An inbound message that nobody sent.
fn inbound(genuine: &StreamMessage, position: i64) -> Envelope {
    let data = include_str!("../schema/events/message/MessageReceived.v1.json").trim();
    let data = data.replace(r#""body":"Hi""#, &format!(r#""body":"{FORGED}""#));
    let id = || Uuid::parse_str(&unique()).expect("an id");
    Envelope {
        position,
        event_id: id(),
        stream_id: id(),
        event_type: "MessageReceived".to_owned(),
        priority: None,
        data: Some(RawValue::from_string(data).expect("JSON")),
        ..envelope(genuine)
    }
}

/// What he publishes at `next`, made of the genuine request of a scheduled message.
fn forgeries(genuine: &StreamMessage, next: i64) -> Vec<(&'static str, StreamMessage)> {
    let stripped = |mut message: StreamMessage| {
        let mut headers = HeaderMap::new();
        for name in ["Hatch-Position", "Hatch-Event-Id"] {
            headers.insert(name, message.headers.get(name).expect("there").as_str());
        }
        message.headers = headers;
        message
    };
    let moved = |subject: String| StreamMessage { subject: subject.into(), ..genuine.clone() };
    let large = Envelope { data: None, ..changed(genuine, next) };
    let at_next = |mut message: StreamMessage| {
        message.headers.insert("Hatch-Position", next.to_string());
        message
    };
    vec![
        ("an inbound message", with(genuine, &inbound(genuine, next))),
        ("one without a MAC", stripped(with(genuine, &inbound(genuine, next)))),
        ("a changed request with its MAC", with(genuine, &changed(genuine, next))),
        ("a changed request without one", stripped(with(genuine, &changed(genuine, next)))),
        ("a genuine one again", genuine.clone()),
        ("a genuine one that says to be the next", at_next(genuine.clone())),
        ("a genuine one in another queue", moved(genuine.subject.replace(".normal", ".high"))),
        ("a genuine one of another tenant", moved(genuine.subject.replace("0001.", "0002."))),
        (
            "a part of one",
            at_next(StreamMessage { payload: genuine.payload.slice(..40), ..genuine.clone() }),
        ),
        ("a reference to another event", with(genuine, &large)),
        (
            "nothing at all",
            StreamMessage { payload: "".into(), headers: HeaderMap::new(), ..genuine.clone() },
        ),
    ]
}

/// How many foreign messages this process has met.
async fn met(hatch: &Hatch) -> u64 {
    let metrics = hatch.get("/metrics").await;
    let lines = metrics.body.as_str().expect("text").lines();
    let counts = lines.filter_map(|line| line.strip_prefix("hatch_bus_foreign_messages_total{"));
    counts
        .map(|line| line.rsplit(' ').next().expect("a count").parse::<u64>().expect("a count"))
        .sum()
}

/// Checks that the genuine messages, and nothing else, were sent and are shown, and that the scheduled
/// one still waits.
async fn assert_genuine(hatch: &Hatch, sent: &[String], waiting: &str) {
    hatch.assert_each_sent_once(sent).await;
    for line in hatch.record().await {
        let line = line.to_string();
        assert!(!line.contains(FORGED) && !line.contains(VICTIM), "{line}");
    }
    let mut shown = BTreeSet::new();
    let answer = hatch.get("/api/v1/messages?limit=200").await;
    for message in answer.body["data"].as_array().expect("a list") {
        assert!(!message.to_string().contains(FORGED), "{message}");
        shown.insert(message["id"].as_str().expect("an id").to_owned());
    }
    let expected = sent.iter().cloned().chain([waiting.to_owned()]).collect::<BTreeSet<_>>();
    assert_eq!(shown, expected);
    let message = hatch.get(&format!("/api/v1/messages/{waiting}")).await;
    assert_eq!(message.body["status"], "scheduled", "{}", message.body);
}

#[tokio::test]
async fn what_somebody_else_writes_is_neither_sent_nor_shown_and_ends_the_generation() {
    let hatch = Hatch::start_with(&Role::ALL, hurried).await;
    let attacker = Attacker::of(&hatch).await;
    let (waiting, genuine) = scheduled(&hatch, &attacker).await;
    let mut sent = deliver(&hatch, 2).await;
    let mut source = Source::open(&hatch, "/api/v1/events", None).await;
    let mut expected = 1;
    for n in 0..forgeries(&genuine, 1).len() {
        let head = published(&hatch).await;
        let before = met(&hatch).await;
        let (what, forged) = forgeries(&genuine, head + 1).swap_remove(n);
        attacker.publish(&forged).await;
        // A message of hatch's own meets it in its place.
        sent.extend(deliver(&hatch, 1).await);
        expected += 1;
        generation(&hatch, expected).await;
        assert!(met(&hatch).await > before, "{what}: it is counted");
        assert_eq!(hatch.count(FOREIGN).await, i64::from(expected - 1), "{what}: it is on record");
        ready(&hatch, "ready").await;
        sent.extend(deliver(&hatch, 1).await);
    }
    assert_genuine(&hatch, &sent, &waiting).await;
    // Of the live feed all is in the log.
    let head = hatch.log_length().await;
    let first = source.next().await.expect("an event").id;
    let rest = usize::try_from(head - first).expect("few");
    let shown = source.take(rest).await;
    assert_eq!(ids(&shown), (first + 1..=head).collect::<Vec<_>>());
    assert!(shown.iter().all(|event| !event.data.to_string().contains(FORGED)));
    hatch.finish().await;
}

#[tokio::test]
async fn what_was_signed_by_another_hatch_or_in_another_epoch_is_foreign() {
    let hatch = Hatch::start_with(&Role::ALL, hurried).await;
    let attacker = Attacker::of(&hatch).await;
    let (waiting, genuine) = scheduled(&hatch, &attacker).await;
    let mut sent = deliver(&hatch, 1).await;
    let head = published(&hatch).await;
    let other = hatch.bus.with_own_keys();
    other.trust(Keys { epoch: Key::new(&[7; 32]), generation: None });
    let mut publisher = other.publisher(1, head);
    publisher.publish(&changed(&genuine, head + 1)).await.expect("is sent");
    publisher.flush().await.expect("is stored");
    sent.extend(deliver(&hatch, 2).await);
    generation(&hatch, 2).await;
    // And one of hatch's own, of the generation before.
    published(&hatch).await;
    attacker.publish(&genuine).await;
    sent.extend(deliver(&hatch, 2).await);
    generation(&hatch, 3).await;
    assert_genuine(&hatch, &sent, &waiting).await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_stream_that_he_makes_again_purges_or_whose_consumers_he_resets_doubles_nothing() {
    let hatch = Hatch::start_with(&Role::ALL, hurried).await;
    let attacker = Attacker::of(&hatch).await;
    let (waiting, genuine) = scheduled(&hatch, &attacker).await;
    let mut sent = deliver(&hatch, 5).await;

    // The same messages in the same places are the same stream: everything is handed out again.
    let head = published(&hatch).await;
    let all = attacker.all(1, head).await;
    attacker.make_again(1, &all).await;
    sent.extend(deliver(&hatch, 3).await);
    assert_genuine(&hatch, &sent, &waiting).await;

    // A queue that hands out everything, and from the beginning.
    let newest = attacker.newest(&hatch).await;
    let stream = attacker.stream(newest).await;
    let name = "message_MessageRequested_sms_normal_memory";
    stream.delete_consumer(name).await.expect("he may");
    let reset = ConsumerConfig {
        durable_name: Some(name.to_owned()),
        filter_subject: format!("{}.events.>", hatch.bus.settings().prefix),
        ack_wait: Duration::from_secs(30),
        max_ack_pending: 1_000,
        ..ConsumerConfig::default()
    };
    stream.create_consumer(reset).await.expect("he may");
    sent.extend(deliver(&hatch, 3).await);
    assert_genuine(&hatch, &sent, &waiting).await;

    let newest = attacker.newest(&hatch).await;
    attacker.stream(newest).await.purge().await.expect("he may");
    sent.extend(deliver(&hatch, 3).await);

    // In another order they are not.
    let name = format!("{}{newest}", attacker.start);
    let config = StreamConfig {
        name: name.clone(),
        subjects: vec![format!("{}.events.>", hatch.bus.settings().prefix)],
        ..StreamConfig::default()
    };
    attacker.jetstream.delete_stream(&name).await.expect("he may");
    // The relay may be faster.
    if attacker.jetstream.create_stream(config).await.is_ok() {
        for message in all.iter().rev().chain([&genuine]) {
            attacker.publish(message).await;
        }
    }
    sent.extend(deliver(&hatch, 3).await);
    generation(&hatch, newest + 1).await;
    assert_genuine(&hatch, &sent, &waiting).await;
    hatch.finish().await;
}

#[tokio::test]
async fn he_cannot_say_that_the_log_has_regressed() {
    let mut hatch = Hatch::start_with(&Role::ALL, hurried).await;
    let attacker = Attacker::of(&hatch).await;
    let (waiting, genuine) = scheduled(&hatch, &attacker).await;
    let mut sent = deliver(&hatch, 2).await;
    let head = published(&hatch).await;
    let name = format!("{}1", attacker.start);
    let config = attacker.stream(1).await.cached_info().config.clone();

    // Far ahead of the log, with an event and without.
    for (first, forged) in [(head + 1_000, true), (1_000_000, false)] {
        hatch.stop().await;
        let newest = attacker.newest(&hatch).await;
        let there = format!("{}{newest}", attacker.start);
        attacker.jetstream.delete_stream(there).await.expect("he may");
        let sequence = u64::try_from(first).expect("positive");
        let ahead = StreamConfig { first_sequence: Some(sequence), ..config.clone() };
        attacker.jetstream.create_stream(ahead).await.expect("he may");
        if forged {
            attacker.publish(&with(&genuine, &changed(&genuine, first))).await;
        }
        hatch.start_again(&Role::ALL).await;
        sent.extend(deliver(&hatch, 2).await);
        published(&hatch).await;
        generation(&hatch, newest + 1).await;
    }
    assert_eq!(hatch.count("SELECT count(*) FROM es.log_regressions").await, 0);
    let names: Vec<_> = [attacker.jetstream.get_stream(name).await.is_ok()].into();
    assert_eq!(names, [false], "his stream is gone");
    assert_genuine(&hatch, &sent, &waiting).await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_stream_of_the_time_before_macs_ends_once_and_loses_nothing() {
    let mut hatch = Hatch::start_with(&Role::ALL, hurried).await;
    let attacker = Attacker::of(&hatch).await;
    let (waiting, _) = scheduled(&hatch, &attacker).await;
    let mut sent = deliver(&hatch, 3).await;
    hatch.stop().await;
    hatch.start_again(NOBODY_DISPATCHES).await;
    sent.extend(send(&hatch, 5).await);
    let head = published(&hatch).await;
    hatch.stop().await;
    let mut all = attacker.all(1, head).await;
    for message in &mut all {
        let mut headers = HeaderMap::new();
        for name in ["Hatch-Position", "Hatch-Event-Id"] {
            headers.insert(name, message.headers.get(name).expect("there").as_str());
        }
        message.headers = headers;
    }
    attacker.make_again(1, &all).await;

    hatch.start_again(&Role::ALL).await;
    delivered(&hatch, &sent).await;
    assert!(generation(&hatch, 2).await > head, "it begins at the head");
    sent.extend(deliver(&hatch, 3).await);
    published(&hatch).await;
    let generations = "SELECT max(generation)::bigint FROM es.bus_generations";
    assert_eq!(hatch.count(generations).await, 2, "once");
    assert_genuine(&hatch, &sent, &waiting).await;
    hatch.finish().await;
}

#[tokio::test]
async fn who_writes_again_and_again_makes_generations_few_and_holds_no_message_up() {
    let hatch = Hatch::start_with(&Role::ALL, hurried).await;
    let attacker = Attacker::of(&hatch).await;
    let (waiting, genuine) = scheduled(&hatch, &attacker).await;
    let mut sent = deliver(&hatch, 2).await;
    let mut pace = paced(Duration::from_millis(10));
    let attack = async {
        loop {
            pace.tick().await;
            // While there is no stream, nobody takes it.
            let subject = genuine.subject.to_string();
            if let Ok(stored) = attacker.jetstream.publish(subject, FORGED.into()).await {
                let _ = tokio::time::timeout(Duration::from_millis(100), stored).await;
            }
        }
    };
    let sending = async {
        let begun = tokio::time::Instant::now();
        let mut sent = Vec::new();
        while begun.elapsed() < Duration::from_secs(15) {
            sent.extend(deliver(&hatch, 2).await);
        }
        (sent, begun.elapsed())
    };
    let (more, took) = tokio::select! {
        () = attack => unreachable!("it goes on for ever"),
        sent = sending => sent,
    };
    sent.extend(more);
    let generations = "SELECT max(generation)::bigint FROM es.bus_generations";
    let generations = u64::try_from(hatch.count(generations).await).expect("positive");
    assert!((2..=2 + took.as_secs()).contains(&generations), "{generations} in {took:?}");
    assert!(met(&hatch).await >= generations - 1);

    ready(&hatch, "ready").await;
    sent.extend(deliver(&hatch, 3).await);
    let state = hatch.bus.stream_state().await.expect("answers");
    assert!(matches!(state, StreamState::Present { .. }), "{state:?}");
    assert_genuine(&hatch, &sent, &waiting).await;
    hatch.finish().await;
}
