//! What hatch answers by itself: words such as STOP and HELP, and each of them only so often.

use std::collections::BTreeMap;

use hatch_domain::address::{Address, AddressKind};
use hatch_domain::consent::Programme;
use hatch_domain::consent::command::ConsentCommand;
use hatch_domain::consent::event::WordAnswered;
use hatch_domain::consent::words::{Confirmed, Meaning};
use hatch_domain::ids::{ConsentId, MessageId};
use hatch_domain::message::command::{MessageCommand, MessageRejection};
use hatch_domain::message::event::{MessageReceived, MessageRequested};
use hatch_domain::message::{Message, confirmation_id};
use hatch_domain::{Channel, MailKind, Priority, SendOptions};
use hatch_eventstore::{ExecuteError, UnitOfWork};

use super::consent::{Told, WordRules, decide};

/// A message that answers a word.
pub(super) struct Answer {
    pub(super) id: MessageId,
    /// The consent that says whether the word may have another answer.
    pub(super) brake: Told,
    word: Confirmed,
    pub(super) request: MessageCommand,
}

/// Where a word stands.
pub(super) struct Word {
    /// The message with it.
    pub(super) message_id: MessageId,
    /// The consent that it is about.
    pub(super) consent: ConsentId,
    pub(super) programme: Programme,
    pub(super) meaning: Meaning,
}

/// The message that answers a word, from the number that it was written to.
pub(super) fn answer(
    word: Word,
    received: &MessageReceived,
    rules: &WordRules,
) -> Option<Box<Answer>> {
    let Word { message_id, consent, programme, meaning } = word;
    let text = match meaning {
        Meaning::Stop => &rules.stop_text,
        Meaning::Start | Meaning::Resume => &rules.start_text,
        Meaning::Help => &rules.help_text,
    };
    let [ours] = received.to.as_slice() else { return None };
    if !may_be_answered(received, ours) {
        return None;
    }
    let (id, word) = (confirmation_id(message_id), meaning.confirmed());
    let request = MessageRequested {
        conversation_id: received.conversation_id,
        channel: Channel::Sms,
        from: ours.clone(),
        to: vec![received.from.clone()],
        body: Some(text.clone()?),
        attachments: Vec::new(),
        email: None,
        topic: received.topic.clone(),
        send_at: None,
        priority: Priority::High,
        programme: None,
        confirms: Some(word),
        metadata: BTreeMap::new(),
        test: received.test,
        options: SendOptions::default(),
        at: received.at,
    };
    let answered = WordAnswered {
        address: received.from.clone(),
        programme,
        confirms: word,
        message_id,
        answer_id: id,
        conversation_id: Some(received.conversation_id),
        at: received.at,
    };
    let brake = (consent, ConsentCommand::Answer(answered));
    let request = MessageCommand::Request(request.into());
    Some(Box::new(Answer { id, brake, word, request }))
}

/// Whether an answer goes to a person's phone: never to a sender whom nobody can answer, never to what a program wrote,
/// and never to ourselves.
fn may_be_answered(received: &MessageReceived, ours: &Address) -> bool {
    let is_phone = |address: &Address| address.kind() == AddressKind::Phone;
    let is_a_persons = received.email.as_ref().is_none_or(|mail| mail.kind == MailKind::Person);
    let is_own = received.from.identity() == ours.identity();
    is_phone(ours) && is_phone(&received.from) && is_a_persons && !is_own
}

impl Answer {
    /// Answers within the work. Says which word has no answer because it had its answers lately: of two that come at
    /// the same time one is recorded first, and the other one decides again.
    ///
    /// # Errors
    /// When a stream cannot be read.
    pub(super) async fn decide(
        &self,
        work: &mut UnitOfWork,
    ) -> Result<Option<Confirmed>, ExecuteError<MessageRejection>> {
        let (id, command) = &self.brake;
        if !decide(work, *id, command).await? {
            return Ok(Some(self.word));
        }
        match work.decide::<Message>(self.id.0, &self.request).await {
            Ok(_) | Err(ExecuteError::Rejected(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use hatch_domain::Email;
    use hatch_domain::consent::consent_id;
    use hatch_domain::conversation::conversation_id;
    use hatch_domain::ids::TenantId;
    use uuid::Uuid;

    use super::*;

    fn phone(text: &str) -> Address {
        Address::phone(text).expect("a possible number")
    }

    fn ours() -> Address {
        phone("+12016661234")
    }

    fn theirs() -> Address {
        phone("+18045551234")
    }

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("in range")
    }

    fn received() -> MessageReceived {
        MessageReceived {
            conversation_id: conversation_id(TenantId::DEFAULT, [&theirs(), &ours()], None),
            channel: Channel::Sms,
            provider: "generic".to_owned(),
            account: "generic".to_owned(),
            provider_message_id: "SM1".to_owned(),
            from: theirs(),
            to: vec![ours()],
            body: Some("HELP".to_owned()),
            attachments: Vec::new(),
            email: None,
            topic: None,
            segments: None,
            suggests: None,
            test: false,
            at: at(),
        }
    }

    fn answer_to(received: &MessageReceived) -> Option<Box<Answer>> {
        let programme = Programme::default_of(Channel::Sms).expect("it has one");
        let consent = consent_id(TenantId::DEFAULT, &received.from, &programme);
        let message_id = MessageId(Uuid::from_u128(7));
        let word = Word { message_id, consent, programme, meaning: Meaning::Help };
        let help_text = Some("call us".to_owned());
        answer(word, received, &WordRules { help_text, ..WordRules::default() })
    }

    #[test]
    fn what_no_person_wrote_from_a_phone_is_not_answered() {
        let is_answered = |received: &MessageReceived| answer_to(received).is_some();
        assert!(is_answered(&received()));
        let name = Address::name("EXAMPLE").expect("a name");
        assert!(!is_answered(&MessageReceived { from: name.clone(), ..received() }));
        assert!(!is_answered(&MessageReceived { to: vec![name], ..received() }));
        assert!(!is_answered(&MessageReceived { from: ours(), ..received() }), "we wrote it");
        for (kind, expected) in [
            (MailKind::Person, true),
            (MailKind::AutoReply, false),
            (MailKind::Bounce, false),
            (MailKind::List, false),
            (MailKind::Own, false),
        ] {
            let email = Some(Box::new(Email { kind, ..Email::default() }));
            assert_eq!(is_answered(&MessageReceived { email, ..received() }), expected, "{kind:?}");
        }
    }

    #[test]
    fn an_answer_is_recorded_with_the_consent_of_whom_it_goes_to() {
        let answer = answer_to(&received()).expect("an answer");
        let sms = Programme::default_of(Channel::Sms).expect("it has one");
        let (id, ConsentCommand::Answer(answered)) = &answer.brake else {
            panic!("{:?}", answer.brake)
        };
        assert_eq!(*id, consent_id(TenantId::DEFAULT, &theirs(), &sms));
        assert_eq!((&answered.address, &answered.programme), (&theirs(), &sms));
        assert_eq!((answered.confirms, answered.at), (Confirmed::Help, at()));
        assert_eq!((answered.message_id.0, answered.answer_id), (Uuid::from_u128(7), answer.id));
    }
}
