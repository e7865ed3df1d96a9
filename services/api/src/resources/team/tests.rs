//! The team list as an administrator keeps it, and what keys of the type `team` can do by it.

use axum::http::{Method, StatusCode};
use hatch_domain::api_key::KeyType;
use hatch_domain::ids::TenantId;
use hatch_domain::scope::Scope;
use serde_json::{Value, json};

use crate::testing::{Answer, Api, CUSTOMER, MAILBOX, OTHER_MAILBOX, SENDER, TestKey};

const TEAM: &str = "/api/v1/team-recipients";
const MESSAGES: &str = "/api/v1/messages";

async fn put(api: &Api, address: &str) -> Answer {
    api.request(Method::PUT, &format!("{TEAM}/{address}"), &[], None).await
}

async fn delete(api: &Api, address: &str) -> Answer {
    api.request(Method::DELETE, &format!("{TEAM}/{address}"), &[], None).await
}

async fn team_key(api: &Api) -> TestKey {
    let scopes = [Scope::MessagesWrite, Scope::MessagesRead];
    api.key(TenantId::DEFAULT, &scopes, |key| key.key_type = KeyType::Team).await
}

fn code(answer: &Answer) -> &str {
    answer.body["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_address_is_put_on_the_list_shown_and_taken_away() {
    let api = Api::start().await;
    let empty = api.get(TEAM).await;
    assert_eq!((empty.status, &empty.body["data"]), (StatusCode::OK, &json!([])));
    assert_eq!(delete(&api, "ann@example.com").await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.log_length().await, 0, "it was so already");
    let mailbox = put(&api, "Ann@example.com").await;
    assert_eq!(mailbox.status, StatusCode::OK, "{}", mailbox.body);
    assert_eq!(mailbox.text("address"), "Ann@example.com");
    // The default tenant begins with its first change.
    assert_eq!(mailbox.header("hatch-position"), "2");
    assert_eq!(put(&api, "ann@EXAMPLE.com").await.body, mailbox.body, "it is there already");
    let phone = put(&api, "%2B1%20804%20555%201234").await;
    assert_eq!(phone.text("address"), CUSTOMER);
    let list = api.get(&format!("{TEAM}?after={}", phone.header("hatch-position"))).await;
    assert_eq!(list.body["data"], json!([phone.body, mailbox.body]));
    for _ in 0..2 {
        let gone = delete(&api, "ann@example.com").await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.body);
        assert_eq!(gone.header("hatch-position"), "4");
    }
    assert_eq!(api.get(TEAM).await.body["data"], json!([phone.body]));
    assert_eq!(api.log_length().await, 4, "what was so already is no event");
    for address in ["", "a@", "+1201CALL", "%FF", "%2B1804", "%E2%98%83"] {
        let answer = put(&api, address).await;
        assert!(answer.status.is_client_error(), "{address}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_team_key_reaches_the_list_and_nobody_else() {
    let api = Api::start().await;
    let key = team_key(&api).await;
    let send = async |body: &Value| api.by(&key, Method::POST, MESSAGES, Some(body)).await;
    let sms = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let refused = send(&sms).await;
    assert_eq!((refused.status, code(&refused)), (StatusCode::FORBIDDEN, "recipient_not_on_list"));
    assert!(refused.text("detail").contains(CUSTOMER), "{}", refused.body);
    put(&api, "%2B18045551234").await;
    put(&api, OTHER_MAILBOX).await;
    let sent = send(&sms).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.body);
    assert_eq!(sent.body["test"], false, "it is meant: {}", sent.body);
    let mail = |field: &str, to: &str| {
        let mut mail = json!({"from": MAILBOX, "to": OTHER_MAILBOX, "body": "Hello"});
        mail[field] = json!([to]);
        mail
    };
    let length = api.log_length().await;
    for field in ["to", "cc", "bcc"] {
        let refused = send(&mail(field, "stranger@example.com")).await;
        assert_eq!(code(&refused), "recipient_not_on_list", "{field}: {}", refused.body);
    }
    let several =
        json!({"from": MAILBOX, "to": [OTHER_MAILBOX, "stranger@example.com"], "body": "x"});
    let batch = json!({"messages": [mail("to", OTHER_MAILBOX), several]});
    let batch = api.by(&key, Method::POST, "/api/v1/messages/batch", Some(&batch)).await;
    assert!(batch.body["data"][0]["id"].is_string(), "{}", batch.body);
    assert_eq!(batch.body["data"][1]["error"]["code"], "recipient_not_on_list");
    let old = json!({"from": SENDER, "to": "+18045550000", "type": "sms", "body": "Hello"});
    let old = api.by(&key, Method::POST, "/api/messages/sms", Some(&old)).await;
    assert_eq!(code(&old), "recipient_not_on_list", "{}", old.body);
    assert_eq!(api.log_length().await, length + 1, "what was refused is not recorded");
    // Whoever left the list is written to by nobody of the team, nor again.
    delete(&api, "%2B18045551234").await;
    assert_eq!(code(&send(&sms).await), "recipient_not_on_list");
    for change in ["retry", "cancel"] {
        let path = format!("{MESSAGES}/{}/{change}", sent.text("id"));
        let refused = api.by(&key, Method::POST, &path, None).await;
        assert_eq!(code(&refused), "recipient_not_on_list", "{change}: {}", refused.body);
    }
}

#[tokio::test]
async fn a_team_key_keeps_no_list_and_learns_nothing_by_a_used_idempotency_key() {
    let api = Api::start_closed().await;
    let team = team_key(&api).await;
    let live = api.key(TenantId::DEFAULT, &[Scope::MessagesWrite], |_| ()).await;
    for (method, path) in [(Method::GET, TEAM.to_owned()), (Method::PUT, format!("{TEAM}/ann"))] {
        assert_eq!(code(&api.by(&team, method, &path, None).await), "missing_scope");
    }
    let send = async |key: &TestKey| {
        let authorization = format!("Bearer {}", key.text);
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", "order-42")];
        let body = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
        api.request(Method::POST, MESSAGES, &headers, Some(body.to_string())).await
    };
    assert_eq!(send(&live).await.status, StatusCode::ACCEPTED);
    assert_eq!(code(&send(&team).await), "recipient_not_on_list");
}
