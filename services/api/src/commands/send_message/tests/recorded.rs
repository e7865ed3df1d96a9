//! What the log holds of each channel's messages.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::testing::{Answer, Api, CUSTOMER, MAILBOX, OTHER_MAILBOX, SENDER};

async fn accepted(api: &Api, request: &Value) -> Answer {
    let answer = api.post("/api/v1/messages", request).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{request}: {}", answer.body);
    assert_eq!(answer.header("hatch-position"), answer.body["position"].to_string());
    answer
}

/// What the log holds of the request.
async fn requested(api: &Api, answer: &Answer) -> Value {
    let events = api.get(&format!("/api/v1/messages/{}/events", answer.text("id"))).await;
    let first = &events.body["data"][0];
    assert_eq!(first["type"], "hatch.MessageRequested.v1", "{}", events.body);
    first["data"].clone()
}

fn mail() -> Value {
    json!({"from": MAILBOX, "to": OTHER_MAILBOX, "subject": "Hello", "body": "A text"})
}

#[tokio::test]
async fn an_email_is_recorded_with_all_that_it_says() {
    let api = Api::start().await;
    let answer = accepted(
        &api,
        &json!({
            "from": "[User@UseHatchApp.com](mailto:User@UseHatchApp.com)",
            "to": ["Contact@Gmail.com", "second@example.com", "contact@gmail.com"],
            "subject": "Grüße", "body": "text", "html": "<b>text</b>", "topic": "invoice",
            "cc": "cc@example.com", "bcc": ["bcc@example.com", "cc@example.com"],
            "reply_to": "answers@example.com", "headers": {"X-Campaign": "autumn"},
            "in_reply_to": "<old@elsewhere.example>", "priority": "high",
            "attachments": [
                "https://example.com/a.jpg",
                {"url": "https://example.com/b.pdf", "filename": "b.pdf"},
                {"filename": "c.txt", "content_type": "text/plain", "content": "aGVsbG8="},
            ],
        }),
    )
    .await;
    assert_eq!(answer.body["channel"], "email");
    assert_eq!(answer.body["status"], "queued");
    let event = requested(&api, &answer).await;
    assert_eq!(event["from"], "User@usehatchapp.com");
    // One mailbox gets it once, as it was written first.
    assert_eq!(event["to"], json!(["Contact@gmail.com", "second@example.com"]));
    let email = &event["email"];
    assert_eq!(email["subject"], "Grüße");
    assert_eq!(email["html"], "<b>text</b>");
    assert_eq!(email["cc"], json!(["cc@example.com"]));
    assert_eq!(email["bcc"], json!(["bcc@example.com"]), "nobody gets it twice");
    assert_eq!(email["reply_to"], "answers@example.com");
    assert_eq!(email["headers"], json!({"X-Campaign": "autumn"}));
    assert_eq!(email["in_reply_to"], "old@elsewhere.example");
    assert_eq!(email["references"], json!(["old@elsewhere.example"]));
    let id = format!("{}.{}@127.0.0.1", answer.text("id"), answer.text("conversation_id"));
    assert_eq!(email["mail_id"], id);
    assert_eq!(event["topic"], "invoice");
    assert_eq!(event["attachments"][0]["url"], "https://example.com/a.jpg");
    assert_eq!(event["attachments"][2]["content"], "aGVsbG8=");
    let path = format!("/api/v1/messages/{}", answer.text("id"));
    assert_eq!(api.get(&path).await.body["channel"], "email");
}

#[tokio::test]
async fn an_email_needs_no_subject_and_no_text_beside_html() {
    let api = Api::start().await;
    let answer =
        accepted(&api, &json!({"from": MAILBOX, "to": OTHER_MAILBOX, "html": "<p>x</p>"})).await;
    let event = requested(&api, &answer).await;
    assert_eq!(event["email"]["subject"], "(no subject)");
    assert_eq!(event["body"], json!(null));
}

#[tokio::test]
async fn an_answer_to_our_own_mail_joins_its_conversation() {
    let api = Api::start().await;
    let first = accepted(&api, &mail()).await;
    let mail_id = requested(&api, &first).await["email"]["mail_id"].clone();
    let mut answer = mail();
    answer["to"] = json!("somebody-else@example.com");
    let apart = accepted(&api, &answer).await;
    assert_ne!(apart.text("conversation_id"), first.text("conversation_id"));
    answer["in_reply_to"] = mail_id;
    let joined = accepted(&api, &answer).await;
    assert_eq!(joined.text("conversation_id"), first.text("conversation_id"));
    // A name proves nothing: its message has to be there and of that conversation.
    let conversation = first.text("conversation_id");
    for (message, of) in [
        (first.text("id"), "9a2476e4-4694-8b3f-8121-f933c8b3c73b"),
        ("0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11", conversation),
    ] {
        answer["in_reply_to"] = json!(format!("<{message}.{of}@usehatchapp.com>"));
        let forged = accepted(&api, &answer).await;
        assert_eq!(forged.text("conversation_id"), apart.text("conversation_id"));
    }
}

#[tokio::test]
async fn participants_and_topic_make_the_conversation() {
    let api = Api::start().await;
    let conversation = async |change: Value| {
        let mut request = mail();
        request
            .as_object_mut()
            .expect("an object")
            .extend(change.as_object().expect("one").clone());
        accepted(&api, &request).await.text("conversation_id").to_owned()
    };
    let plain = conversation(json!({})).await;
    let turned = conversation(json!({"from": OTHER_MAILBOX, "to": MAILBOX})).await;
    assert_eq!(turned, plain, "whoever writes");
    assert_eq!(conversation(json!({"cc": "cc@example.com"})).await, plain, "copies do not count");
    assert_eq!(conversation(json!({"topic": ""})).await, plain, "an empty topic is none");
    let topic = conversation(json!({"topic": "invoice"})).await;
    assert_ne!(topic, plain);
    assert_eq!(conversation(json!({"topic": "invoice", "subject": "Other"})).await, topic);
}

#[tokio::test]
async fn an_mms_takes_files_and_needs_no_text() {
    let api = Api::start().await;
    let files: Vec<String> = (0..10).map(|n| format!("https://example.com/{n}.jpg")).collect();
    let request = json!({"from": SENDER, "to": CUSTOMER, "attachments": files});
    let answer = accepted(&api, &request).await;
    assert_eq!(answer.body["channel"], "mms");
    assert_eq!(answer.body["conversation_id"], "9a2476e4-4694-8b3f-8121-f933c8b3c73b");
    let event = requested(&api, &answer).await;
    assert_eq!(event["attachments"].as_array().map(Vec::len), Some(10));
    assert_eq!(event["body"], json!(null));
    let named = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "attachments": files});
    assert_eq!(accepted(&api, &named).await.body["channel"], "mms");
}

#[tokio::test]
async fn channels_of_later_are_refused_as_not_available_yet() {
    let api = Api::start().await;
    for channel in ["whatsapp", "voice", "voicemail"] {
        for field in ["channel", "type"] {
            let request = json!({field: channel, "from": SENDER, "to": CUSTOMER, "body": "Hi"});
            let answer = api.post("/api/v1/messages", &request).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            assert_eq!(answer.body["errors"][0]["pointer"], format!("/{field}"));
            assert!(answer.text("detail").contains("not available yet"), "{}", answer.body);
        }
    }
    assert_eq!(api.log_length().await, 0);
}
