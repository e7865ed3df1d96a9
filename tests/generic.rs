//! Messages that come in as plain JSON, on the paths of older systems and on ours.

use hatch::roles::Role;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{CUSTOMER, Hatch, SENDER};

#[tokio::test]
async fn plain_json_comes_in_once_on_each_path_and_says_where_it_is_in_the_log() {
    let hatch = Hatch::start().await;
    let sms = json!({
        "from": CUSTOMER, "to": SENDER, "type": "sms", "messaging_provider_id": "message-1",
        "body": "Hi", "attachments": null, "timestamp": "2024-11-01T14:00:00Z",
    });
    let mail = json!({
        "from": "[customer@example.com](mailto:customer@example.com)",
        "to": "user@usehatchapp.com", "xillio_id": "message-1", "body": "<b>Hi</b>",
        "attachments": ["https://example.com/a.pdf"], "timestamp": "2024-11-01T14:00:00Z",
    });
    for (n, (path, request)) in [
        ("/api/webhooks/sms", &sms),
        ("/api/webhooks/email", &mail),
        ("/api/v1/webhooks/generic", &sms),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = hatch.post(path, request).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
        // The third repeats the first on another path: it adds nothing.
        let position = (n + 1).min(2).to_string();
        assert_eq!(answer.header("hatch-position"), position, "{path}");
    }
    let list = hatch.get("/api/v1/messages?direction=inbound&after=2").await;
    let data = list.body["data"].as_array().expect("a list");
    let channels: Vec<_> = data.iter().map(|message| &message["channel"]).collect();
    assert_eq!(channels, ["email", "sms"]);
    assert_eq!(data[0]["from"], "customer@example.com");
    assert_eq!(data[1]["from"], CUSTOMER);
    hatch.finish().await;
}

#[tokio::test]
async fn bad_plain_json_is_told_to_its_sender_and_records_nothing() {
    let hatch = Hatch::start().await;
    let good = json!({
        "from": CUSTOMER, "to": SENDER, "type": "sms", "messaging_provider_id": "m", "body": "Hi",
        "attachments": null, "timestamp": "2024-11-01T14:00:00Z",
    });
    for (field, value) in
        [("from", json!("nobody")), ("type", json!("pigeon")), ("colour", json!(1))]
    {
        let mut bad = good.clone();
        bad[field] = value;
        let answer = hatch.post("/api/webhooks/sms", &bad).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}: {}", answer.body);
        assert_eq!(answer.body["errors"][0]["pointer"], format!("/{field}"), "{}", answer.body);
    }
    assert_eq!(hatch.log_length().await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn where_no_secret_is_set_nobody_has_the_right_one() {
    let hatch = Hatch::start_with(&Role::ALL, |settings| settings.generic = None).await;
    for path in ["/api/webhooks/sms", "/api/webhooks/email", "/api/v1/webhooks/generic"] {
        let answer = hatch.post(path, &json!({"body": "Hi"})).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}: {}", answer.body);
        let detail = answer.body["detail"].as_str().expect("a sentence");
        assert!(detail.contains("generic.bearer_secret is not set"), "{detail}");
    }
    assert_eq!(hatch.log_length().await, 0);
    hatch.finish().await;
}
