//! What receipts and inbound messages mean. The webhook of each test is signed, since nothing else
//! can be parsed.

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use hatch_domain::address::{Address, AddressKind};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::{Attachment, Channel, ErrorClass, SendError};
use hmac::{Hmac, Mac};
use http::{HeaderMap, Method};
use sha1::Sha1;
use url::form_urlencoded;
use uuid::Uuid;

use super::super::TwilioWebhook;
use super::{ACCOUNT, SID, TOKEN, settings};
use crate::{
    Correlation, Inbound, NotUnderstood, Observation, RawRequest, Receipt, ReportedOutcome,
    Suppression, Webhook,
};

const PATH: &str = "/api/v1/webhooks/twilio";
const MESSAGE: u128 = 0x0189_0a5d_ac96_774b_bcce_b302_099a_8057;

/// Signs and parses a form posted to `path`.
fn parse(path: &str, fields: &[(&str, &str)]) -> Result<Vec<Observation>, NotUnderstood> {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let mut mac = Hmac::<Sha1>::new_from_slice(TOKEN.as_bytes()).expect("any length");
    mac.update(format!("http://hatch.example{path}").as_bytes());
    for (key, value) in sorted {
        mac.update(key.as_bytes());
        mac.update(value.as_bytes());
    }
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    let body: String =
        form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut headers = HeaderMap::new();
    let content_type = "application/x-www-form-urlencoded";
    headers.insert("content-type", content_type.parse().expect("a value"));
    headers.insert("x-twilio-signature", signature.parse().expect("a value"));
    let path_and_query = path.parse().expect("a path");
    let request =
        RawRequest { method: Method::POST, path_and_query, headers, body: Bytes::from(body) };
    let settings = settings("https://api.twilio.com", "http://hatch.example");
    let webhook = TwilioWebhook::new(settings).expect("good settings");
    let verified = webhook.verify(&request).expect("signed above");
    webhook.parse(&verified)
}

/// A status callback's fields with some of them set, as Twilio sends them.
fn status<'a>(status: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("MessageSid", SID),
        ("SmsSid", SID),
        ("MessageStatus", status),
        ("SmsStatus", status),
        ("AccountSid", ACCOUNT),
        ("From", "+12016661234"),
        ("ApiVersion", "2010-04-01"),
    ];
    fields.extend_from_slice(more);
    fields
}

fn receipt(path: &str, fields: &[(&str, &str)]) -> Receipt {
    match parse(path, fields).expect("understood").as_slice() {
        [Observation::Receipt(receipt)] => receipt.clone(),
        other => panic!("expected one receipt: {other:?}"),
    }
}

#[test]
fn a_receipt_brings_our_ids_back() {
    let message = Uuid::from_u128(MESSAGE);
    let correlation =
        Correlation { tenant_id: TenantId::DEFAULT, message_id: MessageId(message), attempt: 2 };
    let path = format!("{PATH}?{}", correlation.to_query());
    let receipt = receipt(&path, &status("delivered", &[("RawDlrDoneDate", "2601311200")]));
    assert_eq!(receipt.correlation, Some(correlation));
    assert_eq!(receipt.account, ACCOUNT);
    assert_eq!(receipt.provider_message_id, SID);
    assert_eq!(receipt.outcome, ReportedOutcome::Delivered);
}

#[test]
fn without_all_of_our_ids_a_receipt_has_none() {
    let message = Uuid::from_u128(MESSAGE);
    let tenant = TenantId::DEFAULT;
    for query in [
        String::new(),
        "?foo=1".to_owned(),
        format!("?message_id={message}&attempt=1"),
        format!("?message_id={message}&attempt=0&tenant_id={tenant}"),
        format!("?message_id={message}&attempt=x&tenant_id={tenant}"),
        format!("?message_id=17&attempt=1&tenant_id={tenant}"),
    ] {
        let receipt = receipt(&format!("{PATH}{query}"), &status("sent", &[]));
        assert_eq!(receipt.correlation, None, "{query}");
    }
}

#[test]
fn each_status_has_its_outcome() {
    use ReportedOutcome as O;
    for (twilio, expected) in [
        ("accepted", O::Progress),
        ("scheduled", O::Progress),
        ("queued", O::Progress),
        ("sending", O::Progress),
        ("sent", O::Sent),
        ("delivered", O::Delivered),
        ("read", O::Read),
    ] {
        assert_eq!(receipt(PATH, &status(twilio, &[])).outcome, expected, "{twilio}");
    }
}

#[test]
fn a_failure_carries_twilios_code_and_whether_another_attempt_can_help() {
    use ErrorClass::{Content, InvalidRecipient, Other, Unreachable};
    for (code, class, permanent) in [
        ("30005", InvalidRecipient, true),
        ("30003", Unreachable, false),
        ("30410", Unreachable, true),
        ("39999", Other, true),
    ] {
        let receipt = receipt(PATH, &status("undelivered", &[("ErrorCode", code)]));
        let detail = format!("see https://www.twilio.com/docs/errors/{code}");
        let error = SendError { code: code.to_owned(), class, detail, permanent };
        assert_eq!(receipt.outcome, ReportedOutcome::Undelivered(error));
    }
    let fields = [("ErrorCode", "30007"), ("ErrorMessage", "filtered")];
    let failed = receipt(PATH, &status("failed", &fields));
    let error = SendError {
        code: "30007".into(),
        class: Content,
        detail: "filtered".into(),
        permanent: true,
    };
    assert_eq!(failed.outcome, ReportedOutcome::Failed(error));
    match receipt(PATH, &status("failed", &[])).outcome {
        ReportedOutcome::Failed(error) => assert_eq!(error.code, "failed"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_recipient_that_opted_out_is_told_in_a_receipt_too() {
    let opted_out = |more: &[(&'static str, &'static str)]| {
        let fields = [&[("ErrorCode", "21610")], more].concat();
        receipt(PATH, &status("undelivered", &fields)).suppression
    };
    let customer = Address::phone("+18045551234").expect("possible");
    let reason = || "21610".to_owned();
    let expected = Suppression { address: Some(customer), reason: reason(), lifted: false };
    assert_eq!(opted_out(&[("To", "+18045551234")]), Some(expected));
    let unnamed = Suppression { address: None, reason: reason(), lifted: false };
    assert_eq!(opted_out(&[("To", "")]), Some(unnamed));
    let other = receipt(PATH, &status("undelivered", &[("ErrorCode", "30005")]));
    assert_eq!(other.suppression, None);
}

#[test]
fn a_repeated_receipt_has_the_same_id_and_a_different_receipt_a_different_one() {
    let done = ("RawDlrDoneDate", "2601311200");
    let first = receipt(PATH, &status("delivered", &[done])).receipt_id;
    let mut repeated = status("delivered", &[done, ("NewField", "1")]);
    repeated.reverse();
    assert_eq!(receipt(PATH, &repeated).receipt_id, first);
    assert_eq!(first.get_version_num(), 5);
    let others = [
        status("sent", &[done]),
        status("delivered", &[("RawDlrDoneDate", "2601311201")]),
        status("delivered", &[done, ("ErrorCode", "30008")]),
    ];
    for other in others {
        assert_ne!(receipt(PATH, &other).receipt_id, first);
    }
}

/// The one message that a form brings, with the fields that it has anyway before `more`.
fn inbound(more: &[(&str, &str)]) -> Inbound {
    let mut fields = vec![
        ("MessageSid", SID),
        ("SmsStatus", "received"),
        ("AccountSid", ACCOUNT),
        ("From", "+18045550101"),
        ("To", "+12016661234"),
        ("Body", "hi"),
        ("NumMedia", "0"),
    ];
    fields.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    fields.extend_from_slice(more);
    match parse(PATH, &fields).as_deref() {
        Ok([Observation::Inbound(inbound)]) => inbound.clone(),
        other => panic!("expected one inbound message: {other:?}"),
    }
}

#[test]
fn a_file_that_cannot_be_fetched_costs_itself_and_not_the_text() {
    for (url, why) in [
        (Some("javascript:alert(1)"), "Twilio named no http or https URL for it"),
        (Some("file:///etc/passwd"), "Twilio named no http or https URL for it"),
        (Some("https://"), "Twilio named no http or https URL for it"),
        (Some("photo"), "Twilio named no http or https URL for it"),
        (Some(""), "Twilio named no URL for it"),
        (None, "Twilio named no URL for it"),
    ] {
        let mut fields =
            vec![("Body", "see photo"), ("NumMedia", "1"), ("MediaContentType0", "image/jpeg")];
        fields.extend(url.map(|url| ("MediaUrl0", url)));
        let inbound = inbound(&fields);
        assert_eq!((inbound.channel, inbound.body.as_deref()), (Channel::Mms, Some("see photo")));
        let missing = Attachment {
            content_type: Some("image/jpeg".to_owned()),
            missing: Some(why.to_owned()),
            ..Attachment::default()
        };
        assert_eq!(inbound.attachments, [missing], "{url:?}");
    }
    let second = inbound(&[("NumMedia", "2"), ("MediaUrl1", "https://api.twilio.com/1")]);
    assert!(second.attachments[0].missing.is_some() && second.attachments[0].url.is_none());
    assert_eq!(second.attachments[1].url.as_deref(), Some("https://api.twilio.com/1"));
}

#[test]
fn a_field_that_is_nonsense_costs_that_field_only() {
    let url = ("MediaUrl0", "https://api.twilio.com/0");
    for (fields, files) in [
        (vec![("NumMedia", "abc")], 0),
        (vec![("NumMedia", "-1")], 0),
        (vec![("NumMedia", "99999999999999999999")], 0),
        (vec![("NumMedia", "1000")], 10),
        (vec![("NumMedia", "abc"), url], 1),
        (vec![("NumMedia", ""), url], 1),
        (vec![("NumMedia", "0"), url], 1),
        (vec![("NumSegments", "many")], 0),
        (vec![("NumSegments", "-3")], 0),
        (vec![("NumSegments", "0")], 0),
        (vec![("From", "\u{fffd}\u{fffd}")], 0),
        (vec![("ApiVersion", "\u{fffd}")], 0),
        (vec![("SmsStatus", "\u{fffd}")], 0),
        (vec![("SmsStatus", "")], 0),
    ] {
        let inbound = inbound(&fields);
        assert_eq!(inbound.body.as_deref(), Some("hi"), "{fields:?}");
        assert_eq!(inbound.segments, None, "{fields:?}");
        assert_eq!(inbound.attachments.len(), files, "{fields:?}");
    }
}

#[test]
fn a_text_without_anything_in_it_is_a_message() {
    let empty = inbound(&[("Body", "")]);
    assert_eq!((empty.body, empty.attachments.len()), (None, 0));
    for sid in ["MessageSid", "SmsSid", "SmsMessageSid"] {
        let fields = [(sid, SID), ("From", "+18045550101")];
        let read = parse(PATH, &fields);
        let Ok([Observation::Inbound(inbound)]) = read.as_deref() else { panic!("{read:?}") };
        assert_eq!(inbound.provider_message_id, SID);
        assert_eq!((inbound.from.as_str(), inbound.to[0].as_str()), ("+18045550101", "unknown"));
        assert_eq!(inbound.body, None);
    }
}

#[test]
fn whatever_twilio_signed_as_a_sender_is_shown() {
    for (from, shown, kind) in [
        ("MYBANK", "MYBANK", AddressKind::Name),
        ("Your Bank", "Your Bank", AddressKind::Name),
        ("73822", "73822", AddressKind::Name),
        ("", "unknown", AddressKind::Name),
        ("whatsapp:+18045550101", "whatsapp:+18045550101", AddressKind::Name),
        ("+881612345678", "+881612345678", AddressKind::Phone),
        ("+870773123456", "+870773123456", AddressKind::Phone),
        ("+883510001234567", "+883510001234567", AddressKind::Phone),
        ("+266696687", "+266696687", AddressKind::Phone),
        ("+1", "+1", AddressKind::Phone),
        ("+12345678901234567", "+12345678901234567", AddressKind::Name),
    ] {
        let inbound = inbound(&[("From", from), ("Body", "Your code")]);
        assert_eq!((inbound.from.as_str(), inbound.from.kind()), (shown, kind));
        assert_eq!(inbound.body.as_deref(), Some("Your code"));
    }
}

#[test]
fn an_inbound_message_is_read_whole() {
    let fields = [
        ("MessageSid", SID),
        ("SmsStatus", "received"),
        ("AccountSid", ACCOUNT),
        ("From", "+18045551234"),
        ("To", "+12016661234"),
        ("Body", "Grüße 🥚"),
        ("NumSegments", "1"),
        ("NumMedia", "2"),
        ("MediaUrl0", "https://api.twilio.com/0"),
        ("MediaContentType0", "image/jpeg"),
        ("MediaUrl1", "https://api.twilio.com/1"),
        ("FromCity", ""),
    ];
    let observations = parse(PATH, &fields).expect("understood");
    let [Observation::Inbound(inbound)] = observations.as_slice() else {
        panic!("expected one inbound message: {observations:?}");
    };
    assert_eq!(inbound.account, ACCOUNT);
    assert_eq!(inbound.provider_message_id, SID);
    assert_eq!(inbound.channel, Channel::Mms);
    assert_eq!(inbound.from.as_str(), "+18045551234");
    assert_eq!(inbound.to.len(), 1);
    assert_eq!(inbound.to[0].as_str(), "+12016661234");
    assert_eq!(inbound.body.as_deref(), Some("Grüße 🥚"));
    assert_eq!(inbound.segments, Some(1));
    let file = |n, content_type: Option<&str>| Attachment {
        url: Some(format!("https://api.twilio.com/{n}")),
        content_type: content_type.map(str::to_owned),
        ..Attachment::default()
    };
    assert_eq!(inbound.attachments, [file(0, Some("image/jpeg")), file(1, None)]);
}

#[test]
fn without_files_it_is_an_sms() {
    for media in [None, Some(("NumMedia", "0"))] {
        let mut fields = vec![
            ("MessageSid", SID),
            ("SmsStatus", "received"),
            ("From", "+18045551234"),
            ("To", "+12016661234"),
            ("Body", "Hi"),
        ];
        fields.extend(media);
        match parse(PATH, &fields).expect("understood").as_slice() {
            [Observation::Inbound(inbound)] => assert_eq!(inbound.channel, Channel::Sms),
            other => panic!("expected one inbound message: {other:?}"),
        }
    }
}

#[test]
fn a_short_code_can_be_at_either_end() {
    for (from, to) in [("73822", "+12016661234"), ("+18045551234", "73822")] {
        let fields = [("MessageSid", SID), ("SmsStatus", "received"), ("From", from), ("To", to)];
        let inbound = match parse(PATH, &fields).as_deref() {
            Ok([Observation::Inbound(inbound)]) => inbound.clone(),
            other => panic!("expected one inbound message: {other:?}"),
        };
        assert_eq!((inbound.from.as_str(), inbound.to[0].as_str()), (from, to));
    }
}

#[test]
fn a_text_that_twilio_gives_no_name_is_shown_and_has_one_of_its_own() {
    let said = |body| {
        let fields = [("From", "+18045550101"), ("To", "+12016661234"), ("Body", body)];
        let Ok(found) = parse(PATH, &fields) else { panic!("understood") };
        let [Observation::Inbound(inbound)] = found.as_slice() else { panic!("one message") };
        assert_eq!(inbound.body.as_deref(), Some(body));
        inbound.provider_message_id.clone()
    };
    assert_eq!(said("hi"), said("hi"));
    assert_ne!(said("hi"), said("ho"));
}

#[test]
fn what_is_not_understood_says_what_was_missed() {
    let foreign = "AC11111111111111111111111111111111";
    let missing = |field| NotUnderstood::Missing { field };
    let cases = [
        (
            vec![("MessageSid", SID), ("MessageStatus", "sent"), ("AccountSid", foreign)],
            NotUnderstood::ForeignAccount,
        ),
        (vec![("MessageSid", SID)], missing("MessageStatus")),
        (vec![("MessageStatus", "sent")], missing("MessageSid")),
        (vec![("CallSid", "CA1"), ("CallStatus", "ringing")], missing("MessageStatus")),
        (status("teleported", &[]), NotUnderstood::Status { status: "teleported".into() }),
    ];
    for (fields, expected) in cases {
        assert_eq!(parse(PATH, &fields), Err(expected));
    }
    let correlation = Correlation {
        tenant_id: TenantId::DEFAULT,
        message_id: MessageId(Uuid::from_u128(MESSAGE)),
        attempt: 1,
    };
    let about_ours = format!("{PATH}?{}", correlation.to_query());
    let without = parse(&about_ours, &[("MessageSid", SID), ("From", "+12016661234")]);
    assert_eq!(without, Err(missing("MessageStatus")));
}

#[test]
fn success_is_an_empty_204() {
    let settings = settings("https://api.twilio.com", "http://hatch.example");
    let answer = TwilioWebhook::new(settings).expect("good settings").success();
    assert_eq!(answer.status(), 204);
    assert!(answer.body().is_empty());
}

#[test]
fn a_text_with_nul_is_shown_with_a_replacement_as_in_a_mail() {
    let fields = [
        ("AccountSid", ACCOUNT),
        ("MessageSid", SID),
        ("From", "+18045551234"),
        ("To", "+12016661234"),
        ("Body", "a\0b"),
    ];
    let observations = parse(PATH, &fields).expect("it is understood");
    let [Observation::Inbound(inbound)] = &observations[..] else { panic!("one message") };
    assert_eq!(inbound.body.as_deref(), Some("a\u{fffd}b"));
}
