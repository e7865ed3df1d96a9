//! What the events of a domain say of an attempt in doubt.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::Email;
use serde_json::{Value, json};

use super::{MESSAGE, adapter, outbound, reply, with_email};
use crate::stub::{Reply, Stub};
use crate::{Adapter, Candidate, LookUp, LookedUp, Outbound};

const CLAIMED: &str = "2026-01-31T12:00:00Z";

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn mail() -> Outbound {
    with_email(Email { mail_id: Some("1@hatch".into()), ..Email::default() })
}

fn asked(message: Outbound, asked_at: &str) -> LookUp {
    LookUp { message, attempted_at: time(CLAIMED), asked_at: time(asked_at) }
}

/// Mailgun's answer, a minute after the attempt by its clock.
fn page(items: &[Value]) -> Reply {
    let headers = vec![("date", "Sat, 31 Jan 2026 12:01:00 GMT".to_owned())];
    let body = json!({"items": items, "paging": {"next": "https://x", "last": "https://x"}});
    Reply { headers, ..reply(200, body.to_string()) }
}

fn event(mail_id: &str, variables: Value) -> Value {
    json!({
        "event": "accepted", "id": "a", "timestamp": 1_769_860_800.5,
        "message": {"headers": {"message-id": mail_id}}, "user-variables": variables,
    })
}

async fn looked_up(asked: &LookUp, reply: Reply) -> LookedUp {
    let stub = Stub::start(reply).await;
    adapter(&stub.url).look_up(asked).await
}

fn is_inconclusive(looked_up: &LookedUp) -> bool {
    matches!(looked_up, LookedUp::Inconclusive { .. })
}

#[tokio::test]
async fn events_are_asked_for_by_our_message_id() {
    let stub = Stub::start(page(&[])).await;
    adapter(&stub.url).look_up(&asked(mail(), CLAIMED)).await;
    let seen = stub.seen().remove(0);
    let begin = time("2026-01-31T11:00:00Z").timestamp();
    let path = "/v3/mail.usehatchapp.com/events?message-id=1%40hatch";
    let expected = format!("{path}&begin={begin}&ascending=yes&limit=100");
    assert_eq!((seen.method.as_str(), seen.uri.to_string()), ("GET", expected));
    assert!(seen.headers.contains_key("authorization"));
}

#[tokio::test]
async fn an_event_of_the_mail_is_certain_whenever_it_is_found() {
    let candidate = Candidate {
        provider_message_id: "1@hatch".to_owned(),
        certain: true,
        age: Some(Duration::from_secs_f64(59.5)),
    };
    let found = LookedUp::Found { candidates: vec![candidate] };
    for variables in [json!({"message_id": MESSAGE, "attempt": "3"}), json!({}), Value::Null] {
        for asked_at in ["2026-01-31T12:00:30Z", "2026-02-20T12:00:00Z"] {
            let items = [event("1@hatch", variables.clone())];
            assert_eq!(looked_up(&asked(mail(), asked_at), page(&items)).await, found);
        }
    }
}

/// A message that is sent again has its Message-ID again.
#[tokio::test]
async fn events_of_another_attempt_say_nothing_of_this_one() {
    let (soon, late) = ("2026-01-31T12:00:30Z", "2026-01-31T13:00:00Z");
    let of = |attempt: &str| event("1@hatch", json!({"message_id": MESSAGE, "attempt": attempt}));
    let found = looked_up(&asked(mail(), soon), page(&[of("1"), of("3")])).await;
    assert!(matches!(found, LookedUp::Found { .. }), "{found:?}");
    let others = [of("1"), of("2")];
    assert_eq!(looked_up(&asked(mail(), late), page(&others)).await, LookedUp::NotFound);
    for (asked_at, items) in [(soon, others.to_vec()), (late, vec![of("1"); 100])] {
        let looked_up = looked_up(&asked(mail(), asked_at), page(&items)).await;
        assert!(is_inconclusive(&looked_up), "{asked_at}: {looked_up:?}");
    }
}

#[tokio::test]
async fn that_nothing_is_there_follows_only_once_all_is_written_and_while_it_is_kept() {
    for (asked_at, absent) in [
        ("2026-01-31T12:00:30Z", false),
        ("2026-01-31T12:30:09Z", false),
        ("2026-01-31T12:30:10Z", true),
        ("2026-02-01T10:59:00Z", true),
        ("2026-02-01T11:00:01Z", false),
    ] {
        let looked_up = looked_up(&asked(mail(), asked_at), page(&[])).await;
        assert_eq!(looked_up == LookedUp::NotFound, absent, "{asked_at}: {looked_up:?}");
        assert_eq!(is_inconclusive(&looked_up), !absent, "{asked_at}: {looked_up:?}");
    }
}

#[tokio::test]
async fn nothing_follows_from_another_answer() {
    let late = "2026-01-31T13:00:00Z";
    let other = "01890a5d-ac96-774b-bcce-b302099a8058";
    for reply in [
        reply(200, "{}"),
        reply(200, r#"{"items":null}"#),
        reply(200, "<html>"),
        reply(401, "Forbidden"),
        reply(500, r#"{"items":[]}"#),
        page(&[event("2@hatch", json!({}))]),
        page(&[event("1@hatch", json!({ "message_id": other }))]),
    ] {
        let looked_up = looked_up(&asked(mail(), late), reply).await;
        assert!(is_inconclusive(&looked_up), "{looked_up:?}");
    }
    let nameless = looked_up(&asked(outbound(), late), page(&[])).await;
    assert!(is_inconclusive(&nameless), "{nameless:?}");
}
