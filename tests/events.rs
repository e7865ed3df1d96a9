//! An event has one shape, wherever it is met.

use std::collections::BTreeMap;

use hatch_bus::testing::jetstream;
use serde_json::Value;

use crate::generations::published;
use crate::harness::{CUSTOMER, Hatch};
use crate::live::Source;
use crate::tools::run;

/// An event by its position.
type Events = BTreeMap<i64, Value>;

fn by_position(events: impl IntoIterator<Item = Value>) -> Events {
    let position = |event: &Value| event["position"].as_i64().expect("a position");
    events.into_iter().map(|event| (position(&event), event)).collect()
}

fn of_lines(text: &str) -> Events {
    by_position(text.lines().map(|line| serde_json::from_str(line).expect("JSON")))
}

async fn one_by_one(hatch: &Hatch, head: i64) -> Events {
    let mut events = Vec::new();
    for position in 1..=head {
        events.push(hatch.get(&format!("/api/v1/events/{position}")).await.body);
    }
    by_position(events)
}

async fn on_nats(hatch: &Hatch, head: i64) -> Events {
    let settings = hatch.bus.settings();
    let jetstream = jetstream(&settings.url).await.expect("NATS");
    let name = format!("{}_EVENTS_1", settings.prefix.to_uppercase());
    let stream = jetstream.get_stream(name).await.expect("there");
    let mut events = Vec::new();
    for sequence in 1..=head {
        let message = stream.get_raw_message(sequence.unsigned_abs()).await.expect("stored");
        events.push(serde_json::from_slice(&message.payload).expect("JSON"));
    }
    by_position(events)
}

#[tokio::test]
async fn an_event_has_one_shape_wherever_it_is_met_and_none_has_the_claims_token() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "One shape").await;
    hatch.message_with_status(&id, "delivered").await;
    // The receipt may overtake the answer, which brings the parts.
    hatch
        .eventually("the answer is recorded, too", async |hatch| {
            let message = hatch.get(&format!("/api/v1/messages/{id}")).await.body;
            (message["segments"] == 1).then_some(())
        })
        .await;
    published(&hatch).await;
    let head = hatch.log_length().await;

    let listed = hatch.get(&format!("/api/v1/messages/{id}/events")).await;
    let of_message = by_position(listed.body["data"].as_array().expect("a list").clone());
    assert!(of_message.len() > 3, "{}", listed.body);
    let mut source = Source::open(&hatch, "/api/v1/events?from=0", None).await;
    let live = source.take(usize::try_from(head).expect("few")).await;
    let live = by_position(live.into_iter().map(|event| event.data));
    let (ok, exported) = run(&hatch, &["events", "export"]).await;
    assert!(ok, "{exported}");
    let (ok, shown) = run(&hatch, &["events", "show", &id]).await;
    assert!(ok, "{shown}");
    let (ok, tail) = run(&hatch, &["events", "tail", "-n", "1000", "--no-follow"]).await;
    assert!(ok, "{tail}");

    for (place, events) in [
        ("the live feed", &live),
        ("NATS", &on_nats(&hatch, head).await),
        ("an export", &of_lines(&exported)),
        ("the log's tail", &of_lines(&tail)),
        ("one by one", &one_by_one(&hatch, head).await),
    ] {
        assert_eq!(events.len() as i64, head, "{place}");
        assert_eq!(events, &live, "{place}");
        let same = events.iter().filter(|(_, event)| event["subject"] == id);
        assert!(same.eq(&of_message), "{place}");
    }
    assert_eq!(of_lines(&shown), of_message);

    let names: Vec<&str> = of_message.values().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(names[..2], ["hatch.MessageRequested.v1", "hatch.SendAttempted.v1"]);
    for event in of_message.values() {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["source"], "/hatch/00000000-0000-0000-0000-000000000001");
        assert!(event["data"].is_object() && event["data"]["token"].is_null(), "{event}");
    }
    // The log has it: whoever claimed the attempt finds its claim by it.
    let kept = "SELECT count(*) FROM es.events WHERE payload::jsonb ? 'token'";
    assert_eq!(hatch.count(kept).await, 1);
    hatch.finish().await;
}
