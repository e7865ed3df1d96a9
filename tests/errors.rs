//! The errors of hatch, as whoever gets one meets them: `type` is the address of a page that says what it means and what
//! to do.

use std::collections::BTreeMap;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, CUSTOMER, Hatch, SENDER};
use crate::openapi;

const SEND: &str = "/api/v1/messages";

/// The codes that the document lists.
fn codes() -> Vec<String> {
    let listed = openapi::schemas()["Problem"]["properties"]["code"]["x-extensible-enum"].clone();
    serde_json::from_value(listed).expect("a list of codes")
}

/// A page, and its type.
async fn page(hatch: &Hatch, address: &str, accept: &str) -> (StatusCode, String, String) {
    let answer = hatch.http.get(address).header("accept", accept).send().await.expect("an answer");
    let kind = answer.headers()[CONTENT_TYPE].to_str().expect("ASCII").to_owned();
    (answer.status(), kind, answer.text().await.expect("a page"))
}

/// Answers with errors, of as many kinds as a client can cause by itself.
async fn refused(hatch: &Hatch) -> Vec<(&'static str, Answer)> {
    let sms =
        json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "Hello"}).to_string();
    let other = sms.replace("Hello", "Bye");
    let send = async |headers: &[(&str, &str)], body: &str| {
        hatch.request(Method::POST, SEND, headers, Some(body.to_owned())).await
    };
    let key = [("idempotency-key", "once")];
    assert_eq!(send(&key, &sms).await.status, StatusCode::ACCEPTED);
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    let by = async |method: Method, path: &str, headers: &[(&str, &str)]| {
        hatch.request(method, path, headers, None).await
    };
    let large = json!({"to": CUSTOMER, "body": "x".repeat(1_100_000)}).to_string();
    vec![
        ("invalid_request", send(&[], "{}").await),
        ("too_large", send(&[], &large).await),
        ("content_type", by(Method::POST, SEND, &[("content-type", "text/plain")]).await),
        ("idempotency_key_reused", send(&key, &other).await),
        ("not_found", by(Method::GET, "/api/v1/nothing", &[]).await),
        ("method_not_allowed", by(Method::DELETE, SEND, &[]).await),
        ("conflict", by(Method::POST, &format!("{SEND}/{id}/cancel"), &[]).await),
        ("unauthorized", by(Method::GET, SEND, &[("authorization", "Bearer nonsense")]).await),
        ("wrong_signature", by(Method::POST, "/api/v1/webhooks/twilio", &[]).await),
        ("foreign_site", by(Method::GET, SEND, &[("sec-fetch-site", "cross-site")]).await),
        ("misdirected", by(Method::GET, SEND, &[("host", "evil.example")]).await),
    ]
}

#[tokio::test]
async fn the_type_of_an_error_opens_its_page() {
    let hatch = Hatch::start().await;
    let mut answers = BTreeMap::new();
    for (code, answer) in refused(&hatch).await {
        assert_eq!(answer.text("code"), code, "{}", answer.body);
        assert_eq!(answer.text("request_id"), answer.header("x-request-id"), "{code}");
        assert_eq!(answer.text("instance"), answer.text("request_id"), "{code}");
        answers.insert(code, answer.body);
    }
    let batch = json!({"messages": [{"to": "x"}, {"to": CUSTOMER, "body": "Hello"}]});
    let batch = hatch.post("/api/v1/messages/batch", &batch).await;
    answers.insert("invalid_request of a batch", batch.body["data"][0]["error"].clone());
    for (of, body) in answers {
        let (code, title) = (body["code"].as_str().expect("a code"), body["title"].as_str());
        let address = body["type"].as_str().expect("an address");
        assert!(address.starts_with(&hatch.url), "{of}: {address}");
        let (status, kind, text) = page(&hatch, address, "text/html").await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/html; charset=utf-8"), "{of}");
        let heading = format!("<h1><code>{code}</code></h1>");
        for part in [heading.as_str(), title.expect("a title"), "What to do"] {
            assert!(text.contains(part), "{of}: {part} in {text}");
        }
        assert!(text.contains(&body["status"].to_string()), "{of}: {text}");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn each_code_of_the_document_has_a_page_with_an_example_of_this_installation() {
    let hatch = Hatch::start().await;
    let codes = codes();
    assert!(codes.len() > 25, "{codes:?}");
    for code in codes {
        let address = format!("{}/docs/errors/{}", hatch.url, code.replace('_', "-"));
        let (status, kind, text) = page(&hatch, &address, "text/markdown").await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/markdown; charset=utf-8"));
        let (_, rest) = text.split_once("```json\n").expect("an example");
        let (example, _) = rest.split_once("```").expect("its end");
        let example: Value = serde_json::from_str(example).expect("JSON");
        assert_eq!((&example["code"], &example["type"]), (&json!(code), &json!(address)), "{text}");
        let complaint = crate::conforms::complaint(
            &openapi::schemas()["Problem"],
            &example,
            &openapi::schemas(),
            &code,
        );
        assert_eq!(complaint, None);
    }
    hatch.finish().await;
}

#[test]
fn each_answer_of_the_document_names_its_codes() {
    let known = codes();
    let mut named = 0;
    for (method, path, operation) in openapi::operations() {
        for (status, answer) in operation["responses"].as_object().expect("responses") {
            let content = &answer["content"]["application/problem+json"];
            if content.is_null() {
                continue;
            }
            let codes = answer["x-problem-codes"].as_array().cloned().unwrap_or_default();
            let shown = &content["example"]["code"];
            assert!(codes.contains(shown), "{method} {path} {status}: {shown} of {codes:?}");
            for code in codes {
                assert!(known.iter().any(|known| *known == code), "{method} {path}: {code}");
                named += 1;
            }
        }
    }
    assert!(named > 100, "{named} codes are named");
}
