//! Mails of ours that come back: as they were sent, or as a bounce that tells of them.

use std::collections::HashSet;

use hatch_domain::address::Address;
use hatch_domain::ids::MessageId;
use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, ReceiptOutcome as Told, RecordReceipt};
use hatch_domain::message::event::MessageRequested;
use hatch_domain::message::mail_id::MailId;
use hatch_domain::{Bounce, BouncedRecipient, SendError};
use hatch_providers::{Inbound, class_of_status};
use uuid::Uuid;

use super::consent::Heard;
use super::joining::Place;
use super::meaning::{Command, Meaning};
use super::record::Recording;
use crate::problem::Problem;

/// Namespace of the ids of what bounces tell: a UUIDv4 drawn once for hatch.
const NAMESPACE: Uuid = Uuid::from_u128(0x8d1b_33f0_6a52_4c5e_a1f7_4e09_c2d6_7b18);

/// The code of a mail that came back without a status.
const BOUNCED: &str = "bounced";

/// A message of ours that a bounce tells of.
pub(super) struct Bounced {
    /// The conversation that the bounce joins.
    pub(super) place: Place,
    /// What the message hears of it.
    pub(super) told: Vec<Meaning>,
}

impl Recording<'_> {
    /// The message that came back as it was sent: it is known, and so is everything that it says. A mail that only
    /// carries its Message-ID is somebody else's.
    ///
    /// # Errors
    /// When the message cannot be read.
    pub(super) async fn own(&self, inbound: &Inbound) -> Result<Option<MessageId>, Problem> {
        let mail_id = inbound.email.as_ref().and_then(|email| email.mail_id.as_deref());
        let Some(mail_id) = mail_id else { return Ok(None) };
        let sent = self.sent(mail_id).await?;
        let is_sender = |message: &Message| {
            let from = message.requested().map(|request| &request.from);
            from.is_some_and(|from| from.identity() == inbound.from.identity())
        };
        Ok(sent.filter(|(_, message)| is_sender(message)).map(|(id, _)| id))
    }

    /// The message that a bounce tells of. One that is not from whom it says tells nothing: the Message-IDs of our
    /// mails, many know.
    ///
    /// # Errors
    /// When a message cannot be read.
    pub(super) async fn bounced(&self, inbound: &Inbound) -> Result<Option<Bounced>, Problem> {
        let Some(email) = inbound.email.as_ref().filter(|email| !email.is_disproven()) else {
            return Ok(None);
        };
        let Some(bounce) = &email.bounce else { return Ok(None) };
        // A mail server sends it without a sender that a bounce could go to (RFC 5321, section 4.5.5).
        if email.envelope.as_ref().is_some_and(|envelope| envelope.from.is_some()) {
            return Ok(None);
        }
        let Some(mail_id) = &bounce.mail_id else { return Ok(None) };
        let Some((id, message)) = self.sent(mail_id).await? else { return Ok(None) };
        let Some(request) = message.requested() else { return Ok(None) };
        let told = undelivered(bounce, &recipients(request))
            .into_iter()
            .filter_map(|(recipient, error)| self.told(inbound, id, &message, recipient, error));
        let (conversation_id, topic) = (request.conversation_id, request.topic.clone());
        Ok(Some(Bounced {
            place: Place { conversation_id, topic, homes: Vec::new() },
            told: told.collect(),
        }))
    }

    /// A message of ours by the name that we gave it, if it was really given that.
    async fn sent(&self, mail_id: &str) -> Result<Option<(MessageId, Message)>, Problem> {
        let Some((MailId { message_id, conversation_id }, _)) = MailId::parse_any(mail_id) else {
            return Ok(None);
        };
        let message = self.message(message_id).await?;
        let is_named = message.requested().is_some_and(|r| r.conversation_id == conversation_id);
        Ok(is_named.then_some((message_id, message)))
    }

    /// What a message hears of a recipient whom it did not reach; nothing as long as no attempt was made.
    fn told(
        &self,
        inbound: &Inbound,
        id: MessageId,
        message: &Message,
        recipient: Option<Address>,
        error: SendError,
    ) -> Option<Meaning> {
        let attempt = Some(message.attempt()).filter(|attempt| *attempt > 0)?;
        let known = message.provider_message_id(attempt);
        let name = [
            inbound.provider_message_id.as_str(),
            recipient.as_ref().map_or("", |recipient| recipient.as_str()),
        ];
        let receipt = RecordReceipt {
            attempt: Some(attempt),
            provider_message_id: known.unwrap_or(&inbound.provider_message_id).to_owned(),
            receipt_id: Uuid::new_v5(&NAMESPACE, format!("{id}\n{}", name.join("\n")).as_bytes()),
            recipient,
            // The mails of all attempts have one name, so it may be of an earlier one.
            outcome: if attempt == 1 { Told::Bounced(error) } else { Told::Undelivered(error) },
            at: self.now,
        };
        let command = Box::new(MessageCommand::RecordReceipt(receipt));
        let heard = Heard::default();
        Some(Meaning::Tells(Command::Message {
            id,
            command,
            heard,
            anyway: None,
            joins: Vec::new(),
        }))
    }
}

/// Everybody whom a message is to, each once.
fn recipients(request: &MessageRequested) -> Vec<&Address> {
    let copied = request.email.iter().flat_map(|email| email.cc.iter().chain(&email.bcc));
    let mut known = HashSet::new();
    let all = request.to.iter().chain(copied);
    all.filter(|one| known.insert(one.identity())).collect()
}

/// Whom of the recipients of a message it did not reach, and why: none stands for the only one. Where a bounce names
/// somebody else, the only recipient may have its mail forwarded.
fn undelivered(bounce: &Bounce, recipients: &[&Address]) -> Vec<(Option<Address>, SendError)> {
    let mut failed = bounce.recipients.iter().filter(|one| !one.delayed);
    if let [_] = recipients {
        if bounce.recipients.is_empty() {
            return vec![(None, error(None))];
        }
        return failed.next().map(|one| (None, error(Some(one)))).into_iter().collect();
    }
    let known = |one: &BouncedRecipient| {
        let identity = one.address.identity();
        let known = recipients.iter().find(|known| known.identity() == identity);
        known.map(|&known| known.clone())
    };
    failed.filter_map(|one| Some((Some(known(one)?), error(Some(one))))).collect()
}

/// Why a mail did not arrive, as the bounce says.
fn error(said: Option<&BouncedRecipient>) -> SendError {
    let status = said.and_then(|said| said.status.as_deref());
    let detail = said.and_then(|said| said.detail.clone());
    SendError {
        code: status.unwrap_or(BOUNCED).to_owned(),
        class: class_of_status(status),
        detail: detail.unwrap_or_else(|| "a mail server sent it back".to_owned()),
        permanent: status.is_none_or(|status| !status.starts_with('4')),
    }
}

#[cfg(test)]
mod tests {
    use hatch_domain::ErrorClass;

    use super::*;

    fn address(text: &str) -> Address {
        Address::email(text).expect("a mailbox")
    }

    fn bounce(recipients: &[(&str, Option<&str>, bool)]) -> Bounce {
        let one = |&(text, status, delayed): &(&str, Option<&str>, bool)| BouncedRecipient {
            address: address(text),
            status: status.map(str::to_owned),
            detail: None,
            delayed,
        };
        Bounce { mail_id: None, recipients: recipients.iter().map(one).collect() }
    }

    #[test]
    fn the_only_recipient_is_whom_a_bounce_means() {
        let ann = address("ann@example.com");
        for (recipients, code) in [
            (&[][..], Some("bounced")),
            (&[("ann@example.com", Some("5.1.1"), false)], Some("5.1.1")),
            (&[("forwarded@example.net", None, false)], Some("bounced")),
            (&[("ann@example.com", Some("4.4.1"), true)], None),
        ] {
            let told = undelivered(&bounce(recipients), &[&ann]);
            let codes: Vec<(bool, &str)> =
                told.iter().map(|(one, error)| (one.is_none(), error.code.as_str())).collect();
            assert_eq!(codes, code.map(|code| (true, code)).into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn of_several_recipients_only_those_are_meant_that_a_bounce_names() {
        let (ann, bob) = (address("Ann@example.com"), address("bob@example.com"));
        let said = bounce(&[
            ("ann@Example.com", Some("5.2.2"), false),
            ("bob@example.com", None, true),
            ("carl@example.com", None, false),
        ]);
        let told = undelivered(&said, &[&ann, &bob]);
        let [(Some(one), error)] = told.as_slice() else { panic!("one: {told:?}") };
        assert_eq!((one, error.class, error.permanent), (&ann, ErrorClass::Unreachable, true));
        assert_eq!(undelivered(&bounce(&[]), &[&ann, &bob]), []);
    }
}
