//! A page of a list has a size, whatever its rows have.

use std::collections::BTreeSet;

use hatch::roles::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Answer, Hatch};

/// Characters of a text that a list has.
const CUT: usize = 16_384;
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a page has beside its rows.
const AROUND: usize = 1_024;

async fn mail(hatch: &Hatch, mail: &Value) -> Answer {
    let answer = hatch.post("/api/v1/messages", mail).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer
}

async fn read(hatch: &Hatch, path: &str) -> (Value, usize) {
    let answer = hatch.http.get(format!("{}{path}", hatch.url)).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let text = answer.text().await.expect("text");
    (serde_json::from_str(&text).expect("JSON"), text.len())
}

#[tokio::test]
async fn a_long_text_is_cut_in_lists_and_whole_by_itself() {
    let hatch = Hatch::start().await;
    let (long, short) = ("é".repeat(CUT + 1), "é".repeat(CUT));
    let request = json!({"to": "reader@example.com", "subject": "s", "body": long, "html": short});
    let sent = mail(&hatch, &request).await;
    let (id, after) = (sent.text("id"), sent.header("hatch-position"));
    let conversation = sent.text("conversation_id");
    for (path, list) in [
        ("/api/v1/messages?".to_owned(), "data"),
        (format!("/api/v1/conversations/{conversation}/messages?"), "data"),
    ] {
        let (page, _) = read(&hatch, &format!("{path}after={after}&wait=30")).await;
        let row = &page[list][0];
        assert_eq!(row["body"].as_str().expect("a text").chars().count(), CUT, "{path}");
        assert_eq!((&row["body_truncated"], &row["html_truncated"]), (&json!(true), &json!(false)));
    }
    let (page, _) = read(&hatch, &format!("/api/conversations/{conversation}/messages")).await;
    assert_eq!(page["messages"][0]["body_truncated"], true);
    let (whole, _) = read(&hatch, &format!("/api/v1/messages/{id}")).await;
    assert_eq!(whole["body"], request["body"]);
    assert_eq!(whole["body_truncated"], false);
    hatch.finish().await;
}

/// A mail to a thousand.
fn to_many(n: usize) -> Value {
    let to: Vec<String> = (0..1_000).map(|one| format!("reader{n}x{one}@example.com")).collect();
    json!({"from": "a@example.com", "to": to, "subject": "s", "body": "b"})
}

#[tokio::test]
async fn a_list_has_the_first_of_many_addresses_and_says_how_many_there_are() {
    let hatch = Hatch::start().await;
    let request = to_many(0);
    let sent = mail(&hatch, &request).await;
    let (id, after) = (sent.text("id"), sent.header("hatch-position"));
    let (page, _) = read(&hatch, &format!("/api/v1/messages?after={after}&wait=30")).await;
    let row = &page["data"][0];
    let first = &request["to"].as_array().expect("addresses")[..100];
    assert_eq!(row["to"].as_array().expect("addresses"), first);
    assert_eq!((&row["to_count"], &row["cc_count"]), (&json!(1_000), &Value::Null));
    let (page, _) = read(&hatch, "/api/v1/conversations").await;
    let row = &page["data"][0];
    assert_eq!(row["participants"].as_array().expect("addresses").len(), 100);
    assert_eq!(row["participants_count"], 1_001);
    let (whole, _) = read(&hatch, &format!("/api/v1/messages/{id}")).await;
    assert_eq!((&whole["to"], &whole["to_count"]), (&request["to"], &Value::Null));
    let conversation = sent.text("conversation_id");
    let (whole, _) = read(&hatch, &format!("/api/v1/conversations/{conversation}")).await;
    assert_eq!(whole["participants"].as_array().expect("addresses").len(), 1_001);
    assert_eq!(whole["participants_count"], Value::Null);
    hatch.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_list_mails_to_many_are_all_answered() {
    let roles = [Role::Command, Role::Query, Role::Relay, Role::Projector];
    let hatch = Hatch::start_with(&roles, |_| {}).await;
    let mut after = String::new();
    for n in 0..60 {
        after = mail(&hatch, &to_many(n)).await.header("hatch-position").to_owned();
    }
    read(&hatch, &format!("/api/v1/messages?limit=1&after={after}&wait=30")).await;
    let began = std::time::Instant::now();
    let readers = (0..32).map(async |_| {
        let (page, _) = read(&hatch, "/api/v1/messages?limit=200").await;
        page["data"].as_array().expect("rows").len()
    });
    let rows = futures::future::join_all(readers).await;
    eprintln!("in {:?}", began.elapsed());
    assert!(rows.iter().all(|rows| *rows == 60), "{rows:?}");
    hatch.finish().await;
}

#[tokio::test]
async fn a_page_ends_after_some_bytes_and_the_cursor_leads_to_the_rest() {
    let roles = [Role::Command, Role::Query, Role::Relay, Role::Projector];
    let hatch = Hatch::start_with(&roles, |_| {}).await;
    // As long as a list shows them.
    let text = "é".repeat(CUT);
    let (mut sent, mut after) = (BTreeSet::new(), String::new());
    for _ in 0..8 {
        let request = json!({"to": "reader@example.com", "body": text, "html": text});
        let batch = json!({"messages": vec![request; 10]});
        let answer = hatch.post("/api/v1/messages/batch", &batch).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        let rows = answer.body["data"].as_array().expect("rows");
        sent.extend(rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));
        after = answer.header("hatch-position").to_owned();
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("/api/v1/messages?limit=200&after={after}&wait=30{cursor}");
        let (page, bytes) = read(&hatch, &path).await;
        assert!(bytes <= PAGE_BYTES_MAX + AROUND, "{bytes} bytes");
        let rows = page["data"].as_array().expect("rows");
        seen.extend(rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(pages > 1, "they are more than a page");
    assert_eq!((seen.len(), sent.len()), (80, 80), "none twice");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), sent);
    hatch.finish().await;
}
