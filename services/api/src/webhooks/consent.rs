//! What webhooks say of whether an address may be written to: words that people write, and providers that send
//! nothing to an address any more.

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::consent::command::{ConsentCommand, Reported, Said};
use hatch_domain::consent::event::Evidence;
use hatch_domain::consent::words::{self, Confirmed, Meaning as Word, Suggestion};
use hatch_domain::consent::{Blocker, Consent, Programme, Wish, consent_id};
use hatch_domain::ids::{ConsentId, MessageId, TenantId};
use hatch_domain::message::command::MessageRejection;
use hatch_domain::message::event::{MessageReceived, MessageRequested};
use hatch_eventstore::{ExecuteError, UnitOfWork};
use hatch_providers::Suppression;
use uuid::Uuid;

use super::answering::{self, Answer};

/// How long after a word somebody may still wait for its answer.
const ANSWERED_WITHIN: TimeDelta = TimeDelta::hours(1);

/// What is done about words that people write. Without a text nothing is answered.
#[derive(Debug, Clone, Default)]
pub struct WordRules {
    /// Answers a word by which a person withdraws.
    pub stop_text: Option<String>,
    /// Answers a word by which a person agrees, or takes a withdrawal back.
    pub start_text: Option<String>,
    /// Answers a call for help.
    pub help_text: Option<String>,
    /// Whether a text that only comes close to such a word withdraws as well.
    pub near_misses_withdraw: bool,
}

/// What a consent is told.
pub(super) type Told = (ConsentId, ConsentCommand);

/// What the text of a message that came in means beside itself.
#[derive(Default)]
pub(super) struct Heard {
    /// What consents are told.
    pub(super) told: Vec<Told>,
    /// Answers the word, if that changed something or had nothing to change, and the word had no answer lately.
    pub(super) answer: Option<Box<Answer>>,
    /// What the text seems to mean.
    pub(super) suggests: Option<Suggestion>,
}

/// Where and when a word is heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hearing<'a> {
    pub(super) tenant_id: TenantId,
    /// Whether the account that heard it carries nothing but tests.
    pub(super) is_test: bool,
    /// Whether the provider acts upon words by itself.
    pub(super) acts_on_words: bool,
    pub(super) rules: &'a WordRules,
    /// When it came, which may be long before it is read.
    pub(super) said_at: DateTime<Utc>,
}

/// What the text of a message that came in by phone says of its sender's consent. Where the provider acts upon such
/// words by itself, it answers them as well, and one that takes a withdrawal back also lifts the provider's own block.
pub(super) fn hear(
    message_id: MessageId,
    received: &MessageReceived,
    hearing: Hearing<'_>,
) -> Heard {
    let Hearing { tenant_id, acts_on_words, rules, said_at, .. } = hearing;
    if received.test {
        // No person wrote it, and what a test says must stop no message that is meant.
        return Heard::default();
    }
    let text = received.body.as_deref().filter(|_| is_by_phone(received.channel));
    let (Some(text), Some(programme)) = (text, Programme::default_of(received.channel)) else {
        return Heard::default();
    };
    let (suggests, read) = match words::read(text) {
        Some(read) => (None, Some(read)),
        None => match words::near(text) {
            Some((word, _)) if rules.near_misses_withdraw => (None, Some((word, Word::Stop))),
            near => (near.map(|(_, suggestion)| suggestion), None),
        },
    };
    let Some((word, meaning)) = read else { return Heard { suggests, ..Heard::default() } };
    let id = consent_id(tenant_id, &received.from, &programme);
    let said = Said {
        address: received.from.clone(),
        programme: programme.clone(),
        evidence: Evidence::Message { message_id, word: word.to_owned() },
        conversation_id: Some(received.conversation_id),
        at: said_at,
    };
    let lifts = matches!(meaning, Word::Start | Word::Resume) && acts_on_words;
    let lifted = lifts.then(|| lifted(&said, received, word));
    let wish = match meaning {
        Word::Stop => Some(said.wishes(Wish::OptedOut)),
        Word::Start => Some(said.wishes(Wish::OptedIn)),
        Word::Resume => Some(said.takes_back()),
        Word::Help => None,
    };
    let told = wish.into_iter().chain(lifted).map(|command| (id, command)).collect();
    // Nobody waits for an answer any more when a message is read long after it came, from the quarantine.
    let answer = match acts_on_words || received.at - said_at > ANSWERED_WITHIN {
        true => None,
        false => {
            let word = answering::Word { message_id, consent: id, programme, meaning };
            answering::answer(word, received, rules)
        }
    };
    Heard { told, answer, suggests: None }
}

const fn is_by_phone(channel: Channel) -> bool {
    matches!(channel, Channel::Sms | Channel::Mms)
}

/// The account that heard the word ends its block.
fn lifted(said: &Said, received: &MessageReceived, word: &str) -> ConsentCommand {
    let reported = Reported {
        address: said.address.clone(),
        programme: said.programme.clone(),
        blocker: Blocker::of(&received.provider, &received.account),
        reason: word.to_owned(),
        message_id: None,
        receipt_id: None,
        conversation_id: said.conversation_id,
        at: said.at,
    };
    reported.lifts()
}

impl Heard {
    /// Lets the consents decide within the work, and answers the word if one of them changed, or none was told: the
    /// answer commits with what it confirms, or neither does. Says which word has no answer because it had its
    /// answers lately.
    ///
    /// # Errors
    /// When a stream cannot be read.
    pub(super) async fn decide(
        &self,
        work: &mut UnitOfWork,
    ) -> Result<Option<Confirmed>, ExecuteError<MessageRejection>> {
        let mut changed = self.told.is_empty();
        for (id, command) in &self.told {
            changed |= decide(work, *id, command).await?;
        }
        let Some(answer) = self.answer.as_ref().filter(|_| changed) else { return Ok(None) };
        answer.decide(work).await
    }
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
    /// Whether that account carries nothing but tests.
    pub(super) is_test: bool,
    pub(super) at: DateTime<Utc>,
}

/// What a provider's word about the recipient of a message says of a consent; none where nobody knows whom it means,
/// of an address that no provider carries anything to, and of a test.
pub(super) fn of_suppression(
    suppression: Suppression,
    message: Option<&MessageRequested>,
    source: &Source<'_>,
) -> Option<Told> {
    if source.is_test || message.is_some_and(|request| request.test) {
        return None;
    }
    let address = suppression.address.or_else(|| only_recipient(message?).cloned())?;
    let programme = Programme::default_for(&address)?;
    let id = consent_id(source.tenant, &address, &programme);
    let Suppression { reason, lifted, .. } = suppression;
    let reported = Reported {
        address,
        programme,
        blocker: Blocker::of(source.provider, source.account),
        reason,
        message_id: source.message_id,
        receipt_id: Some(source.receipt_id),
        conversation_id: message.map(|request| request.conversation_id),
        at: source.at,
    };
    Some((id, if lifted { reported.lifts() } else { reported.blocks() }))
}

/// Who alone gets a message; none where there are several.
fn only_recipient(request: &MessageRequested) -> Option<&Address> {
    let email = request.email.as_ref();
    let copied = email.is_some_and(|mail| !mail.cc.is_empty() || !mail.bcc.is_empty());
    match request.to.as_slice() {
        [only] if !copied => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hatch_domain::conversation::conversation_id;
    use hatch_domain::message::command::MessageCommand;

    use super::*;

    const OURS: &str = "+12016661234";
    const THEIRS: &str = "+18045551234";

    fn phone(text: &str) -> Address {
        Address::phone(text).expect("a possible number")
    }

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("in range")
    }

    fn received(channel: Channel, body: &str) -> MessageReceived {
        let (from, to) = (phone(THEIRS), phone(OURS));
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
            suggests: None,
            test: false,
            at: at(),
        }
    }

    fn heard(channel: Channel, body: &str, acts_on_words: bool, rules: &WordRules) -> Heard {
        let tenant_id = TenantId::DEFAULT;
        let hearing = Hearing { tenant_id, is_test: false, acts_on_words, rules, said_at: at() };
        hear(MessageId(Uuid::from_u128(7)), &received(channel, body), hearing)
    }

    fn told(channel: Channel, body: &str, acts_on_words: bool) -> Vec<&'static str> {
        named(&heard(channel, body, acts_on_words, &WordRules::default()))
    }

    fn named(heard: &Heard) -> Vec<&'static str> {
        let told = heard.told.iter();
        told.map(|(_, command)| match command {
            ConsentCommand::Give(_) => "give",
            ConsentCommand::GiveBack(_) => "give back",
            ConsentCommand::Withdraw(_) => "withdraw",
            ConsentCommand::Block(_) => "block",
            ConsentCommand::Unblock(_) => "unblock",
            ConsentCommand::Answer(_) => "answer",
        })
        .collect()
    }

    fn texts() -> WordRules {
        WordRules {
            stop_text: Some("stopped".to_owned()),
            start_text: Some("started".to_owned()),
            help_text: Some("call us".to_owned()),
            near_misses_withdraw: false,
        }
    }

    fn answered(heard: &Heard) -> Option<&str> {
        match &heard.answer.as_ref()?.request {
            MessageCommand::Request(request) => {
                assert_eq!((&request.from, &request.to[0]), (&phone(OURS), &phone(THEIRS)));
                request.body.as_deref()
            }
            other => panic!("{other:?}"),
        }
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
    fn a_word_is_answered_by_its_text_and_only_where_the_provider_does_not() {
        for (body, text) in [
            ("STOP", Some("stopped")),
            ("Start", Some("started")),
            ("yes", Some("started")),
            ("help?", Some("call us")),
            ("Hello", None),
            ("stop please", None),
        ] {
            let heard = |acts| heard(Channel::Sms, body, acts, &texts());
            assert_eq!(answered(&heard(false)), text, "{body}");
            assert_eq!(answered(&heard(true)), None, "{body}");
        }
        let silent = heard(Channel::Sms, "STOP", false, &WordRules::default());
        assert_eq!(answered(&silent), None, "no text is set");
        assert_eq!(answered(&heard(Channel::Email, "STOP", false, &texts())), None);
    }

    #[test]
    fn a_word_of_a_test_changes_no_consent_and_has_no_answer() {
        let (tenant_id, rules) = (TenantId::DEFAULT, &texts());
        for body in ["STOP", "START", "HELP", "stop texting me"] {
            let received = MessageReceived { test: true, ..received(Channel::Sms, body) };
            let hearing =
                Hearing { tenant_id, is_test: true, acts_on_words: false, rules, said_at: at() };
            let heard = hear(MessageId(Uuid::from_u128(7)), &received, hearing);
            assert!(heard.told.is_empty() && heard.answer.is_none(), "{body}");
        }
    }

    #[test]
    fn a_text_that_comes_close_to_a_word_is_a_suggestion_or_withdraws_as_is_set() {
        let rules = texts();
        let near = heard(Channel::Sms, "stop texting me", false, &rules);
        assert_eq!((named(&near), near.suggests), (vec![], Some(Suggestion::OptedOut)));
        let rules = WordRules { near_misses_withdraw: true, ..rules };
        let near = heard(Channel::Sms, "stop texting me", false, &rules);
        assert_eq!((named(&near), near.suggests), (vec!["withdraw"], None));
        assert_eq!(answered(&near), Some("stopped"));
        assert_eq!(heard(Channel::Sms, "STOP", false, &rules).suggests, None);
    }

    #[test]
    fn a_providers_word_is_told_to_the_consent_of_the_address() {
        let source = Source {
            tenant: TenantId::DEFAULT,
            provider: "sendgrid",
            account: "sendgrid",
            message_id: None,
            receipt_id: Uuid::from_u128(1),
            is_test: false,
            at: at(),
        };
        let mailbox = Address::email("user@example.com").expect("a mailbox");
        let told = |lifted, address: &Address| {
            let (address, reason) = (Some(address.clone()), "x".to_owned());
            let suppression = Suppression { address, reason, lifted };
            of_suppression(suppression, None, &source).map(|(_, command)| command)
        };
        let suppression =
            Suppression { address: Some(mailbox.clone()), reason: "x".to_owned(), lifted: false };
        let test = MessageRequested { test: true, ..hatch_domain::testing::request(at()) };
        assert!(of_suppression(suppression.clone(), Some(&test), &source).is_none());
        let of_tests = Source { is_test: true, ..source };
        assert!(of_suppression(suppression, None, &of_tests).is_none());
        assert!(matches!(told(false, &mailbox), Some(ConsentCommand::Block(_))));
        assert!(matches!(told(true, &mailbox), Some(ConsentCommand::Unblock(_))));
        let name = Address::name("alice").expect("a name");
        assert!(told(false, &name).is_none());
    }
}
