use hatch_domain::address::Address;
use hatch_domain::{Bounce, MailKind};

use super::*;
use crate::{Facts, Mail, Signs, kind_of};

/// What a bounce from a mail server says: its recipients with status and whether they are still tried, and the mail.
fn bounce(text: &str) -> Bounce {
    let to = [Mailbox::from(Address::email("us@shop.example").expect("a mailbox"))];
    let facts = Facts {
        from: "MAILER-DAEMON@mx.example",
        to: &to,
        text: Some(text),
        without_sender: true,
        ..Facts::default()
    };
    kind_of(&Signs::default(), &facts).bounce.unwrap_or_default()
}

fn said(bounce: &Bounce) -> Vec<(&str, Option<&str>, bool)> {
    bounce
        .recipients
        .iter()
        .map(|one| (one.address.as_str(), one.status.as_deref(), one.delayed))
        .collect()
}

const BOB: &str = "bob@example.org";

/// A server, its text, whom it did not reach with status and whether it still tries, and the Message-ID.
type InWords = (
    &'static str,
    &'static str,
    &'static [(&'static str, Option<&'static str>, bool)],
    Option<&'static str>,
);

const IN_WORDS: &[InWords] = &[
    (
        "qmail",
        "Hi. This is the qmail-send program at mx.example.\nI'm afraid I wasn't able to deliver your message to \
             the following addresses.\nThis is a permanent error; I've given up.\n\n<bob@example.org>:\n192.0.2.1 does \
             not like recipient.\nRemote host said: 550 5.1.1 No such user\nGiving up on 192.0.2.1.\n\n--- Below this \
             line is a copy of the message.\n\nReturn-Path: <us@shop.example>\nMessage-ID: <m1@shop.example>\n\
             To: carl@example.org\n",
        &[(BOB, Some("5.1.1"), false)],
        Some("m1@shop.example"),
    ),
    (
        "exim",
        "This message was created automatically by mail delivery software.\n\nA message that you sent could not be \
             delivered to one or more of its\nrecipients. The following address(es) failed:\n\n  bob@example.org\n    \
             host mx.example.org [192.0.2.1]\n    SMTP error from remote mail server after RCPT TO:<bob@example.org>:\n\
             \x20   550 User unknown\n\n  carl@example.org\n    mailbox is full: 552 5.2.2 over quota\n\n------ This is a \
             copy of the message, including all the headers. ------\n\nMessage-Id: <m2@shop.example>\n",
        &[(BOB, None, false), ("carl@example.org", Some("5.2.2"), false)],
        Some("m2@shop.example"),
    ),
    (
        "postfix",
        "This is the mail system at host mx.example.\n\nI'm sorry to have to inform you that your message could \
             not\nbe delivered to one or more recipients.\n\n<bob@example.org>: host mx.example.org[192.0.2.1] said: 550 \
             5.1.1\n    <bob@example.org>: Recipient address rejected: User unknown (in reply to\n    RCPT TO command)\n",
        &[(BOB, Some("5.1.1"), false)],
        None,
    ),
    (
        "gmail",
        "** Address not found **\n\nYour message wasn't delivered to bob@example.org because the address couldn't \
             be found.\n\nThe response from the remote server was:\n550 5.1.1 The email account does not exist.\n",
        &[(BOB, Some("5.1.1"), false)],
        None,
    ),
    (
        "older gmail",
        "Delivery to the following recipient failed permanently:\n\n     bob@example.org\n\nTechnical details of \
             permanent failure:\nThe error that the other server returned was:\n550 5.7.1 Blocked\n\n----- Original \
             message -----\nMessage-ID: <m3@shop.example>\n",
        &[(BOB, Some("5.7.1"), false)],
        Some("m3@shop.example"),
    ),
    (
        "exchange",
        "Delivery has failed to these recipients or groups:\n\nbob@example.org<mailto:bob@example.org>\nThe email \
             address you entered couldn't be found.\n\nDiagnostic information for administrators:\n\nGenerating server: \
             mx.example\n\nbob@example.org\nRemote Server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound'\n\n\
             Original message headers:\n\nReceived: from a\nMessage-ID:\n <m4@shop.example>\n",
        &[(BOB, Some("5.1.10"), false)],
        Some("m4@shop.example"),
    ),
    (
        "office",
        "Your message to bob@example.org couldn't be delivered.\n\nbob wasn't found at example.org.\n\n\
             Remote Server returned '550 5.4.1 Recipient address rejected: Access denied'\n",
        &[(BOB, Some("5.4.1"), false)],
        None,
    ),
    (
        "yahoo",
        "Sorry, we were unable to deliver your message to the following address.\n\n<bob@example.org>:\n554: delivery \
             error: dd This user doesn't have an account (bob@example.org) [0]\n\n--- Original message follows ---\n",
        &[(BOB, None, false)],
        None,
    ),
    (
        "sendmail",
        "The original message was received at Mon, 5 Jan 2026 10:00:00 GMT\nfrom mail.shop.example [192.0.2.7]\n\n   \
             ----- The following addresses had permanent fatal errors -----\n<bob@example.org>\n    (reason: 550 5.1.1 \
             User unknown)\n\n   ----- Transcript of session follows -----\n... while talking to mx.example.org.:\n",
        &[(BOB, Some("5.1.1"), false)],
        None,
    ),
    (
        "domino",
        "Your message\n\n  Subject: Order\n\nwas not delivered to:\n\n  bob@example.org\n\nbecause:\n\n  550 5.1.1 \
             Not listed in the directory\n",
        &[(BOB, Some("5.1.1"), false)],
        None,
    ),
    (
        "a windows server",
        "This is an automatically generated Delivery Status Notification.\n\nDelivery to the following recipients \
             failed.\n\n       bob@example.org\n",
        &[(BOB, None, false)],
        None,
    ),
    (
        "163",
        "抱歉，您的邮件被退回来了。\n\n原邮件信息：\n主题：订单\n收件人：bob@example.org\n退信原因：\nSMTP error, RCPT \
             TO: 550 5.1.1 User not found\n",
        &[(BOB, Some("5.1.1"), false)],
        None,
    ),
    (
        "qq",
        "无法发送到 bob@example.org\n\n邮件发送失败, host mx.example.org said: 550 Mailbox not found.\n",
        &[(BOB, None, false)],
        None,
    ),
    (
        "a warning",
        "THIS IS A WARNING MESSAGE ONLY. YOU DO NOT NEED TO RESEND YOUR MESSAGE.\n\nDelivery to the following \
             recipient has been delayed:\n\n     bob@example.org\n\nMessage will be retried for 2 more day(s)\n450 4.2.0 \
             Try later\n",
        &[(BOB, Some("4.2.0"), true)],
        None,
    ),
    (
        "fields in a text",
        "It failed.\n\nFinal-Recipient: rfc822; bob@example.org\nAction: failed\nStatus: 5.1.1\n",
        &[(BOB, Some("5.1.1"), false)],
        None,
    ),
    ("nothing", "t", &[], None),
];

#[test]
fn words_of_many_servers_say_whom_the_mail_did_not_reach() {
    let table = IN_WORDS;
    for (server, text, recipients, mail_id) in table {
        let bounce = bounce(text);
        assert_eq!(said(&bounce), *recipients, "{server}");
        assert_eq!(bounce.mail_id.as_deref(), *mail_id, "{server}");
    }
}

#[test]
fn what_a_server_said_is_kept() {
    let bounce = bounce(
        "could not be delivered\n\n<bob@example.org>: host mx said: 550 5.1.1\n    User unknown\n",
    );
    let detail = bounce.recipients[0].detail.as_deref();
    assert_eq!(detail, Some("host mx said: 550 5.1.1 User unknown"));
}

#[test]
fn a_bounce_that_has_only_html_is_read() {
    let html = "<html><style>p { a: b@c.de }</style><p>Your message to <a href=\"mailto:bob@example.org\">\
                bob@example.org</a> couldn&#39;t be delivered.</p><td>550 5.1.10 Not found</td>";
    let facts = Facts {
        from: "postmaster@mx.example",
        html: Some(html),
        without_sender: true,
        ..Facts::default()
    };
    let found = kind_of(&Signs::default(), &facts);
    assert_eq!(said(&found.bounce.expect("a bounce")), [(BOB, Some("5.1.10"), false)]);
    assert_eq!(found.signs, ["envelope", "from", "text"]);
}

/// A report as a server sends it, with `status` for programs.
fn report(status: &str) -> (Mail, crate::Kind) {
    let mail = format!(
        "Return-Path: <>\r\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example>\r\nTo: us@shop.example\r\n\
         Subject: Undelivered Mail Returned to Sender\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n \
         boundary=\"b\"\r\nMIME-Version: 1.0\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n--b\r\n\
         Content-Type: message/delivery-status\r\n\r\n{status}\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n\
         From: us@shop.example\r\nMessage-ID: <m5@shop.example>\r\nTo: bob@example.org\r\n\r\n--b--\r\n"
    );
    let mail = Mail::read(mail.as_bytes(), &mut Cut::default());
    let facts = Facts {
        from: "MAILER-DAEMON@mx.example",
        subject: mail.headers.subject.as_deref(),
        text: mail.text.as_deref(),
        files: &mail.files,
        ..Facts::default()
    };
    let kind = kind_of(&mail.headers.signs, &facts);
    (mail, kind)
}

#[test]
fn the_part_for_programs_says_what_became_of_each_recipient() {
    let (_, kind) = report(
        "Reporting-MTA: dns; mx.example\r\nArrival-Date: x\r\n\r\nOriginal-Recipient: rfc822;bob@example.org\r\n\
         Final-Recipient: rfc822; robert@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 \
         5.1.1 User\r\n unknown\r\n\r\nFinal-Recipient: RFC822; <carl@example.org>\r\nAction: delayed (still)\r\nStatus: \
         4.4.1 (no answer)\r\n\r\nFinal-Recipient: rfc822;dora@example.org\r\nAction: delivered\r\nStatus: 2.0.0\r\n\
         Final-Recipient: rfc822;eve@example.org\r\nAction: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; 552 5.2.2 \
         full\r\n",
    );
    let bounce = kind.bounce.expect("a bounce");
    assert_eq!(
        said(&bounce),
        [
            (BOB, Some("5.1.1"), false),
            ("carl@example.org", Some("4.4.1"), true),
            ("eve@example.org", Some("5.2.2"), false),
        ]
    );
    assert_eq!(bounce.recipients[0].detail.as_deref(), Some("550 5.1.1 User unknown"));
    assert_eq!(bounce.mail_id.as_deref(), Some("m5@shop.example"));
    assert_eq!(kind.signs, ["delivery-status", "return-path", "from", "subject"]);
}

#[test]
fn what_names_nobody_and_says_of_no_failure_tells_of_no_mail() {
    let answered = "m6@shop.example".to_owned();
    let facts = Facts {
        from: "MAILER-DAEMON@mx.example",
        subject: Some("Viesti viiv\u{e4}styy"),
        text: Some("Palvelin yritt\u{e4}\u{e4} uudelleen."),
        without_sender: true,
        in_reply_to: Some(&answered),
        ..Facts::default()
    };
    let found = kind_of(&Signs::default(), &facts);
    assert_eq!((found.kind, found.bounce), (MailKind::Bounce, None));
}

#[test]
fn a_report_that_a_mail_arrived_is_no_bounce() {
    let (_, kind) =
        report("Final-Recipient: rfc822; bob@example.org\r\nAction: relayed\r\nStatus: 2.0.0\r\n");
    assert_eq!((kind.kind, kind.bounce), (MailKind::AutoReply, None));
}

#[test]
fn no_more_recipients_are_read_than_there_is_room_for() {
    let group = |n| format!("Final-Recipient: rfc822; r{n}@example.org\r\nAction: failed\r\n\r\n");
    let (_, kind) = report(&(0..1_000).map(group).collect::<String>());
    assert_eq!(kind.bounce.expect("a bounce").recipients.len(), REPORTED_MAX);
    let lines: String = (0..5_000).map(|n| format!("<r{n}@example.org>: 550\n")).collect();
    assert_eq!(bounce(&lines).recipients.len(), REPORTED_MAX);
    let long = format!("<bob@example.org>: {}\n", "550 x ".repeat(20_000));
    assert!(bounce(&long).recipients[0].detail.as_ref().is_none_or(|said| said.len() <= 500));
}

#[test]
fn codes_are_told_from_other_numbers() {
    for (text, status) in [
        ("550 5.1.1 unknown", Some("5.1.1")),
        ("(#5.1.1)", Some("5.1.1")),
        ("failed with 4.4.7.", Some("4.4.7")),
        ("host 5.9.1.2 said", None),
        ("version 3.1.1", None),
        ("5.1", None),
        ("5.1.1234", None),
    ] {
        assert_eq!(status_in(text).as_deref(), status, "{text}");
    }
    for (text, code) in [
        ("said: 550 no", Some("550")),
        ("'550 5.1.1", Some("550")),
        ("554: no", Some("554")),
        ("5501", None),
        ("4.550.1", None),
        ("560", None),
        ("a550b", None),
    ] {
        assert_eq!(code_in(text), code, "{text}");
    }
}
