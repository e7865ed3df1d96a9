use std::process::Command;

use super::*;
use crate::tests::example;

/// What a consumer of one's own is written after.
const PAGE: &str = include_str!("../../../../docs/events.md");

const STREAM: &str = "HATCH_EVENTS_1";
const SUBJECT: &str =
    "hatch.events.00000000-0000-0000-0000-000000000001.message.MessageRequested.sms.normal";
const ID: &str = "0198c0de-0000-7000-8000-000000000002";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const PAYLOAD: &[u8] = br#"{"position":7}"#;

/// The tags of the message above by the secret 00 01 02 .. 1f, made by another implementation.
const GOLDEN: &str = "5U7UUv0Zhwd2BKwWcsihhnWoRJw/JhKa2Lhhvy26Iiw=";
const GOLDEN_TRACED: &str = "2nk2h4YHpsZ5T4ay17uTIc8Yov4mCneA3Rh48v9FXf4=";

fn key() -> Key {
    Key::new(&std::array::from_fn::<u8, 32, _>(|n| u8::try_from(n).expect("small")))
}

fn headers(traceparent: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(POSITION, "7");
    headers.insert(EVENT_ID, ID);
    if let Some(traceparent) = traceparent {
        headers.insert(TRACEPARENT, traceparent);
    }
    headers
}

/// The headers of a message that hatch wrote.
fn signed(traceparent: Option<&str>) -> HeaderMap {
    let mut headers = headers(traceparent);
    headers.insert(MAC, key().sign(STREAM, SUBJECT, &headers, PAYLOAD));
    headers
}

fn claim(headers: &HeaderMap) -> Claim<'_> {
    Claim { stream: STREAM, sequence: 7, subject: SUBJECT, headers, payload: PAYLOAD }
}

#[test]
fn the_tag_is_the_one_that_others_compute() {
    assert_eq!(key().sign(STREAM, SUBJECT, &headers(None), PAYLOAD), GOLDEN);
    assert_eq!(key().sign(STREAM, SUBJECT, &headers(Some(TRACE)), PAYLOAD), GOLDEN_TRACED);
}

#[test]
fn the_example_of_the_page_computes_it_too() {
    let (_, example) = PAGE.split_once("```python\n").expect("the page has an example");
    let (example, _) = example.split_once("```").expect("the example ends");
    let output = Command::new("python3").args(["-c", example]).output().expect("python3 runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), GOLDEN_TRACED);
}

#[test]
fn what_hatch_wrote_is_believed() {
    let verified = Verified { position: 7, event_id: ID.parse().expect("an id") };
    for traceparent in [None, Some(TRACE)] {
        assert_eq!(claim(&signed(traceparent)).verify(Some(&key())), Ok(verified));
    }
}

#[test]
fn nothing_that_a_reader_believes_can_be_changed() {
    let (good, other) = (signed(Some(TRACE)), Key::new(b"of another epoch"));
    let wrong = Err(Foreign::WrongMac);
    assert_eq!(claim(&good).verify(Some(&other)), wrong, "another epoch");
    assert_eq!(claim(&good).verify(None), wrong, "no key");
    let changed = [
        Claim { stream: "HATCH_EVENTS_2", ..claim(&good) },
        Claim { stream: "OTHER_EVENTS_1", ..claim(&good) },
        Claim { subject: &SUBJECT.replace("normal", "high"), ..claim(&good) },
        Claim { subject: &SUBJECT.replace("0001.", "0002."), ..claim(&good) },
        Claim { payload: br#"{"position":8}"#, ..claim(&good) },
        Claim { payload: &PAYLOAD[..PAYLOAD.len() - 1], ..claim(&good) },
        Claim { payload: b"", ..claim(&good) },
    ];
    for claim in changed {
        assert_eq!(claim.verify(Some(&key())), wrong, "{claim:?}");
    }
    let with = |name, value: &str| {
        let mut headers = good.clone();
        headers.insert(name, value);
        headers
    };
    for headers in [
        with(EVENT_ID, "0198c0de-0000-7000-8000-000000000003"),
        with(EVENT_ID, "no id"),
        with(TRACEPARENT, "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        with(TRACEPARENT, ""),
        with(MAC, GOLDEN),
        with(MAC, ""),
        with(MAC, "no base64"),
        with(MAC, &GOLDEN_TRACED[..20]),
        with(POSITION, "07"),
    ] {
        assert_eq!(claim(&headers).verify(Some(&key())), wrong, "{headers:?}");
    }
}

#[test]
fn a_message_that_was_moved_is_out_of_place_and_one_without_a_tag_is_said_to_be() {
    let good = signed(None);
    for sequence in [0, 6, 8, i64::MAX] {
        let moved = Claim { sequence, ..claim(&good) };
        assert_eq!(moved.verify(Some(&key())), Err(Foreign::OutOfPlace));
    }
    let bare = headers(None);
    assert_eq!(claim(&bare).verify(Some(&key())), Err(Foreign::NoMac));
    assert_eq!(claim(&HeaderMap::new()).verify(Some(&key())), Err(Foreign::NoMac));
}

#[test]
fn of_a_header_that_comes_twice_neither_is_believed() {
    for (name, value) in [
        (MAC, GOLDEN),
        (POSITION, "7"),
        (EVENT_ID, ID),
        (TRACEPARENT, "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ] {
        let mut twice = signed(Some(TRACE));
        twice.append(name, value);
        assert!(claim(&twice).verify(Some(&key())).is_err(), "{name}");
    }
}

#[test]
fn bytes_cannot_move_from_one_field_to_the_next() {
    let headers = signed(None);
    let subject = &SUBJECT[1..];
    let moved = Claim { stream: "HATCH_EVENTS_1h", subject, ..claim(&headers) };
    assert_eq!(moved.verify(Some(&key())), Err(Foreign::WrongMac));
}

#[test]
fn a_key_is_not_shown() {
    let shown = format!("{:?}", Key::new(b"abcdefgh"));
    assert!(!shown.contains("abc") && !shown.contains("97"), "{shown}");
}

#[test]
fn the_example_event_is_signed_as_it_travels() {
    let payload = example().travelling().to_json().into_bytes();
    let mut headers = headers(None);
    headers.insert(MAC, key().sign(STREAM, SUBJECT, &headers, &payload));
    let claim = Claim { payload: &payload, ..claim(&headers) };
    claim.verify(Some(&key())).expect("the bytes as they travel");
}
