//! What statuses and inbound messages mean. The webhook of each test is signed, since nothing else can be parsed.

use hatch_domain::address::{Address, AddressKind};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::{Attachment, Channel, ErrorClass, SendError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::VonageWebhook;
use super::verify::request;
use super::{API_KEY, SIGNED_AT, UUID, at, settings};
use crate::{
    Correlation, Inbound, NotUnderstood, Observation, Receipt, ReportedOutcome, Suppression,
    Webhook,
};

fn read(body: &str) -> Result<Vec<Observation>, NotUnderstood> {
    let settings = settings("https://api.nexmo.com", "https://hatch.example");
    let webhook = VonageWebhook::new(settings, at(SIGNED_AT)).expect("good settings");
    let request = request(body);
    let verified = webhook.verify(&request).expect("signed above");
    webhook.parse(&verified)
}

/// A status with some fields beside those that each has.
fn status(status: &str, more: Value) -> Value {
    let mut body = json!({
        "message_uuid": UUID, "to": "447700900000", "from": "447700900001", "channel": "sms",
        "timestamp": "2026-01-31T12:00:00Z", "status": status,
        "usage": {"currency": "EUR", "price": "0.0333"}, "sms": {"count_total": "2"},
    });
    let fields = body.as_object_mut().expect("an object");
    let Value::Object(more) = more else { panic!("an object") };
    fields.extend(more);
    body
}

fn receipt(body: &Value) -> Receipt {
    match read(&body.to_string()).expect("understood").as_slice() {
        [Observation::Receipt(receipt)] => receipt.clone(),
        other => panic!("expected one receipt: {other:?}"),
    }
}

fn inbound(body: &Value) -> Inbound {
    match read(&body.to_string()).expect("understood").as_slice() {
        [Observation::Inbound(inbound)] => inbound.clone(),
        other => panic!("expected one message: {other:?}"),
    }
}

fn phone(text: &str) -> Address {
    Address::phone(text).expect("a possible number")
}

#[test]
fn a_receipt_brings_our_ids_back() {
    let correlation = Correlation {
        tenant_id: TenantId::DEFAULT,
        message_id: MessageId(Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_b302_099a_8057)),
        attempt: 2,
    };
    let ours = json!({"client_ref": correlation.to_reference()});
    let ours = receipt(&status("delivered", ours));
    assert_eq!(ours.correlation, Some(correlation));
    assert_eq!((ours.account.as_str(), ours.provider_message_id.as_str()), (API_KEY, UUID));
    assert_eq!(ours.outcome, ReportedOutcome::Delivered);
    for reference in [json!("order 17"), json!(17), json!(null), json!("")] {
        let receipt = receipt(&status("delivered", json!({"client_ref": reference})));
        assert_eq!(receipt.correlation, None, "{reference}");
    }
}

#[test]
fn each_status_has_its_outcome() {
    use ReportedOutcome as O;
    for (vonage, expected) in
        [("submitted", O::Sent), ("delivered", O::Delivered), ("read", O::Read)]
    {
        assert_eq!(receipt(&status(vonage, json!({}))).outcome, expected, "{vonage}");
    }
    for unknown in ["lost", "SUBMITTED"] {
        let refused = read(&status(unknown, json!({})).to_string());
        assert_eq!(refused, Err(NotUnderstood::Status { status: unknown.to_owned() }));
    }
}

/// The two forms of an error that Vonage documents, and less than either.
#[test]
fn a_failure_carries_vonages_code_and_whether_another_attempt_can_help() {
    use ErrorClass::{Account, InvalidRecipient, Other, Unreachable};
    let of = |code: u32| format!("https://developer.vonage.com/api-errors/messages#{code}");
    let v1 = |code: u32| json!({"type": of(code), "title": code.to_string(), "detail": "words", "instance": "i"});
    for (error, code, class, permanent, detail) in [
        (v1(1120), "1120", Account, true, "words"),
        (v1(1180), "1180", Unreachable, false, "words"),
        (json!({"code": 1170, "reason": "words"}), "1170", InvalidRecipient, true, "words"),
        (json!({"code": "1170"}), "1170", InvalidRecipient, true, &format!("see {}", of(1170))),
        (
            json!({"type": "about:blank", "title": 1190}),
            "1190",
            InvalidRecipient,
            true,
            &format!("see {}", of(1190)),
        ),
        (json!({"title": "Gone", "code": []}), "undeliverable", Other, true, "Gone"),
        (
            json!("lost"),
            "undeliverable",
            Other,
            true,
            "Vonage reported the message as undeliverable",
        ),
        (v1(9999), "9999", Other, true, "words"),
    ] {
        let receipt = receipt(&status("undeliverable", json!({"error": error})));
        let (code, detail) = (code.to_owned(), detail.to_owned());
        let expected = SendError { code, class, detail, permanent };
        assert_eq!(receipt.outcome, ReportedOutcome::Undelivered(expected));
    }
    let rejected = receipt(&status("rejected", json!({})));
    assert!(matches!(&rejected.outcome, ReportedOutcome::Failed(error) if error.permanent));
}

#[test]
fn a_message_that_was_sent_already_has_not_failed() {
    let error = json!({"type": "https://developer.nexmo.com/api-errors/messages#1320"});
    let receipt = receipt(&status("rejected", json!({"error": error})));
    assert_eq!(receipt.outcome, ReportedOutcome::Progress);
}

#[test]
fn who_opted_out_is_blocked_by_the_provider() {
    let error = json!({"error": {"code": 1240, "reason": "opted out"}});
    let blocked = receipt(&status("rejected", error));
    let expected = Suppression {
        address: Some(phone("+447700900000")),
        reason: "1240".to_owned(),
        lifted: false,
    };
    assert_eq!(blocked.suppression, Some(expected));
    assert_eq!(receipt(&status("rejected", json!({}))).suppression, None);
}

#[test]
fn a_receipt_that_comes_again_has_the_same_id_and_one_of_another_status_another() {
    let first = receipt(&status("submitted", json!({"usage": {"price": "1"}}))).receipt_id;
    let again = status("submitted", json!({"timestamp": "2026-01-31T12:00:09Z"}));
    assert_eq!(receipt(&again).receipt_id, first);
    assert_ne!(receipt(&status("delivered", json!({}))).receipt_id, first);
    let other = status("submitted", json!({"message_uuid": "x"}));
    assert_ne!(receipt(&other).receipt_id, first);
}

#[test]
fn what_somebody_wrote_comes_in() {
    let message = inbound(&json!({
        "channel": "sms", "message_uuid": UUID, "to": "12016661234", "from": "447700900001",
        "timestamp": "2026-01-31T12:00:00Z", "message_type": "text", "text": "Grüße\0 🥚",
        "sms": {"num_messages": "2", "keyword": "GRÜSSE"}, "origin": {"network_code": "12345"},
    }));
    assert_eq!((message.account.as_str(), message.provider_message_id.as_str()), (API_KEY, UUID));
    assert_eq!(message.channel, Channel::Sms);
    assert_eq!(message.from, phone("+447700900001"));
    assert_eq!(message.to, [phone("+12016661234")]);
    assert_eq!(message.body.as_deref(), Some("Grüße\u{fffd} 🥚"));
    assert_eq!(message.segments, Some(2));
    let word = inbound(&json!({"from": "1", "to": "2", "text": "", "sms": {"keyword": "STOP"}}));
    assert_eq!(word.body.as_deref(), Some("STOP"), "all that is told of the text");
}

#[test]
fn a_number_has_a_plus_or_none_and_a_short_code_is_a_name() {
    for (text, expected, kind) in [
        ("12016661234", "+12016661234", AddressKind::Phone),
        ("+12016661234", "+12016661234", AddressKind::Phone),
        ("447700900001", "+447700900001", AddressKind::Phone),
        ("12345", "12345", AddressKind::Name),
        ("Acme", "Acme", AddressKind::Name),
        ("", "unknown", AddressKind::Name),
    ] {
        let message = inbound(&json!({"from": text, "to": "12016661234", "text": "a"}));
        assert_eq!((message.from.as_str(), message.from.kind()), (expected, kind), "{text}");
    }
    let object = json!({"type": "sms", "number": "12016661234"});
    let message = inbound(&json!({"from": object, "to": [], "text": "a"}));
    assert_eq!(message.from, phone("+12016661234"));
}

#[test]
fn files_come_with_it() {
    let url = "https://api-us.nexmo.com/v3/media/1";
    let message = inbound(&json!({
        "channel": "mms", "message_uuid": UUID, "to": "12016661234", "from": "18045551234",
        "message_type": "image",
        "image": {"url": url, "name": "cat.jpg", "caption": "A cat"},
        "video": [{"url": "javascript:alert(1)"}, {"name": "b.mp4"}, "strange"],
    }));
    assert_eq!((message.channel, message.body.as_deref()), (Channel::Mms, Some("A cat")));
    let missing = |why: &str| Some(why.to_owned());
    let expected = [
        Attachment {
            url: Some(url.to_owned()),
            filename: Some("cat.jpg".to_owned()),
            ..Attachment::default()
        },
        Attachment {
            missing: missing("Vonage named no http or https URL for it"),
            ..Attachment::default()
        },
        Attachment {
            filename: Some("b.mp4".to_owned()),
            missing: missing("Vonage named no URL for it"),
            ..Attachment::default()
        },
    ];
    assert_eq!(message.attachments, expected);
    let many = vec![json!({"url": url}); 1_000];
    let message = inbound(&json!({"from": "1", "to": "2", "image": many}));
    assert_eq!((message.attachments.len(), message.channel), (10, Channel::Mms));
}

/// The form of version 0.1, for which an application may be set.
#[test]
fn a_message_of_an_older_webhook_comes_in_whole() {
    let of = |number: &str| json!({"type": "sms", "number": number});
    let older = |content: Value| {
        inbound(&json!({
            "message_uuid": UUID, "from": of("447700900001"), "to": of("12016661234"),
            "message": {"content": content},
        }))
    };
    let message = older(json!({"type": "text", "text": "Hi"}));
    assert_eq!((message.channel, message.body.as_deref()), (Channel::Sms, Some("Hi")));
    assert_eq!(message.from, phone("+447700900001"));
    let url = "https://api.nexmo.com/v3/media/1";
    let message = older(json!({"type": "image", "image": {"url": url, "caption": "A cat"}}));
    assert_eq!(message.body.as_deref(), Some("A cat"));
    assert_eq!(message.attachments[0].url.as_deref(), Some(url));
    let whatsapp = json!({"from": {"type": "whatsapp", "number": "447700900001"}, "to": of("1")});
    assert!(
        matches!(read(&whatsapp.to_string()), Err(NotUnderstood::Field { field, .. }) if field == "channel")
    );
}

#[test]
fn a_status_of_another_form_is_nobodys_message() {
    for strange in [json!(5), json!(""), json!({"code": 1})] {
        let body = json!({"message_uuid": UUID, "from": "1", "to": "2", "status": strange});
        let refused = read(&body.to_string());
        assert!(matches!(refused, Err(NotUnderstood::Field { field, .. }) if field == "status"));
    }
}

#[test]
fn a_message_without_a_name_has_the_same_one_again() {
    let body = json!({"from": "18045551234", "to": "12016661234", "text": "a"});
    let name = inbound(&body).provider_message_id;
    assert_eq!(inbound(&body).provider_message_id, name);
    let other = json!({"from": "18045551234", "to": "12016661234", "text": "b"});
    assert_ne!(inbound(&other).provider_message_id, name);
}

#[test]
fn what_cannot_be_read_is_told() {
    let deep = r#"{"a":"#.repeat(100_000);
    for body in ["", "{", "nonsense", deep.as_str()] {
        assert!(matches!(read(body), Err(NotUnderstood::NotJson { .. })), "{}", body.len());
    }
    let none = Err(NotUnderstood::ContentType { expected: "a JSON object" });
    assert_eq!(read("[]"), none);
    let nameless = json!({"status": "delivered"}).to_string();
    assert_eq!(read(&nameless), Err(NotUnderstood::Missing { field: "message_uuid" }));
    let long = json!({"status": "delivered", "message_uuid": "x".repeat(999)}).to_string();
    assert!(matches!(read(&long), Err(NotUnderstood::Field { .. })));
    let whatsapp = json!({"channel": "whatsapp", "from": "1", "to": "2", "text": "a"}).to_string();
    assert!(
        matches!(read(&whatsapp), Err(NotUnderstood::Field { field, .. }) if field == "channel")
    );
}
