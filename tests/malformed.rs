//! What cannot be read, at every endpoint: an answer in hatch's words, with codes that programs may rely on.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Hatch};
use crate::openapi::{self, DOCUMENT};

/// Bodies that no endpoint takes.
const BODIES: [&str; 11] = [
    "",
    " ",
    "hello",
    "{\"to\": }",
    "{\"from\": \"a",
    "{\"from\": \"a\nb\"}",
    "{\"list\": [1, 2}",
    "{\"number\": 1e999}",
    "{}{}",
    "[]",
    "{\"no_such_field\": 1}",
];

/// Words of Rust and of its JSON library, which say nothing to a client.
const FOREIGN: [&str; 20] = [
    "serde",
    "struct ",
    "enum ",
    "variant",
    "invalid type",
    "invalid value:",
    "invalid digit",
    "invalid length",
    "missing field",
    "duplicate field",
    "a string",
    "sequence",
    "a map",
    "u32",
    "u64",
    "i64",
    "f64",
    "::",
    "Some(",
    "`",
];

/// Each operation of the document: method, path, operation. The ids in its path name nothing.
fn operations() -> Vec<(Method, String, Value)> {
    let named = |(method, path, operation): (Method, String, Value)| {
        let path = path
            .replace("{id}", "00000000-0000-7000-8000-000000000000")
            .replace("{address}", "ann@example.com")
            .replace("{provider}", "generic")
            .replace("{position}", "1");
        (method, path, operation)
    };
    openapi::operations().into_iter().map(named).collect()
}

/// The names of the fields that the operation's JSON body has, and of those of another's where it says none.
fn fields(operation: &Value) -> BTreeSet<String> {
    let document: Value = serde_json::from_str(&DOCUMENT).expect("JSON");
    let mut schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    while let Some(reference) = schema["$ref"].as_str() {
        schema = document.pointer(&reference[1..]).expect("it is in the document");
    }
    match schema["properties"].as_object() {
        Some(properties) => properties.keys().cloned().collect(),
        None => ["from", "to", "type", "body", "attachments", "timestamp", "xillio_id"]
            .map(str::to_owned)
            .into(),
    }
}

fn is_code(text: &Value) -> bool {
    text.as_str().is_some_and(|code| {
        !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    })
}

fn check(answer: &Answer, asked: &str) {
    let mut said = answer.body.clone();
    // A request's id may hold any word of few letters and digits.
    if let Some(said) = said.as_object_mut() {
        said.retain(|name, _| !["instance", "request_id"].contains(&name.as_str()));
    }
    let text = said.to_string();
    for word in FOREIGN {
        assert!(!text.contains(word), "{asked}: {word:?} in {text}");
    }
    if answer.status.is_success() {
        return;
    }
    assert!(is_code(&answer.body["code"]), "{asked}: {text}");
    if answer.status == StatusCode::BAD_REQUEST {
        let errors = answer.body["errors"].as_array().unwrap_or_else(|| panic!("{asked}: {text}"));
        for error in errors {
            assert!(is_code(&error["code"]), "{asked}: {text}");
            assert!(error["pointer"].is_string() && error["detail"].is_string(), "{asked}: {text}");
        }
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_in_hatchs_words() {
    let hatch = Hatch::start().await;
    let takes = |operation: &Value| operation["requestBody"]["content"].is_object();
    for (method, path, operation) in operations().into_iter().filter(|(_, _, o)| takes(o)) {
        let send = async |body: &str| {
            let body = Some(body.to_owned());
            hatch.request(method.clone(), &path, &[], body).await
        };
        for body in BODIES {
            let answer = send(body).await;
            let asked = format!("{method} {path} {body:?}");
            check(&answer, &asked);
            // No account takes what is posted there, or it is signed, whatever it says.
            if ![StatusCode::NOT_FOUND, StatusCode::UNAUTHORIZED].contains(&answer.status) {
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{asked}: {}", answer.body);
            }
        }
        for field in fields(&operation) {
            for value in [json!({}), json!([]), json!(-1.5), json!(true), json!([[]]), json!("\0")]
            {
                let body = json!({ &field: value }).to_string();
                check(&send(&body).await, &format!("{method} {path} {body}"));
            }
        }
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_parameter_that_cannot_be_read_is_refused_in_hatchs_words() {
    let hatch = Hatch::start().await;
    for (_, path, operation) in operations().into_iter().filter(|(m, _, _)| *m == Method::GET) {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        for name in in_query.map(|parameter| parameter["name"].as_str().expect("a name")) {
            for query in [
                format!("{name}=x&{name}=x"),
                format!("{name}=%00"),
                format!("{name}=99999999999999999999"),
                format!("{name}=-0.5"),
                format!("no_such_{name}=1"),
            ] {
                let asked = format!("{path}?{query}");
                check(&hatch.get(&asked).await, &asked);
            }
        }
    }
    hatch.finish().await;
}

#[tokio::test]
async fn each_fault_of_a_field_has_its_code() {
    let hatch = Hatch::start().await;
    let good = json!({"from": "+12016661234", "to": "+18045551234", "body": "Hello"});
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request[field] = value;
        request.to_string()
    };
    for (body, code, pointer, detail) in [
        ("{\"to\": }".to_owned(), "not_json", "", "the body is not JSON at line 1, column 8"),
        (with("from", json!({})), "wrong_type", "/from", "expected a"),
        (with("to", json!("+1804")), "invalid_phone_number", "/to", "no phone number"),
        (with("to", json!(null)), "required", "/to", "is required"),
        (with("colour", json!(1)), "unknown_field", "/colour", "unknown field"),
        (with("channel", json!("pigeon")), "unknown_value", "/channel", "expected one of"),
        (with("channel", json!("voice")), "not_available", "/channel", "voice is not"),
        (with("type", json!("fax")), "unknown_value", "/type", "expected one of"),
        (with("body", json!("x".repeat(1_601))), "too_long", "/body", "expected at most"),
        (with("body", json!("a\0b")), "forbidden_character", "/body", "expected no NUL"),
        (with("subject", json!("Hi")), "not_allowed", "/subject", "only an email"),
        (with("send_at", json!("2020-01-01T00:00:00Z")), "out_of_range", "/send_at", "is more"),
        (with("send_at", json!("soon")), "invalid_value", "/send_at", "expected a time"),
        (with("to", json!("+12016661234")), "contradiction", "/to", "expected another"),
    ] {
        let answer = hatch.request(Method::POST, "/api/v1/messages", &[], Some(body.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.body);
        assert_eq!(answer.body["code"], "invalid_request", "{}", answer.body);
        let error = &answer.body["errors"][0];
        assert_eq!((&error["code"], &error["pointer"]), (&json!(code), &json!(pointer)), "{error}");
        assert!(error["detail"].as_str().is_some_and(|said| said.starts_with(detail)), "{error}");
    }
    let nowhere = hatch.get("/api/v1/nothing").await;
    assert_eq!(nowhere.body["code"], "not_found");
    let twice = async |body: &str| {
        let key = [("idempotency-key", "one")];
        hatch.request(Method::POST, "/api/v1/messages", &key, Some(body.to_owned())).await
    };
    twice(&good.to_string()).await;
    assert_eq!(twice(&with("body", json!("Bye"))).await.body["code"], "idempotency_key_reused");
    hatch.finish().await;
}
