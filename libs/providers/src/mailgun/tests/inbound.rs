//! What a mail that came in by a route says.

use std::time::{Duration, Instant};

use hatch_domain::mailbox::{Person, PersonRole};
use hatch_domain::{Attachment, Channel, Envelope};
use url::form_urlencoded;

use super::super::{MailgunPosts, MailgunRoutes};
use super::{DOMAIN, SIGNATURE, TIMESTAMP, TOKEN, address, request, settings};
use crate::{Inbound, NotUnderstood, Observation, RawRequest, Webhook};

const BOUNDARY: &str = "xYzZY";

const HEADERS: &str = r#"[["Received","by mxa.mailgun.org"],["From","\"Schmidt, J\" <juergen@example.com>"],
    ["To","Support <user@usehatchapp.com>, second@usehatchapp.com"],["Cc","third@example.com"],
    ["Subject","=?UTF-8?Q?Gr=C3=BC=C3=9Fe?="],["Message-Id","<CAF=abc@mail.example.com>"],
    ["In-Reply-To","<1@hatch>"],["References","<0@hatch>\r\n <1@hatch>"],
    ["Reply-To","Answers <answers@example.com>"],["Bad: name","x"],["X-Injected","a\r\nFrom: b@x.org"],7]"#;

/// A field: its name, what follows the name in the header of its part, and its content.
type Field<'a> = (&'a str, &'a str, &'a [u8]);

fn signature() -> [Field<'static>; 3] {
    [
        ("timestamp", "", TIMESTAMP.as_bytes()),
        ("token", "", TOKEN.as_bytes()),
        ("signature", "", SIGNATURE.as_bytes()),
    ]
}

/// The fields of a whole mail.
fn mail() -> Vec<Field<'static>> {
    vec![
        ("recipient", "", b"user@usehatchapp.com"),
        ("sender", "", b"juergen@example.com"),
        ("from", "", b"\"Schmidt, J\" <juergen@example.com>"),
        ("subject", "", "Grüße".as_bytes()),
        ("body-plain", "", "Hi 🥚\r\n> before".as_bytes()),
        ("stripped-text", "", b"Hi"),
        ("body-html", "", b"<p>Hi <img src=\"cid:logo1\"></p>"),
        ("message-headers", "", HEADERS.as_bytes()),
        ("X-Mailgun-Spf", "", b"Pass"),
    ]
}

fn multipart(fields: &[Field<'_>]) -> RawRequest {
    let mut body = Vec::new();
    for (name, more, content) in signature().iter().chain(fields) {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    request(&format!("multipart/form-data; boundary={BOUNDARY}"), body)
}

fn urlencoded(fields: &[Field<'_>]) -> RawRequest {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, _, content) in signature().iter().chain(fields) {
        form.append_pair(name, &String::from_utf8_lossy(content));
    }
    request("application/x-www-form-urlencoded; charset=utf-8", form.finish())
}

fn parse(request: &RawRequest) -> Result<Inbound, NotUnderstood> {
    let webhook = MailgunRoutes::new(&settings("https://api.mailgun.net")).expect("good");
    let verified = webhook.verify(request).expect("signed");
    match webhook.parse(&verified)?.as_slice() {
        [Observation::Inbound(inbound)] => Ok(inbound.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mail_is_read_whole_from_either_form() {
    for request in [multipart(&mail()), urlencoded(&mail())] {
        let inbound = parse(&request).expect("understood");
        assert_eq!((inbound.account.as_str(), inbound.channel), (DOMAIN, Channel::Email));
        assert_eq!(inbound.provider_message_id, "CAF=abc@mail.example.com");
        assert_eq!(inbound.from.as_str(), "juergen@example.com");
        let to = vec![address("user@usehatchapp.com"), address("second@usehatchapp.com")];
        assert_eq!(inbound.to, to);
        assert_eq!(inbound.body.as_deref(), Some("Hi 🥚\r\n> before"), "and not what is stripped");
        let email = inbound.email.expect("a mail");
        assert_eq!(email.subject.as_deref(), Some("Grüße"));
        assert_eq!(email.html.as_deref(), Some("<p>Hi <img src=\"cid:logo1\"></p>"));
        assert_eq!(email.cc, [address("third@example.com")]);
        assert_eq!(email.reply_to, Some(address("answers@example.com")));
        assert_eq!(email.in_reply_to.as_deref(), Some("1@hatch"));
        assert_eq!(email.references, ["0@hatch", "1@hatch"]);
        let envelope = Envelope {
            from: Some("juergen@example.com".to_owned()),
            to: vec!["user@usehatchapp.com".to_owned()],
        };
        assert_eq!(email.envelope, Some(envelope));
        let name = Person {
            role: PersonRole::From,
            address: address("juergen@example.com"),
            name: "Schmidt, J".to_owned(),
        };
        assert!(email.people.contains(&name), "{:?}", email.people);
        let found = email.authentication.expect("who sent it");
        assert_eq!(
            (found.spf, found.dmarc),
            (None, None),
            "whoever wrote the mail may have said so"
        );
    }
}

#[test]
fn a_mail_is_taken_at_the_path_of_events_too() {
    let webhook = MailgunPosts::new(&settings("https://api.mailgun.net")).expect("good");
    for request in [multipart(&mail()), urlencoded(&mail())] {
        assert!(webhook.may_be_signed(&request.headers));
        let verified = webhook.verify(&request).expect("signed");
        assert!(webhook.once(&verified).is_some(), "its body is not signed");
        let expected = parse(&request).expect("understood");
        assert_eq!(webhook.parse(&verified), Ok(vec![Observation::Inbound(expected)]));
    }
    let neither = request("text/plain", "");
    assert!(!webhook.may_be_signed(&neither.headers));
}

#[test]
fn files_have_the_ids_by_which_html_shows_them() {
    let mut fields = mail();
    let map = br#"{"<logo1>":"attachment-1","":"attachment-2","<gone>":7}"#;
    fields.extend([
        ("attachment-count", "", &b"3"[..]),
        ("content-id-map", "", &map[..]),
        ("attachment-1", "; filename=\"a.png\"\r\nContent-Type: image/png", b"\x89PNG\r\n--x\0"),
        ("attachment-2", "; filename=\"b.txt\"\r\nContent-Type: text/plain", b"b"),
    ]);
    let inbound = parse(&multipart(&fields)).expect("understood");
    let file = |name: &str, content_type: &str, content: &str| Attachment {
        content_type: Some(content_type.to_owned()),
        filename: Some(name.to_owned()),
        content: Some(content.to_owned()),
        ..Attachment::default()
    };
    let shown = Attachment {
        content_id: Some("logo1".to_owned()),
        inline: true,
        ..file("a.png", "image/png", "iVBORw0KLS14AA==")
    };
    assert_eq!(inbound.attachments[..2], [shown, file("b.txt", "text/plain", "Yg==")]);
    assert!(inbound.attachments[2].missing.is_some(), "one was counted and not brought");
    assert_eq!(inbound.attachments.len(), 3);
}

#[test]
fn a_whole_mail_is_read_as_it_was_carried() {
    let mime = "From: Ann <ann@example.com>\r\nTo: user@usehatchapp.com\r\nSubject: Hi\r\n\
                Message-ID: <2@mail>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße";
    let fields: [Field<'_>; 3] = [
        ("recipient", "", b"user@usehatchapp.com"),
        ("sender", "", b"ann@example.com"),
        ("body-mime", "", mime.as_bytes()),
    ];
    for request in [multipart(&fields), urlencoded(&fields)] {
        let inbound = parse(&request).expect("understood");
        assert_eq!(inbound.provider_message_id, "2@mail");
        assert_eq!(inbound.body.as_deref(), Some("Grüße"));
        assert_eq!(inbound.to, [address("user@usehatchapp.com")]);
    }
}

#[test]
fn without_the_list_of_headers_those_among_the_fields_are_read() {
    let fields: [Field<'_>; 6] = [
        ("recipient", "", b"a@usehatchapp.com, b@usehatchapp.com"),
        ("sender", "", b"<>"),
        ("from", "", b"Ann <ann@example.com>"),
        ("Message-Id", "", b"<3@mail>"),
        ("subject", "", b"Hi"),
        ("body-plain", "", b"Hello"),
    ];
    let inbound = parse(&urlencoded(&fields)).expect("understood");
    assert_eq!(inbound.provider_message_id, "3@mail");
    assert_eq!(inbound.from.as_str(), "ann@example.com");
    let to = [address("a@usehatchapp.com"), address("b@usehatchapp.com")];
    assert_eq!(inbound.to, to, "a blind copy is to whom it was brought");
    let email = inbound.email.expect("a mail");
    assert_eq!(email.subject.as_deref(), Some("Hi"));
    assert_eq!(email.envelope.expect("it was carried").from, None);
}

#[test]
fn a_mail_without_an_id_has_one_of_what_it_says() {
    let id = |text: &'static str, token: &'static str| {
        let fields: [Field<'_>; 3] = [
            ("from", "", b"ann@example.com"),
            ("body-plain", "", text.as_bytes()),
            ("X-Token", "", token.as_bytes()),
        ];
        parse(&urlencoded(&fields)).expect("understood").provider_message_id
    };
    assert_eq!(id("Hi", "1"), id("Hi", "2"));
    assert_ne!(id("Hi", "1"), id("Ho", "1"));
    let nothing = parse(&urlencoded(&[("X-Token", "", b"1")]));
    assert_eq!(nothing, Err(NotUnderstood::Missing { field: "from" }));
}

#[test]
fn hostile_mails_are_read_in_time_and_within_limits() {
    let filled = |text: &str| text.repeat(1024 * 1024 / text.len()).into_bytes();
    let nested = filled("[[\"a\",\"b\"],");
    let pairs = format!("[{}[\"From\",\"late@x.org\"]]", "[\"To\",\"a@x.org\"],".repeat(50_000));
    let recipients = filled("a@usehatchapp.com,");
    let ids = format!("{{{}\"x\":1}}", "\"<i>\":\"attachment-1\",".repeat(40_000));
    let count = b"99999999999999999999".to_vec();
    let hostile: [(&str, Vec<u8>); 8] = [
        ("message-headers", nested),
        ("message-headers", pairs.into_bytes()),
        ("recipient", recipients),
        ("content-id-map", ids.into_bytes()),
        ("attachment-count", count),
        ("body-html", filled("<div>")),
        ("body-mime", filled("Content-Type:message/rfc822\n\n")),
        ("subject", filled("\0")),
    ];
    for (name, content) in &hostile {
        let mut fields = mail();
        fields.retain(|(known, ..)| known != name);
        fields.push((name, "", content));
        for request in [multipart(&fields), urlencoded(&fields)] {
            let began = Instant::now();
            let inbound = parse(&request).expect("it is shown as far as it was read");
            assert!(began.elapsed() < Duration::from_secs(8), "{name}: {:?}", began.elapsed());
            assert!(inbound.attachments.len() <= 500, "{name}");
            let envelope = inbound.email.expect("a mail").envelope.expect("it was carried");
            assert!(envelope.to.len() <= 500, "{name}");
        }
    }
    let many: Vec<String> = (0..5_000).map(|n| format!("f{n}")).collect();
    let mut fields = mail();
    fields.extend(many.iter().map(|name| (name.as_str(), "", &b"x"[..])));
    parse(&urlencoded(&fields)).expect("the first fields are enough");
}
