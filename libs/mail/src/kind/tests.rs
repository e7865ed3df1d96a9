use hatch_domain::MailKind::{AutoReply, Bounce, List, Person};
use hatch_domain::address::Address;

use super::*;

fn read(headers: &str, facts: &Facts<'_>) -> (MailKind, Vec<String>) {
    let found = kind_of(&Signs::read(headers.as_bytes()), facts);
    (found.kind, found.signs)
}

const ANN: Facts<'static> = Facts {
    from: "ann@example.org",
    from_name: Some("Ann Lee"),
    to: &[],
    subject: Some("Your order"),
    without_sender: false,
    text: Some("Thanks, see you."),
    html: None,
    files: &[],
    in_reply_to: None,
    references: &[],
};

#[test]
fn headers_alone_say_what_kind_a_mail_is() {
    let report = "Content-Type: multipart/report; report-type=";
    for (headers, kind, signs) in [
        ("", Person, &[][..]),
        ("Auto-Submitted: auto-replied", AutoReply, &["auto-submitted"]),
        ("Auto-Submitted: auto-generated", AutoReply, &["auto-submitted"]),
        ("auto-submitted: Auto-Notified; owner-email=x", AutoReply, &["auto-submitted"]),
        ("AUTO-SUBMITTED:\r\n auto-replied (vacation)", AutoReply, &["auto-submitted"]),
        ("Auto-Submitted: no", Person, &[]),
        ("Auto-Submitted: No; a=b", Person, &[]),
        ("Auto-Submitted:", Person, &[]),
        ("Auto-Submitted: no\r\nAuto-Submitted: auto-replied", Person, &[]),
        ("X-Autoreply: yes", AutoReply, &["x-autoreply"]),
        ("X-Autoreply: no", Person, &[]),
        ("X-Autorespond:", AutoReply, &["x-autorespond"]),
        ("X-Autoresponder: true", AutoReply, &["x-autoresponder"]),
        ("X-Auto-Reply-From: a@b.example", AutoReply, &["x-auto-reply-from"]),
        ("X-Mail-Autoreply: 1", AutoReply, &["x-mail-autoreply"]),
        ("X-FC-MachineGenerated: true", AutoReply, &["x-fc-machinegenerated"]),
        ("Delivered-To: Autoresponder", AutoReply, &["delivered-to"]),
        ("Delivered-To: ann@example.org", Person, &[]),
        ("Preference: auto_reply", AutoReply, &["preference"]),
        ("Precedence: auto_reply", AutoReply, &["precedence"]),
        ("Precedence: junk", AutoReply, &["precedence"]),
        ("X-Precedence: auto_reply", AutoReply, &["x-precedence"]),
        ("Precedence: bulk", List, &["precedence"]),
        ("Precedence: list", List, &["precedence"]),
        ("X-Precedence: LIST", List, &["x-precedence"]),
        ("Precedence: first-class", Person, &[]),
        ("X-Loop: support@example.org", AutoReply, &["x-loop"]),
        ("X-Loop: list@example.org\r\nList-Id: <list.example.org>", List, &["list-id"]),
        ("Precedence: junk\r\nList-Id: <l.example.org>", List, &["list-id"]),
        ("List-Id: Friends <friends.example.org>", List, &["list-id"]),
        ("List-Id:", Person, &[]),
        ("List-Unsubscribe: <https://example.org/u>", List, &["list-unsubscribe"]),
        ("List-Post: <mailto:l@example.org>", List, &["list-post"]),
        ("Mailing-List: contact l-help@example.org", List, &["mailing-list"]),
        ("X-BeenThere: l@example.org", List, &["x-beenthere"]),
        (
            "List-Id: <l.example.org>\r\nAuto-Submitted: auto-generated",
            AutoReply,
            &["auto-submitted"],
        ),
        ("X-Auto-Response-Suppress: All", Person, &[]),
        ("X-MS-Exchange-Inbox-Rules-Loop: a@b.example", Person, &[]),
        (
            "X-MS-Exchange-Inbox-Rules-Loop: a@b.example\r\nX-Auto-Response-Suppress: All",
            AutoReply,
            &["x-ms-exchange-inbox-rules-loop", "x-auto-response-suppress"],
        ),
        ("Feedback-ID: 1:ses", Person, &[]),
        ("Return-Path: <>", AutoReply, &["return-path"]),
        ("Return-Path: <ann@example.org>", Person, &[]),
        (&format!("{report}delivery-status; boundary=b"), Bounce, &["delivery-status"]),
        (&format!("{report}\"Delivery-Status\""), Bounce, &["delivery-status"]),
        (&format!("{report}disposition-notification"), AutoReply, &["disposition-notification"]),
        (&format!("{report}feedback-report; boundary=b"), AutoReply, &["feedback-report"]),
        (&format!("{report}other"), AutoReply, &["multipart/report"]),
        (
            "Content-Type: multipart/report\r\nReturn-Path: <>",
            Bounce,
            &["multipart/report", "return-path"],
        ),
        ("X-Failed-Recipients: bob@example.org", Bounce, &["x-failed-recipients"]),
        ("X-MS-Exchange-Message-Is-Ndr:", Bounce, &["x-ms-exchange-message-is-ndr"]),
        ("User-Agent: a\r\nX-Mailer: b\r\nMessage-ID: <1@x>\r\nbroken", Person, &[]),
    ] {
        let signs: Vec<String> = signs.iter().map(|&sign| sign.to_owned()).collect();
        assert_eq!(read(headers, &ANN), (kind, signs), "{headers}");
    }
}

#[test]
fn sender_envelope_and_subject_are_weighed_with_the_headers() {
    let from = |from| Facts { from, from_name: None, ..ANN };
    let subject = |subject| Facts { subject: Some(subject), ..ANN };
    let empty = |facts| Facts { without_sender: true, ..facts };
    for (headers, facts, kind, signs) in [
        ("", empty(from("MAILER-DAEMON")), Bounce, &["envelope", "from"][..]),
        ("", from("mailer-daemon@example.org"), Bounce, &["from"]),
        ("", empty(from("postmaster@example.org")), Bounce, &["envelope", "from"]),
        ("", from("postmaster@example.org"), Person, &[]),
        ("", empty(ANN), AutoReply, &["envelope"]),
        ("Return-Path: <>", empty(ANN), AutoReply, &["return-path"]),
        (
            "",
            Facts { from_name: Some("Mail Delivery System"), ..empty(ANN) },
            Bounce,
            &["envelope", "from"],
        ),
        ("", from("no-reply@example.org"), Person, &[]),
        (
            "X-Auto-Response-Suppress: All",
            from("noreply@example.org"),
            AutoReply,
            &["x-auto-response-suppress", "from"],
        ),
        ("", subject("Automatic reply: Your order"), AutoReply, &["subject"]),
        (
            "Auto-Submitted: auto-replied",
            subject("Abwesenheitsnotiz"),
            AutoReply,
            &["auto-submitted", "subject"],
        ),
        ("", subject("Out of office next week, who covers?"), Person, &[]),
        (
            "X-Auto-Response-Suppress: OOF",
            subject("Out of office until Monday"),
            AutoReply,
            &["x-auto-response-suppress", "subject"],
        ),
        (
            "Precedence: bulk",
            subject("Away from my mail until Monday"),
            AutoReply,
            &["precedence", "subject"],
        ),
        ("", subject("Undeliverable: my parcel"), Person, &[]),
        ("", empty(subject("Unzustellbar: Bestellung")), Bounce, &["envelope", "subject"]),
        (
            "Return-Path: <>",
            subject("Réponse automatique : Commande"),
            AutoReply,
            &["return-path", "subject"],
        ),
        (
            "",
            empty(Facts { subject: Some("Automatic reply: x"), ..from("postmaster@example.org") }),
            AutoReply,
            &["envelope", "subject"],
        ),
        ("List-Id: <l.example.org>", empty(ANN), List, &["list-id"]),
    ] {
        let signs: Vec<String> = signs.iter().map(|&sign| sign.to_owned()).collect();
        assert_eq!(read(headers, &facts), (kind, signs), "{headers} {facts:?}");
    }
}

#[test]
fn a_person_who_writes_about_a_bounce_is_no_bounce() {
    let text = "I got this:\n\n<bob@example.net>: host mx said: 550 5.1.1 User unknown\n\
                A message that you sent could not be delivered.";
    assert_eq!(read("", &Facts { text: Some(text), ..ANN }), (Person, Vec::new()));
    let without_sender = Facts { text: Some(text), without_sender: true, ..ANN };
    let signs = ["envelope", "text"].map(str::to_owned).to_vec();
    assert_eq!(read("", &without_sender), (Bounce, signs));
}

#[test]
fn a_mail_of_many_headers_is_read_once() {
    let mut block = "X-Other: value\r\n".repeat(100_000);
    block.push_str("Auto-Submitted: auto-replied\r\n");
    let to = [Mailbox::from(Address::email("us@example.com").expect("a mailbox"))];
    let facts = Facts { to: &to, ..ANN };
    assert_eq!(read(&block, &facts).0, AutoReply);
    let beyond = format!("{}Auto-Submitted: auto-replied\r\n", "X-Other: v\r\n".repeat(500_000));
    assert_eq!(read(&beyond, &facts).0, Person, "as far as headers are read");
}
