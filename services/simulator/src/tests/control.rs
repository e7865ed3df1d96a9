//! `/_sim`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::receipts::expected_signature;
use super::{ACCOUNT, FROM, Provider, answer, id};

const TO: &str = "+18045551234";

#[tokio::test]
async fn the_record_has_a_line_for_each_accepted_message() {
    let provider = Provider::start().await;
    let sid = provider.accepted(id(5), TO).await;
    let (_, anonymous) = answer(provider.post(&[("To", TO), ("From", FROM), ("Body", "x")])).await;
    let doubled = provider.accepted(id(5), TO).await;
    let record = provider.record().await;
    let accepted_at = record[0]["accepted_at"].as_str().expect("a time");
    assert!(
        chrono::DateTime::parse_from_rfc3339(accepted_at).is_ok() && accepted_at.ends_with('Z')
    );
    let line = json!({
        "provider": "twilio", "account": ACCOUNT, "provider_message_id": sid,
        "hatch_message_id": id(5), "from": FROM, "to": TO, "accepted_at": accepted_at, "calls": 2,
    });
    assert_eq!(record[0], line);
    assert_eq!(record[1]["provider_message_id"], anonymous["sid"]);
    assert_eq!((&record[1]["hatch_message_id"], &record[1]["calls"]), (&Value::Null, &1.into()));
    assert_eq!(
        (&record[2]["provider_message_id"], &record[2]["calls"]),
        (&doubled.into(), &2.into())
    );
}

#[tokio::test]
async fn a_forgotten_record_is_empty() {
    let provider = Provider::start().await;
    provider.accepted(id(1), TO).await;
    provider.disturb(ACCOUNT, json!({"mode": "down"})).await;
    let forget = provider.client.delete(format!("{}/_sim", provider.url));
    assert_eq!(answer(forget).await.0, 204);
    assert!(provider.record().await.is_empty());
    let (status, _) = answer(provider.send(id(1), "+18045550429")).await;
    assert_eq!(status, 429, "calls and disturbances are forgotten too");
}

#[tokio::test]
async fn a_body_that_is_not_what_was_expected_is_told_what_was() {
    let provider = Provider::start().await;
    for (request, expected) in [
        (json!({"provider": "twilio", "from": TO}), "missing field `to`"),
        (
            json!({"provider": "twilio", "from": TO, "to": FROM, "text": "Hi"}),
            "unknown field `text`",
        ),
        (json!({"provider": "twilio", "from": 1, "to": FROM}), "from: invalid type"),
    ] {
        let (status, said) = provider.inbound(request).await;
        let detail = said["detail"].as_str().expect("a problem");
        assert_eq!((status, &said["status"]), (422, &422.into()), "{said}");
        assert!(detail.contains(expected), "{detail}");
    }
    let unlabelled = provider.client.post(format!("{}/_sim/inbound", provider.url)).body("{}");
    assert_eq!(answer(unlabelled).await.0, 415);
}

#[tokio::test]
async fn an_inbound_message_is_a_signed_webhook_and_hatchs_status_comes_back() {
    let provider = Provider::start().await;
    let request = json!({
        "provider": "twilio", "from": TO, "to": FROM, "body": "Grüße 🥚",
        "attachments": ["https://files.example/a.jpg",
            {"url": "https://files.example/b.png", "content_type": "image/png"}],
    });
    let (status, said) = provider.inbound(request.clone()).await;
    assert_eq!((status, &said["status"]), (200, &204.into()));
    let sid = said["provider_message_id"].as_str().expect("a SID");
    let posted = provider.hatch.posted().remove(0);
    assert_eq!(posted.uri, "/api/v1/webhooks/twilio");
    let signature = expected_signature(&provider.hatch.url, &posted);
    assert_eq!(posted.headers["x-twilio-signature"], signature);
    let expected = [
        ("MessageSid", sid),
        ("AccountSid", ACCOUNT),
        ("SmsStatus", "received"),
        ("From", TO),
        ("To", FROM),
        ("Body", "Grüße 🥚"),
        ("NumSegments", "1"),
        ("NumMedia", "2"),
        ("MediaUrl0", "https://files.example/a.jpg"),
        ("MediaUrl1", "https://files.example/b.png"),
        ("MediaContentType1", "image/png"),
    ];
    for (key, value) in expected {
        assert_eq!(posted.field(key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(posted.field("MessageStatus"), None);

    *provider.hatch.statuses.lock().expect("not held") = vec![503];
    let mut again = request;
    again["provider_message_id"] = json!(sid);
    let (status, said) = provider.inbound(again).await;
    assert_eq!((status, &said["status"]), (200, &503.into()));
    let posted = provider.hatch.posted();
    assert_eq!(posted.len(), 2, "delivered again, and once");
    assert_eq!(posted[1].field("MessageSid").as_deref(), Some(sid));
}

#[tokio::test]
async fn what_an_inbound_message_leaves_out_may_be_null() {
    let provider = Provider::start().await;
    let request = json!({
        "provider": "twilio", "from": TO, "to": FROM, "body": null, "subject": null,
        "in_reply_to": null, "references": null, "attachments": null, "provider_message_id": null,
    });
    let (status, said) = provider.inbound(request).await;
    assert_eq!((status, &said["status"]), (200, &204.into()), "{said}");
    let posted = provider.hatch.posted().remove(0);
    assert_eq!(posted.field("Body").as_deref(), Some(""));
    assert_eq!(posted.field("NumMedia").as_deref(), Some("0"));
}

#[tokio::test]
async fn an_inbound_message_of_an_unknown_provider_is_refused() {
    let provider = Provider::start().await;
    let request = json!({"provider": "pigeon", "from": TO, "to": FROM, "body": "coo"});
    assert_eq!(provider.inbound(request).await.0, 400);
    assert!(provider.hatch.posted().is_empty());
}

#[tokio::test]
async fn an_account_can_be_down_throttled_slow_and_up_again() {
    let provider = Provider::start().await;
    let list = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    for (mode, status, code) in [("down", 503, 20503), ("throttled", 429, 20429)] {
        assert_eq!(provider.disturb(ACCOUNT, json!({"mode": mode})).await, 200);
        for request in [provider.send(id(1), TO), provider.get(&list)] {
            let (answered, error) = answer(request).await;
            assert_eq!((answered, &error["code"]), (status, &Value::from(code)), "{mode}");
        }
    }
    assert!(provider.record().await.is_empty());
    provider.disturb(ACCOUNT, json!({"mode": "slow", "latency_ms": 400})).await;
    let begin = Instant::now();
    let sid = provider.accepted(id(1), TO).await;
    assert!(begin.elapsed() >= Duration::from_millis(400));
    assert!(!provider.hatch.receipts(&sid).is_empty(), "it was taken long before the answer");
    provider.disturb(ACCOUNT, json!({"mode": "up"})).await;
    provider.accepted(id(2), TO).await;
    assert_eq!(provider.disturb("AC1", json!({"mode": "down"})).await, 404);
    assert_eq!(provider.disturb(ACCOUNT, json!({"mode": "sideways"})).await, 422);
}

#[tokio::test]
async fn an_account_that_is_refused_answers_as_its_provider_does() {
    let provider = Provider::start().await;
    let list = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    for (mode, status, code) in
        [("unauthorized", 401, 20003), ("suspended", 403, 20005), ("no_credit", 403, 20005)]
    {
        assert_eq!(provider.disturb(ACCOUNT, json!({"mode": mode})).await, 200);
        for request in [provider.send(id(1), TO), provider.get(&list)] {
            let (answered, error) = answer(request).await;
            assert_eq!((answered, &error["code"]), (status, &Value::from(code)), "{mode}");
        }
    }
    let rotated = json!({"mode": "up", "credential": "another-token"});
    assert_eq!(provider.disturb(ACCOUNT, rotated).await, 200);
    let (status, error) = answer(provider.send(id(1), TO)).await;
    assert_eq!((status, &error["code"]), (401, &Value::from(20003)), "the old token");
    let form = [("To", TO), ("From", FROM), ("Body", "Hi")];
    let url = provider.messages_url();
    let renewed = provider.client.post(url).basic_auth(ACCOUNT, Some("another-token"));
    assert_eq!(answer(renewed.form(&form)).await.0, 201);
    assert_eq!(provider.disturb(ACCOUNT, json!({"mode": "up"})).await, 200);
    provider.accepted(id(1), TO).await;
}

#[tokio::test]
async fn an_account_is_disturbed_by_hatchs_name_or_its_providers_and_alone() {
    let provider = Provider::start().await;
    let listed = answer(provider.client.get(format!("{}/_sim/accounts", provider.url)));
    let (status, accounts) = listed.await;
    assert_eq!(status, 200);
    let names = accounts.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str());
    let expected = [
        "twilio",
        "twilio-2",
        "sendgrid",
        "sendgrid-2",
        "vonage",
        "vonage-2",
        "vonage-3",
        "mailgun",
        "mailgun-2",
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    for name in ["twilio", ACCOUNT] {
        assert_eq!(provider.disturb(name, json!({"mode": "down"})).await, 200);
        assert_eq!(answer(provider.send(id(1), TO)).await.0, 503, "{name}");
        let second = format!("AC{}2", "0".repeat(31));
        let url = provider.messages_url().replace(ACCOUNT, &second);
        let form = [("To", TO), ("From", FROM), ("Body", "Hi")];
        let request = provider.client.post(url).basic_auth(&second, Some(super::TOKEN));
        assert_eq!(answer(request.form(&form)).await.0, 201, "the other one is as before");
        assert_eq!(provider.disturb(name, json!({"mode": "up"})).await, 200);
    }
    let record = provider.record().await;
    assert!(record.iter().all(|line| line["account"] == format!("AC{}2", "0".repeat(31))));
}

#[tokio::test]
async fn a_mute_account_takes_messages_and_answers_look_ups_alone() {
    let provider = Provider::start().await;
    provider.disturb("twilio", json!({"mode": "mute"})).await;
    provider.unanswered(provider.send(id(1), TO), 1).await;
    let sid = provider.record().await[0]["provider_message_id"].as_str().expect("a SID").to_owned();
    provider.hatch.has_receipts(&sid, &["sent", "delivered"]).await;
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}.json");
    assert_eq!(answer(provider.get(&path)).await.1["status"], "delivered");
    provider.stop().await;
}
