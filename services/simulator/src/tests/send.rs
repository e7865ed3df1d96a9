//! Sends and look-ups.

use serde_json::Value;
use url::form_urlencoded;

use super::{ACCOUNT, FROM, Hatch, Provider, TOKEN, answer, id, until};

const TO: &str = "+18045551234";

#[tokio::test]
async fn an_accepted_message_is_answered_with_the_whole_resource() {
    let provider = Provider::start().await;
    let body = "ж".repeat(71);
    let fields = [("To", TO), ("From", FROM), ("Body", body.as_str())];
    let (status, message) = answer(provider.post(&fields)).await;
    assert_eq!(status, 201);
    let sid = message["sid"].as_str().expect("a SID");
    let digits = sid.strip_prefix("SM").expect("a text message");
    assert!(digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{sid}");
    let uri = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}.json");
    let expected = [
        ("account_sid", ACCOUNT),
        ("api_version", "2010-04-01"),
        ("body", &body),
        ("direction", "outbound-api"),
        ("from", FROM),
        ("num_media", "0"),
        ("num_segments", "2"),
        ("status", "queued"),
        ("to", TO),
        ("uri", &uri),
    ];
    for (key, value) in expected {
        assert_eq!(message[key], value, "{key}");
    }
    for key in ["date_sent", "error_code", "error_message", "messaging_service_sid", "price"] {
        assert_eq!(message.get(key), Some(&Value::Null), "{key}");
    }
    let created = message["date_created"].as_str().expect("a date");
    assert!(chrono::DateTime::parse_from_rfc2822(created).is_ok(), "{created}");
}

#[tokio::test]
async fn media_make_it_an_mms() {
    let provider = Provider::start().await;
    let file = ("MediaUrl", "https://files.example/a.jpg");
    let (status, message) = answer(provider.post(&[("To", TO), ("From", FROM), file, file])).await;
    assert_eq!((status, &message["num_media"]), (201, &Value::from("2")));
    assert!(message["sid"].as_str().is_some_and(|sid| sid.starts_with("MM")));
}

#[tokio::test]
async fn only_the_account_itself_may_send() {
    let provider = Provider::start().await;
    let request = || provider.client.post(provider.messages_url()).form(&[("To", TO)]);
    let other = "AC11111111111111111111111111111111";
    let strangers = [
        request(),
        request().basic_auth(ACCOUNT, Some("wrong")),
        request().basic_auth(other, Some(TOKEN)),
        request().bearer_auth(TOKEN),
    ];
    for stranger in strangers {
        let (status, error) = answer(stranger).await;
        assert_eq!((status, &error["code"]), (401, &Value::from(20003)));
    }
    let elsewhere = provider.messages_url().replace(ACCOUNT, other);
    let request = provider.client.post(elsewhere).basic_auth(ACCOUNT, Some(TOKEN));
    let (status, error) = answer(request).await;
    assert_eq!((status, &error["code"]), (404, &Value::from(20404)));
}

#[tokio::test]
async fn what_twilio_refuses_is_refused_with_its_code() {
    let provider = Provider::start().await;
    let long = "x".repeat(1_601);
    let media = ("MediaUrl", "https://files.example/a.jpg");
    let whole = [("To", TO), ("From", FROM), ("Body", "Hi")];
    let with = |more: (&'static str, &'static str)| [&whole[..], &[more]].concat();
    let cases: Vec<(u32, Vec<(&str, &str)>)> = vec![
        (21604, vec![("From", FROM), ("Body", "Hi")]),
        (21603, vec![("To", TO), ("Body", "Hi")]),
        (21602, vec![("To", TO), ("From", FROM), ("Body", "")]),
        (21211, vec![("To", "8045551234"), ("From", FROM), ("Body", "Hi")]),
        (21211, vec![("To", "+1804555CALL"), ("From", FROM), ("Body", "Hi")]),
        (21212, vec![("To", TO), ("From", "+1"), ("Body", "Hi")]),
        (21617, vec![("To", TO), ("From", FROM), ("Body", &long)]),
        (21623, [&whole[..], &[media; 11]].concat()),
        (21620, with(("MediaUrl", "a.jpg"))),
        (21609, with(("StatusCallback", "https://my_host.example/"))),
        (21211, vec![("To", "+18045550400"), ("From", FROM), ("Body", "Hi")]),
        (21610, vec![("To", "+18045550610"), ("From", FROM), ("Body", "Hi")]),
    ];
    for (code, fields) in cases {
        let (status, error) = answer(provider.post(&fields)).await;
        assert_eq!((status, &error["code"]), (400, &Value::from(code)), "{fields:?}");
        assert_eq!(error["status"], 400);
        assert_eq!(error["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
    }
    assert!(provider.record().await.is_empty());
}

#[tokio::test]
async fn nobody_but_hatch_is_called_back() {
    let provider = Provider::start().await;
    let other = Hatch::start().await;
    let port = |url: &str| url.rsplit(':').next().expect("a port").to_owned();
    let (theirs, ours) = (port(&other.url), port(&provider.hatch.url));
    for callback in [
        other.url.clone(),
        format!("http://127.0.0.1:{theirs}/api/v1/webhooks/twilio"),
        format!("http://localhost:{ours}/"),
        format!("https://127.0.0.1:{ours}/"),
        format!("http://127.0.0.1:{ours}@127.0.0.1:{theirs}/"),
        format!("http://user:word@127.0.0.1:{ours}/"),
        format!("http://127.0.0.1:{ours}.example/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let fields =
            [("To", TO), ("From", FROM), ("Body", "Hi"), ("StatusCallback", callback.as_str())];
        let (status, error) = answer(provider.post(&fields)).await;
        assert_eq!((status, &error["code"]), (400, &Value::from(21609)), "{callback}");
    }
    provider.accepted(id(1), TO).await;
    until(|| !provider.hatch.posted().is_empty()).await;
    assert!(other.posted().is_empty() && provider.record().await.len() == 1);
}

#[tokio::test]
async fn a_throttled_recipient_is_accepted_at_the_third_call_for_the_message() {
    let provider = Provider::start().await;
    for _ in 0..2 {
        let response = provider.send(id(1), "+18045550429").send().await.expect("an answer");
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "1");
        let error: Value = response.json().await.expect("JSON");
        assert_eq!(error["code"], 20429);
    }
    let (status, _) = answer(provider.send(id(2), "+18045550429")).await;
    assert_eq!(status, 429, "another message has calls of its own");
    provider.accepted(id(1), "+18045550429").await;
    let record = provider.record().await;
    assert_eq!(record.len(), 1);
    assert_eq!((&record[0]["calls"], &record[0]["to"]), (&3.into(), &"+18045550429".into()));
}

#[tokio::test]
async fn an_outage_has_twilios_own_error_body() {
    let provider = Provider::start().await;
    for _ in 0..2 {
        let (status, error) = answer(provider.send(id(1), "+18045550500")).await;
        assert_eq!((status, &error["code"]), (500, &Value::from(20500)));
    }
    provider.accepted(id(1), "+18045550500").await;
}

#[tokio::test]
async fn a_mute_recipient_gets_the_message_and_the_sender_no_answer() {
    let provider = Provider::start().await;
    for ending in ["0504", "0503"] {
        let to = format!("+1804555{ending}");
        provider.unanswered(provider.send(id(1), &to), 1).await;
    }
    let record = provider.record().await;
    assert_eq!(record.len(), 1, "the hole records nothing");
    assert_eq!(record[0]["to"], "+18045550504");
    let sid = record[0]["provider_message_id"].as_str().expect("a SID");
    provider.hatch.has_receipts(sid, &["sent", "delivered"]).await;
    for (to, expected) in [("%2B18045550504", 1), ("%2B18045550503", 0)] {
        let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?To={to}");
        let (status, page) = answer(provider.get(&path)).await;
        let found = page["messages"].as_array().expect("a list");
        assert_eq!((status, found.len()), (200, expected));
    }
    provider.stop().await;
}

#[tokio::test]
async fn messages_are_looked_up_by_their_ends_newest_first_and_in_pages() {
    let provider = Provider::start().await;
    let mut sids = Vec::new();
    for n in 0..5 {
        sids.push(provider.accepted(id(n), TO).await);
    }
    provider.accepted(id(9), "+18045559999").await;
    let query = |pairs: &[(&str, &str)]| {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    };
    let list = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?");
    let mut next =
        Some(format!("{list}{}", query(&[("To", TO), ("From", FROM), ("PageSize", "2")])));
    let mut found = Vec::new();
    while let Some(path) = next {
        let (status, page) = answer(provider.get(&path)).await;
        assert_eq!(status, 200);
        let messages = page["messages"].as_array().expect("a list");
        assert!(messages.len() <= 2);
        found.extend(messages.iter().map(|m| m["sid"].as_str().expect("a SID").to_owned()));
        next = page["next_page_uri"].as_str().map(str::to_owned);
    }
    sids.reverse();
    assert_eq!(found, sids);
    let nobody = format!("{list}{}", query(&[("To", TO), ("From", "+12016660000")]));
    assert_eq!(answer(provider.get(&nobody)).await.1["messages"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn one_message_is_looked_up_by_its_sid() {
    let provider = Provider::start().await;
    let sid = provider.accepted(id(1), TO).await;
    let bounced = provider.accepted(id(2), "+18045550666").await;
    until(|| provider.hatch.receipts(&bounced).len() == 2).await;
    let path = |sid: &str| format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}.json");
    let (status, message) = answer(provider.get(&path(&sid))).await;
    assert_eq!((status, &message["status"]), (200, &Value::from("delivered")));
    let (_, message) = answer(provider.get(&path(&bounced))).await;
    assert_eq!(message["status"], "undelivered");
    assert_eq!(message["error_code"], 30005);
    let (status, error) = answer(provider.get(&path("SM0"))).await;
    assert_eq!((status, &error["code"]), (404, &Value::from(20404)));
}
