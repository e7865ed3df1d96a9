//! In which characters mails come.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::inbound::{Part, mail, parse};
use crate::Inbound;

const ENVELOPE: &[u8] = br#"{"to":["user@usehatchapp.com"],"from":"a@example.com"}"#;

fn raw(mail: &[u8]) -> Inbound {
    parse(&[("email", "", mail), ("envelope", "", ENVELOPE)]).expect("understood")
}

fn subject(inbound: &Inbound) -> Option<&str> {
    inbound.email.as_ref()?.subject.as_deref()
}

/// A charset, and what a text is in it.
const TEXTS: [(&str, &str, &[u8]); 12] = [
    ("iso-2022-jp", "注文4711", b"\x1b$BCmJ8\x1b(B4711"),
    ("shift_jis", "注文4711", b"\x92\x8d\x95\xb64711"),
    ("euc-jp", "注文4711", b"\xc3\xed\xca\xb84711"),
    ("big5", "訂單4711", b"\xad\x71\xb3\xe64711"),
    ("gb2312", "订单4711", b"\xb6\xa9\xb5\xa54711"),
    ("gbk", "订单4711", b"\xb6\xa9\xb5\xa54711"),
    ("gb18030", "订单4711€𠀀", b"\xb6\xa9\xb5\xa54711\xa2\xe3\x95\x32\x82\x36"),
    ("euc-kr", "주문4711", b"\xc1\xd6\xb9\xae4711"),
    ("ks_c_5601-1987", "주문4711똠", b"\xc1\xd6\xb9\xae4711\x8c\x63"),
    ("windows-31j", "①注文4711", b"\x87\x40\x92\x8d\x95\xb64711"),
    ("windows-874", "สั่งซื้อ4711", b"\xca\xd1\xe8\xa7\xab\xd7\xe9\xcd4711"),
    ("iso-2022-kr", "주문 4711", b"\x1b$)C\x0eAV9.\x0f 4711"),
];

#[test]
fn a_raw_mail_is_read_in_its_charset() {
    for (charset, text, bytes) in TEXTS {
        let base64 = BASE64_STANDARD.encode(bytes);
        let percent: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
        let mail = format!(
            "From: =?{charset}?B?{base64}?= <a@example.com>\r\nTo: user@usehatchapp.com\r\n\
             Subject: =?{charset}?B?{base64}?=\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n\
             --m\r\nContent-Type: text/plain; charset={charset}\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{base64}\r\n\
             --m\r\nContent-Type: application/pdf; name=\"=?{charset}?B?{base64}?=\"\r\n\r\nx\r\n\
             --m\r\nContent-Type: application/pdf\r\n\
             Content-Disposition: attachment; filename*={charset}''{percent}\r\n\r\nx\r\n--m--\r\n"
        );
        let inbound = raw(mail.as_bytes());
        assert_eq!(inbound.body.as_deref().map(str::trim), Some(text), "{charset}");
        assert_eq!(subject(&inbound), Some(text), "{charset}");
        let names: Vec<&str> =
            inbound.attachments.iter().filter_map(|file| file.filename.as_deref()).collect();
        assert_eq!(names, [text, text], "{charset}");
        let people = inbound.email.map(|email| email.people).unwrap_or_default();
        assert_eq!(people.first().map(|person| &*person.name), Some(text), "{charset}");
    }
}

#[test]
fn a_field_of_the_form_is_read_in_its_charset() {
    for (charset, text, bytes) in TEXTS {
        let charsets = format!(r#"{{"text":"{charset}","subject":"{charset}","html":null}}"#);
        let parts =
            [("charsets", "", charsets.as_bytes()), ("text", "", bytes), ("subject", "", bytes)];
        let inbound = parse(&mail(&parts)).expect("understood");
        assert_eq!(inbound.body.as_deref(), Some(text), "{charset}");
        assert_eq!(subject(&inbound), Some(text), "{charset}");
    }
    let hz: Part<'_> = ("text", "", b"Order 4711 ~{6)5%~}");
    let parts = [("charsets", "", &br#"{"text":"hz-gb-2312"}"#[..]), hz];
    let inbound = parse(&mail(&parts)).expect("understood");
    assert_eq!(inbound.body.as_deref(), Some("Order 4711 订单"));
}

#[test]
fn labels_of_the_form_are_known_by_what_programs_write() {
    for label in
        ["latin-1", "\\\"iso-8859-1\\\"", "iso-8859-1;", " ISO_8859-1 ", "'windows1252'", "cp1252"]
    {
        let charsets = format!(r#"{{"text":"{label}"}}"#);
        let parts = [("charsets", "", charsets.as_bytes()), ("text", "", b"Gr\xfc\xdfe")];
        let inbound = parse(&mail(&parts)).expect("understood");
        assert_eq!(inbound.body.as_deref(), Some("Grüße"), "{label}");
    }
    // The form may say nothing, and the part or the document does.
    let koi8: &[u8] = b"\xfa\xc1\xcb\xc1\xda";
    let of_part = "\r\nContent-Type: text/plain; charset=koi8-r";
    let html = [b"<meta charset=koi8-r>", koi8].concat();
    let parts = [("charsets", "", &b"{}"[..]), ("text", of_part, koi8), ("html", "", &html)];
    let inbound = parse(&mail(&parts)).expect("understood");
    assert_eq!(inbound.body.as_deref(), Some("Заказ"));
    let html = inbound.email.and_then(|email| email.html);
    assert_eq!(html.as_deref(), Some("<meta charset=koi8-r>Заказ"));
}

#[test]
fn encoded_words_that_cut_a_character_in_half_are_whole() {
    let inbound = raw(b"From: a@example.com\r\nTo: user@usehatchapp.com\r\n\
          Subject: =?UTF-8?B?44Go44Gm44I=?=\r\n =?UTF-8?B?gumVt+OBhA==?=\r\n\r\nHi");
    assert_eq!(subject(&inbound), Some("とても長い"));
}

#[test]
fn a_text_whose_charset_is_not_declared_or_wrong_is_guessed() {
    for (head, bytes, text) in [
        ("Content-Type: text/plain; charset=us-ascii\r\n", &b"Gr\xc3\xbc\xc3\x9fe"[..], "Grüße"),
        ("Content-Type: text/plain; charset=windows-1252\r\n", b"Gr\xc3\xbc\xc3\x9fe", "Grüße"),
        ("Content-Type: text/plain\r\n", b"\x1b$BCmJ8\x1b(B4711", "注文4711"),
        ("", b"Viele Gr\xfc\xdfe aus K\xf6ln", "Viele Grüße aus Köln"),
        (
            "Content-Type: text/plain; charset=utf-8\r\n",
            b"Viele Gr\xfc\xdfe aus K\xf6ln",
            "Viele Grüße aus Köln",
        ),
        ("Content-Type: text/plain; charset=utf-7\r\n", b"Gr+APwA3w-e", "Grüße"),
    ] {
        let head = format!("From: a@example.com\r\nTo: user@usehatchapp.com\r\n{head}\r\n");
        let inbound = raw(&[head.as_bytes(), bytes].concat());
        assert_eq!(inbound.body.as_deref(), Some(text), "{head}");
    }
}

#[test]
fn a_file_of_the_form_has_the_name_that_was_written() {
    for (name, read) in [
        ("; filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
        ("; filename=\"Grüße.pdf\"", "Grüße.pdf"),
        ("; filename=\"=?iso-8859-1?Q?Gr=FC=DFe.pdf?=\"", "Grüße.pdf"),
        ("; filename=\"a.pdf\"; filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
    ] {
        let inbound = parse(&mail(&[("attachment1", name, b"x")])).expect("understood");
        assert_eq!(inbound.attachments[0].filename.as_deref(), Some(read), "{name}");
    }
}
