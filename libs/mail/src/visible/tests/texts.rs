//! Texts of mails: answers above, below and between quoted lines, signatures, footers.

use super::super::PieceKind::{Quoted, Signature};
use super::super::{Reading, Written};
use super::{check, folded, visible};

#[test]
fn what_is_not_an_answer_is_visible_whole() {
    check(&[
        ("Hello,\n\nwhere is my order?\n\nAnn", "Hello,\n\nwhere is my order?\n\nAnn"),
        ("Hello", "Hello"),
        ("  \n\n Hello\r\n", "Hello"),
        ("", ""),
        ("> All of it\n> is quoted.", "> All of it\n> is quoted."),
        (
            "On 5 Jan 2026 at 10:15, Bob wrote:\nAll of it.",
            "On 5 Jan 2026 at 10:15, Bob wrote:\nAll of it.",
        ),
        ("Sent from my iPhone", "Sent from my iPhone"),
        ("-- \nAnn", "-- \nAnn"),
        (
            "##- Please type your reply above this line -##\n\nYour ticket is open.",
            "Your ticket is open.",
        ),
        ("Hello\n>From here on it is ours.\nBye", "Hello\n>From here on it is ours.\nBye"),
    ]);
}

#[test]
fn answers_between_quoted_lines_stay_with_what_they_answer() {
    check(&[
        (
            "On 5 Jan 2026 at 10:15, Bob wrote:\n> Red?\nNo.\n> Blue?\nYes.\n> Bob\n> PS: hurry\n",
            "On 5 Jan 2026 at 10:15, Bob wrote:\n> Red?\nNo.\n> Blue?\nYes.",
        ),
        ("Hello Bob,\n> Red?\nNo.\n", "Hello Bob,\n> Red?\nNo."),
        (
            "See below.\n\n> Red?\n\nNo.\n\n> Blue?\n\nYes.\n\n-- \nAnn",
            "See below.\n\n> Red?\n\nNo.\n\n> Blue?\n\nYes.",
        ),
        ("> Red?\n> Or blue?\n\nBlue.\n", "Blue."),
    ]);
}

#[test]
fn a_signature_is_folded() {
    check(&[
        ("Yes.\n\n-- \nAnn Example\nExample Company\n", "Yes."),
        ("Yes.\n--\nAnn Example\n", "Yes."),
        ("Yes.\n-- \nAnn Example\n\nOn 5 Jan 2026 at 10:15, Bob wrote:\n> Well?\n", "Yes."),
        (
            "Yes.\n\nSent from my iPhone\n\n> On 5 Jan 2026, at 10:15, Bob <bob@example.com> wrote:\n> \n> Well?\n",
            "Yes.",
        ),
        ("Yes.\n\n> Well?\n\nSent from my iPhone\n", "Yes."),
        (
            "Yes.\n\nGet Outlook for iOS<https://aka.ms/o0ukef>\n________________________________\nFrom: Bob <bob@example.com>\nSent: Monday\nTo: Ann\nSubject: Order\n\nWell?",
            "Yes.",
        ),
        ("Yes.\n\nGet Outlook for Android\n<https://aka.ms/AAb9ysg>\n", "Yes."),
        (
            "Yes.\n\nSent from Yahoo Mail on Android\n<https://example.com/app>\n\nOn Mon, 5 Jan 2026 at 10:15, Bob <bob@example.com> wrote:\n\n> Well?",
            "Yes.",
        ),
    ]);
    for device in [
        "Sent from my iPhone",
        "Sent from Mail for Windows",
        "Sent from my Samsung Galaxy smartphone.",
        "Sent with Proton Mail secure email.",
        "Von meinem iPhone gesendet",
        "Gesendet mit der GMX Mail App",
        "Diese Nachricht wurde von meinem Android-Mobiltelefon mit WEB.DE Mail gesendet.",
        "Envoyé de mon iPhone",
        "Enviado desde mi iPhone",
        "Inviato da iPhone",
        "Enviado do meu iPhone",
        "Verstuurd vanaf mijn iPhone",
        "Skickat från min iPhone",
        "Sendt fra min iPhone",
        "Wysłane z iPhone'a",
        "Отправлено с iPhone",
        "iPhoneから送信",
        "发自我的iPhone",
        "나의 iPhone에서 보냄",
        "أُرسلت من الـ iPhone",
        "נשלח מה-iPhone שלי",
        "Lähetetty iPhonesta",
        "iPhone'umdan gönderildi",
    ] {
        assert_eq!(visible(&format!("Yes.\n\n{device}\n")), "Yes.", "{device}");
        assert_eq!(
            visible(&format!("{device}\nis what it says.\n")),
            format!("{device}\nis what it says.")
        );
    }
}

#[test]
fn a_sentence_about_a_telephone_is_no_signature() {
    for text in
        ["Hello.\nI got the samsung that was sent by you.", "Hello.\nWas it sent from an iPhone?"]
    {
        assert_eq!(visible(text), text);
    }
}

#[test]
fn dashes_between_paragraphs_are_no_signature() {
    let long: String = (0..40).map(|n| format!("Line {n}\n")).collect();
    let text = format!("First.\n--\n{long}");
    assert_eq!(visible(&text), text.trim());
}

#[test]
fn the_footer_of_a_list_is_folded_and_makes_no_answer_of_it() {
    let footer = "_______________________________________________\nTalk mailing list\nTalk@lists.example.com\nhttps://lists.example.com/talk";
    check(&[
        (
            format!("Yes.\n\nOn 5 Jan 2026 at 10:15, Bob wrote:\n> Well?\n{footer}\n").as_str(),
            "Yes.",
        ),
        (format!("Yes.\n{footer}\n").as_str(), "Yes."),
        (
            "Yes.\n\n> Well?\n\n-- \nYou received this because you are subscribed.\nTo leave, write to talk@example.com.\n",
            "Yes.",
        ),
    ]);
}

#[test]
fn what_is_folded_says_what_it_is() {
    let text = "Yes.\n\n-- \nAnn\n\nOn 5 Jan 2026 at 10:15, Bob wrote:\n> Well?\n";
    let expected = [
        (Signature, "-- \nAnn".to_owned()),
        (Quoted, "On 5 Jan 2026 at 10:15, Bob wrote:\n> Well?".to_owned()),
    ];
    assert_eq!(folded(text), expected);
    assert!(folded("Yes.").is_empty());
}

#[test]
fn a_text_for_programs_without_html_makes_room_for_the_html() {
    let html = Some("<p>Where is my order?</p>");
    for text in [
        None,
        Some(""),
        Some(" \r\n"),
        Some("This message requires an HTML viewer."),
        Some("Your mail program does not support HTML mails."),
    ] {
        let reading = Reading::of(&Written { subject: None, text, html });
        assert_eq!(reading.visible().as_deref(), Some("Where is my order?"), "{text:?}");
    }
    let own = Reading::of(&Written { subject: None, text: Some("Ours"), html });
    assert_eq!(own.visible().as_deref(), Some("Ours"));
    let empty = Reading::of(&Written {
        subject: None,
        text: Some("This message requires an HTML viewer."),
        html: Some("<img src=a>"),
    });
    assert_eq!(empty.visible().as_deref(), Some("This message requires an HTML viewer."));
}
