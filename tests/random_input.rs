//! Whatever is thrown at the send endpoint: it is taken, or it is the client's fault.

use hatch::roles::Role;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use crate::harness::{CUSTOMER, Hatch, SENDER};

/// Requests of each kind.
const CASES: u32 = 192;

const FIELDS: [&str; 18] = [
    "channel",
    "type",
    "from",
    "to",
    "body",
    "attachments",
    "send_at",
    "priority",
    "topic",
    "metadata",
    "subject",
    "html",
    "cc",
    "bcc",
    "reply_to",
    "headers",
    "in_reply_to",
    "colour",
];

/// Values that some field takes, or nearly takes.
fn telling() -> impl Strategy<Value = Value> {
    let words = [
        "sms",
        "mms",
        "email",
        "chat",
        "voice",
        "high",
        "",
        " ",
        "\u{0}",
        "a\r\nBcc: x@y.com",
        "alice",
        "bob",
        SENDER,
        CUSTOMER,
        "+1804",
        "8045551234",
        "user@example.com",
        "@",
        "<a@b>",
        "https://example.com/a.jpg",
        "ftp://x",
        "2030-01-01T00:00:00Z",
        "1999-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "aGVsbG8=",
        "\u{202e}\u{feff}\u{10ffff}",
    ];
    let word = prop::sample::select(words.to_vec()).prop_map(Value::from);
    let keys = prop::sample::select(vec![
        "url",
        "content",
        "filename",
        "content_type",
        "id",
        "To",
        "X-Note",
        "a/b~c",
    ]);
    let object = prop::collection::btree_map(keys.prop_map(str::to_owned), word.clone(), 0..4)
        .prop_map(|entries| Value::Object(entries.into_iter().collect()));
    let long = (0..3_000_usize).prop_map(|n| Value::from("x".repeat(n)));
    let one = prop_oneof![6 => word, 2 => object, 1 => long, 1 => any_json()];
    prop_oneof![4 => one.clone(), 1 => prop::collection::vec(one, 0..4).prop_map(Value::from)]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn good() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"}),
        json!({"from": SENDER, "to": CUSTOMER, "attachments": ["https://example.com/a.jpg"]}),
        json!({"from": "a@example.com", "to": ["b@example.com"], "subject": "Hi", "body": "Hello"}),
        json!({"channel": "chat", "from": "alice", "to": "bob", "body": "Hello"}),
    ])
}

/// A good request with some fields of it replaced, added or taken away.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec(
        (prop::sample::select(FIELDS.to_vec()), prop::option::weighted(0.9, telling())),
        0..4,
    );
    (good(), changes).prop_map(|(mut request, changes)| {
        let fields = request.as_object_mut().expect("an object");
        for (name, value) in changes {
            match value {
                Some(value) => fields.insert(name.to_owned(), value),
                None => fields.remove(name),
            };
        }
        request.to_string().into_bytes()
    })
}

/// An object of our fields with values of any kind.
fn fields_of_any_kind() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        9 => prop::sample::select(FIELDS.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let value = prop_oneof![telling(), any_json()];
    prop::collection::btree_map(name, value, 0..8)
        .prop_map(|fields| Value::Object(Map::from_iter(fields)).to_string().into_bytes())
}

/// A good request with some bytes of it changed, and bytes of no meaning at all.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let edited = (good(), edits).prop_map(|(request, edits)| {
        let mut bytes = request.to_string().into_bytes();
        for (index, byte) in edits {
            let place = index.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    });
    prop_oneof![edited, prop::collection::vec(any::<u8>(), 0..200)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_is_taken_or_the_clients_fault() {
    let hatch = Hatch::start_with(&[Role::Command], |_| {}).await;
    let strategy = prop_oneof![
        2 => mutated(),
        2 => fields_of_any_kind(),
        1 => any_json().prop_map(|value| value.to_string().into_bytes()),
        1 => bytes(),
    ];
    let config = Config { cases: 4 * CASES, failure_persistence: None, ..Config::default() };
    let (url, http) = (format!("{}/api/v1/messages", hatch.url), hatch.http.clone());
    let (accepted, refused) = tokio::task::block_in_place(|| {
        let (mut accepted, mut refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let post = |body: Vec<u8>| {
            let request = http.post(&url).header("content-type", "application/json").body(body);
            let status = Handle::current().block_on(request.send()).expect("an answer").status();
            let count = if status == StatusCode::ACCEPTED { &accepted } else { &refused };
            count.set(count.get() + 1);
            let fine = status == StatusCode::ACCEPTED || status.is_client_error();
            if fine { Ok(()) } else { Err(TestCaseError::fail(status.to_string())) }
        };
        TestRunner::new(config).run(&strategy, post).unwrap_or_else(|error| panic!("{error}"));
        (*accepted.get_mut(), *refused.get_mut())
    });
    assert_eq!(hatch.log_length().await, accepted, "an event for each that was taken");
    assert!(accepted > i64::from(CASES / 4), "only {accepted} were taken: nothing was tried");
    assert!(refused > i64::from(CASES), "only {refused} were refused: nothing was tried");
    hatch.finish().await;
}
