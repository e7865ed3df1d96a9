//! What an observation means for the log. Pure: what has to be known beside it, the caller has looked up.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use hatch_domain::DecodeError;
use hatch_domain::consent::Consent;
use hatch_domain::consent::words::Confirmed;
use hatch_domain::conversation::conversation_id as conversation_id_of;
use hatch_domain::ids::{ConsentId, MessageId};
use hatch_domain::message::command::{
    JoinConversation, MessageCommand, MessageRejection, ReceiptOutcome as Told, RecordReceipt,
};
use hatch_domain::message::event::MessageReceived;
use hatch_domain::message::{Message, inbound_message_id};
use hatch_eventstore::{ExecuteError, Loaded, LogError, UnitOfWork};
use hatch_providers::{Inbound, Receipt, ReportedOutcome};
use hatch_readmodel::SentAs;
use uuid::Uuid;

use super::consent::{self, Hearing};
use super::joining::Place;
use super::matching::KeptReceipt;
use super::own::{Home, identities};
use super::repeated;

/// What an observation means for the log.
pub(super) enum Meaning {
    /// Nothing.
    Nothing,
    /// A stream hears of it.
    Tells(Command),
    /// A message will hear of it, once it is known which.
    Waits(KeptReceipt),
    /// It is a mail of ours that came back, and nothing new.
    Own(MessageId),
    /// Nobody can say, for this reason.
    Unclear(String),
}

/// What a stream is asked to record.
pub(super) enum Command {
    /// A message; once it has taken that for new, `heard` is what its text says. Consents hear of the rest anyway.
    Message {
        id: MessageId,
        command: Box<MessageCommand>,
        heard: consent::Heard,
        anyway: Option<consent::Told>,
        /// The conversations that it belongs to, beside the one where it begins.
        joins: Vec<JoinConversation>,
    },
    /// A consent, and no message.
    Consent(consent::Told),
}

/// What a stream decided on a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// There are events of it.
    Events,
    /// There are events of it, and the word in it gets no answer: it had its answers lately.
    Unanswered(Confirmed),
    /// It has happened already.
    Known,
    /// It does not take it, for this reason.
    Refused(String),
}

/// `meanings` in parts that are about so many streams at most, each of which is appended at once.
pub(super) fn chunks(meanings: &[Meaning], streams_max: usize) -> Vec<&[Meaning]> {
    let (mut chunks, mut from, mut streams) = (Vec::new(), 0, 0);
    for (n, meaning) in meanings.iter().enumerate() {
        let more = meaning.streams();
        if streams + more > streams_max && n > from {
            chunks.push(&meanings[from..n]);
            (from, streams) = (n, 0);
        }
        streams += more;
    }
    chunks.push(&meanings[from..]);
    chunks
}

impl Meaning {
    /// Whether a message comes in.
    pub(super) fn is_inbound(&self) -> bool {
        matches!(self, Self::Tells(Command::Message { command, .. }) if is_inbound(command))
    }

    /// How many streams it is about, or one for a row beside them.
    fn streams(&self) -> usize {
        match self {
            Self::Tells(command) => command.streams().count(),
            Self::Nothing | Self::Waits(_) | Self::Own(_) | Self::Unclear(_) => 1,
        }
    }

    /// The same, and what it means for a consent: one meaning, where one stream can hear of both.
    pub(super) fn with(self, told: Option<consent::Told>) -> (Self, Option<Self>) {
        let Some(told) = told else { return (self, None) };
        match self {
            Self::Nothing => (Self::Tells(Command::Consent(told)), None),
            Self::Tells(Command::Message { id, command, heard, joins, .. }) => {
                let anyway = Some(told);
                (Self::Tells(Command::Message { id, command, heard, anyway, joins }), None)
            }
            meaning => (meaning, Some(Self::Tells(Command::Consent(told)))),
        }
    }
}

impl Command {
    /// The streams that may decide.
    pub(super) fn streams(&self) -> impl Iterator<Item = Uuid> {
        let answer = match self {
            Self::Message { heard, .. } => heard.answer.as_ref().map(|answer| answer.id.0),
            Self::Consent(_) => None,
        };
        let message = self.message_id().map(|id| id.0);
        message.into_iter().chain(answer).chain(self.consents().map(|id| id.0))
    }

    /// The message that decides; none where something else does.
    pub(super) const fn message_id(&self) -> Option<MessageId> {
        match self {
            Self::Message { id, .. } => Some(*id),
            Self::Consent(_) => None,
        }
    }

    /// The consents that may decide.
    fn consents(&self) -> impl Iterator<Item = ConsentId> {
        let (one, then, brake) = match self {
            Self::Message { heard, anyway, .. } => {
                let brake = heard.answer.as_ref().map(|answer| &answer.brake);
                (anyway.as_ref(), heard.told.as_slice(), brake)
            }
            Self::Consent(told) => (Some(told), &[][..], None),
        };
        one.into_iter().chain(then).chain(brake).map(|(id, _)| *id)
    }

    /// The message that hears of a receipt; none for one that comes in.
    fn told(&self) -> Option<MessageId> {
        match self {
            Self::Message { id, command, .. } => (!is_inbound(command)).then_some(*id),
            Self::Consent(_) => None,
        }
    }

    /// Takes the stream of what comes in to be new: if it is not, the append says so.
    pub(super) fn assume(&self, work: &mut UnitOfWork) {
        match self {
            Self::Message { id, command, .. } if is_inbound(command) => {
                work.assume::<Message>(id.0, Loaded::default());
            }
            Self::Message { .. } | Self::Consent(_) => {}
        }
    }

    /// Lets the stream decide.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn decide(
        &self,
        work: &mut UnitOfWork,
    ) -> Result<Decision, ExecuteError<MessageRejection>> {
        match self {
            Self::Message { id, command, heard, anyway, joins } => {
                let (id, mut decided) = match work.decide::<Message>(id.0, command).await {
                    Ok(events) => (*id, Decision::of(Ok(events.len()))),
                    Err(ExecuteError::Rejected(MessageRejection::Exists)) => {
                        known(work, *id, command).await?
                    }
                    Err(ExecuteError::Rejected(rejection)) => (*id, Decision::of(Err(rejection))),
                    Err(error) => return Err(error),
                };
                // What a repeat says was said before, and may have been taken back since.
                if matches!(decided, Decision::Events)
                    && let Some(word) = heard.decide(work).await?
                {
                    decided = Decision::Unanswered(word);
                }
                if let Some((id, command)) = anyway {
                    consent::decide(work, *id, command).await?;
                }
                // A repeat may have been brought to another mailbox of ours.
                let joined = join(work, id, joins, decided == Decision::Known).await?;
                Ok(if joined && decided == Decision::Known { Decision::Events } else { decided })
            }
            Self::Consent((id, command)) => {
                let decided = consent::decide(work, *id, command).await?;
                Ok(if decided { Decision::Events } else { Decision::Known })
            }
        }
    }
}

impl Decision {
    pub(super) fn of(decided: Result<usize, MessageRejection>) -> Self {
        match decided {
            Ok(0) | Err(MessageRejection::Exists) => Self::Known,
            Ok(_) => Self::Events,
            Err(rejection) => Self::Refused(rejection.to_string()),
        }
    }
}

/// Decides on a message that comes in under the id of one that is known: it is the same again, or a mail that says
/// something else. And which of them it is.
async fn known(
    work: &mut UnitOfWork,
    id: MessageId,
    command: &MessageCommand,
) -> Result<(MessageId, Decision), ExecuteError<MessageRejection>> {
    let message = &work.load::<Message>(id.0).await?.state;
    let Some((id, command)) = repeated::other_mail(message, command) else {
        return Ok((id, Decision::Known));
    };
    match work.decide::<Message>(id.0, &command).await {
        Ok(events) => Ok((id, Decision::of(Ok(events.len())))),
        Err(ExecuteError::Rejected(rejection)) => Ok((id, Decision::of(Err(rejection)))),
        Err(error) => Err(error),
    }
}

/// Has a message belong to these conversations; whether that is new of one of them. The mailboxes of one that `is_known`
/// have it already, wherever a build or a setting of before put it.
async fn join(
    work: &mut UnitOfWork,
    id: MessageId,
    joins: &[JoinConversation],
    is_known: bool,
) -> Result<bool, ExecuteError<MessageRejection>> {
    let mut have_it = HashSet::new();
    if is_known && !joins.is_empty() {
        let received = work.load::<Message>(id.0).await?.state.received();
        let email = received.and_then(|received| received.email.as_ref());
        have_it = identities(email.iter().flat_map(|email| &email.ours));
    }
    let mut is_new = false;
    for join in joins.iter().filter(|join| !have_it.contains(&*join.mailbox.identity())) {
        let command = MessageCommand::Join(Box::new(join.clone()));
        is_new |= !work.decide::<Message>(id.0, &command).await?.is_empty();
    }
    Ok(is_new)
}

/// The messages that receipts among `meanings` are about, each once and in order.
pub(super) fn told(meanings: &[Meaning]) -> Vec<MessageId> {
    let mut ids: Vec<MessageId> = commands(meanings).filter_map(Command::told).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// What streams are asked to record.
pub(super) fn commands(meanings: &[Meaning]) -> impl Iterator<Item = &Command> {
    meanings.iter().filter_map(|meaning| match meaning {
        Meaning::Tells(command) => Some(command),
        Meaning::Nothing | Meaning::Waits(_) | Meaning::Own(_) | Meaning::Unclear(_) => None,
    })
}

/// Reads the streams that `meanings` are about, as far as they are not a part of the work yet. Says why of those
/// that this build cannot read: what a webhook says about them is kept, for a build that can.
///
/// # Errors
/// When the log cannot be read.
pub(super) async fn load(
    work: &mut UnitOfWork,
    meanings: &[Meaning],
) -> Result<HashMap<Uuid, String>, LogError> {
    let ids = commands(meanings).filter_map(Command::message_id).map(|id| id.0);
    let mut unreadable = work.load_all::<Message>(ids.collect::<Vec<_>>()).await?;
    let ids = commands(meanings).flat_map(Command::consents).map(|id| id.0);
    unreadable.extend(work.load_all::<Consent>(ids.collect::<Vec<_>>()).await?);
    Ok(unreadable.into_iter().map(|(id, error)| (id, why_unreadable(id, &error))).collect())
}

fn why_unreadable(id: Uuid, error: &DecodeError) -> String {
    tracing::error!(stream_id = %id, error = %error, "a stream cannot be read: its webhook is kept");
    format!("stream {id} cannot be read by this build: {error}; replay it by a newer one")
}

const fn is_inbound(command: &MessageCommand) -> bool {
    matches!(command, MessageCommand::Receive(_))
}

/// What a receipt says of a message; none when it says nothing that is kept.
pub(super) fn outcome(receipt: &Receipt) -> Option<Told> {
    Some(match receipt.outcome.clone() {
        ReportedOutcome::Progress => return None,
        ReportedOutcome::Sent => Told::Sent,
        ReportedOutcome::Delivered => Told::Delivered,
        ReportedOutcome::Read => Told::Read,
        ReportedOutcome::Undelivered(error) => Told::Undelivered(error),
        ReportedOutcome::Bounced(error) => Told::Bounced(error),
        ReportedOutcome::Failed(error) => Told::Failed(error),
        ReportedOutcome::Complained(reason) => Told::Complained(reason),
        ReportedOutcome::Unsubscribed(reason) => Told::Unsubscribed(reason),
    })
}

/// The message that was sent as `sent_as` hears of a receipt.
pub(super) fn of_receipt(
    receipt: Receipt,
    outcome: Told,
    SentAs { message_id, attempt }: SentAs,
    at: DateTime<Utc>,
) -> Meaning {
    let command = Box::new(MessageCommand::RecordReceipt(RecordReceipt {
        attempt: Some(attempt),
        provider_message_id: receipt.provider_message_id,
        receipt_id: receipt.receipt_id,
        recipient: receipt.recipient,
        outcome,
        at,
    }));
    let heard = consent::Heard::default();
    Meaning::Tells(Command::Message {
        id: message_id,
        command,
        heard,
        anyway: None,
        joins: Vec::new(),
    })
}

/// A message comes in, in its place.
pub(super) fn of_inbound(
    inbound: Inbound,
    Place { conversation_id, topic, homes }: Place,
    provider: &str,
    hearing: Hearing<'_>,
    at: DateTime<Utc>,
) -> Meaning {
    let Inbound { account, provider_message_id, channel, .. } = &inbound;
    let id = inbound_message_id(provider, account, *channel, provider_message_id);
    let join = |Home { mailbox, participants, known }: Home| JoinConversation {
        conversation_id: known.unwrap_or_else(|| {
            conversation_id_of(hearing.tenant_id, &participants, topic.as_deref())
        }),
        mailbox,
        participants,
        topic: topic.clone(),
        at,
    };
    let joins = homes.into_iter().map(join).collect();
    let mut received = MessageReceived {
        conversation_id,
        channel: inbound.channel,
        provider: provider.to_owned(),
        account: inbound.account,
        provider_message_id: inbound.provider_message_id,
        from: inbound.from,
        to: inbound.to,
        body: inbound.body,
        attachments: inbound.attachments,
        email: inbound.email,
        topic,
        segments: inbound.segments,
        suggests: None,
        test: hearing.is_test,
        at,
    };
    let heard = consent::hear(id, &received, hearing);
    received.suggests = heard.suggests;
    let command = Box::new(MessageCommand::Receive(received));
    Meaning::Tells(Command::Message { id, command, heard, anyway: None, joins })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_about_no_more_streams_than_an_append_has_room_for() {
        let sizes = |count: usize| {
            let meanings: Vec<Meaning> = (0..count).map(|_| Meaning::Nothing).collect();
            chunks(&meanings, 3).iter().map(|chunk| chunk.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(0), [0], "the row of a webhook that says nothing is kept as well");
        assert_eq!(sizes(3), [3]);
        assert_eq!(sizes(7), [3, 3, 1]);
        let large: Vec<Meaning> = (0..2).map(|_| Meaning::Nothing).collect();
        assert_eq!(chunks(&large, 0).len(), 2, "each is in some part");
    }
}
