//! Tests: by which accounts they may go, whose idempotency keys they use, and who changes and answers them.

use axum::http::{Method, StatusCode};
use chrono::TimeDelta;
use hatch_domain::Channel;
use hatch_domain::api_key::KeyType;
use hatch_domain::ids::TenantId;
use hatch_domain::scope::Scope;
use hatch_domain::traffic::Traffic;
use hatch_readmodel::messages;
use serde_json::{Value, json};

use crate::testing::{Answer, Api, CUSTOMER, MAILBOX, OTHER_MAILBOX, SENDER, TestKey};

const MESSAGES: &str = "/api/v1/messages";

/// The API with accounts that carry SMS for such traffic, and the keys of one who tries it out and of one who means it.
async fn started(accounts: &[Traffic]) -> (Api, TestKey, TestKey) {
    let api = Api::start_closed().await;
    api.set_accounts(accounts, &[Channel::Sms]);
    let scopes = [Scope::MessagesWrite, Scope::MessagesRead, Scope::ConversationsRead];
    let test = api.key(TenantId::DEFAULT, &scopes, |key| key.key_type = KeyType::Test).await;
    let live = api.key(TenantId::DEFAULT, &scopes, |_| ()).await;
    (api, test, live)
}

async fn send(api: &Api, key: &TestKey, body: &Value) -> Answer {
    api.by(key, Method::POST, MESSAGES, Some(body)).await
}

fn sms(body: &str) -> Value {
    json!({"from": SENDER, "to": CUSTOMER, "body": body})
}

/// The status and the code of a problem.
fn said(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.body["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_test_is_taken_where_an_account_takes_tests_and_nothing_else_goes_by_that() {
    let no_account = (422, "no_account");
    let taken = (202, "");
    for (accounts, tests, meant) in [
        (&[][..], no_account, no_account),
        (&[Traffic::Live], no_account, taken),
        (&[Traffic::Test], taken, no_account),
        (&[Traffic::Live, Traffic::Test], taken, taken),
        (&[Traffic::All], taken, taken),
    ] {
        let (api, test, live) = started(accounts).await;
        let (by_test, by_live) =
            (send(&api, &test, &sms("Hi")).await, send(&api, &live, &sms("Hi")).await);
        assert_eq!((said(&by_test), said(&by_live)), (tests, meant), "{accounts:?}");
        if tests == taken {
            assert_eq!(by_test.body["test"], true, "{}", by_test.body);
        } else {
            assert!(by_test.text("detail").contains("tests"), "{}", by_test.body);
        }
        assert_ne!(by_live.body["test"], true, "{}", by_live.body);
        let says_so =
            api.payloads().await.iter().filter(|one| one.contains("\"test\":true")).count();
        assert_eq!(says_so, usize::from(tests == taken), "{accounts:?}");
    }
}

#[tokio::test]
async fn by_whatever_way_it_comes_a_test_goes_by_no_live_account() {
    let (api, test, _) = started(&[Traffic::Live]).await;
    let length = api.log_length().await;
    let later = api.in_time(TimeDelta::hours(1));
    let later = json!({"from": SENDER, "to": CUSTOMER, "body": "Hi", "send_at": later});
    assert_eq!(said(&send(&api, &test, &later).await), (422, "no_account"));
    let batch = json!({"messages": [sms("Hi"), later]});
    let batch = api.by(&test, Method::POST, "/api/v1/messages/batch", Some(&batch)).await;
    for item in batch.body["data"].as_array().expect("items") {
        assert_eq!(item["error"]["code"], "no_account", "{}", batch.body);
    }
    let old = json!({"from": SENDER, "to": CUSTOMER, "body": "Hi"});
    for path in ["/api/messages/sms", "/api/send_message"] {
        let answer = api.by(&test, Method::POST, path, Some(&old)).await;
        assert_eq!(said(&answer), (422, "no_account"), "{path}: {}", answer.body);
    }
    assert_eq!(api.log_length().await, length, "nothing is recorded");
    // No provider carries a chat.
    let chat = json!({"channel": "chat", "from": "ann", "to": "bob", "body": "Hi"});
    let chat = send(&api, &test, &chat).await;
    assert_eq!((chat.status, &chat.body["test"]), (StatusCode::ACCEPTED, &json!(true)));
}

#[tokio::test]
async fn a_test_and_what_is_meant_have_idempotency_keys_apart() {
    let (api, test, live) = started(&[Traffic::Live, Traffic::Test]).await;
    let post = async |key: &TestKey, path: &str, body: &Value| {
        let authorization = format!("Bearer {}", key.text);
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", "order-42")];
        api.request(Method::POST, path, &headers, Some(body.to_string())).await
    };
    let tried = post(&test, MESSAGES, &sms("Hi")).await;
    let meant = post(&live, MESSAGES, &sms("Hi")).await;
    assert_eq!((tried.status, meant.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    assert!(!meant.headers.contains_key("idempotent-replayed"), "it is sent");
    assert_ne!(tried.text("id"), meant.text("id"));
    for (key, first) in [(&test, &tried), (&live, &meant)] {
        let again = post(key, MESSAGES, &sms("Hi")).await;
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(again.body, first.body);
    }
    // Neither hinders the other one's next request.
    assert_eq!(said(&post(&live, MESSAGES, &sms("Ho")).await), (422, "idempotency_key_reused"));
    let batch = json!({"messages": [sms("one"), sms("two")]});
    let path = "/api/v1/messages/batch";
    let (tried, meant) = (post(&test, path, &batch).await, post(&live, path, &batch).await);
    assert!(!meant.headers.contains_key("idempotent-replayed"), "{}", meant.body);
    assert_ne!(tried.body["data"][0]["id"], meant.body["data"][0]["id"]);
}

#[tokio::test]
async fn a_test_key_changes_tests_alone_and_a_test_stays_one() {
    let (api, test, live) = started(&[Traffic::Live, Traffic::Test]).await;
    let meant = send(&api, &live, &sms("Hi")).await;
    let tried = send(&api, &test, &sms("Hi")).await;
    let change = async |key: &TestKey, message: &Answer, change: &str| {
        let path = format!("{MESSAGES}/{}/{change}", message.text("id"));
        api.by(key, Method::POST, &path, None).await
    };
    let length = api.log_length().await;
    for what in ["cancel", "retry"] {
        assert_eq!(said(&change(&test, &meant, what).await), (403, "message_is_live"), "{what}");
    }
    assert_eq!(api.log_length().await, length);
    assert_eq!(said(&change(&live, &tried, "retry").await).0, 409, "it is on its way");
    assert_eq!(change(&live, &tried, "cancel").await.status, StatusCode::OK);
    let other = send(&api, &test, &sms("Ho")).await;
    assert_eq!(change(&test, &other, "cancel").await.status, StatusCode::OK);
    api.project(&messages::DEFINITION).await;
    for (message, is_test) in [(&tried, true), (&meant, false)] {
        let path = format!("{MESSAGES}/{}", message.text("id"));
        let shown = api.by(&live, Method::GET, &path, None).await;
        assert_eq!(shown.body["test"], is_test);
        let list = api.by(&live, Method::GET, &format!("{MESSAGES}?test={is_test}"), None).await;
        let all = list.body["data"].as_array().expect("a list");
        assert!(all.iter().all(|one| one["test"] == is_test), "{}", list.body);
        assert!(all.iter().any(|one| one["id"] == message.body["id"]), "{}", list.body);
    }
    let wrong = api.by(&live, Method::GET, &format!("{MESSAGES}?test=maybe"), None).await;
    assert_eq!(wrong.pointers(), ["?test"], "{}", wrong.body);
}

#[tokio::test]
async fn an_answer_to_a_test_is_one_whoever_gives_it() {
    let (api, test, live) = started(&[Traffic::Live, Traffic::Test]).await;
    let tried = send(&api, &test, &sms("Hi")).await;
    api.project(&messages::DEFINITION).await;
    let path = format!("/api/v1/conversations/{}/messages", tried.text("conversation_id"));
    let body = json!({"body": "And?"});
    let answer = async |key: &TestKey| api.by(key, Method::POST, &path, Some(&body)).await;
    let answered = answer(&live).await;
    assert_eq!(answered.body["test"], true, "there is nothing else: {}", answered.body);
    let meant = send(&api, &live, &sms("Hi")).await;
    assert_eq!(meant.body["conversation_id"], tried.body["conversation_id"]);
    let later = send(&api, &test, &sms("Ho")).await;
    assert_eq!(later.status, StatusCode::ACCEPTED, "{}", later.body);
    api.project(&messages::DEFINITION).await;
    for (key, is_test) in [(&live, false), (&test, true)] {
        let answered = answer(key).await;
        assert_eq!(answered.status, StatusCode::ACCEPTED, "{}", answered.body);
        assert_eq!(answered.body["test"], is_test, "{}", answered.body);
    }
    // Nor is it sent to a person where the tests have no account any more.
    api.set_accounts(&[Traffic::Live], &[Channel::Sms]);
    assert_eq!(said(&answer(&test).await), (422, "no_account"));
}

#[tokio::test]
async fn a_mail_that_names_a_test_is_one() {
    let (api, test, live) = started(&[]).await;
    api.set_accounts(&[Traffic::Live, Traffic::Test], &[Channel::Email]);
    let mail = |in_reply_to: Option<&str>| {
        let mut mail = json!({"from": MAILBOX, "to": OTHER_MAILBOX, "body": "Hello"});
        if let Some(id) = in_reply_to {
            mail["in_reply_to"] = id.into();
        }
        mail
    };
    let mut named = Vec::new();
    for key in [&test, &live] {
        let sent = send(&api, key, &mail(None)).await;
        let (id, conversation) = (sent.text("id"), sent.text("conversation_id"));
        named.push(format!("{id}.{conversation}@127.0.0.1"));
    }
    for (name, is_test) in named.iter().zip([true, false]) {
        let answer = send(&api, &live, &mail(Some(name))).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        assert_eq!(answer.body["test"], is_test, "{name}: {}", answer.body);
    }
}
