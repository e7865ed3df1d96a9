//! Which conversation a mail joins. Pure: what it refers to, the best first; the first that is known
//! decides, and none leaves it to the participants.

use hatch_domain::Email;
use hatch_domain::ids::{ConversationId, MessageId};

/// References that are looked at: those of the latest mails.
const REFERENCES_MAX: usize = 20;

/// A mail that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference<'a> {
    /// One of ours, by the name that we gave it. That it looks like one proves nothing: the message
    /// says whether it is there and which conversation it belongs to.
    Ours {
        /// The message.
        message_id: MessageId,
        /// The conversation that the name tells.
        conversation_id: ConversationId,
        /// The whole name: another installation's have the same form.
        name: &'a str,
    },
    /// One of somebody else's, by its Message-ID without angle brackets.
    Theirs(&'a str),
}

/// What `email` refers to, the best first: our own mails before those of others, and among each the
/// one that it answers, then the latest of its thread.
pub(super) fn references(email: &Email) -> Vec<Reference<'_>> {
    let answered = email.in_reply_to.iter();
    let thread = email.references.iter().rev().take(REFERENCES_MAX);
    let mut found: Vec<Reference<'_>> = Vec::new();
    for name in answered.chain(thread) {
        let name = name.trim().trim_start_matches('<').trim_end_matches('>');
        let reference = ours(name).unwrap_or(Reference::Theirs(name));
        if !name.is_empty() && !found.contains(&reference) {
            found.push(reference);
        }
    }
    // Stable: the order within each is kept.
    found.sort_by_key(|reference| matches!(reference, Reference::Theirs(_)));
    found
}

/// Our names have the form `<message id>.<conversation id>@<host>`.
fn ours(name: &str) -> Option<Reference<'_>> {
    let (local, _host) = name.split_once('@')?;
    let (message_id, conversation_id) = local.split_once('.')?;
    Some(Reference::Ours {
        message_id: message_id.parse().ok()?,
        conversation_id: conversation_id.parse().ok()?,
        name,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn ours(n: u128) -> (&'static str, Reference<'static>) {
        let message_id = MessageId(Uuid::from_u128(n));
        let conversation_id = ConversationId(Uuid::from_u128(100 + n));
        let name = format!("{message_id}.{conversation_id}@mail.example.com").leak();
        (name, Reference::Ours { message_id, conversation_id, name })
    }

    fn mail(in_reply_to: Option<&str>, thread: &[&str]) -> Email {
        Email {
            in_reply_to: in_reply_to.map(str::to_owned),
            references: thread.iter().map(|&name| name.to_owned()).collect(),
            ..Email::default()
        }
    }

    #[test]
    fn our_own_mail_goes_before_any_other_wherever_it_is_named() {
        let (name, reference) = ours(1);
        let email = mail(Some("a@x.com"), &[name, "b@x.com", "a@x.com"]);
        let expected = [reference, Reference::Theirs("a@x.com"), Reference::Theirs("b@x.com")];
        assert_eq!(references(&email), expected);
    }

    #[test]
    fn the_mail_that_is_answered_goes_first_and_then_the_latest() {
        let ((first, one), (second, two), (third, three)) = (ours(1), ours(2), ours(3));
        let email = mail(Some(first), &[first, second, third]);
        assert_eq!(references(&email), [one, three, two]);
    }

    #[test]
    fn angle_brackets_and_spaces_do_not_matter() {
        let (name, reference) = ours(1);
        let email = mail(Some(&format!(" <{name}> ")), &["<a@x.com>"]);
        assert_eq!(references(&email), [reference, Reference::Theirs("a@x.com")]);
    }

    #[test]
    fn what_only_resembles_our_names_is_somebody_elses() {
        let id = Uuid::from_u128(1);
        for name in
            [format!("{id}@x.com"), format!("{id}.{id}"), format!("{id}.x@x.com"), "x.y@z".into()]
        {
            assert_eq!(references(&mail(Some(&name), &[])), [Reference::Theirs(&name)], "{name}");
        }
    }

    #[test]
    fn a_long_thread_is_looked_at_from_its_end() {
        let names: Vec<String> = (0..1_000).map(|n| format!("{n}@x.com")).collect();
        let thread: Vec<&str> = names.iter().map(String::as_str).collect();
        let email = mail(None, &thread);
        let found = references(&email);
        assert_eq!(found.len(), REFERENCES_MAX);
        assert_eq!(found[0], Reference::Theirs("999@x.com"));
    }

    #[test]
    fn a_mail_that_refers_to_nothing_has_no_reference() {
        assert_eq!(references(&mail(None, &[])), []);
        assert_eq!(references(&mail(Some(" "), &["<>"])), []);
    }
}
