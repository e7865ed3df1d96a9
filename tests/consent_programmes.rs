//! Programmes: what a message is sent for, and who consents to it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::consent::{assert_refused, put, write};
use crate::dispatch::NOBODY_DISPATCHES;
use crate::harness::{Answer, CUSTOMER, Hatch, SENDER};

async fn send(hatch: &Hatch, programme: Option<&str>) -> String {
    let mut body = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    if let Some(programme) = programme {
        body["programme"] = json!(programme);
    }
    let answer = hatch.post("/api/v1/messages", &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer.text("id").to_owned()
}

async fn wish(hatch: &Hatch, programme: &str, state: &str) -> Value {
    let body = json!({"address": CUSTOMER, "programme": programme, "state": state});
    let answer = put(hatch, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn a_person_consents_to_each_programme_and_a_stop_ends_all() {
    let hatch = Hatch::start().await;
    assert_eq!(wish(&hatch, "news", "opted_out").await["allowed"], false);
    let news = send(&hatch, Some("news")).await;
    assert_refused(&hatch, &news).await;
    assert_eq!(hatch.message_with_status(&news, "failed").await["programme"], "news");
    for (programme, shown) in [(None, "sms"), (Some("sms"), "sms"), (Some("codes"), "codes")] {
        let id = send(&hatch, programme).await;
        let message = hatch.message_with_status(&id, "delivered").await;
        assert_eq!(message["programme"], shown);
    }
    // Twice, since the first message to a person who has said something reads it.
    for _ in 0..2 {
        wish(&hatch, "news", "opted_in").await;
        let news = send(&hatch, Some("news")).await;
        hatch.message_with_status(&news, "delivered").await;
    }

    write(&hatch, CUSTOMER, "STOP").await;
    for programme in [None, Some("codes"), Some("news")] {
        let id = send(&hatch, programme).await;
        assert_refused(&hatch, &id).await;
    }
    let path = "/api/v1/consent?address=%2B18045551234&programme=news";
    let shown = hatch.get(path).await.body;
    assert_eq!((&shown["state"], &shown["allowed"]), (&json!("opted_in"), &json!(false)));

    // Whoever agrees to a programme after that, gets it and nothing else.
    wish(&hatch, "codes", "opted_in").await;
    let codes = send(&hatch, Some("codes")).await;
    hatch.message_with_status(&codes, "delivered").await;
    let other = send(&hatch, None).await;
    assert_refused(&hatch, &other).await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_programme_is_part_of_the_request_and_has_a_plain_name() {
    let hatch = Hatch::start_with(NOBODY_DISPATCHES, |_| {}).await;
    let keyed = async |programme: Option<&str>| -> Answer {
        let mut body = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
        if let Some(programme) = programme {
            body["programme"] = json!(programme);
        }
        let key = ("idempotency-key", "May");
        hatch.request(Method::POST, "/api/v1/messages", &[key], Some(body.to_string())).await
    };
    let first = keyed(None).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    assert_eq!(keyed(Some("sms")).await.body, first.body, "the default one by its name");
    assert_eq!(keyed(Some("news")).await.status, StatusCode::UNPROCESSABLE_ENTITY);

    let items = json!({"messages": [
        {"to": CUSTOMER, "body": "1", "programme": "news"},
        {"to": CUSTOMER, "body": "2", "programme": "News"},
        {"to": "ann@example.com", "subject": "3", "body": "3"},
    ]});
    let batch = hatch.post("/api/v1/messages/batch", &items).await;
    assert_eq!(batch.status, StatusCode::ACCEPTED, "{}", batch.body);
    let shown = async |n: usize| {
        let id = batch.body["data"][n]["id"].as_str().expect("an id").to_owned();
        hatch.get(&format!("/api/v1/messages/{id}")).await.body["programme"].clone()
    };
    assert_eq!((shown(0).await, shown(2).await), (json!("news"), json!("email")));
    let wrong = &batch.body["data"][1]["error"];
    assert_eq!(wrong["errors"][0]["pointer"], "/programme", "{}", batch.body);

    for body in [
        json!({"to": CUSTOMER, "body": "Hello", "programme": ""}),
        json!({"to": CUSTOMER, "body": "Hello", "programme": "a b"}),
        json!({"channel": "chat", "from": "ann", "to": "bob", "body": "Hello", "programme": "a"}),
    ] {
        let answer = hatch.post("/api/v1/messages", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.body["errors"][0]["pointer"], "/programme", "{}", answer.body);
    }
    hatch.finish().await;
}
