//! The live feed, as an `EventSource` would read it.

use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use hatch::roles::Role;
use hatch_bus::Bus;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{CUSTOMER, Hatch, SENDER};

const PATIENCE: Duration = Duration::from_secs(120);

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: i64,
    name: String,
    pub(crate) data: Value,
}

/// An open stream.
pub(crate) struct Source {
    bytes: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    text: String,
    events: VecDeque<Event>,
}

impl Source {
    pub(crate) async fn open(hatch: &Hatch, path: &str, last_event_id: Option<i64>) -> Self {
        Self::of(ask(hatch, path, last_event_id).await)
    }

    /// The stream that was answered.
    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = response.bytes_stream().map(|chunk| chunk.map(|chunk| chunk.to_vec())).boxed();
        Self { bytes, text: String::new(), events: VecDeque::new() }
    }

    /// The next event; none at the stream's end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let chunk = timeout(PATIENCE, self.bytes.next()).await.expect("something comes")?;
            let chunk = chunk.ok()?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("events are ASCII here"));
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                self.events.extend(event);
            }
        }
    }

    pub(crate) async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await.expect("the stream goes on"));
        }
        events
    }

    pub(crate) async fn until(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        while events.last().is_none_or(|event: &Event| event.name != name) {
            events.push(self.next().await.expect("the stream goes on"));
        }
        events
    }
}

/// None for a comment.
fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let values = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        values.collect::<Vec<_>>().join("\n")
    };
    let data = field("data");
    (!data.is_empty()).then(|| Event {
        id: field("id").parse().expect("a position"),
        name: field("event"),
        data: serde_json::from_str(&data).expect("JSON"),
    })
}

async fn ask(hatch: &Hatch, path: &str, last_event_id: Option<i64>) -> Response {
    let mut request = hatch.with_key(hatch.http.get(format!("{}{path}", hatch.url)));
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    request.send().await.expect("hatch answers")
}

pub(crate) fn ids(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn a_stream_begins_at_the_head_and_brings_what_travels_the_bus() {
    let hatch = Hatch::start().await;
    let before = hatch.send_sms(CUSTOMER, "before").await;
    hatch.message_with_status(&before, "delivered").await;
    let head = hatch.log_length().await;
    let mut source = Source::open(&hatch, "/api/v1/events", None).await;
    let id = hatch.send_sms(CUSTOMER, "Grüße\r\n\"live\"").await;
    let events = source.until("MessageDelivered").await;
    let positions = head + 1..=head + i64::try_from(events.len()).expect("few");
    assert_eq!(ids(&events), positions.collect::<Vec<_>>());
    assert_eq!(events[0].name, "MessageRequested");
    assert!(events.iter().all(|event| event.data["subject"] == id));

    let bus = Bus::connect(hatch.settings.bus().expect("settings")).await.expect("NATS");
    hatch.trust(&bus).await;
    let mut follow = bus.follow(head + 1);
    for event in events {
        let envelope = timeout(PATIENCE, follow.next()).await.expect("it is on the bus");
        let travelling: Value = serde_json::to_value(envelope.travelling()).expect("JSON");
        assert_eq!(event.data, travelling);
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let hatch = Hatch::start().await;
    for n in 0..5 {
        hatch.send_sms(CUSTOMER, &format!("number {n}")).await;
    }
    let mut positions = Vec::new();
    let mut source = Source::open(&hatch, "/api/v1/events?from=0", None).await;
    positions.extend(ids(&source.take(3).await));
    drop(source);
    for n in 0..5 {
        hatch.send_sms(CUSTOMER, &format!("number {n}")).await;
        // As a browser does it: the URL that it began with, and where it was.
        let last = positions.last().copied();
        let mut source = Source::open(&hatch, "/api/v1/events?from=0", last).await;
        positions.extend(ids(&source.take(2).await));
    }
    let from = positions.last().expect("some");
    let mut source = Source::open(&hatch, &format!("/api/events?from={from}"), None).await;
    positions.extend(ids(&source.take(5).await));
    assert_eq!(positions, (1..=18).collect::<Vec<_>>());
    hatch.finish().await;
}

#[tokio::test]
async fn a_reader_far_behind_gets_the_whole_log_while_more_is_written() {
    let hatch = Hatch::start().await;
    let sends = (0..100).map(|n| hatch.send_sms(CUSTOMER, if n % 2 == 0 { "even" } else { "odd" }));
    futures::future::join_all(sends).await;
    let mut slow = Source::open(&hatch, "/api/v1/events?from=0", None).await;
    slow.take(1).await;
    let position = |text: &Value| text.as_i64().expect("a position");
    hatch
        .eventually("everything is delivered", async |hatch| {
            let list = hatch.get("/api/v1/messages?status=delivered&limit=200").await;
            (list.body["data"].as_array()?.len() == 100).then_some(())
        })
        .await;
    let end = hatch.log_length().await;
    let rest = slow.take(usize::try_from(end - 1).expect("positive")).await;
    assert_eq!(ids(&rest), (2..=end).collect::<Vec<_>>());
    assert!(rest.iter().all(|event| position(&event.data["position"]) == event.id));
    hatch.finish().await;
}

#[tokio::test]
async fn only_the_conversation_and_the_types_that_were_asked_for_come() {
    let hatch = Hatch::start().await;
    let (mine, theirs) = (CUSTOMER, "+18045559876");
    let first = hatch.send_sms(mine, "Hello").await;
    hatch.message_with_status(&first, "delivered").await;
    let message = hatch.get(&format!("/api/v1/messages/{first}")).await;
    let conversation = message.text("conversation_id");
    let path = format!(
        "/api/v1/events?conversation={conversation}&types=MessageRequested,MessageDelivered"
    );
    let mut source = Source::open(&hatch, &path, None).await;
    hatch.send_sms(theirs, "for another").await;
    let id = hatch.send_sms(mine, "Hello again").await;
    let events = source.take(2).await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["MessageRequested", "MessageDelivered"]);
    assert!(events.iter().all(|event| event.data["subject"] == id));
    assert!(events.iter().all(|event| event.data["conversationid"] == conversation));
    hatch.finish().await;
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_with_the_parameters_name() {
    let hatch = Hatch::start().await;
    let cases = [
        ("?types=MessageTeleported", None, "?types"),
        ("?types=", None, "?types"),
        ("?conversation=nobody", None, "?conversation"),
        ("?from=-1", None, "?from"),
        ("?from=abc", None, "?from"),
        ("?colour=red", None, "?"),
        ("?from=1000000", None, ""),
        ("", Some(-5), "Last-Event-ID"),
    ];
    for (query, last_event_id, pointer) in cases {
        for path in ["/api/v1/events", "/api/events"] {
            let answer = ask(&hatch, &format!("{path}{query}"), last_event_id).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
            let problem: Value = answer.json().await.expect("a problem");
            let named = problem["errors"][0]["pointer"].as_str().expect("a pointer");
            assert!(named.starts_with(pointer), "{query}: {problem}");
        }
    }
    hatch.finish().await;
}

#[tokio::test]
async fn streams_end_with_the_process_and_at_once() {
    let mut hatch = Hatch::start().await;
    let mut source = Source::open(&hatch, "/api/v1/events", None).await;
    let (ended, ()) = tokio::join!(source.next(), hatch.stop());
    assert_eq!(ended, None);
    hatch.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_that_read_a_large_log_leave_the_log_to_others() {
    const LARGE: usize = 12;
    let roles = [Role::Command, Role::Query, Role::Relay];
    let hatch = Hatch::start_with(&roles, |_| {}).await;
    let mail = json!({"to": "reader@example.com", "body": "x".repeat(900_000)});
    let mut id = String::new();
    for _ in 0..LARGE {
        id = hatch.post("/api/v1/messages", &mail).await.text("id").to_owned();
    }
    let streams = (0..60).map(async |_| Source::open(&hatch, "/api/v1/events?from=0", None).await);
    let streams = futures::future::join_all(streams).await;
    let reading = streams.into_iter().map(async |mut stream| stream.take(LARGE).await.len());
    let reading = futures::future::join_all(reading);
    let others = async {
        let (mut slowest, mut path) = (Duration::ZERO, format!("/api/v1/messages/{id}/events"));
        for n in 0..20 {
            let began = std::time::Instant::now();
            let answer = hatch.get(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{n}: {}", answer.body);
            slowest = slowest.max(began.elapsed());
            path = format!("/api/v1/events/{}", n % LARGE + 1);
        }
        slowest
    };
    let began = std::time::Instant::now();
    let (taken, slowest) = tokio::join!(reading, others);
    eprintln!("others {slowest:?}, streams {:?}", began.elapsed());
    assert!(taken.iter().all(|taken| *taken == LARGE), "{taken:?}");
    hatch.finish().await;
}

#[tokio::test]
async fn one_stream_too_many_is_told_to_come_back() {
    // All from one address, which may have a quarter of them.
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        settings.limits.live_streams_max = Some(80);
    })
    .await;
    let mut open = Vec::new();
    let refused = loop {
        let answer = ask(&hatch, "/api/v1/events", None).await;
        if answer.status() != StatusCode::OK {
            break answer;
        }
        open.push(answer);
        assert!(open.len() <= 20, "there is a limit");
    };
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    open.pop();
    hatch
        .eventually("the place is free again", async |hatch| {
            let answer = ask(hatch, "/api/v1/events", None).await;
            (answer.status() == StatusCode::OK).then_some(())
        })
        .await;
    drop(open);
    hatch.finish().await;
}

#[tokio::test]
async fn one_event_can_be_had_by_its_position() {
    let hatch = Hatch::start().await;
    let request = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let accepted = hatch.post("/api/v1/messages", &request).await;
    let position = accepted.header("hatch-position");
    let event = hatch.get(&format!("/api/v1/events/{position}")).await;
    assert_eq!(event.status, StatusCode::OK, "{}", event.body);
    assert_eq!(event.body["type"], "hatch.MessageRequested.v1");
    assert_eq!(event.body["data"]["body"], "Hello");
    for unknown in ["0", "-1", "100000", "x"] {
        let answer = hatch.get(&format!("/api/v1/events/{unknown}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{unknown}");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_stream_on_which_nothing_happens_has_a_heartbeat_each_15_seconds() {
    let hatch = Hatch::start().await;
    let opened = std::time::Instant::now();
    let mut bytes = ask(&hatch, "/api/v1/events", None).await.bytes_stream();
    let chunk = timeout(PATIENCE, bytes.next()).await.expect("something comes");
    let chunk = chunk.expect("the stream goes on").expect("readable");
    assert_eq!(&chunk[..], b": heartbeat\n\n");
    assert!(opened.elapsed() >= Duration::from_secs(14), "too soon: {:?}", opened.elapsed());
    hatch.finish().await;
}
