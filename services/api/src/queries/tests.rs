//! Parameters of what clients read.

use axum::http::StatusCode;
use serde_json::json;

use crate::testing::{Api, CUSTOMER, SENDER};

#[tokio::test]
async fn bad_parameters_of_a_query_are_named() {
    let api = Api::start().await;
    let cases = [
        ("limit=0", "?limit"),
        ("limit=201", "?limit"),
        ("limit=1&limit=2", "?limit"),
        ("limit=many", "?limit"),
        ("cursor=garbage", "?cursor"),
        ("channel=pigeon", "?channel"),
        ("direction=sideways", "?direction"),
        ("status=lost", "?status"),
        ("participant=%2B1201CALL", "?participant"),
        ("conversation=x", "?conversation"),
        ("after=yesterday", "?after"),
        ("after=1&wait=31", "?wait"),
        ("colour=red", "?colour"),
    ];
    for path in ["projections", "messages/0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11/events"] {
        let answer = api.get(&format!("/api/v1/{path}?limit=1")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
    }
    // Of one that there is elsewhere, nothing is said of its value.
    for path in ["webhook-log?participant=x", "messages?from=42", "dead-letters?conversation=x"] {
        let answer = api.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
        let detail = answer.body["errors"][0]["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with("unknown parameter"), "{path}: {detail}");
    }
    // A key in the wrong place would protect nobody.
    let send = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let misplaced = api.post("/api/v1/messages?Idempotency-Key=abc", &send).await;
    assert_eq!(misplaced.status, StatusCode::BAD_REQUEST, "{}", misplaced.body);
    assert_eq!(misplaced.pointers(), ["?Idempotency-Key"]);
    assert_eq!(api.log_length().await, 0, "nothing was recorded");
    for (query, parameter) in cases {
        let answer = api.get(&format!("/api/v1/messages?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {}", answer.body);
        assert_eq!(answer.pointers(), [parameter], "{query}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_mail_has_a_row_for_each_recipient_from_its_beginning() {
    let api = Api::start().await;
    let mail = json!({"to": ["ann@example.com", "Bob@Example.com"], "cc": ["cy@example.com"],
        "subject": "Hello", "body": "Hello"});
    let sent = api.post("/api/v1/messages", &mail).await;
    let path = format!("/api/v1/messages/{}/recipients", sent.body["id"].as_str().expect("an id"));
    let answer = api.get(&path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["next_cursor"], json!(null));
    let rows = answer.body["data"].as_array().expect("a list");
    let shown: Vec<_> = rows.iter().map(|one| (&one["address"], &one["role"])).collect();
    let expected = [("ann@example.com", "to"), ("Bob@example.com", "to"), ("cy@example.com", "cc")];
    let expected = expected.map(|(address, role)| (json!(address), json!(role)));
    assert_eq!(shown, expected.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>());
    for row in rows {
        assert_eq!((&row["status"], &row["error"]), (&json!("queued"), &json!(null)), "{row}");
        for key in ["at", "complained_at", "unsubscribed_at"] {
            assert!(row.get(key).is_some(), "{key}: {row}");
        }
    }
    assert_eq!(api.get(&format!("{path}?limit=1")).await.status, StatusCode::BAD_REQUEST);
    let unknown = "/api/v1/messages/0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11/recipients";
    assert_eq!(api.get(unknown).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn filters_take_every_status_channel_and_kind_of_address_and_name_them_else() {
    let api = Api::start().await;
    let statuses = "scheduled queued sending retrying in_doubt sent undelivered partly_delivered failed \
        delivered read canceled received";
    let mut queries: Vec<String> =
        statuses.split_whitespace().map(|status| format!("status={status}")).collect();
    queries.extend(["sms", "mms", "email", "chat"].map(|channel| format!("channel={channel}")));
    queries.extend(["a%40x.com", "alice", "%2B12016661234"].map(|a| format!("participant={a}")));
    for query in queries {
        let answer = api.get(&format!("/api/v1/messages?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.body);
    }
    for (query, pointer) in [
        ("status=lost", "?status"),
        ("channel=pigeon", "?channel"),
        ("participant=%2B", "?participant"),
        ("participant=a%40", "?participant"),
    ] {
        let answer = api.get(&format!("/api/v1/messages?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{query}");
    }
}

#[tokio::test]
async fn filters_of_the_audit_and_of_the_request_log_are_checked() {
    let api = Api::start().await;
    for (path, parameter) in [
        ("audit?from=yesterday", "?from"),
        ("audit?to=-001000-01-01T00:00:00Z", "?to"),
        ("audit?format=xml", "?format"),
        ("audit?actor=%00", "?actor"),
        ("audit?cursor=garbage", "?cursor"),
        ("audit?cursor=garbage&format=ndjson", "?cursor"),
        ("requests?status=delivered", "?status"),
        ("requests?status=9xx", "?status"),
        ("requests?min_duration_ms=-1", "?min_duration_ms"),
        ("requests?limit=201", "?limit"),
    ] {
        let answer = api.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
        assert_eq!(answer.pointers(), [parameter], "{path}: {}", answer.body);
    }
    for id in ["never-made", "%00", "a%20b"] {
        let answer = api.get(&format!("/api/v1/requests/{id}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}: {}", answer.body);
    }
    let none = api.get("/api/v1/audit?from=2026-01-31T12:00:00Z&format=ndjson").await;
    assert_eq!((none.status, &none.body), (StatusCode::OK, &json!("")));
    let own = api.get("/api/v1/audit").await;
    assert_eq!(own.body["data"][0]["action"], "audit.exported", "{}", own.body);
}
