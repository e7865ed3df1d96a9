//! What the list of messages says of an attempt in doubt.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::Attachment;
use hatch_domain::address::Address;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::ACCOUNT;
use super::send::{self, adapter, outbound, twilio_error};
use crate::stub::{Reply, Stub, Then, breaking};
use crate::{Candidate, LookUp, LookedUp, Outbound};

/// When the attempt was claimed, and when it is asked about.
const CLAIMED: &str = "2026-01-31T12:00:05.700Z";
const ASKED: &str = "2026-01-31T12:01:35.100Z";

/// Twilio's time at that moment, where its clock is right.
const DATE: &str = "Sat, 31 Jan 2026 12:01:35 GMT";

fn asked(message: Outbound) -> LookUp {
    let time = |text: &str| -> DateTime<Utc> { text.parse().expect("a time") };
    LookUp { message, attempted_at: time(CLAIMED), asked_at: time(ASKED) }
}

/// A message of the list that is exactly the one in doubt, created so many seconds past noon.
fn listed(sid: &str, second: u32) -> Value {
    json!({
        "sid": sid, "to": "+18045551234", "from": "+12016661234", "body": outbound().body,
        "num_media": "0", "status": "sent",
        "date_created": format!("Sat, 31 Jan 2026 12:00:{second:02} +0000"),
    })
}

fn changed(second: u32, field: &str, value: impl Into<Value>) -> Value {
    let mut message = listed("SM9", second);
    message[field] = value.into();
    message
}

fn page(messages: &[Value], next: Option<&str>) -> String {
    json!({"messages": messages, "next_page_uri": next, "page": 0}).to_string()
}

/// An answer of a Twilio whose clock is right.
fn reply(status: u16, body: impl Into<String>) -> Reply {
    dated(DATE, status, body)
}

/// An answer of one by whose clock it is this time.
fn dated(date: &str, status: u16, body: impl Into<String>) -> Reply {
    Reply { headers: vec![("date", date.to_owned())], ..send::reply(status, body) }
}

async fn looked_up(message: Outbound, pages: &[String]) -> LookedUp {
    let stub = Stub::start_with(pages.iter().map(|page| reply(200, page.as_str())).collect()).await;
    let looked_up = adapter(&stub.url).look_up(&asked(message)).await;
    assert!(stub.seen().len() >= pages.len(), "every page was read");
    without_ages(looked_up)
}

/// What most tests are about.
fn without_ages(mut looked_up: LookedUp) -> LookedUp {
    if let LookedUp::Found { candidates } = &mut looked_up {
        candidates.iter_mut().for_each(|candidate| candidate.age = None);
    }
    looked_up
}

async fn found_in(messages: &[Value]) -> LookedUp {
    looked_up(outbound(), &[page(messages, None)]).await
}

fn candidate(sid: &str, certain: bool) -> Candidate {
    Candidate { provider_message_id: sid.to_owned(), certain, age: None }
}

fn found(sids: &[&str]) -> LookedUp {
    LookedUp::Found { candidates: sids.iter().map(|sid| candidate(sid, true)).collect() }
}

fn may_be(sid: &str) -> LookedUp {
    LookedUp::Found { candidates: vec![candidate(sid, false)] }
}

fn is_inconclusive(looked_up: &LookedUp) -> bool {
    matches!(looked_up, LookedUp::Inconclusive { .. })
}

#[tokio::test]
async fn the_list_is_asked_for_by_its_ends_alone() {
    let stub = Stub::start(reply(200, page(&[], None))).await;
    let adapter = adapter(&stub.url);
    assert!(adapter.can_look_up());
    assert_eq!(adapter.look_up(&asked(outbound())).await, LookedUp::NotFound);
    let seen = stub.seen();
    let [request] = seen.as_slice() else { panic!("one request: {}", seen.len()) };
    assert_eq!(request.method, "GET");
    assert_eq!(request.uri.path(), format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"));
    assert!(request.headers["authorization"].to_str().is_ok_and(|v| v.starts_with("Basic ")));
    let query = request.uri.query().unwrap_or_default();
    let query: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let expected = [("To", "+18045551234"), ("From", "+12016661234"), ("PageSize", "1000")];
    assert_eq!(query, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn candidates_come_the_oldest_first() {
    let list = [listed("SM4", 9), listed("SM3", 7), listed("SM2", 7), listed("SM1", 5)];
    assert_eq!(found_in(&list).await, found(&["SM1", "SM2", "SM3", "SM4"]));
}

#[tokio::test]
async fn how_old_a_candidate_is_the_providers_own_clock_says() {
    let ahead = changed(0, "date_created", "Sat, 31 Jan 2026 12:01:36 +0000");
    let stub = Stub::start(reply(200, page(&[ahead, listed("SM1", 10)], None))).await;
    let LookedUp::Found { candidates } = adapter(&stub.url).look_up(&asked(outbound())).await
    else {
        panic!("two candidates");
    };
    let ages: Vec<_> = candidates.iter().map(|candidate| candidate.age).collect();
    // One of its servers may be ahead of the one that answers.
    assert_eq!(ages, [85, 0].map(|seconds| Some(Duration::from_secs(seconds))));
}

#[tokio::test]
async fn a_message_from_before_the_attempt_may_be_it_until_it_is_too_old() {
    assert_eq!(found_in(&[listed("SM1", 2)]).await, may_be("SM1"));
    // The list's times have no fractions.
    assert_eq!(found_in(&[listed("SM1", 4)]).await, found(&["SM1"]));
    for (time, expected) in [
        ("Sat, 31 Jan 2026 11:00:06", may_be("SM9")),
        ("Fri, 30 Jan 2026 11:30:00", may_be("SM9")),
        ("Fri, 30 Jan 2026 10:30:03", LookedUp::NotFound),
    ] {
        let old = changed(0, "date_created", format!("{time} +0000"));
        assert_eq!(found_in(&[old]).await, expected, "{time}");
    }
    let other = changed(2, "body", "Something else");
    assert_eq!(found_in(&[other]).await, LookedUp::NotFound, "another text");
}

#[tokio::test]
async fn times_are_compared_by_twilios_clock_alone() {
    // Its time when it is asked, when the message was taken, and whether that is certain.
    let clocks = [
        ("12:01:30 GMT", "12:00:00 +0000", true),
        ("12:01:40 GMT", "12:00:10 +0000", true),
        ("12:01:40 GMT", "12:00:06 +0000", false),
        ("11:01:35 GMT", "11:00:05 +0000", true),
        ("13:01:35 GMT", "13:00:05 +0000", true),
        // It was set between the two, by an hour.
        ("12:01:35 GMT", "11:00:05 +0000", false),
        ("13:01:35 GMT", "12:00:05 +0000", false),
        ("11:01:35 GMT", "12:00:05 +0000", true),
        // It does not tell its time.
        ("soon", "12:00:04 +0000", true),
        ("soon", "12:00:01 +0000", false),
    ];
    for (date, created, certain) in clocks {
        let taken = changed(0, "date_created", format!("Sat, 31 Jan 2026 {created}"));
        let reply = dated(&format!("Sat, 31 Jan 2026 {date}"), 200, page(&[taken], None));
        let stub = Stub::start(reply).await;
        let looked_up = adapter(&stub.url).look_up(&asked(outbound())).await;
        let expected = LookedUp::Found { candidates: vec![candidate("SM9", certain)] };
        assert_eq!(without_ages(looked_up), expected, "asked at {date}, taken at {created}");
    }
}

#[tokio::test]
async fn another_text_recipient_or_sender_is_another_message() {
    let others = [
        changed(6, "body", "Something else"),
        changed(6, "to", "+18045559999"),
        changed(6, "from", "+12016669999"),
    ];
    assert_eq!(found_in(&others).await, LookedUp::NotFound);
    let list = [&others[..], &[listed("SM1", 6)]].concat();
    assert_eq!(found_in(&list).await, found(&["SM1"]));
}

#[tokio::test]
async fn what_may_be_the_message_is_neither_found_nor_ruled_out() {
    let text = outbound().body.expect("a body");
    let doubtful = [
        changed(6, "body", ""),
        changed(6, "body", Value::Null),
        changed(6, "body", format!("{text} ")),
        changed(6, "body", format!("Sent from your Twilio trial account - {text}")),
        changed(6, "num_media", "1"),
        changed(6, "num_media", Value::Null),
        changed(6, "date_created", Value::Null),
        changed(6, "date_created", "yesterday"),
    ];
    for listed in &doubtful {
        let looked_up = found_in(std::slice::from_ref(listed)).await;
        assert_eq!(looked_up, may_be("SM9"), "{listed}");
    }
    let list = [doubtful[0].clone(), listed("SM1", 6)];
    let candidates = vec![candidate("SM1", true), candidate("SM9", false)];
    assert_eq!(found_in(&list).await, LookedUp::Found { candidates });
    let many = vec![changed(6, "body", ""); 101];
    assert!(is_inconclusive(&found_in(&many).await));
}

#[tokio::test]
async fn files_are_counted() {
    let file = Attachment { url: Some("https://files.example/1".into()), ..Attachment::default() };
    let mms = Outbound { body: None, attachments: vec![file; 2], ..outbound() };
    let mut listed = changed(6, "body", "");
    listed["num_media"] = json!("2");
    assert_eq!(looked_up(mms.clone(), &[page(&[listed], None)]).await, found(&["SM9"]));
    let another = changed(6, "body", "Hi");
    assert_eq!(looked_up(mms, &[page(&[another], None)]).await, LookedUp::NotFound);
}

/// Which number a service has chosen, only the provider knows.
#[tokio::test]
async fn a_message_of_a_service_is_found_by_the_service() {
    let service = "MG0123456789abcdef0123456789abcdef";
    let from = Address::sender(service).expect("a service");
    let message = Outbound { from, ..outbound() };
    let of_service = changed(6, "messaging_service_sid", service);
    let list = page(&[of_service, listed("SM2", 6)], None);
    let stub = Stub::start(reply(200, list)).await;
    let looked_up = without_ages(adapter(&stub.url).look_up(&asked(message)).await);
    assert_eq!(looked_up, found(&["SM9"]), "the other one is of no service");
    let asked_for = stub.seen()[0].uri.to_string();
    assert!(!asked_for.contains("From="), "{asked_for}");
}

#[tokio::test]
async fn every_page_is_read() {
    let next = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?PageSize=1000&Page=1");
    let other = changed(6, "body", "Something else");
    let first = page(&[other, listed("SM2", 8)], Some(&next));
    let second = page(&[listed("SM1", 6)], None);
    let stub = Stub::start_with(vec![reply(200, first.clone()), reply(200, second)]).await;
    let looked_up = without_ages(adapter(&stub.url).look_up(&asked(outbound())).await);
    assert_eq!(looked_up, found(&["SM1", "SM2"]));
    let asked_for: Vec<String> = stub.seen().iter().map(|seen| seen.uri.to_string()).collect();
    assert_eq!(asked_for.get(1), Some(&next));

    let stub = Stub::start_with(vec![reply(200, first), reply(503, twilio_error(20503))]).await;
    let looked_up = adapter(&stub.url).look_up(&asked(outbound())).await;
    assert!(is_inconclusive(&looked_up), "a page is missing: {looked_up:?}");
}

#[tokio::test]
async fn a_list_without_end_and_one_that_leads_elsewhere_say_nothing() {
    let round = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=1");
    let stub = Stub::start(reply(200, page(&[], Some(&round)))).await;
    let looked_up = adapter(&stub.url).look_up(&asked(outbound())).await;
    assert!(is_inconclusive(&looked_up), "{looked_up:?}");
    assert_eq!(stub.seen().len(), 20);
    let elsewhere = Stub::start(reply(200, page(&[], Some("https://evil.example/")))).await;
    let looked_up = adapter(&elsewhere.url).look_up(&asked(outbound())).await;
    assert!(is_inconclusive(&looked_up), "{looked_up:?}");
    assert_eq!(elsewhere.seen().len(), 1);
}

#[tokio::test]
async fn garbage_and_errors_say_nothing() {
    let garbage = [
        "",
        "<html>",
        "{}",
        r#"{"messages": []}"#,
        r#"{"next_page_uri": null}"#,
        r#"{"messages": [{}], "next_page_uri": null}"#,
        r#"{"messages": [], "next_page_uri": 1}"#,
    ];
    for body in garbage {
        let stub = Stub::start(reply(200, body)).await;
        let looked_up = adapter(&stub.url).look_up(&asked(outbound())).await;
        assert!(is_inconclusive(&looked_up), "{body}: {looked_up:?}");
    }
    for status in [201, 204, 302, 401, 404, 429, 500, 503] {
        let stub = Stub::start(reply(status, twilio_error(20429))).await;
        let looked_up = adapter(&stub.url).look_up(&asked(outbound())).await;
        assert!(is_inconclusive(&looked_up), "{status}: {looked_up:?}");
    }
    let (url, _) = breaking(Then::Reset).await;
    let looked_up = adapter(&url).look_up(&asked(outbound())).await;
    assert!(is_inconclusive(&looked_up), "{looked_up:?}");
}
