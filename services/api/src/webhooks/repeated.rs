//! Mails that carry the Message-ID of another mail and say something else: each is a message of its own.

use hatch_domain::ids::MessageId;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::MessageReceived;
use hatch_domain::message::{Message, inbound_message_id};
use hatch_mail::html_to_text;
use uuid::{Uuid, uuid};

/// Namespace of what sets such mails apart: a UUIDv5 in it, of what they say. It never changes.
const CONTENTS: Uuid = uuid!("5d0f2f0e-6a1b-4c57-9a7e-2f8c1b6e4d93");

/// The message that `command` records if the one that is `known` by its Message-ID says something else. None where it
/// is the same mail again, however it was carried.
pub(super) fn other_mail(
    known: &Message,
    command: &MessageCommand,
) -> Option<(MessageId, MessageCommand)> {
    let (MessageCommand::Receive(received), Some(known)) = (command, known.received()) else {
        return None;
    };
    let has_id = |received: &MessageReceived| {
        let mail_id = received.email.as_ref().and_then(|email| email.mail_id.as_ref());
        mail_id == Some(&received.provider_message_id)
    };
    // The same request may have been read by another build.
    let request = |received: &MessageReceived| received.email.as_ref()?.raw.clone();
    let is_same_request = request(received).is_some() && request(received) == request(known);
    if !has_id(received) || is_same_request || content(received) == content(known) {
        return None;
    }
    let id = other_id(received);
    let mut received = received.clone();
    if let Some(email) = &mut received.email {
        email.repeated_id = true;
    }
    Some((id, MessageCommand::Receive(received)))
}

/// The id that a mail has where another one is known by its Message-ID and says something else.
pub(super) fn other_id(received: &MessageReceived) -> MessageId {
    let MessageReceived { provider, account, channel, provider_message_id, .. } = received;
    let name = format!("{provider_message_id}\n{}", content(received));
    inbound_message_id(provider, account, *channel, &name)
}

/// What a mail says: who wrote it, its subject, and the words of its texts. Whom it was brought to, and what was done
/// to it on the way, is no part of that.
fn content(received: &MessageReceived) -> Uuid {
    let email = received.email.as_ref();
    let subject = email.and_then(|email| email.subject.as_deref()).unwrap_or_default();
    let html = email.and_then(|email| email.html.as_deref()).unwrap_or_default();
    let mut content = received.from.identity().as_str().to_lowercase();
    // What is shown of it: links are rewritten on the way.
    let html = html_to_text(html);
    for text in [subject, received.body.as_deref().unwrap_or_default(), &html] {
        content.push('\n');
        for word in text.split_whitespace() {
            content.push_str(word);
            content.push(' ');
        }
    }
    Uuid::new_v5(&CONTENTS, content.as_bytes())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use hatch_domain::address::Address;
    use hatch_domain::ids::ConversationId;
    use hatch_domain::{Channel, Decider, Email};

    use super::*;

    fn received(mail_id: &str, subject: &str, body: &str, html: &str) -> MessageReceived {
        let address = |text| Address::email(text).expect("an address");
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        MessageReceived {
            conversation_id: ConversationId(Uuid::nil()),
            channel: Channel::Email,
            provider: "sendgrid".to_owned(),
            account: "a".to_owned(),
            provider_message_id: mail_id.to_owned(),
            from: address("ann@example.com"),
            to: vec![address("help@example.com")],
            body: some(body),
            attachments: Vec::new(),
            email: Some(Box::new(Email {
                subject: some(subject),
                html: some(html),
                mail_id: some(mail_id),
                ..Email::default()
            })),
            topic: None,
            segments: None,
            suggests: None,
            test: false,
            at: DateTime::UNIX_EPOCH,
        }
    }

    fn known(received: MessageReceived) -> Message {
        let events = Message::default().decide(&MessageCommand::Receive(received));
        events.expect("new").iter().fold(Message::default(), Message::evolve)
    }

    #[test]
    fn only_other_content_makes_another_message_of_a_known_id() {
        let first = known(received("1@x", "Hi", "Hello", "<p>Hello</p>"));
        let other =
            |received: MessageReceived| other_mail(&first, &MessageCommand::Receive(received));
        let mut carried = received("1@x", "Hi", "Hello\r\n", "<p class=\"x\">Hello </p>");
        carried.to = vec![Address::email("sales@example.com").expect("an address")];
        carried.email.as_mut().expect("a mail").references = vec!["0@x".to_owned()];
        assert!(other(carried).is_none());
        let mut ids = Vec::new();
        for (subject, body, html) in [
            ("Hi", "Goodbye", "<p>Hello</p>"),
            ("Ho", "Hello", "<p>Hello</p>"),
            ("Hi", "Hello", "<p>Goodbye</p>"),
            ("Hi", "", ""),
        ] {
            let (id, command) = other(received("1@x", subject, body, html)).expect("another");
            let MessageCommand::Receive(received) = command else { unreachable!("it comes in") };
            assert!(received.email.is_some_and(|email| email.repeated_id), "{body}");
            ids.push(id);
        }
        let first_of = ids[0];
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4, "each has an id of its own");
        let again = other(received("1@x", "Hi", "Goodbye", "<p>Hello</p>")).expect("another");
        assert_eq!(again.0, first_of, "and always the same");
    }

    #[test]
    fn a_request_that_another_build_reads_otherwise_is_the_same_mail() {
        let of_request = |body: &str, raw: &str| {
            let mut received = received("1@x", "Hi", body, "");
            received.email.as_mut().expect("a mail").raw = Some(raw.to_owned());
            received
        };
        let first = known(of_request("Gr\u{fffd}\u{fffd}e", "ab"));
        let other =
            |raw| other_mail(&first, &MessageCommand::Receive(of_request("Gr\u{fc}\u{df}e", raw)));
        assert!(other("ab").is_none());
        assert!(other("cd").is_some());
    }

    #[test]
    fn what_has_no_message_id_is_known_by_its_name_alone() {
        let mut nameless = received("1", "Hi", "Hello", "");
        nameless.email.as_mut().expect("a mail").mail_id = None;
        let first = known(nameless.clone());
        nameless.body = Some("Goodbye".to_owned());
        assert!(other_mail(&first, &MessageCommand::Receive(nameless)).is_none());
    }
}
