//! Ids of streams that are no messages: whoever names one is told that there is no such message.

use reqwest::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::halt::append;
use crate::harness::{CUSTOMER, Hatch, SENDER, unique};

#[tokio::test]
async fn an_id_of_another_kind_is_no_message() {
    let hatch = Hatch::start().await;
    let contact = append(&hatch, "contact", "ContactOpened", 1, "now()").await;
    let path = format!("/api/v1/messages/{contact}");
    for (method, rest) in [
        (Method::POST, "/cancel"),
        (Method::POST, "/retry"),
        (Method::GET, ""),
        (Method::GET, "/events"),
        (Method::GET, "?at=1"),
    ] {
        let answer = hatch.request(method, &format!("{path}{rest}"), &[], None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{rest}: {}", answer.body);
        assert_eq!(answer.body["code"], "not_found");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_that_refers_to_what_is_no_message_comes_in_by_its_participants() {
    let hatch = Hatch::start().await;
    let contact = append(&hatch, "contact", "ContactOpened", 1, "now()").await;
    let name = format!("{contact}.{}@usehatchapp.com", Uuid::from_u128(7));
    let mail = json!({
        "provider": "sendgrid", "from": "customer@gmail.com", "to": "user@usehatchapp.com",
        "subject": "Re: Hello", "body": "Hi", "references": [name], "in_reply_to": name,
        "provider_message_id": format!("{}@gmail.com", unique()),
    });
    assert_eq!(hatch.simulate_inbound(&mail).await / 100, 2);
    let sms = json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "Hi!"});
    assert_eq!(hatch.simulate_inbound(&sms).await / 100, 2);
    hatch
        .eventually("both are shown", async |hatch| {
            let list = hatch.get("/api/v1/messages?direction=inbound").await;
            (list.body["data"].as_array().map(Vec::len) == Some(2)).then_some(())
        })
        .await;
    let reply = json!({
        "from": "user@usehatchapp.com", "to": ["customer@gmail.com"], "subject": "Re: Hello",
        "body": "Hello", "in_reply_to": format!("<{contact}.{}@127.0.0.1>", Uuid::from_u128(7)),
    });
    let answer = hatch.post("/api/v1/messages", &reply).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    hatch.finish().await;
}
