//! Input that is made to hang its reader, to crash it, or to lose text.

use proptest::prelude::*;

use super::super::{LOOKED_AT_BYTES_MAX, Reading, Written};
use super::visible_page;

/// Lines of mails, and what may confuse their reader.
const FRAGMENTS: [&str; 26] = [
    "\n",
    "\r\n",
    " ",
    "word",
    "> ",
    ">",
    "On ",
    "5 Jan 2026 at 10:15",
    "Bob <bob@example.com>",
    " wrote:",
    ":",
    "：",
    "From: ",
    "Sent: ",
    "To: ",
    "Subject: ",
    "-- \n",
    "--",
    "-----Original Message-----",
    "________________",
    "Sent from my iPhone",
    "\u{200f}",
    "写道：",
    "---------- Forwarded message ---------",
    "é",
    "schrieb ",
];

fn text() -> impl Strategy<Value = String> {
    let fragment =
        prop_oneof![prop::sample::select(&FRAGMENTS[..]).prop_map(str::to_owned), any::<String>()];
    prop::collection::vec(fragment, 0..60).prop_map(|fragments| fragments.concat())
}

fn html() -> impl Strategy<Value = String> {
    let tags = [
        "<div>",
        "</div>",
        "<blockquote>",
        "</blockquote>",
        "<p>",
        "<br>",
        "<div class=gmail_attr>",
        "<b",
        ">",
        "<!--",
        "-->",
        "<style>",
        "</style>",
        "<div id=appendonsend>",
        "&nbsp;",
        "&#",
        "<pre>",
        "<div style='display:none'>",
    ];
    let fragment = prop_oneof![
        prop::sample::select(tags.to_vec()).prop_map(str::to_owned),
        prop::sample::select(&FRAGMENTS[..]).prop_map(str::to_owned),
        any::<String>()
    ];
    prop::collection::vec(fragment, 0..60).prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn all_of_a_text_is_in_its_pieces_and_something_is_visible(text in text(), subject in any::<Option<String>>()) {
        let reading = Reading::of(&Written { subject: subject.as_deref(), text: Some(&text), html: None });
        let joined: String = reading.pieces().map(|(_, piece)| piece).collect();
        prop_assert_eq!(joined, text.as_str());
        prop_assert_eq!(reading.visible().is_none(), text.trim().is_empty());
    }

    #[test]
    fn no_html_crashes_its_reader(html in html()) {
        let _ = visible_page(&html);
    }
}

#[test]
fn what_repeats_a_million_times_is_read_at_once() {
    for part in [
        ">",
        "> \n",
        "On ",
        "On 5 Jan\n",
        "On 5 Jan 2026, Bob <b@example.com> wrote:\n",
        "Bob wrote:\n",
        "\n",
        "-- \n",
        "--\n",
        "From: a@b\n",
        "From: a\n\n\n",
        "-----Original\n",
        ">From \nx\n",
        "Sent from my iPhone\n",
        ":\n",
        "a wrote:\n\n\n\n",
        "@",
        "1.1",
        "##\n",
        "________________________________\n",
        "x\n> y\n",
    ] {
        let text = format!("Hello\n{}", part.repeat(1_000_000));
        let reading = Reading::of(&Written { subject: None, text: Some(&text), html: None });
        let length: usize = reading.pieces().map(|(_, piece)| piece.len()).sum();
        assert_eq!(length, text.len(), "{part:?}");
    }
}

#[test]
fn html_that_repeats_a_million_times_is_read_at_once() {
    for part in [
        "<blockquote>",
        "<div>",
        "<div><p>x",
        "<!--",
        "<style>",
        "<b a=",
        "<div class=gmail_attr>x<br>",
        "<a b c d e>",
        "<div id=appendonsend>x",
        "<div style='border-top:solid'>x",
    ] {
        let _ = visible_page(&part.repeat(1_000_000));
    }
}

#[test]
fn the_end_of_a_long_text_goes_with_what_is_right_before_it() {
    let answer = "Yes.\n\nOn 5 Jan 2026 at 10:15, Bob wrote:\n";
    let text = format!("{answer}{}the end", "> line\n".repeat(LOOKED_AT_BYTES_MAX / 7));
    let reading = Reading::of(&Written { subject: None, text: Some(&text), html: None });
    assert_eq!(reading.visible().as_deref(), Some("Yes."));
    assert!(reading.folded().any(|(_, piece)| piece.ends_with("the end")));
}

#[test]
fn elements_deeper_than_the_limit_keep_their_text() {
    let html = format!("{}deep{}after", "<div>".repeat(1_000), "</div>".repeat(1_000));
    assert_eq!(visible_page(&html), "deep\nafter");
}
