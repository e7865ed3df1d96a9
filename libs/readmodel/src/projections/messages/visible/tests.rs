//! What is visible of mails, as their rows keep it and the API shows it.

use hatch_domain::address::Address;
use hatch_domain::{Channel, Email};

use super::super::fold::fold_message;
use super::super::message::MessageContent;
use super::super::query::Message;
use super::Folded;
use crate::history::*;

const ANSWER: &str =
    "Blue, please.\n\n-- \nAnn\n\nOn 5 Jan 2026 at 10:15, Bob wrote:\n> Red or blue?\n";

/// A mail that came in, as its row keeps it and as it is shown by itself.
fn read_back(body: Option<&str>, html: Option<&str>) -> (MessageContent, Message) {
    let mail = |text: &str| Address::email(text).expect("an address");
    let mut event = received(TENANT, &mail("ann@example.com"), &mail("us@example.com"));
    event.channel = Channel::Email;
    event.body = body.map(str::to_owned);
    event.email = Some(Box::new(Email { html: html.map(str::to_owned), ..Email::default() }));
    let mut history = History::default();
    history.record(TENANT, 1, event);
    let (content, state) =
        fold_message(&history.events).expect("a lawful history").expect("a message");
    (content.clone(), Message::from((content, state)))
}

#[test]
fn the_row_of_a_mail_has_its_visible_part_where_that_is_not_all_of_it() {
    let (content, message) = read_back(Some(ANSWER), None);
    assert_eq!(content.visible_body.as_deref(), Some("Blue, please."));
    assert_eq!(message.visible_body.as_deref(), Some("Blue, please."));
    assert_eq!(message.body.as_deref(), Some(ANSWER), "nothing of it is deleted");
    let expected = [
        Folded { kind: "signature".to_owned(), text: "-- \nAnn".to_owned() },
        Folded {
            kind: "quoted".to_owned(),
            text: "On 5 Jan 2026 at 10:15, Bob wrote:\n> Red or blue?".to_owned(),
        },
    ];
    assert_eq!(message.folded.as_deref(), Some(&expected[..]));

    let (content, message) = read_back(Some("Blue, please.\n"), None);
    assert_eq!(content.visible_body, None);
    assert_eq!(message.visible_body.as_deref(), Some("Blue, please."));
    assert_eq!(message.folded.as_deref(), Some(&[][..]));
}

#[test]
fn a_mail_that_is_html_only_has_its_visible_part_as_text() {
    let html = "<p>Blue, please.</p><blockquote type=\"cite\">Red or blue?</blockquote>";
    let (content, message) = read_back(None, Some(html));
    assert_eq!(content.visible_body.as_deref(), Some("Blue, please."));
    assert_eq!((message.body, message.html.as_deref()), (None, Some(html)));
    let (content, message) = read_back(None, None);
    assert_eq!((content.visible_body, message.visible_body), (None, None));
}

#[test]
fn only_mails_that_came_in_are_looked_at() {
    let mut history = History::default();
    let mut sms = received(TENANT, &customer(1), &phone(OURS));
    sms.body = Some("> quoted\nYes".to_owned());
    history.record(TENANT, 1, sms);
    let (content, state) =
        fold_message(&history.events).expect("a lawful history").expect("a message");
    assert_eq!(content.visible_body, None);
    let message = Message::from((content, state));
    assert_eq!(message.visible_body.as_deref(), Some("> quoted\nYes"));
}
