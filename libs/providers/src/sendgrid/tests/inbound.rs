//! What a mail that came in says.

use hatch_domain::address::Address;
use hatch_domain::authentication::{Authentication, Verdict};
use hatch_domain::mailbox::{Person, PersonRole};
use hatch_domain::{Attachment, Channel, Email, Envelope, MailKind};

use super::super::SendGridInbound;
use super::{settings, signed};
use crate::{Inbound, NotUnderstood, Observation, Webhook};

const BOUNDARY: &str = "xYzZY";

const HEADERS: &str = "Received: by mx.sendgrid.net; Sat, 31 Jan 2026 12:00:00 +0000\r\n\
    MIME-Version: 1.0\r\n\
    From: =?UTF-8?Q?J=C3=BCrgen?= <juergen@example.com>\r\n\
    Message-ID: <CAF=abc@mail.example.com>\r\n\
    In-Reply-To: <1@hatch>\r\n\
    References: <0@hatch>\r\n <1@hatch>\r\n\
    Reply-To: Answers <answers@Example.com>\r\n\
    Content-Type: multipart/alternative; boundary=\"b\"\r\n";

/// A part: its name, what follows the name in its header, and its content.
pub(super) type Part<'a> = (&'a str, &'a str, &'a [u8]);

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, more, content) in parts {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn parse_bytes(content_type: &str, body: &[u8]) -> Result<Inbound, NotUnderstood> {
    let webhook = SendGridInbound::new(&settings("https://api.sendgrid.com")).expect("good");
    let request = signed(content_type, body);
    let verified = webhook.verify(&request).expect("signed above");
    let mut observations = webhook.parse(&verified)?;
    assert_eq!(observations.len(), 1);
    match observations.remove(0) {
        Observation::Inbound(inbound) => Ok(inbound),
        other => panic!("{other:?}"),
    }
}

pub(super) fn parse(parts: &[Part<'_>]) -> Result<Inbound, NotUnderstood> {
    parse_bytes(&format!("multipart/form-data; boundary={BOUNDARY}"), &form(parts))
}

fn addresses(texts: &[&str]) -> Vec<Address> {
    texts.iter().map(|text| Address::email(text).expect("an address")).collect()
}

fn person(role: PersonRole, address: &str, name: &str) -> Person {
    Person { role, address: addresses(&[address]).remove(0), name: name.to_owned() }
}

/// The parts of a whole mail, with some of them replaced.
pub(super) fn mail<'a>(replaced: &[Part<'a>]) -> Vec<Part<'a>> {
    let mut parts: Vec<Part<'a>> = vec![
        ("headers", "", HEADERS.as_bytes()),
        ("dkim", "", b"{@example.com : pass}"),
        ("to", "", b"Support <user@UseHatchApp.com>"),
        ("from", "", b"\"Schmidt, J\" <juergen@example.com>"),
        ("subject", "", b"Hello"),
        ("text", "", b"Hi there\r\n"),
        ("envelope", "", br#"{"to":["user@usehatchapp.com"],"from":"juergen@example.com"}"#),
        ("charsets", "", br#"{"to":"UTF-8","subject":"UTF-8","from":"UTF-8","text":"us-ascii"}"#),
    ];
    for part in replaced {
        parts.retain(|(name, ..)| *name != part.0);
        parts.push(*part);
    }
    parts
}

#[test]
fn a_mail_is_read_whole() {
    let info = br#"{"attachment1":{"filename":"info.png","type":"image/png","charset":"x"}}"#;
    let inbound = parse(&mail(&[
        ("html", "", "<p>Hi</p>".as_bytes()),
        ("cc", "", b"Third <third@example.com>, fourth@example.com"),
        ("attachments", "", b"2"),
        ("attachment-info", "", info),
        ("attachment1", "; filename=\"a.png\"\r\nContent-Type: image/png", b"\x89PNG\r\n--x\0"),
        ("attachment2", "; filename=\"b.txt\"\r\nContent-Type: text/plain; charset=us-ascii", b"b"),
    ]))
    .expect("understood");
    assert_eq!(inbound.account, "sendgrid");
    assert_eq!(inbound.channel, Channel::Email);
    assert_eq!(inbound.provider_message_id, "CAF=abc@mail.example.com");
    assert_eq!(inbound.from.as_str(), "juergen@example.com");
    assert_eq!(inbound.to, addresses(&["user@usehatchapp.com"]));
    assert_eq!(inbound.body.as_deref(), Some("Hi there\r\n"));
    let email = Email {
        subject: Some("Hello".into()),
        html: Some("<p>Hi</p>".into()),
        cc: addresses(&["third@example.com", "fourth@example.com"]),
        reply_to: Some(Address::email("answers@example.com").expect("an address")),
        people: vec![
            person(PersonRole::From, "juergen@example.com", "Schmidt, J"),
            person(PersonRole::To, "user@usehatchapp.com", "Support"),
            person(PersonRole::Cc, "third@example.com", "Third"),
            person(PersonRole::ReplyTo, "answers@example.com", "Answers"),
        ],
        mail_id: Some("CAF=abc@mail.example.com".into()),
        in_reply_to: Some("1@hatch".into()),
        references: vec!["0@hatch".into(), "1@hatch".into()],
        authentication: Some(Authentication {
            dkim: Some(Verdict::Pass),
            dmarc: Some(Verdict::Pass),
            envelope_from: Address::email("juergen@example.com").ok(),
            ..Authentication::default()
        }),
        envelope: Some(Envelope {
            from: Some("juergen@example.com".into()),
            to: vec!["user@usehatchapp.com".into()],
        }),
        ..Email::default()
    };
    assert_eq!(inbound.email.as_deref(), Some(&email));
    let file = |name: &str, content_type: &str, content: &str| Attachment {
        url: None,
        content_type: Some(content_type.to_owned()),
        filename: Some(name.to_owned()),
        content: Some(content.to_owned()),
        ..Attachment::default()
    };
    // base64 of 89 50 4e 47 0d 0a 2d 2d 78 00, and of 62
    let files = [
        file("a.png", "image/png", "iVBORw0KLS14AA=="),
        file("b.txt", "text/plain; charset=us-ascii", "Yg=="),
    ];
    assert_eq!(inbound.attachments, files);
}

#[test]
fn whoever_a_mail_says_it_is_from_is_shown() {
    let long = format!("reply+{}@example.org", "a".repeat(64));
    for (from, shown, name) in [
        ("\"MAILER-DAEMON\" <MAILER-DAEMON>", "MAILER-DAEMON", None),
        ("Mail Delivery <MAILER-DAEMON>", "MAILER-DAEMON", Some("Mail Delivery")),
        ("\"Help Desk\"", "Help Desk", None),
        ("undisclosed-recipients:;", "undisclosed-recipients", None),
        ("Lee, Ann <ann@example.com>", "ann@example.com", Some("Lee, Ann")),
        ("kontakt@xn--bcher-kva.example", "kontakt@bücher.example", None),
        ("root@localhost", "root@localhost", None),
        (&long, &long, None),
    ] {
        let envelope = br#"{"to":["user@usehatchapp.com"],"from":""}"#;
        let inbound = parse(&mail(&[("from", "", from.as_bytes()), ("envelope", "", envelope)]))
            .expect("shown");
        assert_eq!(inbound.from.as_str(), shown, "{from}");
        let people = inbound.email.expect("a mail").people;
        let named = people.iter().find(|one| one.role == PersonRole::From);
        assert_eq!(named.map(|one| one.name.as_str()), name, "{from}");
    }
}

#[test]
fn where_a_mail_is_to_be_answered_is_a_mailbox_of_any_length() {
    let long = format!("reply+{}@example.org", "a".repeat(64));
    for (said, reply_to) in [(long.as_str(), Some(long.as_str())), ("MAILER-DAEMON", None)] {
        let headers = format!("Message-ID: <1@x>\r\nReply-To: {said}\r\n");
        let inbound = parse(&mail(&[("headers", "", headers.as_bytes())])).expect("understood");
        let email = inbound.email.expect("a mail");
        assert_eq!(email.reply_to.as_ref().map(Address::as_str), reply_to);
    }
}

#[test]
fn a_control_character_in_what_says_what_a_part_is_costs_itself_only() {
    let inbound = parse(&mail(&[
        ("attachment1", "; filename=\"a\0b\u{1}.png\"\r\nContent-Type: image/\0png", b"\0x\0"),
        ("attachment2", "; filename=\"b.txt\"", b"b\0"),
    ]))
    .expect("understood");
    let named = |n: usize| inbound.attachments[n].filename.as_deref();
    assert_eq!((named(0), named(1)), (Some("ab.png"), Some("b.txt")));
    let contents = inbound.attachments.iter().map(|file| file.content.as_deref());
    assert_eq!(contents.collect::<Vec<_>>(), [Some("AHgA"), Some("YgA=")], "they are as they were");
    assert_eq!(inbound.body.as_deref(), Some("Hi there\r\n"));
}

#[test]
fn each_text_is_read_in_its_own_charset() {
    let charsets = br#"{"subject":"iso-8859-1","text":"Shift_JIS","html":"windows-1251"}"#;
    let inbound = parse(&mail(&[
        ("charsets", "", charsets),
        ("subject", "", b"Gr\xfc\xdfe"),
        ("text", "", b"\x93\xfa\x96\x7b"),
        ("html", "", b"\xcf\xf0\xe8\xe2\xe5\xf2"),
    ]))
    .expect("understood");
    let email = inbound.email.expect("a mail");
    assert_eq!(email.subject.as_deref(), Some("Grüße"));
    assert_eq!(inbound.body.as_deref(), Some("日本"));
    assert_eq!(email.html.as_deref(), Some("Привет"));
}

#[test]
fn what_cannot_be_read_in_a_charset_is_replaced() {
    for charsets in [&br#"{"text":"x-unknown"}"#[..], b"{}", b"not JSON"] {
        let parts = mail(&[("charsets", "", charsets), ("text", "", b"caf\xc3\xa9 \xff \0")]);
        let body = parse(&parts).expect("understood").body;
        assert_eq!(body.as_deref(), Some("café \u{fffd} \u{fffd}"));
    }
}

#[test]
fn a_mail_is_to_whom_it_says_and_the_envelope_is_kept_beside_it() {
    let brought_to = |list: &str| format!(r#"{{"to":[{list}],"from":"juergen@example.com"}}"#);
    for (to, cc, envelope, shown) in [
        ("user@usehatchapp.com, Bob <bob@example.com>", "", "user@usehatchapp.com", None),
        ("boss@partner.example", "support@example.com", "support@example.com", None),
        ("help@brand.example", "", "inbound@parse.example.com", None),
        ("everybody@lists.example.com", "", "user@usehatchapp.com", None),
        ("undisclosed-recipients:;", "", "user@usehatchapp.com", Some("user@usehatchapp.com")),
        ("", "", "user@usehatchapp.com", Some("user@usehatchapp.com")),
        ("a@example.com", "", "not an address", None),
    ] {
        let field = brought_to(&format!("{envelope:?}"));
        let parts = mail(&[
            ("to", "", to.as_bytes()),
            ("cc", "", cc.as_bytes()),
            ("envelope", "", field.as_bytes()),
        ]);
        let inbound = parse(&parts).expect("understood");
        let said = to.replace("Bob <bob@example.com>", "bob@example.com");
        let said: Vec<&str> = shown.map_or_else(|| said.split(", ").collect(), |one| vec![one]);
        assert_eq!(inbound.to, addresses(&said), "{to}");
        let email = inbound.email.expect("a mail");
        assert_eq!(email.cc.len(), usize::from(!cc.is_empty()), "{cc}");
        assert_eq!(email.envelope.expect("an envelope").to, [envelope]);
    }
}

#[test]
fn a_mail_that_says_nowhere_whom_it_is_to_is_shown_as_one_to_nobody() {
    let nobody = [("to", "", &b""[..]), ("envelope", "", b"")];
    let inbound = parse(&mail(&nobody)).expect("understood");
    assert_eq!((inbound.to, inbound.email.expect("a mail").envelope), (Vec::new(), None));
    let headers = format!("{HEADERS}Delivered-To: user@usehatchapp.com\r\n");
    let delivered = [nobody[0], nobody[1], ("headers", "", headers.as_bytes())];
    let inbound = parse(&mail(&delivered)).expect("understood");
    assert_eq!(inbound.to, addresses(&["user@usehatchapp.com"]));
    assert_eq!(inbound.delivered_to, inbound.to);
}

#[test]
fn a_mail_without_a_message_id_is_known_by_what_it_says() {
    let id = |parts: &[Part<'_>]| parse(parts).expect("understood").provider_message_id;
    let long = format!("Message-ID: <{}>\r\n", "x".repeat(999));
    for headers in [&b""[..], b"Subject: Hello\r\n", b"Message-ID: \r\n", long.as_bytes()] {
        let nameless = mail(&[("headers", "", headers)]);
        let first = id(&nameless);
        assert!(uuid::Uuid::parse_str(&first).is_ok(), "{first}");
        let mut reordered = nameless.clone();
        reordered.reverse();
        assert_eq!(id(&reordered), first);
        assert_ne!(id(&mail(&[("headers", "", headers), ("text", "", b"Hi here")])), first);
    }
}

#[test]
fn what_is_missing_is_none_and_a_bounce_has_its_sender() {
    let parts: [Part<'_>; 2] = [
        ("to", "", b"user@usehatchapp.com"),
        ("from", "", b"Mail Delivery System <MAILER-DAEMON@example.com>"),
    ];
    let inbound = parse(&parts).expect("understood");
    assert_eq!(inbound.from.as_str(), "MAILER-DAEMON@example.com");
    assert_eq!((inbound.body, inbound.attachments), (None, Vec::new()));
    let sender = person(PersonRole::From, "MAILER-DAEMON@example.com", "Mail Delivery System");
    let (kind, signs) = (MailKind::Bounce, vec!["from".to_owned()]);
    let email = Email { people: vec![sender], kind, signs, ..Email::default() };
    assert_eq!(inbound.email.as_deref(), Some(&email));
}

#[test]
fn an_address_field_cannot_bring_headers_along() {
    let parts = mail(&[("from", "", b"juergen@example.com\r\nTo: evil@example.com\r\n\r\n")]);
    let inbound = parse(&parts).expect("understood");
    assert_eq!(inbound.to, addresses(&["user@usehatchapp.com"]));
}

#[test]
fn what_is_not_understood_says_what_was_missed() {
    let without = |name: &str| {
        let mut parts = mail(&[("envelope", "", b"{}")]);
        parts.retain(|part| part.0 != name);
        parse(&parts)
    };
    assert!(without("from").is_ok(), "it has a text");
    let whole = form(&mail(&[]));
    let cut = &whole[..whole.len() / 2];
    let multipart = format!("multipart/form-data; boundary={BOUNDARY}");
    for (content_type, body) in [
        ("application/json", &whole[..]),
        ("multipart/form-data", &whole),
        (&multipart, cut),
        (&multipart, b""),
    ] {
        let refused = parse_bytes(content_type, body);
        assert!(matches!(refused, Err(NotUnderstood::ContentType { .. })), "{refused:?}");
    }
}

#[test]
fn a_mail_that_is_posted_raw_is_read_as_it_was_carried() {
    let raw = "From: =?UTF-8?Q?J=C3=BCrgen?= <juergen@example.com>\r\n\
        To: user@usehatchapp.com\r\nCc: Ann <ann@example.com>\r\nSubject: Your =?UTF-8?Q?=C3=B6ffer?=\r\n\
        Message-ID: <CAF=abc@mail.example.com>\r\nIn-Reply-To: <1@hatch>\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=\"m\"\r\n\r\n\
        --m\r\nContent-Type: multipart/alternative; boundary=\"a\"\r\n\r\n\
        --a\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n\
        --a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello</p>\r\n--a--\r\n\
        --m\r\nContent-Type: text/csv; name=\"list.csv\"\r\n\
        Content-Disposition: attachment; filename=\"list.csv\"\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nYSxiCg==\r\n--m--\r\n";
    let envelope = br#"{"to":["user@usehatchapp.com"],"from":"juergen@example.com"}"#;
    let inbound =
        parse(&[("email", "", raw.as_bytes()), ("envelope", "", envelope)]).expect("understood");
    assert_eq!(inbound.from.as_str(), "juergen@example.com");
    assert_eq!(inbound.to, addresses(&["user@usehatchapp.com"]));
    assert_eq!(inbound.provider_message_id, "CAF=abc@mail.example.com");
    assert_eq!(inbound.body.as_deref().map(str::trim), Some("Gr\u{fc}\u{df}e"));
    let email = inbound.email.expect("a mail");
    assert_eq!(email.subject.as_deref(), Some("Your \u{f6}ffer"));
    assert_eq!(email.html.as_deref().map(str::trim), Some("<p>Hello</p>"));
    assert_eq!(
        (email.cc, email.in_reply_to.as_deref()),
        (addresses(&["ann@example.com"]), Some("1@hatch"))
    );
    let file = Attachment {
        url: None,
        content_type: Some("text/csv".to_owned()),
        filename: Some("list.csv".to_owned()),
        content: Some("YSxiCg==".to_owned()),
        ..Attachment::default()
    };
    assert_eq!(inbound.attachments, [file]);
    let nobody = parse(&[("email", "", b"no mail at all"), ("envelope", "", b"{}")]);
    assert_eq!(nobody.expect("it is shown").body.as_deref(), Some("no mail at all"));
}

#[test]
fn a_raw_mail_has_the_texts_that_it_came_with_and_no_others() {
    let envelope = br#"{"to":["user@usehatchapp.com"],"from":"a@example.com"}"#;
    let script = "1 < 2 <script>alert(1)</script>";
    for (kind, body, html) in
        [("text/plain", Some(script), None), ("text/html", None, Some(script))]
    {
        let raw = format!(
            "From: a@example.com\r\nTo: user@usehatchapp.com\r\nContent-Type: {kind}\r\n\r\n{script}"
        );
        let inbound = parse(&[("email", "", raw.as_bytes()), ("envelope", "", envelope)]);
        let inbound = inbound.expect("understood");
        let email = inbound.email.expect("a mail");
        assert_eq!((inbound.body.as_deref(), email.html.as_deref()), (body, html), "{kind}");
    }
}

#[test]
fn a_mail_shows_whether_its_sender_is_authentic() {
    let envelope = br#"{"to":["user@usehatchapp.com"],"from":"x@evil.example"}"#;
    let inbound = parse(&mail(&[
        ("SPF", "", b"softfail"),
        ("dkim", "", b"{@example.com : fail}"),
        ("spam_score", "", b"7.25"),
        ("envelope", "", envelope),
    ]));
    let expected = Authentication {
        spf: Some(Verdict::SoftFail),
        dkim: Some(Verdict::Fail),
        dmarc: Some(Verdict::Fail),
        spam_score: serde_json::Number::from_f64(7.25),
        envelope_from: Address::email("x@evil.example").ok(),
    };
    let email = inbound.expect("understood").email.expect("a mail");
    assert_eq!(email.authentication, Some(expected));
}
