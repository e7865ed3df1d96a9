//! Mails that are made to hang, to fill or to end whoever reads them: a megabyte each.

use std::time::{Duration, Instant};

use super::super::SendGridInbound;
use super::{settings, signed};
use crate::{Inbound, NotUnderstood, Observation, Webhook};

/// Bytes of a hostile mail.
const MAIL_BYTES: usize = 1024 * 1024;

/// Far more than any of them takes where the work is linear, in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(8);

const BOUNDARY: &str = "xYzZY";

const HEAD: &str = "From: Ann <ann@example.com>\r\nTo: user@usehatchapp.com\r\nSubject: Hi\r\n";

fn read(fields: &[(&str, &[u8])]) -> Result<Inbound, NotUnderstood> {
    let webhook = SendGridInbound::new(&settings("https://api.sendgrid.com")).expect("good");
    let mut body = Vec::new();
    for (name, content) in fields {
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    let request = signed(&format!("multipart/form-data; boundary={BOUNDARY}"), &body);
    let verified = webhook.verify(&request).expect("signed above");
    let began = Instant::now();
    let mut observations = webhook.parse(&verified)?;
    let took = began.elapsed();
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    assert!(took < PATIENCE, "{names:?} took {took:?}");
    match observations.remove(0) {
        Observation::Inbound(inbound) => Ok(inbound),
        other => panic!("{other:?}"),
    }
}

const ENVELOPE: &[u8] = br#"{"to":["user@usehatchapp.com"],"from":"ann@example.com"}"#;

fn raw(mail: &str) -> Inbound {
    read(&[("email", mail.as_bytes()), ("envelope", ENVELOPE)])
        .expect("it is shown as far as it was read")
}

/// `text` as often as it has room in a mail.
fn filled(text: &str) -> String {
    text.repeat(MAIL_BYTES / text.len())
}

/// So many numbered texts.
fn numbered(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect()
}

#[test]
fn nesting_ends_no_process() {
    for kind in ["message/rfc822", "message/global", "text/rfc822-headers", "multipart/digest"] {
        raw(&format!("{HEAD}{}", filled(&format!("Content-Type:{kind}\n\n"))));
        let encoded = "Content-Transfer-Encoding: base64\n";
        raw(&format!("{HEAD}{}", filled(&format!("{encoded}Content-Type:{kind}\n\n"))));
    }
    let nested = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    raw(&format!("{HEAD}{}", numbered(18_000, nested)));
    let digest = |n| format!("Content-Type: multipart/digest; boundary=b{n}\r\n\r\n--b{n}\r\n\r\n");
    raw(&format!("{HEAD}{}", numbered(17_000, digest)));
    let same = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
    raw(&format!("{HEAD}{}", filled(same)));
    let prefix = |n| {
        let name = "b".repeat(n % 70 + 1);
        format!("Content-Type: multipart/mixed; boundary={name}\r\n\r\n--{name}\r\n")
    };
    raw(&format!("{HEAD}{}", numbered(10_000, prefix)));
}

#[test]
fn a_boundary_that_never_comes_costs_nothing() {
    let part =
        |n| format!("--m\r\nContent-Type: multipart/mixed; boundary=never{n}\r\n\r\nHello\r\n");
    let head = format!("{HEAD}Content-Type: multipart/mixed; boundary=m\r\n\r\n");
    raw(&format!("{head}{}--m--\r\n", numbered(15_000, part)));
    raw(&format!("{head}{}", numbered(15_000, part)));
    raw(&format!("{head}{}", filled("--m\r\n")));
    raw(&format!("{head}{}", filled("--m\r\n\r\n")));
    raw(&format!("{head}{}", filled("--n\r\n\r\n")));
    raw(&format!("{head}{}", filled("-")));
    let long = "n".repeat(MAIL_BYTES / 2);
    raw(&format!("{HEAD}Content-Type: multipart/mixed; boundary={long}\r\n\r\n--{long}\r\n\r\nHi"));
}

#[test]
fn a_list_of_addresses_has_no_end_that_anybody_waits_for() {
    let list = numbered(40_000, |n| format!("<user{n}@example.com>, "));
    let folded = numbered(40_000, |n| format!("User {n} <user{n}@example.com>,\r\n "));
    let head = "From: Ann <ann@example.com>\r\n";
    for name in ["To", "Cc", "Reply-To", "References", "In-Reply-To", "From"] {
        for list in [&list, &folded] {
            let to = "To: user@usehatchapp.com\r\n";
            raw(&format!("{head}{to}{name}: {list}\r\n\r\nHi"));
        }
    }
    for name in ["to", "cc", "from", "headers"] {
        let mut fields: Vec<(&str, &[u8])> =
            vec![("from", b"ann@example.com"), ("to", b"user@usehatchapp.com"), ("text", b"Hi")];
        fields.retain(|(field, _)| *field != name);
        let headers = format!("References: {list}\r\nReply-To: {list}\r\nTo: {list}");
        let content = if name == "headers" { &headers } else { &folded };
        fields.push((name, content.as_bytes()));
        read(&fields).expect("understood");
    }
    let brought: Vec<String> = (0..40_000).map(|n| format!("user{n}@example.com")).collect();
    let brought = serde_json::to_vec(&serde_json::json!({"to": brought})).expect("JSON");
    let fields: [(&str, &[u8]); 3] =
        [("from", b"ann@example.com"), ("to", list.as_bytes()), ("envelope", &brought)];
    read(&fields).expect("understood");
}

#[test]
fn no_header_hangs() {
    let lines = [
        "(",
        "((",
        "()",
        "\"",
        "\\",
        "<",
        "<<",
        ">",
        "a:",
        "a:b@example.com;",
        ",",
        ";",
        "@",
        "=?",
        "=?a?q?",
        "=?ab?q? ",
        "=?u8?q?=?",
        "=?utf-8?b?YQ== ",
        "=?utf-8?q?a?= ",
        "=?utf-8?q?a_",
        "a ",
        "\r\n ",
        "\r\n\t(",
        "x\r\n ",
        "\0",
        "\u{fffd}",
        "1",
        "0x",
        "Mon, ",
        "a*0=b;",
        "; a*1*=utf-8'en'%41",
        ";a=b",
        ";a*=a'b'c",
        ";boundary=x",
        "a=?utf-8?q?=41?=",
        "'",
        "from [",
        "from (a by ",
        "1.2.3.4 ",
        "::",
        "[::1] ",
    ];
    let names = [
        "Subject",
        "From",
        "Cc",
        "Date",
        "Received",
        "Content-Type",
        "Content-Disposition",
        "References",
        "Message-ID",
        "Content-Transfer-Encoding",
        "Keywords",
        "X-Other",
        "Authentication-Results",
        "MIME-Version",
    ];
    for name in names {
        for line in lines {
            let line = line.repeat(64 * 1024 / line.len());
            raw(&format!("{HEAD}{name}: {line}\r\n\r\nHi"));
        }
    }
    for line in
        ["\r\n", ":", ": \r\n", "a", "a:\r\n", "a: b\r\n", "From: a@b.example\r\n", "\r", " \r\n"]
    {
        raw(&format!("{HEAD}{}\r\n\r\nHi", filled(line)));
    }
}

#[test]
fn no_body_hangs() {
    for encoding in ["base64", "quoted-printable", "7bit", "x-other"] {
        for charset in ["utf-8", "utf-7", "utf-16", "iso-2022-jp", "gb18030", "x-none", "ibm850"] {
            for body in [
                "=", "=\n", "= \n", "a=", "YQ==", "-", "\n--", " \n", "+", "+A", "\x1b$B", "&",
                "\0",
            ] {
                let body = body.repeat(64 * 1024 / body.len());
                raw(&format!(
                    "{HEAD}Content-Type: text/plain; charset={charset}\r\n\
                     Content-Transfer-Encoding: {encoding}\r\n\r\n{body}"
                ));
            }
        }
    }
}

#[test]
fn one_name_of_many_files_keeps_one_of_them() {
    let content = vec![b'x'; 64 * 1024];
    let mut fields: Vec<(&str, &[u8])> =
        vec![("from", b"ann@example.com"), ("to", b"user@usehatchapp.com")];
    fields.extend((0..200).map(|_| ("attachment1", &content[..])));
    let inbound = read(&fields).expect("understood");
    assert_eq!(inbound.attachments.len(), 1);
}

/// How much of it was left out of the mail.
fn cut(inbound: &Inbound, of: &str) -> u64 {
    let email = inbound.email.as_ref().expect("a mail");
    email.cut.get(of).copied().unwrap_or_default()
}

#[test]
fn what_is_left_out_is_counted_and_the_rest_is_shown() {
    let list = numbered(40_000, |n| format!("user{n}@example.com, "));
    let ids = numbered(40_000, |n| format!("<{n}@example.com> "));
    let inbound = raw(&format!(
        "From: ann@example.com\r\nTo: {list}\r\nCc: {list}\r\nReferences: {ids}\r\n\r\nHi"
    ));
    let email = inbound.email.as_ref().expect("a mail");
    assert_eq!((email.cc.len(), email.references.len()), (500, 100));
    assert_eq!(email.references.last().map(String::as_str), Some("39999@example.com"));
    assert_eq!((cut(&inbound, "cc"), cut(&inbound, "references")), (39_500, 39_900));
    assert_eq!(cut(&inbound, "to"), 39_500);
    assert_eq!(inbound.body.as_deref(), Some("Hi"));
    let fields: [(&str, &[u8]); 3] =
        [("from", b"ann@example.com"), ("to", list.as_bytes()), ("text", b"Hi")];
    let inbound = read(&fields).expect("understood");
    assert_eq!((inbound.to.len(), cut(&inbound, "to")), (500, 39_500));

    let head = format!("{HEAD}Content-Type: multipart/mixed; boundary=m\r\n\r\n");
    let file = |n| format!("--m\r\nContent-Type: text/csv; name={n}.csv\r\n\r\na,b\r\n");
    let inbound = raw(&format!("{head}--m\r\n\r\nHi\r\n{}--m--", numbered(1_000, file)));
    assert_eq!((inbound.body.as_deref(), inbound.attachments.len()), (Some("Hi"), 499));
    assert_eq!(cut(&inbound, "parts"), 501);

    let nested = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let deep = |depth| raw(&format!("{HEAD}{}\r\nHi", numbered(depth, nested)));
    assert_eq!((deep(50).body.as_deref(), cut(&deep(50), "depth")), (Some("Hi"), 0));
    let inbound = deep(51);
    assert_eq!((inbound.body.as_deref(), cut(&inbound, "depth")), (None, 1));
    assert_eq!(inbound.attachments.len(), 1, "what is deeper is kept as a file");

    let header = "x".repeat(5 * 1024 * 1024);
    let inbound = raw(&format!("{HEAD}X-Long: {header}\r\n\r\nHi"));
    assert!(cut(&inbound, "header_bytes") > 1024 * 1024);
    assert_eq!(inbound.body.as_deref(), Some("Hi"));
}

#[test]
fn a_mail_within_a_mail_is_a_file() {
    let inner = "From: bob@example.com\r\nContent-Type: text/plain\r\n\r\nFor you";
    let raw = raw(&format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nSee below\r\n--m\r\n\
         Content-Type: message/rfc822\r\n\r\n{inner}\r\n--m--\r\n"
    ));
    assert_eq!(raw.body.as_deref(), Some("See below"));
    use base64::prelude::{BASE64_STANDARD, Engine};
    assert_eq!(raw.attachments[0].content, Some(BASE64_STANDARD.encode(inner)));
    assert_eq!(raw.attachments[0].content_type.as_deref(), Some("message/rfc822"));
}

#[test]
fn a_multipart_whose_boundary_never_comes_is_shown_as_its_text() {
    let inbound = raw(&format!("{HEAD}Content-Type: multipart/mixed; boundary=m\r\n\r\nHi there"));
    assert_eq!(inbound.body.as_deref(), Some("Hi there"));
}

#[test]
fn what_fields_and_headers_say_too_much_of_is_cut_and_counted_in_both_modes() {
    let long = "x".repeat(100_000);
    let block = format!("References: {}\r\n", numbered(300, |n| format!("<{n}@x> ")));
    let fields: [(&str, &[u8]); 6] = [
        ("envelope", ENVELOPE),
        ("from", b"ann@example.com"),
        ("to", b"user@usehatchapp.com"),
        ("subject", long.as_bytes()),
        ("headers", block.as_bytes()),
        ("text", b"Hello"),
    ];
    for inbound in
        [read(&fields).expect("shown"), raw(&format!("{block}Subject: {long}\r\n{HEAD}"))]
    {
        let email = inbound.email.expect("a mail");
        assert_eq!(email.references.len(), 100);
        assert_eq!(email.cut["references"], 200);
    }
    let email = read(&fields).expect("shown").email.expect("a mail");
    assert_eq!(email.subject.map(|subject| subject.len()), Some(4 * 1024));
    assert_eq!(email.cut["header_bytes"], 100_000 - 4 * 1024);
}

#[test]
fn what_programs_write_carelessly_of_a_text_is_still_shown_as_one() {
    for kind in ["text", "plain", "text/plain charset=utf-8", "text/plain"] {
        for encoding in ["base64", "\"base64\"", "base64;", "base64 (as it is)", "BASE64"] {
            let mail = format!(
                "{HEAD}Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\nSGVsbG8=\r\n"
            );
            assert_eq!(raw(&mail).body.as_deref(), Some("Hello"), "{kind}, {encoding}");
        }
    }
}
