//! What events say.

use hatch_domain::ids::TenantId;
use hatch_domain::{ErrorClass, SendError};
use serde_json::{Value, json};

use super::super::MailgunEvents;
use super::{DOMAIN, MESSAGE, SIGNATURE, TIMESTAMP, TOKEN, address, request, settings};
use crate::webhook::{Observation, Receipt, ReportedOutcome};
use crate::{NotUnderstood, Webhook};

/// An event of a mail of ours, with some of it replaced.
fn event(replaced: Value) -> Value {
    let mut event = json!({
        "event": "delivered",
        "id": "CPgfbmQMTCKtHW6uIWtuVe",
        "timestamp": 1_521_472_262.908_181,
        "recipient": "alice@example.com",
        "message": {"headers": {"message-id": "1@hatch", "to": "Alice <alice@example.com>"}},
        "user-variables": {
            "message_id": MESSAGE, "attempt": "3",
            "tenant_id": "00000000-0000-0000-0000-000000000001",
        },
    });
    let Value::Object(replaced) = replaced else { panic!("an object") };
    for (key, value) in replaced {
        event[key] = value;
    }
    event
}

fn parse_body(body: String) -> Result<Vec<Observation>, NotUnderstood> {
    let webhook = MailgunEvents::new(&settings("https://api.mailgun.net")).expect("good");
    let request = request("application/json", body);
    let verified = webhook.verify(&request).expect("signed");
    webhook.parse(&verified)
}

fn parse(event: &Value) -> Result<Receipt, NotUnderstood> {
    let signature = json!({"timestamp": TIMESTAMP, "token": TOKEN, "signature": SIGNATURE});
    let body = json!({"signature": signature, "event-data": event}).to_string();
    match parse_body(body)?.as_slice() {
        [Observation::Receipt(receipt)] => Ok(receipt.clone()),
        other => panic!("{other:?}"),
    }
}

fn read(replaced: Value) -> Receipt {
    parse(&event(replaced)).expect("understood")
}

/// A failure for good, with what the recipient's server said.
fn failed(reason: &str, code: u64, status: &str) -> Value {
    json!({
        "event": "failed", "severity": "permanent", "reason": reason,
        "delivery-status": {"code": code, "message": "no", "enhanced-code": status},
    })
}

#[test]
fn a_receipt_names_its_attempt_its_mail_and_its_recipient() {
    let receipt = read(json!({}));
    let correlation = receipt.correlation.expect("our variables");
    assert_eq!(correlation.tenant_id, TenantId::DEFAULT);
    assert_eq!((correlation.message_id.to_string().as_str(), correlation.attempt), (MESSAGE, 3));
    assert_eq!(
        (receipt.account.as_str(), receipt.provider_message_id.as_str()),
        (DOMAIN, "1@hatch")
    );
    assert_eq!(receipt.recipient, Some(address("alice@example.com")));
    assert_eq!(receipt.outcome, ReportedOutcome::Delivered);
    assert_eq!(receipt.suppression, None);
    let bracketed = json!({"message": {"headers": {"message-id": "<1@hatch>"}}});
    assert_eq!(read(bracketed).provider_message_id, "1@hatch");
    for variables in [json!({}), json!([]), json!({"message_id": MESSAGE, "attempt": "0"})] {
        assert_eq!(read(json!({ "user-variables": variables })).correlation, None);
    }
}

#[test]
fn an_event_is_known_by_its_id_and_its_day() {
    let id = |replaced: Value| read(replaced).receipt_id;
    let first = id(json!({}));
    assert_eq!(first, id(json!({"timestamp": 1_521_472_300.0})), "the same of that day");
    assert_eq!(first, id(json!({"timestamp": "1521472262.9"})));
    assert_ne!(first, id(json!({"timestamp": 1_521_558_662.9})), "another of the next day");
    assert_ne!(first, id(json!({"id": "b"})));
}

#[test]
fn each_event_has_its_outcome() {
    let outcome = |replaced: Value| read(replaced).outcome;
    for (replaced, expected) in [
        (json!({"event": "accepted"}), ReportedOutcome::Progress),
        (json!({"event": "delivered"}), ReportedOutcome::Delivered),
        (json!({"event": "opened"}), ReportedOutcome::Read),
        (json!({"event": "opened", "client-info": {"bot": ""}}), ReportedOutcome::Read),
        (json!({"event": "opened", "client-info": {"bot": "apple"}}), ReportedOutcome::Progress),
        (json!({"event": "clicked"}), ReportedOutcome::Progress),
        (json!({"event": "brand-new"}), ReportedOutcome::Progress),
        (
            json!({"event": "failed", "severity": "temporary", "reason": "bounce"}),
            ReportedOutcome::Progress,
        ),
        (json!({"event": "complained"}), ReportedOutcome::Complained("complained".to_owned())),
        (
            json!({"event": "unsubscribed"}),
            ReportedOutcome::Unsubscribed("unsubscribed".to_owned()),
        ),
    ] {
        assert_eq!(outcome(replaced.clone()), expected, "{replaced}");
    }
}

#[test]
fn a_failure_for_good_says_why_and_what_follows_for_the_address() {
    use ErrorClass::{Account, Expired, InvalidRecipient, OptedOut};
    for (replaced, code, class, permanent, bounced, suppressed) in [
        (failed("bounce", 550, "5.1.1"), "5.1.1", InvalidRecipient, true, true, None),
        (failed("generic", 550, ""), "550", InvalidRecipient, true, true, None),
        (failed("old", 498, ""), "498", Expired, false, true, None),
        (failed("espblock", 550, "5.7.1"), "5.7.1", Account, false, true, None),
        (failed("suppress-bounce", 605, ""), "605", InvalidRecipient, true, false, None),
        (
            failed("suppress-complaint", 607, ""),
            "607",
            OptedOut,
            true,
            false,
            Some("suppress-complaint"),
        ),
        (failed("generic", 606, ""), "606", OptedOut, true, false, Some("generic")),
    ] {
        let receipt = read(replaced.clone());
        let error = SendError { code: code.to_owned(), class, detail: "no".to_owned(), permanent };
        let expected = match bounced {
            true => ReportedOutcome::Bounced(error),
            false => ReportedOutcome::Failed(error),
        };
        assert_eq!(receipt.outcome, expected, "{replaced}");
        let reason = receipt.suppression.as_ref().map(|one| one.reason.as_str());
        assert_eq!(reason, suppressed, "{replaced}");
    }
    let rejected = json!({"event": "rejected", "reject": {"reason": "old", "description": "spam"}});
    match read(rejected).outcome {
        ReportedOutcome::Failed(error) => {
            let expected = ("rejected", ErrorClass::Content, "spam");
            assert_eq!((error.code.as_str(), error.class, error.detail.as_str()), expected);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wish_of_the_person_is_one_about_the_address() {
    for kind in ["complained", "unsubscribed"] {
        let suppression = read(json!({ "event": kind })).suppression.expect("a wish");
        assert_eq!((suppression.reason.as_str(), suppression.lifted), (kind, false));
        assert_eq!(suppression.address, Some(address("alice@example.com")));
    }
}

#[test]
fn an_event_without_what_it_needs_is_not_understood() {
    for (replaced, field) in [
        (json!({"id": ""}), "id"),
        (json!({"timestamp": null}), "timestamp"),
        (json!({"timestamp": -1}), "timestamp"),
        (json!({"message": null}), "message.headers.message-id"),
        (json!({"message": {"headers": {"message-id": " "}}}), "message.headers.message-id"),
    ] {
        assert_eq!(parse(&event(replaced)), Err(NotUnderstood::Missing { field }), "{field}");
    }
    let long = json!({"message": {"headers": {"message-id": "x".repeat(999)}}});
    assert!(matches!(parse(&event(long)), Err(NotUnderstood::Field { .. })));
    let signature = json!({"timestamp": TIMESTAMP, "token": TOKEN, "signature": SIGNATURE});
    for body in [json!({"signature": signature}), json!({"signature": signature, "event-data": 7})]
    {
        let read = parse_body(body.to_string());
        assert!(matches!(read, Err(NotUnderstood::ContentType { .. })), "{read:?}");
    }
}
