//! Who does not wish to be written to, is not: by words, by clients, and by what providers say.

use std::collections::HashMap;

use futures::{StreamExt, stream};
use hatch::roles::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::dispatch::NOBODY_DISPATCHES;
use crate::harness::{Answer, CUSTOMER, Hatch, SENDER, unique};

/// Recipients whose withdrawal races with a message to them; `HATCH_TEST_CONSENT_PAIRS` asks for others, up to 1,000.
const PAIRS: usize = 200;

/// Requests at a time.
const CLIENTS: usize = 16;

pub(crate) async fn consent(hatch: &Hatch, address: &str) -> Value {
    let address = address.replace('+', "%2B");
    let answer = hatch.get(&format!("/api/v1/consent?address={address}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body
}

pub(crate) async fn put(hatch: &Hatch, body: &Value) -> Answer {
    hatch.request(Method::PUT, "/api/v1/consent", &[], Some(body.to_string())).await
}

pub(crate) async fn write(hatch: &Hatch, from: &str, body: &str) {
    let inbound = json!({"provider": "twilio", "from": from, "to": SENDER, "body": body});
    assert_eq!(hatch.simulate_inbound(&inbound).await / 100, 2);
}

/// That the message failed without a call.
pub(crate) async fn assert_refused(hatch: &Hatch, id: &str) {
    let message = hatch.message_with_status(id, "failed").await;
    assert_eq!(message["error"]["code"], "opted_out", "{message}");
    assert_eq!(message["error"]["class"], "opted_out");
    assert_eq!(message["error"]["permanent"], true);
    assert_eq!(message["attempts"], 0);
    assert_eq!(hatch.event_types(id).await, ["MessageRequested", "MessageFailed"]);
}

#[tokio::test]
async fn whoever_writes_stop_is_written_to_no_more_until_start() {
    let hatch = Hatch::start().await;
    assert_eq!(consent(&hatch, CUSTOMER).await["state"], "unknown");
    write(&hatch, CUSTOMER, "please stop by later").await;
    let first = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&first, "delivered").await;

    write(&hatch, CUSTOMER, " Stop! ").await;
    let shown = consent(&hatch, CUSTOMER).await;
    assert_eq!((&shown["state"], &shown["allowed"]), (&json!("opted_out"), &json!(false)));
    assert_eq!((&shown["programme"], &shown["blocked_by"]), (&json!("sms"), &json!([])));
    let second = hatch.send_sms(CUSTOMER, "Hello again").await;
    assert_refused(&hatch, &second).await;
    // Another round asks again.
    let retried = hatch.post(&format!("/api/v1/messages/{second}/retry"), &json!({})).await;
    assert_eq!(retried.status.as_u16() / 100, 2, "{}", retried.body);
    hatch
        .eventually("the second round fails, too", async |hatch| {
            (hatch.event_types(&second).await.len() == 4).then_some(())
        })
        .await;

    write(&hatch, CUSTOMER, "help").await;
    assert_eq!(consent(&hatch, CUSTOMER).await["state"], "opted_out");
    write(&hatch, CUSTOMER, "START").await;
    assert_eq!(consent(&hatch, CUSTOMER).await["state"], "opted_in");
    let third = hatch.send_sms(CUSTOMER, "Welcome back").await;
    hatch.message_with_status(&third, "delivered").await;
    hatch.assert_each_sent_once(&[first, third]).await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_word_and_its_message_are_one_append_and_a_repeat_of_the_webhook_is_none() {
    let hatch = Hatch::start().await;
    let stop = json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "STOP",
        "provider_message_id": format!("SM{}", unique())});
    assert_eq!(hatch.simulate_inbound(&stop).await / 100, 2);
    let rows = hatch
        .rows(
            "SELECT type, aggregate, conversation_id, recorded_at FROM es.events ORDER BY position",
        )
        .await;
    let types: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [("MessageReceived", "message"), ("ConsentWithdrawn", "consent")];
    assert_eq!(types, expected.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    // So the live feed of the conversation shows it.
    assert_eq!(rows[0].get::<_, Uuid>(2), rows[1].get::<_, Uuid>(2));
    let at = |n: usize| rows[n].get::<_, chrono::DateTime<chrono::Utc>>(3);
    assert_eq!(at(0), at(1), "one transaction");

    write(&hatch, CUSTOMER, "START").await;
    assert_eq!(hatch.simulate_inbound(&stop).await / 100, 2, "an old webhook again");
    assert_eq!(consent(&hatch, CUSTOMER).await["state"], "opted_in");
    hatch.finish().await;
}

#[tokio::test]
async fn a_withdrawal_between_request_and_claim_is_not_overtaken() {
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, |_| {}).await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    let other = hatch.send_sms("+18045551235", "Hello").await;
    let out = json!({"address": CUSTOMER, "state": "opted_out", "evidence": "on the phone"});
    let answer = put(&hatch, &out).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    // The delivery says nothing of the withdrawal.
    hatch.start_more(&[Role::Dispatcher]).await;
    assert_refused(&hatch, &id).await;
    hatch.message_with_status(&other, "delivered").await;
    hatch.assert_each_sent_once(&[other]).await;
    hatch.finish().await;
}

#[tokio::test]
async fn no_message_is_attempted_after_a_committed_withdrawal() {
    let asked = std::env::var("HATCH_TEST_CONSENT_PAIRS").ok().and_then(|text| text.parse().ok());
    let pairs = asked.unwrap_or(PAIRS).min(1_000);
    let hatch = Hatch::start().await;
    // None of the endings that the simulator acts upon.
    let addresses: Vec<String> = (0..pairs).map(|n| format!("+18045561{n:03}")).collect();
    let ids: Vec<String> = stream::iter(&addresses)
        .map(async |address| {
            let out = json!({"address": address, "state": "opted_out"});
            let (id, answer) = futures::join!(hatch.send_sms(address, "Hello"), put(&hatch, &out));
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
            id
        })
        .buffer_unordered(CLIENTS)
        .collect()
        .await;
    let open = "SELECT count(*) FROM rm.messages \
        WHERE status NOT IN ('delivered', 'failed')";
    hatch
        .eventually("every message has come to its end", async |hatch| {
            let shown = hatch.count("SELECT count(*) FROM rm.messages").await;
            let settled = hatch.count(open).await == 0;
            (settled && shown == i64::try_from(pairs).expect("few")).then_some(())
        })
        .await;
    let rows = hatch
        .rows(
            "SELECT position, stream_id, type, payload #>> '{to,0}', payload ->> 'address' \
               FROM es.events WHERE type IN ('MessageRequested', 'SendAttempted', 'ConsentWithdrawn') \
              ORDER BY position",
        )
        .await;
    let (mut recipients, mut withdrawn): (HashMap<Uuid, String>, HashMap<String, i64>) =
        (HashMap::new(), HashMap::new());
    let (mut attempted, mut late) = (0, Vec::new());
    for row in &rows {
        let (position, stream, name): (i64, Uuid, &str) = (row.get(0), row.get(1), row.get(2));
        match name {
            "MessageRequested" => drop(recipients.insert(stream, row.get(3))),
            "ConsentWithdrawn" => drop(withdrawn.insert(row.get(4), position)),
            _ => {
                attempted += 1;
                if let Some(before) = withdrawn.get(&recipients[&stream]) {
                    late.push((before.to_owned(), position, stream));
                }
            }
        }
    }
    assert_eq!(late, [], "attempted after the withdrawal");
    assert_eq!((withdrawn.len(), ids.len()), (pairs, pairs));
    assert_eq!(hatch.record().await.len(), attempted, "nobody was called without an attempt");
    println!("{attempted} of {pairs} were attempted before the withdrawal");
    hatch.finish().await;
}

#[tokio::test]
async fn a_refusal_of_the_providers_is_a_block_that_only_the_provider_lifts() {
    const OPTED_OUT: &str = "+18045550610";
    let hatch = Hatch::start().await;
    let first = hatch.send_sms(OPTED_OUT, "Hello").await;
    let refused = hatch.message_with_status(&first, "failed").await;
    assert_eq!(refused["error"]["code"], "21610", "what the provider said");
    let shown = consent(&hatch, OPTED_OUT).await;
    assert_eq!((&shown["state"], &shown["allowed"]), (&json!("unknown"), &json!(false)));
    assert_eq!(shown["blocked_by"][0]["provider"], "twilio");
    let second = hatch.send_sms(OPTED_OUT, "Hello").await;
    assert_refused(&hatch, &second).await;

    let wished = put(&hatch, &json!({"address": OPTED_OUT, "state": "opted_in"})).await;
    assert_eq!(wished.body["allowed"], false, "a wish lifts no block");
    let third = hatch.send_sms(OPTED_OUT, "Hello").await;
    assert_refused(&hatch, &third).await;

    // Twilio acts on the word by itself.
    write(&hatch, OPTED_OUT, "START").await;
    assert_eq!(consent(&hatch, OPTED_OUT).await["blocked_by"], json!([]));
    let fourth = hatch.send_sms(OPTED_OUT, "Hello").await;
    assert_eq!(hatch.message_with_status(&fourth, "failed").await["attempts"], 1);
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_that_is_dropped_for_a_suppression_is_the_last_one() {
    const OPTED_OUT: &str = "optout@example.com";
    let hatch = Hatch::start().await;
    let send = async |to: Value| {
        let mail = json!({"to": to, "subject": "Hello", "body": "Hello"});
        hatch.post("/api/v1/messages", &mail).await.text("id").to_owned()
    };
    let first = send(json!(OPTED_OUT)).await;
    let dropped = hatch.message_with_status(&first, "failed").await;
    assert_eq!(dropped["error"]["class"], "opted_out", "{dropped}");
    let shown = consent(&hatch, OPTED_OUT).await;
    assert_eq!((&shown["programme"], &shown["state"]), (&json!("email"), &json!("unknown")));
    assert_eq!(shown["blocked_by"][0]["provider"], "sendgrid");
    // One of several recipients is enough: the mail is the same for all.
    let second = send(json!(["ann@example.com", OPTED_OUT])).await;
    assert_refused(&hatch, &second).await;
    hatch.finish().await;
}
