//! Mails of our own making, as mail programs write them.

mod hostile;
mod openings;
mod pages;
mod texts;

use super::{PieceKind, Reading, Written};

/// The visible part of a text.
fn visible(text: &str) -> String {
    titled("Order 4711", text)
}

/// The same with a subject.
fn titled(subject: &str, text: &str) -> String {
    let reading = Reading::of(&Written { subject: Some(subject), text: Some(text), html: None });
    assert_eq!(
        reading.pieces().map(|(_, piece)| piece).collect::<String>(),
        text,
        "nothing is lost"
    );
    reading.visible().unwrap_or_default()
}

/// The visible part of a mail that is HTML only.
fn visible_page(html: &str) -> String {
    Reading::of(&Written { html: Some(html), ..Written::default() }).visible().unwrap_or_default()
}

/// What is folded of a text, and as what.
fn folded(text: &str) -> Vec<(PieceKind, String)> {
    let reading = Reading::of(&Written { text: Some(text), ..Written::default() });
    reading.folded().map(|(kind, piece)| (kind, piece.trim().to_owned())).collect()
}

/// That each text has this visible part.
#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(visible(text), *expected, "of {text:?}");
    }
}
