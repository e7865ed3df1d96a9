//! Mails as clients make them.

use super::*;

#[test]
fn all_texts_of_a_mixed_mail_are_read_in_their_order() {
    let picture = "Content-Type: image/png; name=\"p.png\"\r\nContent-Disposition: inline; filename=\"p.png\"\r\n\r\nx";
    let inline = [("p.png", true)];
    check(
        &multipart("mixed", "m", &[&plain("One"), picture, &plain("Two\r\n")]),
        Some("One\n\nTwo"),
        None,
        &inline,
    );
    check(
        &multipart("mixed", "m", &[&html("<p>One</p>"), PDF, &html("<p>Two</p>")]),
        None,
        Some("<p>One</p>\n<p>Two</p>"),
        &[("a.pdf", false)],
    );
    check(
        &multipart("mixed", "m", &[&plain("One"), &html("<p>Two</p>"), PDF, &plain("Th<ree")]),
        Some("One\n\nTwo\n\nTh<ree"),
        Some("<pre>One</pre>\n<p>Two</p>\n<pre>Th&lt;ree</pre>"),
        &[("a.pdf", false)],
    );
    // A blank text beside a file is no text.
    check(
        &multipart("mixed", "m", &[&plain("One"), PDF, &plain("\r\n")]),
        Some("One"),
        None,
        &[("a.pdf", false)],
    );
    check(&multipart("mixed", "m", &["\r\nOne", "\r\nTwo"]), Some("One\n\nTwo"), None, &[]);
}

#[test]
fn of_alternatives_each_form_is_read_once() {
    let both = multipart("alternative", "a", &[&plain("Hello"), &html("<p>Hello</p>")]);
    check(&both, Some("Hello"), Some("<p>Hello</p>"), &[]);
    let swapped = multipart("alternative", "a", &[&html("<p>Hello</p>"), &plain("Hello")]);
    check(&swapped, Some("Hello"), Some("<p>Hello</p>"), &[]);
    let blank = multipart("alternative", "a", &[&plain(" \r\n"), &html("<p>Hello</p>")]);
    check(&blank, None, Some("<p>Hello</p>"), &[]);
    let twice = multipart("alternative", "a", &[&plain("Hello"), &plain("Hello "), &html("Hello")]);
    check(&twice, Some("Hello"), Some("Hello"), &[]);
    let more =
        multipart("alternative", "a", &[&plain("Hello"), &plain("More"), &html("<p>Hello</p>")]);
    check(&more, Some("Hello\n\nMore"), Some("<p>Hello</p>\n<pre>More</pre>"), &[]);
    let other = multipart("alternative", "b", &[&both, &html("<p>Other</p>")]);
    check(&other, Some("Hello"), Some("<p>Other</p>"), &[]);
    let unlike = multipart("alternative", "a", &[&plain("Hello"), &html("<p>More</p>")]);
    let other = multipart("alternative", "b", &[&unlike, &html("<p>Other</p>")]);
    check(&other, Some("Hello\n\nMore"), Some("<p>Other</p>\n<p>More</p>"), &[]);
    let mixed = multipart("mixed", "m", &[&both, PDF, &plain("Footer")]);
    check(
        &mixed,
        Some("Hello\n\nFooter"),
        Some("<p>Hello</p>\n<pre>Footer</pre>"),
        &[("a.pdf", false)],
    );
}

#[test]
fn forms_that_nobody_shows_are_left_out_where_there_is_another() {
    let amp = "Content-Type: text/x-amp-html\r\n\r\n<html amp>Hello</html>";
    let watch = "Content-Type: text/watch-html\r\n\r\n<b>Hello</b>";
    let calendar =
        "Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR";
    check(
        &multipart(
            "alternative",
            "a",
            &[&plain("Hello"), amp, watch, &html("<p>Hello</p>"), calendar],
        ),
        Some("Hello"),
        Some("<p>Hello</p>"),
        &[("invite.ics", false)],
    );
    check(&multipart("alternative", "a", &[watch]), None, Some("<b>Hello</b>"), &[]);
    check(&multipart("alternative", "a", &[calendar]), None, None, &[("invite.ics", false)]);
    check(calendar, None, None, &[("invite.ics", false)]);
}

#[test]
fn related_files_have_ids_and_are_shown_where_the_html_shows_them() {
    let page = html("<p>Hello <img src=\"cid:logo1\"></p>");
    let shown = Some("<p>Hello <img src=\"cid:logo1\"></p>");
    let related = multipart("related", "r", &[&page, PICTURE]);
    let alternative = multipart("alternative", "a", &[&plain("Hello"), &page]);
    for (shape, text) in [
        (related.clone(), None),
        (multipart("mixed", "m", &[&page, PICTURE]), None),
        (multipart("alternative", "a", &[&plain("Hello"), &related]), Some("Hello")),
        (multipart("related", "r", &[&alternative, PICTURE]), Some("Hello")),
        (
            multipart("mixed", "m", &[&multipart("related", "r", &[&alternative, PICTURE])]),
            Some("Hello"),
        ),
        (
            multipart(
                "mixed",
                "m",
                &[&multipart("alternative", "a", &[&plain("Hello"), &related])],
            ),
            Some("Hello"),
        ),
    ] {
        let mail = check(&shape, text, shown, &[("logo.png", true)]);
        assert_eq!(mail.files[0].content_id.as_deref(), Some("logo1"));
    }
    let attached = PICTURE.replace("Content-ID", "Content-Disposition: attachment\r\nContent-ID");
    let hidden = multipart("mixed", "m", &[&html("<p>Hello</p>"), &attached]);
    check(&hidden, None, Some("<p>Hello</p>"), &[("logo.png", false)]);
    let placed = PICTURE.replace("Content-ID: <logo1>", "Content-Location: logo.png");
    let page = html("<img src=\"logo.png\">");
    check(
        &multipart("related", "r", &[&page, &placed]),
        None,
        Some("<img src=\"logo.png\">"),
        &[("logo.png", true)],
    );
}

#[test]
fn html_around_a_file_is_one_form_of_an_alternative() {
    let rich = multipart("mixed", "m", &[&html("<p>One</p>"), PDF, &html("<p>Two</p>")]);
    check(
        &multipart("alternative", "a", &[&plain("One Two"), &rich]),
        Some("One Two"),
        Some("<p>One</p>\n<p>Two</p>"),
        &[("a.pdf", false)],
    );
    let signed = multipart("mixed", "m", &[&html("<p>One</p>"), PDF, &plain("Sent by me")]);
    check(
        &multipart("alternative", "a", &[&plain("One"), &signed]),
        Some("One"),
        Some("<p>One</p>\n<pre>Sent by me</pre>"),
        &[("a.pdf", false)],
    );
    check(
        &multipart(
            "alternative",
            "a",
            &[&multipart("mixed", "m", &[&plain("One"), &html("<p>Two</p>")])],
        ),
        Some("One\n\nTwo"),
        Some("<pre>One</pre>\n<p>Two</p>"),
        &[],
    );
}

#[test]
fn mails_in_mails_signatures_and_sealed_parts_are_files() {
    let inner = "Content-Type: message/rfc822\r\n\r\nFrom: bob@example.com\r\nSubject: Re: a/b\r\n\r\nFor you";
    check(
        &multipart("mixed", "m", &[&plain("See below"), inner]),
        Some("See below"),
        None,
        &[("Re: a_b.eml", false)],
    );
    let nameless = "Content-Type: message/rfc822\r\n\r\nFrom: bob@example.com\r\n\r\nFor you";
    check(&multipart("digest", "d", &[nameless]), None, None, &[("message.eml", false)]);
    let both = multipart("alternative", "a", &[&plain("Hello"), &html("<p>Hello</p>")]);
    for (seal, name) in [
        ("application/pkcs7-signature", "smime.p7s"),
        ("application/pgp-signature", "signature.asc"),
    ] {
        let seal = format!("Content-Type: {seal}\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB");
        let signed = multipart("signed; protocol=\"x\"", "s", &[&both, &seal]);
        check(&signed, Some("Hello"), Some("<p>Hello</p>"), &[(name, false)]);
    }
    let sealed = multipart(
        "encrypted",
        "e",
        &[
            "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1",
            "Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\n\r\n-----BEGIN PGP MESSAGE-----",
        ],
    );
    check(&sealed, None, None, &[("", false), ("encrypted.asc", false)]);
    check(
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB",
        None,
        None,
        &[("smime.p7m", false)],
    );
    let tnef =
        "Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: base64\r\n\r\neJ8+Ig==";
    check(
        &multipart("mixed", "m", &[&plain("Hello"), tnef]),
        Some("Hello"),
        None,
        &[("winmail.dat", false)],
    );
    let pgp = "-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\nHello";
    check(&plain(pgp), Some(pgp), None, &[]);
}

#[test]
fn what_a_bounce_reports_is_among_the_files() {
    let status = "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\n\
        Final-Recipient: rfc822; bob@example.com\r\nAction: failed\r\nStatus: 5.1.1";
    let headers = "Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <1@hatch>";
    check(
        &multipart(
            "report; report-type=delivery-status",
            "b",
            &[&plain("Not delivered"), status, headers],
        ),
        Some("Not delivered"),
        None,
        &[("", false), ("", false)],
    );
}

#[test]
fn a_text_with_a_name_is_a_file_unless_it_is_one_form_of_the_text() {
    let named = "Content-Type: text/plain; name=\"notes.txt\"\r\n\r\nNotes";
    check(
        &multipart("mixed", "m", &[&plain("Hello"), named]),
        Some("Hello"),
        None,
        &[("notes.txt", false)],
    );
    let form = multipart("alternative", "a", &[named, &html("<p>Notes</p>")]);
    check(&form, Some("Notes"), Some("<p>Notes</p>"), &[]);
    check(named, Some("Notes"), None, &[]);
    let markdown = "Content-Type: text/markdown\r\n\r\n# Hello";
    check(markdown, Some("# Hello"), None, &[]);
    check(
        "\r\n<!DOCTYPE html><html><body>Hi</body></html>",
        None,
        Some("<!DOCTYPE html><html><body>Hi</body></html>"),
        &[],
    );
    check("Content-Type: \r\n\r\nHello", Some("Hello"), None, &[]);
    check("Content-Type: html\r\n\r\n<p>Hello", None, Some("<p>Hello"), &[]);
}
