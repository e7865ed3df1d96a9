//! What webhooks say of whether an address may be written to: words that people write, and providers that send
//! nothing to an address any more.

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::consent::command::ConsentCommand;
use hatch_domain::consent::event::{
    ConsentBlocked, ConsentGiven, ConsentUnblocked, ConsentWithdrawn, Evidence,
};
use hatch_domain::consent::words::{self, Meaning as Word};
use hatch_domain::consent::{Consent, Programme, consent_id};
use hatch_domain::ids::{ConsentId, ConversationId, MessageId, TenantId};
use hatch_domain::message::command::MessageRejection;
use hatch_domain::message::event::MessageReceived;
use hatch_eventstore::{ExecuteError, UnitOfWork};
use hatch_providers::Suppression;
use uuid::Uuid;

/// What a consent is told.
pub(super) type Told = (ConsentId, ConsentCommand);

/// What the text of a message that came in by phone says of its sender's consent. Where the provider acts upon
/// such words by itself, one that takes a withdrawal back also lifts the provider's own block.
pub(super) fn of_words(
    tenant: TenantId,
    message_id: MessageId,
    received: &MessageReceived,
    acts_on_words: bool,
) -> Vec<Told> {
    if !matches!(received.channel, Channel::Sms | Channel::Mms) {
        return Vec::new();
    }
    let Some((word, meaning)) = received.body.as_deref().and_then(words::read) else {
        return Vec::new();
    };
    let Some(programme) = Programme::default_of(received.channel) else { return Vec::new() };
    let address = received.from.clone();
    let id = consent_id(tenant, &address, &programme);
    let conversation_id = Some(received.conversation_id);
    let evidence = Evidence::Message { message_id, word: word.to_owned() };
    let at = received.at;
    let given = || ConsentGiven {
        address: address.clone(),
        programme: programme.clone(),
        evidence: evidence.clone(),
        conversation_id,
        at,
    };
    let commands = match meaning {
        Word::Stop => vec![ConsentCommand::Withdraw(ConsentWithdrawn {
            address,
            programme,
            evidence,
            conversation_id,
            at,
        })],
        Word::Help => Vec::new(),
        Word::Start | Word::Resume => {
            let wish = match meaning {
                Word::Start => ConsentCommand::Give(given()),
                _ => ConsentCommand::GiveBack(given()),
            };
            let lifted = acts_on_words.then(|| {
                ConsentCommand::Unblock(ConsentUnblocked {
                    address: address.clone(),
                    programme: programme.clone(),
                    provider: received.provider.clone(),
                    account: received.account.clone(),
                    reason: word.to_owned(),
                    receipt_id: None,
                    conversation_id,
                    at,
                })
            });
            std::iter::once(wish).chain(lifted).collect()
        }
    };
    commands.into_iter().map(|command| (id, command)).collect()
}

/// Lets a consent decide within the work; answers whether an event came of it. Where none came, the consent must still
/// be so when the work is appended: another word may come at the same time.
///
/// # Errors
/// When its stream cannot be read.
pub(super) async fn decide(
    work: &mut UnitOfWork,
    id: ConsentId,
    command: &ConsentCommand,
) -> Result<bool, ExecuteError<MessageRejection>> {
    match work.decide::<Consent>(id.0, command).await {
        Ok(events) => {
            work.rely_on(id.0);
            Ok(!events.is_empty())
        }
        Err(ExecuteError::Rejected(never)) => match never {},
        Err(ExecuteError::Append(error)) => Err(ExecuteError::Append(error)),
        Err(ExecuteError::Log(error)) => Err(ExecuteError::Log(error)),
        Err(ExecuteError::Decode(error)) => Err(ExecuteError::Decode(error)),
    }
}

/// Where it became known that a provider sends nothing to an address, or sends again.
pub(super) struct Source<'a> {
    pub(super) tenant: TenantId,
    pub(super) provider: &'a str,
    pub(super) account: &'a str,
    pub(super) message_id: Option<MessageId>,
    pub(super) receipt_id: Uuid,
    pub(super) conversation_id: Option<ConversationId>,
    pub(super) at: DateTime<Utc>,
}

/// What a provider's word about an address says of its consent; none of an address that it carries nothing to.
pub(super) fn of_suppression(
    suppression: Suppression,
    address: Address,
    source: &Source<'_>,
) -> Option<Told> {
    let programme = Programme::default_for(&address)?;
    let id = consent_id(source.tenant, &address, &programme);
    let Source { provider, account, message_id, receipt_id, conversation_id, at, .. } = *source;
    let receipt_id = Some(receipt_id);
    let (provider, account) = (provider.to_owned(), account.to_owned());
    let Suppression { reason, lifted, .. } = suppression;
    let command = if lifted {
        ConsentCommand::Unblock(ConsentUnblocked {
            address,
            programme,
            provider,
            account,
            reason,
            receipt_id,
            conversation_id,
            at,
        })
    } else {
        ConsentCommand::Block(ConsentBlocked {
            address,
            programme,
            provider,
            account,
            reason,
            message_id,
            receipt_id,
            conversation_id,
            at,
        })
    };
    Some((id, command))
}

#[cfg(test)]
mod tests {
    use hatch_domain::conversation::conversation_id;

    use super::*;

    fn phone(text: &str) -> Address {
        Address::phone(text).expect("a possible number")
    }

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("in range")
    }

    fn received(channel: Channel, body: &str) -> MessageReceived {
        let (from, to) = (phone("+18045551234"), phone("+12016661234"));
        MessageReceived {
            conversation_id: conversation_id(TenantId::DEFAULT, [&from, &to], None),
            channel,
            provider: "twilio".to_owned(),
            account: "AC1".to_owned(),
            provider_message_id: "SM1".to_owned(),
            from,
            to: vec![to],
            body: Some(body.to_owned()),
            attachments: Vec::new(),
            email: None,
            topic: None,
            segments: None,
            at: at(),
        }
    }

    fn told(channel: Channel, body: &str, acts_on_words: bool) -> Vec<&'static str> {
        let message_id = MessageId(Uuid::from_u128(7));
        let received = received(channel, body);
        of_words(TenantId::DEFAULT, message_id, &received, acts_on_words)
            .iter()
            .map(|(_, command)| match command {
                ConsentCommand::Give(_) => "give",
                ConsentCommand::GiveBack(_) => "give back",
                ConsentCommand::Withdraw(_) => "withdraw",
                ConsentCommand::Block(_) => "block",
                ConsentCommand::Unblock(_) => "unblock",
            })
            .collect()
    }

    #[test]
    fn a_word_by_phone_is_told_to_the_consent_of_its_sender() {
        assert_eq!(told(Channel::Sms, "STOP", true), ["withdraw"]);
        assert_eq!(told(Channel::Mms, "stop", false), ["withdraw"]);
        assert_eq!(told(Channel::Sms, "START", true), ["give", "unblock"]);
        assert_eq!(told(Channel::Sms, "START", false), ["give"], "no provider says so");
        assert_eq!(told(Channel::Sms, "yes", true), ["give back", "unblock"]);
        assert_eq!(told(Channel::Sms, "HELP", true), Vec::<&str>::new());
        assert_eq!(told(Channel::Sms, "please stop", true), Vec::<&str>::new());
        assert_eq!(told(Channel::Email, "STOP", true), Vec::<&str>::new());
    }

    #[test]
    fn a_providers_word_is_told_to_the_consent_of_the_address() {
        let source = Source {
            tenant: TenantId::DEFAULT,
            provider: "sendgrid",
            account: "sendgrid",
            message_id: None,
            receipt_id: Uuid::from_u128(1),
            conversation_id: None,
            at: at(),
        };
        let mailbox = Address::email("user@example.com").expect("a mailbox");
        let of = |lifted| Suppression { address: None, reason: "x".to_owned(), lifted };
        let told = |lifted, address: &Address| {
            of_suppression(of(lifted), address.clone(), &source).map(|(_, command)| command)
        };
        assert!(matches!(told(false, &mailbox), Some(ConsentCommand::Block(_))));
        assert!(matches!(told(true, &mailbox), Some(ConsentCommand::Unblock(_))));
        let name = Address::name("alice").expect("a name");
        assert!(told(false, &name).is_none());
    }
}
