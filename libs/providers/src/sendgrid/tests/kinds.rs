//! What kind of mail came in, and what a bounce says.

use hatch_domain::MailKind;

use super::inbound::{mail, parse};
use crate::{Inbound, NotUnderstood};

/// The kind of the mail and its signs.
fn kind(inbound: &Inbound) -> (MailKind, Vec<&str>) {
    let email = inbound.email.as_ref().expect("a mail");
    (email.kind, email.signs.iter().map(String::as_str).collect())
}

fn read(replaced: &[(&str, &str, &[u8])]) -> Result<Inbound, NotUnderstood> {
    parse(&mail(replaced))
}

#[test]
fn the_headers_that_a_form_brings_say_the_kind() {
    let person = read(&[]).expect("understood");
    assert_eq!(kind(&person), (MailKind::Person, vec![]));
    let headers = b"Auto-Submitted: auto-replied\r\nMessage-ID: <1@x.example>\r\n";
    let reply = read(&[("headers", "", headers)]).expect("understood");
    assert_eq!(kind(&reply), (MailKind::AutoReply, vec!["auto-submitted"]));
    let headers = b"List-Id: <l.example.org>\r\nMessage-ID: <1@x.example>\r\n";
    let list = read(&[("headers", "", headers)]).expect("understood");
    assert_eq!(kind(&list), (MailKind::List, vec!["list-id"]));
}

#[test]
fn an_envelope_without_a_sender_is_a_sign_and_one_that_nobody_can_read_is_none() {
    let envelope = |envelope: &'static [u8]| {
        let inbound = read(&[("envelope", "", envelope)]).expect("understood");
        inbound.email.expect("a mail").signs
    };
    assert_eq!(envelope(br#"{"to":["user@usehatchapp.com"],"from":""}"#), ["envelope"]);
    assert_eq!(envelope(br#"{"to":["user@usehatchapp.com"],"from":"<>"}"#), ["envelope"]);
    assert_eq!(envelope(br#"{"to":["user@usehatchapp.com"]}"#), ["envelope"]);
    for other in [&b"{}"[..], b"", b"no JSON"] {
        assert_eq!(envelope(other), Vec::<String>::new());
    }
}

#[test]
fn a_bounce_from_nobody_is_shown_as_one() {
    let bounce = read(&[
        ("from", "", b"\"MAILER-DAEMON\" <MAILER-DAEMON@mx.example.org>"),
        ("envelope", "", br#"{"to":["user@usehatchapp.com"],"from":""}"#),
        ("subject", "", b"failure notice"),
        ("text", "", b"could not be delivered\n\n<bob@example.org>:\n550 5.1.1 No such user\n"),
    ]);
    let bounce = bounce.expect("understood");
    assert_eq!(kind(&bounce), (MailKind::Bounce, vec!["envelope", "from", "subject", "text"]));
    let said = bounce.email.and_then(|email| email.bounce).expect("it says something");
    assert_eq!(said.mail_id.as_deref(), Some("1@hatch"), "it answers that one");
    let [bob] = said.recipients.as_slice() else { panic!("one: {said:?}") };
    assert_eq!((bob.address.as_str(), bob.status.as_deref()), ("bob@example.org", Some("5.1.1")));
}

#[test]
fn the_report_may_be_a_file_of_the_form() {
    let status =
        b"Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; bob@example.org\r\n\
        Action: failed\r\nStatus: 5.2.2\r\n";
    let file = "; filename=\"details.txt\"\r\nContent-Type: message/delivery-status";
    let original = b"Message-ID: <m1@shop.example>\r\nSubject: Hi\r\n\r\nHi";
    let second = "; filename=\"mail.eml\"\r\nContent-Type: message/rfc822";
    let bounce = read(&[
        ("headers", "", b"Content-Type: multipart/report; report-type=delivery-status\r\n"),
        ("attachment1", file, status),
        ("attachment2", second, original),
    ]);
    let email = bounce.expect("understood").email.expect("a mail");
    assert_eq!((email.kind, email.signs), (MailKind::Bounce, vec!["delivery-status".to_owned()]));
    let said = email.bounce.expect("it says something");
    assert_eq!(said.mail_id.as_deref(), Some("m1@shop.example"));
    assert_eq!(said.recipients[0].status.as_deref(), Some("5.2.2"));
}
