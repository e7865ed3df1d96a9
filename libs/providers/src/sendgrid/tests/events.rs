//! What events mean. Each request is signed, since nothing else can be parsed.

use hatch_domain::address::Address;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::{ErrorClass, SendError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::SendGridEvents;
use super::{settings, signed};
use crate::{
    Correlation, NotUnderstood, Observation, Receipt, ReportedOutcome, Suppression, Webhook,
};

const MESSAGE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const X_MESSAGE_ID: &str = "LRzXl_NHStOGhQ4kofSm_A";

fn parse_bytes(body: &str) -> Result<Vec<Observation>, NotUnderstood> {
    let webhook = SendGridEvents::new(&settings("https://api.sendgrid.com")).expect("good");
    let request = signed("application/json;charset=utf-8", body.as_bytes());
    let verified = webhook.verify(&request).expect("signed above");
    webhook.parse(&verified)
}

fn parse(events: &[Value]) -> Result<Vec<Receipt>, NotUnderstood> {
    let receipt = |observation| match observation {
        Observation::Receipt(receipt) => receipt,
        other => panic!("{other:?}"),
    };
    let body = format!("{}\r\n", Value::from(events.to_vec()));
    parse_bytes(&body).map(|observations| observations.into_iter().map(receipt).collect())
}

fn event(name: &str, more: Value) -> Value {
    let mut event = json!({
        "email": "customer@example.com", "timestamp": 1_600_112_492, "event": name,
        "sg_event_id": format!("event-{name}"), "smtp-id": "<1@hatch>",
        "sg_message_id": format!("{X_MESSAGE_ID}.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0"),
        "message_id": MESSAGE, "attempt": "2", "tenant_id": TenantId::DEFAULT.to_string(),
        "category": ["a"],
    });
    let object = event.as_object_mut().expect("an object");
    object.extend(more.as_object().expect("an object").clone());
    event
}

fn one(event: Value) -> Receipt {
    let mut receipts = parse(&[event]).expect("understood");
    assert_eq!(receipts.len(), 1);
    receipts.remove(0)
}

#[test]
fn an_array_is_as_many_receipts_in_its_order() {
    let receipts = parse(&[
        event("processed", json!({})),
        event("delivered", json!({"message_id": Uuid::nil()})),
        event("open", json!({})),
    ]);
    let receipts = receipts.expect("understood");
    let outcomes: Vec<_> = receipts.iter().map(|receipt| receipt.outcome.clone()).collect();
    use ReportedOutcome::{Delivered, Progress, Read};
    assert_eq!(outcomes, [Progress, Delivered, Read]);
    let message_id = MessageId(Uuid::parse_str(MESSAGE).expect("a UUID"));
    let correlation = Correlation { tenant_id: TenantId::DEFAULT, message_id, attempt: 2 };
    assert_eq!(receipts[0].correlation, Some(correlation));
    let other = receipts[1].correlation.map(|correlation| correlation.message_id);
    assert_eq!(other, Some(MessageId(Uuid::nil())));
    for receipt in &receipts {
        assert_eq!(receipt.account, "sendgrid");
        assert_eq!(receipt.provider_message_id, X_MESSAGE_ID);
    }
    assert_eq!(parse(&[]), Ok(Vec::new()));
}

#[test]
fn without_all_of_our_ids_a_receipt_has_none() {
    for (key, value) in [
        ("message_id", json!(null)),
        ("message_id", json!("17")),
        ("attempt", json!("0")),
        ("attempt", json!("x")),
        ("tenant_id", json!({"a": 1})),
    ] {
        assert_eq!(one(event("delivered", json!({key: value}))).correlation, None, "{key}");
    }
}

#[test]
fn each_kind_has_its_outcome() {
    for kind in ["processed", "deferred", "click", "group_resubscribe", "of_the_future"] {
        assert_eq!(one(event(kind, json!({}))).outcome, ReportedOutcome::Progress, "{kind}");
    }
    let machine = one(event("open", json!({"sg_machine_open": true})));
    assert_eq!(machine.outcome, ReportedOutcome::Progress, "no person has read it");
    let person = one(event("open", json!({"sg_machine_open": false})));
    assert_eq!(person.outcome, ReportedOutcome::Read);
    let complaint = one(event("spamreport", json!({})));
    assert_eq!(complaint.outcome, ReportedOutcome::Complained("spamreport".to_owned()));
    for kind in ["unsubscribe", "group_unsubscribe"] {
        let unsubscribed = ReportedOutcome::Unsubscribed(kind.to_owned());
        assert_eq!(one(event(kind, json!({}))).outcome, unsubscribed);
    }
}

#[test]
fn each_event_speaks_of_one_recipient() {
    let both = parse(&[
        event("delivered", json!({"email": "a@example.com"})),
        event("bounce", json!({"email": "B@Bücher.example", "sg_event_id": "other"})),
    ]);
    let named: Vec<_> = both.expect("understood").into_iter().map(|one| one.recipient).collect();
    let mailbox = |text| Some(Address::email(text).expect("a mailbox"));
    assert_eq!(named, [mailbox("a@example.com"), mailbox("B@Bücher.example")]);
    for nobody in [json!(null), json!("nobody"), json!("")] {
        assert_eq!(one(event("delivered", json!({"email": nobody}))).recipient, None);
    }
}

#[test]
fn a_bounce_came_back_and_a_drop_has_failed() {
    let error = |code: &str, class, detail: &str, permanent| SendError {
        code: code.to_owned(),
        class,
        detail: detail.to_owned(),
        permanent,
    };
    use ErrorClass::{Content, InvalidRecipient, Other};
    use ReportedOutcome::{Bounced, Failed};
    let hard = json!({"type": "bounce", "status": "5.1.1", "reason": "no such user"});
    let soft = json!({"type": "blocked", "status": "4.7.1", "reason": "try later"});
    let dropped = json!({"reason": "Bounced Address", "status": "5.0.0"});
    let cases = [
        ("bounce", hard, Bounced(error("5.1.1", InvalidRecipient, "no such user", true))),
        ("bounce", soft, Bounced(error("4.7.1", Content, "try later", false))),
        (
            "bounce",
            json!({"type": "blocked"}),
            Bounced(error("blocked", Other, "SendGrid reported the mail as blocked", false)),
        ),
        (
            "bounce",
            json!({"reason": "x", "status": ""}),
            Bounced(error("bounce", Other, "x", true)),
        ),
        ("dropped", dropped, Failed(error("5.0.0", InvalidRecipient, "Bounced Address", true))),
        (
            "dropped",
            json!({"reason": "Invalid"}),
            Failed(error("dropped", InvalidRecipient, "Invalid", true)),
        ),
    ];
    for (kind, more, outcome) in cases {
        assert_eq!(one(event(kind, more.clone())).outcome, outcome, "{kind} {more}");
    }
}

#[test]
fn what_sendgrid_sends_nothing_to_is_told_apart_from_what_became_of_the_mail() {
    let customer = Address::email("customer@example.com").expect("a mailbox");
    let suppressed = |reason: &str, lifted| {
        Some(Suppression { address: Some(customer.clone()), reason: reason.to_owned(), lifted })
    };
    for (kind, more, expected) in [
        ("unsubscribe", json!({}), suppressed("unsubscribe", false)),
        ("group_unsubscribe", json!({}), suppressed("group_unsubscribe", false)),
        ("spamreport", json!({"reason": "x"}), suppressed("spamreport", false)),
        ("group_resubscribe", json!({}), suppressed("group_resubscribe", true)),
        (
            "dropped",
            json!({"reason": "Unsubscribed Address"}),
            suppressed("Unsubscribed Address", false),
        ),
        (
            "dropped",
            json!({"reason": "Spam Reporting Address"}),
            suppressed("Spam Reporting Address", false),
        ),
        ("dropped", json!({"reason": "Invalid"}), None),
        ("dropped", json!({}), None),
        ("bounce", json!({"reason": "Unsubscribed Address"}), None),
        ("delivered", json!({}), None),
    ] {
        assert_eq!(one(event(kind, more.clone())).suppression, expected, "{kind} {more}");
    }
    let nobody = one(event("unsubscribe", json!({"email": "nobody"}))).suppression;
    assert_eq!(nobody.expect("it is one").address, None);
}

#[test]
fn the_id_of_the_send_is_found_in_that_of_the_event() {
    for (sg_message_id, expected) in [
        (
            "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
            X_MESSAGE_ID,
        ),
        ("LRzXl_NHStOGhQ4kofSm_A.recvd-5f4d8b9c7-abcde-1-65A1B2C3-12.0", X_MESSAGE_ID),
        ("LRzXl_NHStOGhQ4kofSm_A.something-new.0", X_MESSAGE_ID),
        ("14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", "14c5d75ce93.dfd.64b469"),
        ("14c5d75ce93.dfd.64b469", "14c5d75ce93.dfd.64b469"),
        (X_MESSAGE_ID, X_MESSAGE_ID),
    ] {
        let receipt = one(event("delivered", json!({"sg_message_id": sg_message_id})));
        assert_eq!(receipt.provider_message_id, expected, "{sg_message_id}");
    }
}

#[test]
fn a_repeated_event_has_the_same_id_and_a_different_event_a_different_one() {
    let first = one(event("delivered", json!({}))).receipt_id;
    let repeated = one(event("delivered", json!({"timestamp": 1, "new_field": [1]})));
    assert_eq!(repeated.receipt_id, first);
    assert_eq!(first.get_version_num(), 5);
    assert_ne!(one(event("delivered", json!({"sg_event_id": "other"}))).receipt_id, first);
}

#[test]
fn what_is_not_understood_says_what_was_missed() {
    for field in ["sg_event_id", "sg_message_id"] {
        let event = event("delivered", json!({field: null}));
        assert_eq!(parse(&[event]), Err(NotUnderstood::Missing { field }));
    }
    for body in ["", "{}", "[1]", "[{}]", "a=b", "[{\"event\": 1}]"] {
        let refused = parse_bytes(body);
        assert!(matches!(refused, Err(NotUnderstood::ContentType { .. })), "{body}: {refused:?}");
    }
}

#[test]
fn an_event_that_cannot_be_read_takes_nothing_from_the_others() {
    let nameless = event("delivered", json!({"sg_message_id": null}));
    let body = Value::from(vec![nameless, event("bounce", json!({})), json!(5)]).to_string();
    let observations = parse_bytes(&body).expect("understood");
    let missing = NotUnderstood::Missing { field: "sg_message_id" };
    assert_eq!(observations[0], Observation::Unclear(missing));
    assert!(matches!(observations[1], Observation::Receipt(_)), "{:?}", observations[1]);
    let strange =
        matches!(&observations[2], Observation::Unclear(NotUnderstood::ContentType { .. }));
    assert!(strange && observations.len() == 3, "{observations:?}");
}

/// The bodies in which `broken` is the first, or the last, of two events.
fn with(broken: &str) -> [String; 2] {
    let good = event("delivered", json!({}));
    [format!("[{broken},{good}]"), format!("[{good},\r\n{broken}]")]
}

#[test]
fn a_text_that_breaks_the_array_takes_nothing_from_its_events() {
    let said = event("bounce", json!({"reason": "REASON", "status": "5.1.1"})).to_string();
    for (reason, read) in [
        (r"cut \ud83d", "cut \u{fffd}"),
        ("two\nlines\u{1}", "two\nlines\u{1}"),
        (r"\x80 \'", r"\x80 \'"),
    ] {
        for body in with(&said.replace("REASON", reason)) {
            let observations = parse_bytes(&body).expect("understood");
            let outcomes: Vec<_> = observations
                .iter()
                .map(|observation| match observation {
                    Observation::Receipt(receipt) => &receipt.outcome,
                    other => panic!("{body}: {other:?}"),
                })
                .collect();
            assert!(outcomes.contains(&&ReportedOutcome::Delivered), "{body}");
            let details: Vec<_> =
                outcomes.iter().filter_map(|outcome| outcome.error()).map(|e| &e.detail).collect();
            assert_eq!(details, [read], "{body}");
        }
    }
}

#[test]
fn an_event_that_is_no_json_is_named_and_takes_nothing_from_the_others() {
    let said = event("bounce", json!({"reason": "REASON"})).to_string();
    for broken in [
        said.replace("REASON", "a 5\" pipe"),
        said.replace("\"REASON\"", "\"no end"),
        said.replace("\"REASON\"", "'x'"),
        said.trim_end_matches('}').to_owned() + "]",
        "bounce".to_owned(),
    ] {
        for body in with(&broken) {
            let observations = parse_bytes(&body).expect("understood");
            let is_receipt = |one: &&Observation| matches!(one, Observation::Receipt(_));
            assert_eq!(
                observations.iter().filter(is_receipt).count(),
                1,
                "{body}: {observations:?}"
            );
            assert_eq!(observations.len(), 2, "{body}: {observations:?}");
        }
    }
    let cut = format!("[{0},{0},{1}", event("delivered", json!({})), &said[..said.len() / 2]);
    assert_eq!(parse_bytes(&cut).expect("understood").len(), 3);
    let one = event("delivered", json!({})).to_string();
    assert_eq!(parse_bytes(&one).expect("one object is one event").len(), 1);
}

#[test]
fn an_event_about_no_mail_does_not_hold_up_the_others() {
    let account = json!({"event": "account_status_change", "type": "compliance_suspend"});
    let receipts = parse(&[account.clone(), event("delivered", json!({}))]).expect("understood");
    assert_eq!(receipts.len(), 1);
    assert_eq!(parse(&[account]), Err(NotUnderstood::Missing { field: "sg_message_id" }));
}
