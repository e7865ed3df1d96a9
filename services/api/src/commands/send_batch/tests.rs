//! How many messages a batch holds.

use axum::http::StatusCode;
use serde_json::json;

use crate::testing::{Api, CUSTOMER, SENDER};

#[tokio::test]
async fn a_batch_holds_a_thousand_and_no_more() {
    let api = Api::start().await;
    let batch = |count: usize| {
        let one = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
        json!({"messages": vec![one; count]})
    };
    for count in [0, 1_001] {
        let answer = api.post("/api/v1/messages/batch", &batch(count)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.body["errors"][0]["pointer"], "/messages");
    }
    assert_eq!(api.log_length().await, 0);
    let answer = api.post("/api/v1/messages/batch", &batch(1_000)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let data = answer.body["data"].as_array().expect("a list");
    assert!(data.iter().all(|item| item["status"] == "queued"), "{data:?}");
    assert_eq!(api.log_length().await, 1_000);
    assert_eq!(answer.header("hatch-position"), "1000");
}
