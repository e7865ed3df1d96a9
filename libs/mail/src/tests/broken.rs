//! Mails that are not as they should be.

use super::*;

const MIXED: &str = "Content-Type: multipart/mixed; boundary=\"m\"\r\n\r\n";

#[test]
fn a_multipart_that_is_not_closed_ends_with_what_it_is_in() {
    let file = [("a.pdf", false)];
    check(&format!("{MIXED}--m\r\n{}\r\n", plain("Hello")), Some("Hello"), None, &[]);
    check(&format!("{MIXED}--m\r\n{}\r\n--m\r\n{PDF}", plain("Hello")), Some("Hello"), None, &file);
    check(
        &format!("{MIXED}--m\r\n{}\r\n--m\r\n{PDF}\r\n--m", plain("Hello")),
        Some("Hello"),
        None,
        &file,
    );
    let inner = format!(
        "Content-Type: multipart/alternative; boundary=\"a\"\r\n\r\n--a\r\n{}\r\n--a\r\n{}\r\n",
        plain("Hello"),
        html("<p>Hello</p>")
    );
    let shown = Some("<p>Hello</p>");
    check(&format!("{MIXED}--m\r\n{inner}--m\r\n{PDF}\r\n--m--\r\n"), Some("Hello"), shown, &file);
    check(&format!("{MIXED}--m\r\n{inner}\r\n--m\r\n{PDF}\r\n"), Some("Hello"), shown, &file);
    check(
        &format!("{MIXED}--m\r\n{inner}--m\r\n{PDF}\r\n--a--\r\n--m--"),
        Some("Hello"),
        shown,
        &file,
    );
    // It goes on after its end.
    check(
        &format!("{MIXED}--m\r\n{}\r\n--m--\r\n--m\r\n{PDF}\r\n--m--", plain("Hello")),
        Some("Hello"),
        None,
        &file,
    );
}

#[test]
fn a_boundary_is_known_however_it_is_written() {
    let content = |name: &str| {
        format!("--{name}\r\n{}\r\n--{name}\r\n{PDF}\r\n--{name}--\r\n", plain("Hello"))
    };
    let file = [("a.pdf", false)];
    for (header, name) in [
        ("multipart/mixed; boundary=\"m \"", "m"),
        ("multipart/mixed; boundary='m'", "m"),
        ("multipart/mixed; boundary='m'", "'m'"),
        ("multipart/mixed; boundary=m", "m  "),
        ("multipart/mixed boundary=\"m\"", "m"),
        ("MULTIPART/MIXED; BOUNDARY=m", "m"),
        ("multipart/mixed;\r\n\tboundary=\"=_m:1?\"", "=_m:1?"),
        ("multipart/mixed", "m"),
        ("multipart/mixed; boundary=", "m"),
        ("multipart/mixed; boundary=other", "m"),
        ("multipart/mixed; boundary=\"unclosed", "unclosed"),
        ("multipart", "m"),
    ] {
        let mail = format!("Content-Type: {header}\r\n\r\n{}", content(name));
        check(&mail, Some("Hello"), None, &file);
        let mail = format!(
            "Content-Type: {header}\r\n\r\nThis is a message of several parts.\r\n\r\n{}",
            content(name)
        );
        check(&mail, Some("Hello"), None, &file);
    }
    check(
        "Content-Type: multipart/mixed\r\n\r\n--m\r\n\r\nOne\r\n--m\r\n\r\nTwo\r\n--m--",
        Some("One\n\nTwo"),
        None,
        &[],
    );
    check(
        &format!("Content-Type: multipart/mixed; boundary=m\r\n{}", content("m")),
        Some("Hello"),
        None,
        &file,
    );
}

#[test]
fn a_multipart_without_parts_is_a_text() {
    check(&format!("{MIXED}Hello\r\n"), Some("Hello"), None, &[]);
    check(&format!("{MIXED}Hello\r\n--m--\r\n"), Some("Hello"), None, &[]);
    check(
        "Content-Type: multipart/alternative\r\n\r\nHello -- there\r\n",
        Some("Hello -- there"),
        None,
        &[],
    );
    check(&format!("{MIXED}--m\r\n--m--\r\n"), None, None, &[]);
    check(&format!("{MIXED}Preamble\r\n--m\r\n\r\nHello\r\n--m--\r\n"), Some("Hello"), None, &[]);
}

#[test]
fn what_was_written_after_a_mail_is_read_with_it() {
    let footer = "\r\n_____\r\nList mailing list\r\n";
    let both = multipart("alternative", "a", &[&plain("Hello"), &html("<p>Hello</p>")]);
    let check_words = |mail: &str, has_html: bool| {
        let mail = read(mail);
        let text = mail.text.unwrap_or_default();
        assert!(text.starts_with("Hello") && text.contains("List mailing list"), "{text}");
        assert_eq!(mail.html.is_some_and(|html| html.contains("List mailing list")), has_html);
        assert!(mail.files.is_empty());
    };
    check_words(&format!("{both}{footer}"), true);
    check_words(&format!("{}{footer}", multipart("mixed", "m", &[&plain("Hello")])), false);
    check_words(&format!("{}{footer}", multipart("mixed", "m", &[&both])), true);
    let encoded = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n";
    check_words(&format!("{encoded}{footer}"), false);
    let encoded = encoded.replace("plain", "html");
    check_words(&format!("{encoded}{footer}"), true);
    // Nobody wrote that.
    check(&format!("{both}\r\n--other--\r\n \r\n"), Some("Hello"), Some("<p>Hello</p>"), &[]);
}

#[test]
fn transfer_encodings_are_known_however_they_are_written() {
    for encoding in ["BASE64", "\"base64\"", "base64;", "base-64", " Base64 (as it is)"] {
        check(
            &format!("Content-Transfer-Encoding: {encoding}\r\n\r\nSGVsbG8=\r\n"),
            Some("Hello"),
            None,
            &[],
        );
    }
    for encoding in ["quoted-printable", "Quoted-Printable;", "quoted_printable"] {
        check(
            &format!("Content-Transfer-Encoding: {encoding}\r\n\r\nGr=c3=bc=C3=9F=\r\ne == 1\r\n"),
            Some("Grüße == 1"),
            None,
            &[],
        );
    }
    for encoding in ["8bit", "binary", "7bit", "x-unknown", ""] {
        check(
            &format!("Content-Transfer-Encoding: {encoding}\r\n\r\nGrüße =3D\r\n"),
            Some("Grüße =3D"),
            None,
            &[],
        );
    }
    check(
        "Content-Transfer-Encoding: base64\r\n\r\nHello, this is no base64.\r\n",
        Some("Hello, this is no base64."),
        None,
        &[],
    );
}

/// What is read of a mail as it is.
fn whole(mail: &[u8]) -> Mail {
    Mail::read(mail, &mut Cut::default())
}

#[test]
fn the_begin_of_a_mail_is_found() {
    for mail in [
        "Subject: Hi\r\n\r\nHello",
        "\r\n\r\nSubject: Hi\r\n\r\nHello",
        "From ann@example.com Sat Jan 31 12:00:00 2026\r\nSubject: Hi\r\n\r\nHello",
        ">From ann@example.com Sat Jan 31 12:00:00 2026\nSubject: Hi\n\nHello",
        "\u{feff}Subject: Hi\n\nHello",
        "Subject : Hi\r\n\r\nHello",
        "Subject:Hi\r\n\r\nHello",
        "SUBJECT:  Hi \r\n\r\nHello",
        "Subject: Hi\rX-Other: 1\r\rHello",
        "Subject: Hi\nHello",
        "Subject: Hi\r\nHello",
        "X-Other: 1\r\nno header at all\r\nSubject: Hi\r\n\r\nHello",
        "Subject:\r\n Hi\r\n\r\nHello",
        "Subject: Hi\r\nSubject: Other\r\n\r\nHello",
        "Subject:\r\nSubject: Hi\r\n\r\nHello",
        "X-\u{e9}: 1\r\nX-Other: 1\r\nSubject: Hi\r\n\r\nHello",
    ] {
        let read = whole(mail.as_bytes());
        assert_eq!(read.headers.subject.as_deref(), Some("Hi"), "{mail:?}");
        assert_eq!(read.text.as_deref(), Some("Hello"), "{mail:?}");
    }
}

#[test]
fn a_mail_that_says_little_is_one() {
    for (mail, subject, text) in [
        ("", None, None),
        ("\r\n", None, None),
        ("Subject: Hi", Some("Hi"), None),
        ("Subject: Hi\r\n", Some("Hi"), None),
        ("Subject: Hi\r\n\r\n", Some("Hi"), None),
        ("Subject: Hi\r\n\r\n \r\n\r\n", Some("Hi"), None),
        ("\r\nHello there", None, Some("Hello there")),
        ("Hello there", None, Some("Hello there")),
        ("Hello there\r\n\r\nsee you", None, Some("Hello there\r\n\r\nsee you")),
        ("Subject: Hi\r\n\r\na\0b", Some("Hi"), Some("a\u{fffd}b")),
    ] {
        let read = whole(mail.as_bytes());
        assert_eq!(read.headers.subject.as_deref(), subject, "{mail:?}");
        assert_eq!(read.text.as_deref().map(str::trim), text, "{mail:?}");
        assert!(read.html.is_none() && read.files.is_empty(), "{mail:?}");
    }
    let long = "x".repeat(300_000);
    assert_eq!(whole(format!("Subject: Hi\r\n\r\n{long}").as_bytes()).text, Some(long));
}

#[test]
fn the_first_of_two_headers_counts() {
    let twice = "Content-Type: text/html\r\nContent-Type: text/plain\r\n\
        Content-Transfer-Encoding: quoted-printable\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>=41</p>";
    check(twice, None, Some("<p>A</p>"), &[]);
    let mail = whole(b"Message-ID: <1@x>\r\nMessage-ID: <2@x>\r\nTo: a@example.com\r\nTo: b@example.com\r\n\r\nHi");
    assert_eq!(mail.headers.mail_id.as_deref(), Some("1@x"));
    assert_eq!(mail.headers.to[0].address.as_str(), "a@example.com");
}

#[test]
fn names_of_files_are_cleaned() {
    for (written, name) in [
        ("..\\\\..\\\\x.exe", "x.exe"),
        ("/etc/passwd", "passwd"),
        ("a\u{202e}fdp.exe", "afdp.exe"),
        ("..", ""),
    ] {
        let file = format!("Content-Type: application/octet-stream; name=\"{written}\"\r\n\r\nx");
        check(&multipart("mixed", "m", &[&file]), None, None, &[(name, false)]);
    }
}
