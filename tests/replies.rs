//! Answering in a conversation: it says by what channel, to whom, and which mail is answered.

use hatch::roles::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, CUSTOMER, Hatch, SENDER};

const SEND: &str = "/api/v1/messages";
const OURS: &str = "user@usehatchapp.com";
const ANN: &str = "ann@example.com";

async fn reply(hatch: &Hatch, conversation: &str, request: &Value) -> Answer {
    hatch.post(&format!("/api/v1/conversations/{conversation}/messages"), request).await
}

/// What the log holds of the request.
async fn requested(hatch: &Hatch, answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let events = hatch.get(&format!("{SEND}/{}/events", answer.text("id"))).await;
    events.body["data"][0]["data"].clone()
}

/// A message that came in; returns the conversation once it has so many messages.
async fn received(hatch: &Hatch, inbound: &Value, messages: u64) -> String {
    assert!((200..300).contains(&hatch.simulate_inbound(inbound).await));
    hatch
        .eventually("the message is in its conversation", async |hatch| {
            let from = inbound["from"].as_str().expect("a sender");
            let from =
                from.rsplit('<').next().expect("some").trim_end_matches('>').replace('+', "%2B");
            let list = hatch.get(&format!("/api/v1/conversations?participant={from}")).await;
            let conversation = &list.body["data"][0];
            (conversation["message_count"] == messages)
                .then(|| conversation["id"].as_str().expect("an id").to_owned())
        })
        .await
}

#[tokio::test]
async fn an_answer_to_a_mail_goes_on_with_its_thread() {
    let hatch = Hatch::start().await;
    let mail = json!({
        "from": format!("hatch <{OURS}>"), "to": ANN, "subject": "Your order", "body": "On its way",
    });
    let first = hatch.post(SEND, &mail).await;
    let first = hatch.message_with_status(first.text("id"), "delivered").await;
    let ours = first["message_id_header"].as_str().expect("a Message-ID");
    let inbound = json!({
        "provider": "sendgrid", "from": format!("Ann Lee <{ANN}>"), "to": format!("Shop <{OURS}>"),
        "subject": "Re: Your order", "body": "Thanks", "in_reply_to": ours, "references": [ours],
        "provider_message_id": "one@mail.example.com",
    });
    let conversation = received(&hatch, &inbound, 2).await;
    assert_eq!(first["conversation_id"], conversation);

    let answer = reply(&hatch, &conversation, &json!({"body": "You are welcome"})).await;
    assert_eq!(answer.text("conversation_id"), conversation);
    assert_eq!(answer.body["channel"], "email");
    assert_eq!(answer.header("location"), format!("{SEND}/{}", answer.text("id")));
    let event = requested(&hatch, &answer).await;
    assert_eq!((&event["from"], &event["to"]), (&json!(OURS), &json!([ANN])));
    let email = &event["email"];
    assert_eq!(email["subject"], "Re: Your order", "once");
    assert_eq!(email["in_reply_to"], "one@mail.example.com");
    let id = |header: &str| header.trim_matches(['<', '>']).to_owned();
    assert_eq!(email["references"], json!([id(ours), "one@mail.example.com"]));
    let message = hatch.message_with_status(answer.text("id"), "delivered").await;
    let people = json!([{"role": "to", "address": ANN, "name": "Ann Lee"}]);
    assert_eq!(message["people"], people, "as she calls herself");

    // Another goes on from there, and shows the name that we show.
    let request =
        json!({"conversation_id": conversation, "body": "One more thing", "subject": "More"});
    let another = hatch.post(SEND, &request).await;
    let event = requested(&hatch, &another).await;
    let before = message["message_id_header"].as_str().expect("a Message-ID");
    assert_eq!(event["email"]["in_reply_to"], id(before));
    assert_eq!(event["email"]["references"], json!([id(ours), "one@mail.example.com", id(before)]));
    assert_eq!(event["email"]["subject"], "More");
    hatch.message_with_status(another.text("id"), "delivered").await;
    let shown = hatch.get(&format!("/api/v1/conversations/{conversation}")).await;
    assert_eq!(shown.body["message_count"], 4);
    hatch.finish().await;
}

#[tokio::test]
async fn an_answer_to_a_mail_with_a_reply_to_and_a_topic_goes_where_it_says() {
    let hatch = Hatch::start().await;
    let mail =
        json!({"from": OURS, "to": [ANN, "bob@example.com"], "topic": "invoice", "body": "Hello"});
    let first = hatch.post(SEND, &mail).await;
    let conversation = first.text("conversation_id");
    let answer =
        reply(&hatch, conversation, &json!({"body": "And more", "cc": "cc@example.com"})).await;
    let event = requested(&hatch, &answer).await;
    assert_eq!(event["to"], json!([ANN, "bob@example.com"]));
    assert_eq!(
        (&event["topic"], &event["email"]["cc"]),
        (&json!("invoice"), &json!(["cc@example.com"]))
    );
    // The other side may answer, too: whoever migrates a mailbox writes for both.
    let other = reply(&hatch, conversation, &json!({"from": ANN, "body": "Thanks"})).await;
    assert_eq!(requested(&hatch, &other).await["to"], json!([OURS, "bob@example.com"]));
    assert_eq!(other.text("conversation_id"), conversation);
    hatch.finish().await;
}

#[tokio::test]
async fn a_text_message_is_answered_by_the_number_that_it_came_to() {
    let hatch = Hatch::start().await;
    let other = "+12016669999";
    let inbound = json!({"provider": "twilio", "from": CUSTOMER, "to": other, "body": "Hello?"});
    let conversation = received(&hatch, &inbound, 1).await;
    let answer = reply(&hatch, &conversation, &json!({"body": "Yes?"})).await;
    let event = requested(&hatch, &answer).await;
    assert_eq!((&event["from"], &event["to"]), (&json!(other), &json!([CUSTOMER])));
    assert_eq!(answer.body["channel"], "sms");
    assert_eq!(answer.text("conversation_id"), conversation);
    hatch.message_with_status(answer.text("id"), "delivered").await;

    let picture = json!({"from": SENDER, "attachments": ["https://example.com/a.jpg"]});
    let answer = reply(&hatch, &conversation, &picture).await;
    let event = requested(&hatch, &answer).await;
    assert_eq!((&event["from"], &event["channel"]), (&json!(SENDER), &json!("mms")));
    assert_eq!(event["to"], json!([CUSTOMER]));
    assert_eq!(answer.text("conversation_id"), conversation, "whoever of us writes");

    let batch = json!({"messages": [
        {"conversation_id": conversation, "body": "Also"},
        {"conversation_id": "0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11", "body": "Nowhere"},
    ]});
    let answer = hatch.post(&format!("{SEND}/batch"), &batch).await;
    let data = &answer.body["data"];
    assert_eq!(data[0]["conversation_id"], conversation, "{}", answer.body);
    assert_eq!(data[1]["error"]["status"], 404, "{}", answer.body);
    hatch.finish().await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_is_told_why() {
    let hatch = Hatch::start().await;
    let inbound = json!({"provider": "twilio", "from": "73822", "to": SENDER, "body": "Your code"});
    let code = received(&hatch, &inbound, 1).await;
    let answer = reply(&hatch, &code, &json!({"body": "Thanks"})).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
    assert_eq!(
        (&answer.body["code"], answer.text("detail").contains("73822")),
        (&json!("unanswerable"), true)
    );

    let inbound = json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "Hello?"});
    let conversation = received(&hatch, &inbound, 1).await;
    let recorded = hatch.log_length().await;
    for unknown in ["0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11", "not-a-uuid"] {
        let answer = reply(&hatch, unknown, &json!({"body": "Hello"})).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
    }
    for (request, pointer) in [
        (json!({}), "/body"),
        (json!({"body": "Hello", "to": CUSTOMER}), "/to"),
        (json!({"body": "Hello", "topic": "invoice"}), "/topic"),
        (json!({"body": "Hello", "subject": "Hi"}), "/subject"),
        (json!({"body": "Hello", "channel": "email"}), "/channel"),
        (json!({"body": "Hello", "from": "some_body"}), "/from"),
        (json!({"body": "x".repeat(1_601)}), "/body"),
    ] {
        let answer = reply(&hatch, &conversation, &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{request}: {}", answer.body);
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{request}: {}", answer.body);
    }
    for (request, pointer) in [
        (json!({"conversation_id": "one", "body": "Hello"}), "/conversation_id"),
        (json!({"conversation_id": conversation, "to": CUSTOMER, "body": "Hello"}), "/to"),
        (json!({"conversation_id": conversation, "topic": "x", "body": "Hello"}), "/topic"),
    ] {
        let answer = hatch.post(SEND, &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{request}: {}", answer.body);
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{request}: {}", answer.body);
    }
    assert_eq!(hatch.log_length().await, recorded, "nothing of these is recorded");
    hatch.finish().await;
}

#[tokio::test]
async fn an_answer_under_a_key_is_the_first_one_whatever_was_said_since() {
    let hatch = Hatch::start().await;
    let mail = |subject: &str| json!({"provider": "sendgrid", "from": ANN, "to": OURS, "subject": subject, "body": "Hello"});
    let conversation = received(&hatch, &mail("One"), 1).await;
    let send = async |path: &str, request: Value| {
        let key = [("idempotency-key", "answer-1")];
        hatch.request(Method::POST, path, &key, Some(request.to_string())).await
    };
    let path = format!("/api/v1/conversations/{conversation}/messages");
    let body = json!({"body": "Thanks"});
    let whole = json!({"conversation_id": conversation, "body": "Thanks"});
    let answers = [send(&path, body.clone()).await, send(SEND, whole.clone()).await];
    assert_eq!(requested(&hatch, &answers[0]).await["email"]["subject"], "Re: One");
    assert_ne!(answers[0].text("id"), answers[1].text("id"), "each endpoint has its own keys");
    received(&hatch, &mail("Two"), 4).await;
    for (answer, again) in answers.iter().zip([send(&path, body).await, send(SEND, whole).await]) {
        assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.body);
        assert_eq!(again.body, answer.body);
        assert_eq!(again.header("idempotent-replayed"), "true");
    }
    let other = send(&path, json!({"body": "Other"})).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", other.body);
    hatch.finish().await;
}

#[tokio::test]
async fn a_conversation_that_the_read_models_do_not_have_yet_is_not_said_to_be_none() {
    let hatch = Hatch::start_with(&[Role::Command, Role::Query], |_| {}).await;
    let first = hatch.post(SEND, &json!({"to": CUSTOMER, "body": "Hello"})).await;
    let answer = reply(&hatch, first.text("conversation_id"), &json!({"body": "And more"})).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.header("retry-after"), "1");
    hatch.finish().await;
}
