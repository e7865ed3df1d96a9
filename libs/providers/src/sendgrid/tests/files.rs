//! The files of a mail in both modes, and mails that say little.

use hatch_domain::Attachment;
use hatch_domain::address::AddressKind;

use super::inbound::{Part, mail, parse};

const ENVELOPE: &[u8] = br#"{"to":["user@usehatchapp.com"],"from":"ann@example.com"}"#;

/// What is kept of each file: its name, its Content-ID, whether it is inline, whether it is missing.
fn kept(files: &[Attachment]) -> Vec<(Option<&str>, Option<&str>, bool, bool)> {
    let one = |file: &'_ Attachment| (file.inline, file.missing.is_some());
    files
        .iter()
        .map(|file| {
            let (inline, missing) = one(file);
            (file.filename.as_deref(), file.content_id.as_deref(), inline, missing)
        })
        .collect()
}

#[test]
fn files_have_the_ids_by_which_html_shows_them() {
    let png: Part<'_> =
        ("attachment1", "; filename=\"logo.png\"\r\nContent-Type: image/png", b"\x89PNG");
    let html: Part<'_> = ("html", "", b"<p>Hi <img src=\"cid:logo1\"></p>");
    let info: Part<'_> = (
        "attachment-info",
        "",
        br#"{"attachment1":{"filename":"logo.png","name":"logo.png","type":"image/png","content-id":"logo1"}}"#,
    );
    let ids: Part<'_> = ("content-ids", "", br#"{"logo1":"attachment1"}"#);
    let shown = [(Some("logo.png"), Some("logo1"), true, false)];
    for parts in [
        vec![png, html, info, ids],
        vec![png, html, info],
        vec![png, html, ids],
        vec![png, info],
        vec![png, html, ("content-ids", "", br#"{"<logo1>":"attachment1"}"#)],
    ] {
        let inbound = parse(&mail(&parts)).expect("understood");
        assert_eq!(kept(&inbound.attachments), shown, "{parts:?}");
    }
    let beside: Part<'_> = ("html", "", b"<p>Hi</p>");
    let inbound = parse(&mail(&[png, beside, info])).expect("understood");
    assert_eq!(kept(&inbound.attachments), [(Some("logo.png"), Some("logo1"), false, false)]);
}

#[test]
fn a_file_that_is_named_and_not_there_says_so() {
    let inbound = parse(&mail(&[
        ("attachments", "", b"3"),
        (
            "attachment-info",
            "",
            br#"{"attachment2":{"filename":"..\\b.pdf","type":"application/pdf"},"attachment3":7}"#,
        ),
        ("attachment1", "; filename=\"/etc/a.txt\"\r\nContent-Type: text/plain", b"a"),
    ]))
    .expect("understood");
    let expected = [
        (Some("a.txt"), None, false, false),
        (Some("b.pdf"), None, false, true),
        (None, None, false, true),
    ];
    assert_eq!(kept(&inbound.attachments), expected);
    assert_eq!(inbound.attachments[1].content, None);
    let many = parse(&mail(&[("attachments", "", b"99999999")])).expect("understood");
    assert_eq!(many.attachments.len(), 500);
}

#[test]
fn a_mail_that_says_anything_is_shown() {
    for parts in [
        vec![("text", "", &b"Hello"[..]), ("to", "", b"user@usehatchapp.com")],
        vec![("subject", "", b"Hello"), ("envelope", "", ENVELOPE)],
        vec![("email", "", b"Subject: Hello"), ("envelope", "", ENVELOPE)],
        vec![("email", "", b"no mail at all"), ("envelope", "", ENVELOPE)],
        vec![("email", "", b""), ("envelope", "", ENVELOPE)],
    ] {
        parse(&parts).unwrap_or_else(|error| panic!("{error}: {parts:?}"));
    }
    let nobody = [("text", "", &b"Hello"[..]), ("to", "", b"user@usehatchapp.com")];
    let inbound = parse(&nobody).expect("understood");
    assert_eq!(inbound.from.kind(), AddressKind::Name);
    parse(&[("to", "", b"user@usehatchapp.com")]).expect_err("it says nothing");
}

#[test]
fn a_raw_mail_is_shown_with_all_of_its_texts_and_files() {
    let head = "From: ann@example.com\r\nTo: user@usehatchapp.com\r\nMessage-ID: <1@example.com>\r\n\
        Content-Type: multipart/mixed; boundary=\"m\"\r\n\r\n";
    let text = |text: &str| format!("--m\r\nContent-Type: text/plain\r\n\r\n{text}\r\n");
    let picture = "--m\r\nContent-Type: image/png; name=\"p.png\"\r\nContent-Disposition: inline\r\n\
        Content-Transfer-Encoding: base64\r\n\r\niVBORw==\r\n";
    let pdf = "--m\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n";
    let inner = "--m\r\nContent-Type: multipart/alternative; boundary=\"a\"\r\n\r\n\
        --a\r\nContent-Type: text/plain\r\n\r\nHello\r\n\
        --a\r\nContent-Type: text/html\r\n\r\n<img src=\"cid:logo1\">\r\n";
    let logo = "--m\r\nContent-Type: image/png\r\nContent-ID: <logo1>\r\n\
        Content-Transfer-Encoding: base64\r\n\r\niVBORw==\r\n--m--\r\n";
    let read = |content: &str| {
        let raw = format!("{head}{content}");
        parse(&[("email", "", raw.as_bytes()), ("envelope", "", ENVELOPE)]).expect("understood")
    };
    let between = read(&format!("{}{picture}{}--m--\r\n", text("One"), text("Two")));
    assert_eq!(between.body.as_deref(), Some("One\n\nTwo"));
    assert_eq!(kept(&between.attachments), [(Some("p.png"), None, true, false)]);
    let unclosed = read(&format!("{}{pdf}", text("One")));
    assert_eq!(unclosed.body.as_deref(), Some("One"));
    assert_eq!(kept(&unclosed.attachments), [(Some("a.pdf"), None, false, false)]);
    let inside = read(&format!("{inner}{pdf}{logo}"));
    assert_eq!(inside.body.as_deref(), Some("Hello"));
    let files = [(Some("a.pdf"), None, false, false), (None, Some("logo1"), true, false)];
    assert_eq!(kept(&inside.attachments), files);
}
