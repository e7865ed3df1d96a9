//! Messages and conversations as they were.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Answer, CUSTOMER, Hatch, SENDER};

async fn message_at(hatch: &Hatch, id: &str, at: &str) -> Answer {
    hatch.get(&format!("/api/v1/messages/{id}?at={}", at.replace('+', "%2B"))).await
}

async fn conversation_at(hatch: &Hatch, id: &str, at: &str) -> Answer {
    hatch.get(&format!("/api/v1/conversations/{id}?at={}", at.replace('+', "%2B"))).await
}

async fn events(hatch: &Hatch, id: &str) -> Vec<Value> {
    let answer = hatch.get(&format!("/api/v1/messages/{id}/events")).await;
    answer.body["data"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_message_is_shown_as_it_was_at_each_event_of_its_life() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "a life").await;
    let now = hatch.message_with_status(&id, "delivered").await;
    let events = events(&hatch, &id).await;
    let mut statuses = Vec::new();
    for event in &events {
        let by_position = message_at(&hatch, &id, &event["position"].to_string()).await;
        assert_eq!(by_position.status, StatusCode::OK, "{}", by_position.body);
        assert_eq!(by_position.body["position"], event["position"]);
        let time = event["time"].as_str().expect("a time");
        // One commit may hold several events.
        let same = events.iter().rfind(|one| one["time"] == time).expect("itself");
        for time in [time.to_owned(), time.replace('Z', "+00:00")] {
            assert_eq!(message_at(&hatch, &id, &time).await.body["position"], same["position"]);
        }
        statuses.push(by_position.text("status").to_owned());
    }
    // A receipt may overtake the provider's answer.
    assert!(["sent", "delivered"].contains(&statuses[2].as_str()), "{statuses:?}");
    statuses.remove(2);
    assert_eq!(statuses, ["queued", "sending", "delivered"]);
    let last = events.last().expect("events")["position"].to_string();
    assert_eq!(message_at(&hatch, &id, &last).await.body, now, "the same as without a moment");

    let first = events[0]["position"].as_i64().expect("a position");
    for before in [(first - 1).to_string(), "0".into(), "2020-01-01T00:00:00Z".into()] {
        assert_eq!(message_at(&hatch, &id, &before).await.status, StatusCode::NOT_FOUND);
    }
    let stranger = uuid::Uuid::nil().to_string();
    assert_eq!(message_at(&hatch, &stranger, &last).await.status, StatusCode::NOT_FOUND);
    hatch.finish().await;
}

#[tokio::test]
async fn a_conversation_is_shown_as_it_was_at_each_of_its_messages() {
    let hatch = Hatch::start().await;
    let mut sent = Vec::new();
    for text in ["one", "two"] {
        let body = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": text});
        sent.push(hatch.post("/api/v1/messages", &body).await);
    }
    let inbound = json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "three"});
    assert_eq!(hatch.simulate_inbound(&inbound).await / 100, 2);
    let list = hatch
        .eventually("all three are there", async |hatch| {
            let list = hatch.get("/api/v1/messages").await.body;
            (list["data"].as_array().map(Vec::len) == Some(3)).then_some(list)
        })
        .await;
    let id = list["data"][0]["conversation_id"].as_str().expect("an id");
    let now = hatch.get(&format!("/api/v1/conversations/{id}")).await.body;
    let head = hatch.log_length().await.to_string();
    assert_eq!(conversation_at(&hatch, id, &head).await.body, now);

    for (n, message) in (1..).zip(list["data"].as_array().expect("a list").iter().rev()) {
        let first = &events(&hatch, message["id"].as_str().expect("an id")).await[0];
        let then = conversation_at(&hatch, id, &first["position"].to_string()).await;
        assert_eq!(then.status, StatusCode::OK, "{}", then.body);
        assert_eq!(then.body["message_count"], n);
        assert_eq!(then.body["last_message"]["id"], message["id"]);
        let time = first["time"].as_str().expect("a time");
        let by_time = conversation_at(&hatch, id, time).await.body;
        // Both were asked for within moments: their first events may be of one commit.
        assert!(by_time["message_count"].as_i64() >= then.body["message_count"].as_i64());
    }
    let before = sent[0].body["position"].as_i64().expect("a position") - 1;
    let before = conversation_at(&hatch, id, &before.to_string()).await;
    assert_eq!(before.status, StatusCode::NOT_FOUND);
    hatch.finish().await;
}

#[tokio::test]
async fn a_moment_that_is_malformed_or_in_the_future_is_refused_by_name() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "now").await;
    let message = hatch.message_with_status(&id, "delivered").await;
    let conversation = message["conversation_id"].as_str().expect("an id");
    let beyond = (hatch.log_length().await + 1_000).to_string();
    for at in
        ["", "yesterday", "-1", "1.5", "2026-13-01T00:00:00Z", "9999-01-01T00:00:00Z", &beyond]
    {
        let answers =
            [message_at(&hatch, &id, at).await, conversation_at(&hatch, conversation, at).await];
        for answer in answers {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{at:?}: {}", answer.body);
            assert_eq!(answer.body["errors"][0]["pointer"], "?at", "{}", answer.body);
        }
    }
    hatch.finish().await;
}
