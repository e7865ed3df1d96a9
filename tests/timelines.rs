//! Everything that happened in a conversation, as `GET /api/v1/conversations/{id}/events` shows it.

use std::collections::BTreeSet;

use hatch::roles::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::consent::{put, write};
use crate::harness::{CUSTOMER, Hatch, set_of};

async fn page(hatch: &Hatch, id: &str, query: &str) -> Value {
    let answer = hatch.get(&format!("/api/v1/conversations/{id}/events?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body
}

/// The positions of a page's events.
fn positions(page: &Value) -> Vec<i64> {
    let events = page["data"].as_array().expect("a list");
    events.iter().map(|event| event["position"].as_i64().expect("a number")).collect()
}

#[tokio::test]
async fn a_conversation_shows_the_events_of_its_messages_and_of_consent() {
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        set_of(settings, "twilio", "acts_on_words", json!(false));
        settings.consent.stop_text = Some("You get no more messages.".to_owned());
    })
    .await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    let message = hatch.message_with_status(&id, "delivered").await;
    let conversation = message["conversation_id"].as_str().expect("an id").to_owned();
    write(&hatch, CUSTOMER, "STOP").await;
    // Of another conversation, and of none.
    let other = hatch.send_sms("+18045551235", "Hello").await;
    hatch.message_with_status(&other, "delivered").await;
    put(&hatch, &json!({"address": CUSTOMER, "state": "opted_in"})).await;
    let head = hatch
        .eventually("the answer is delivered", async |hatch| {
            let list = hatch.get("/api/v1/messages?status=delivered&direction=outbound").await;
            let data = list.body["data"].as_array()?;
            // A receipt may overtake the answer, which brings the parts.
            let told = |message: &Value| message["segments"].is_number();
            (data.len() == 3 && data.iter().all(told)).then_some(())?;
            Some(hatch.log_length().await)
        })
        .await;

    let whole = page(&hatch, &conversation, &format!("after={head}")).await;
    assert_eq!(whole["next_cursor"], Value::Null);
    let sql = format!(
        "SELECT position FROM es.events WHERE conversation_id = '{conversation}' ORDER BY position"
    );
    let expected: Vec<i64> = hatch.rows(&sql).await.iter().map(|row| row.get(0)).collect();
    assert_eq!(positions(&whole), expected, "all of them and no others, oldest first");
    assert!(whole.to_string().contains("ConsentWithdrawn"), "{whole}");

    let (mut paged, mut cursor) = (Vec::new(), String::new());
    for n in 0..3 {
        let part = page(&hatch, &conversation, &format!("limit=1{cursor}")).await;
        paged.extend(positions(&part));
        match part["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => assert_eq!(n, 2, "three messages"),
        }
    }
    assert_eq!(paged.len(), expected.len(), "each once");
    assert_eq!(paged.into_iter().collect::<BTreeSet<_>>(), expected.into_iter().collect());

    let unknown = "/api/v1/conversations/9a2476e4-4694-8b3f-8121-f933c8b3c700/events";
    assert_eq!(hatch.get(unknown).await.status, StatusCode::NOT_FOUND);
    let wrong = hatch.get(&format!("/api/v1/conversations/{conversation}/events?cursor=x")).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(wrong.body["errors"][0]["pointer"], "?cursor", "{}", wrong.body);
    hatch.finish().await;
}
