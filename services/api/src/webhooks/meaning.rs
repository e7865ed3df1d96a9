//! What an observation means for the log. Pure: what has to be known beside it, the caller has looked up.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use hatch_domain::DecodeError;
use hatch_domain::authentication::UNPROVEN_TOPIC;
use hatch_domain::conversation::conversation_id;
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_domain::message::command::{
    MessageCommand, MessageRejection, ReceiptOutcome as Told, RecordReceipt,
};
use hatch_domain::message::event::MessageReceived;
use hatch_domain::message::{Message, inbound_message_id};
use hatch_eventstore::{ExecuteError, Loaded, LogError, Work};
use hatch_providers::{Inbound, Receipt, ReceiptOutcome};
use hatch_readmodel::SentAs;
use uuid::Uuid;

use super::matching::KeptReceipt;

/// What an observation means for the log.
pub(super) enum Meaning {
    /// Nothing.
    Nothing,
    /// A stream hears of it.
    Tells(Command),
    /// A message will hear of it, once it is known which.
    Waits(KeptReceipt),
    /// Nobody can say, for this reason.
    Unclear(String),
}

/// What a stream is asked to record.
pub(super) enum Command {
    /// A message.
    Message { id: MessageId, command: Box<MessageCommand> },
}

/// What a stream decided on a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// So many events.
    Events(usize),
    /// It has happened already.
    Known,
    /// It does not take it, for this reason.
    Refused(String),
}

impl Command {
    /// The stream that decides.
    pub(super) const fn stream_id(&self) -> Uuid {
        match self {
            Self::Message { id, .. } => id.0,
        }
    }

    /// The message that hears of a receipt; none for one that comes in.
    fn told(&self) -> Option<MessageId> {
        match self {
            Self::Message { id, command } => (!is_inbound(command)).then_some(*id),
        }
    }

    /// Takes the stream of what comes in to be new: if it is not, the append says so.
    pub(super) fn assume(&self, work: &mut Work) {
        match self {
            Self::Message { id, command } if is_inbound(command) => {
                work.assume::<Message>(id.0, Loaded::default());
            }
            Self::Message { .. } => {}
        }
    }

    /// Lets the stream decide.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn decide(
        &self,
        work: &mut Work,
    ) -> Result<Decision, ExecuteError<MessageRejection>> {
        match self {
            Self::Message { id, command } => match work.decide::<Message>(id.0, command).await {
                Ok(events) => Ok(Decision::of(Ok(events.len()))),
                Err(ExecuteError::Rejected(rejection)) => Ok(Decision::of(Err(rejection))),
                Err(error) => Err(error),
            },
        }
    }
}

impl Decision {
    pub(super) fn of(decided: Result<usize, MessageRejection>) -> Self {
        match decided {
            Ok(0) | Err(MessageRejection::Exists) => Self::Known,
            Ok(count) => Self::Events(count),
            Err(rejection) => Self::Refused(rejection.to_string()),
        }
    }
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
        Meaning::Nothing | Meaning::Waits(_) | Meaning::Unclear(_) => None,
    })
}

/// Reads the streams that `meanings` are about, as far as they are not a part of the work yet. Says why of those
/// that this build cannot read: what a webhook says about them is kept, for a build that can.
///
/// # Errors
/// When the log cannot be read.
pub(super) async fn load(
    work: &mut Work,
    meanings: &[Meaning],
) -> Result<HashMap<Uuid, String>, LogError> {
    let ids: Vec<Uuid> = commands(meanings).map(Command::stream_id).collect();
    let unreadable = work.load_all::<Message>(ids).await?;
    Ok(unreadable.into_iter().map(|(id, error)| (id, why_unreadable(id, &error))).collect())
}

fn why_unreadable(id: Uuid, error: &DecodeError) -> String {
    tracing::error!(message_id = %id, error = %error, "a message cannot be read: its webhook is kept");
    format!("message {id} cannot be read by this build: {error}; replay it by a newer one")
}

const fn is_inbound(command: &MessageCommand) -> bool {
    matches!(command, MessageCommand::Receive(_))
}

/// What a receipt says of a message; none when it says nothing that is kept.
pub(super) fn outcome(receipt: &Receipt) -> Option<Told> {
    Some(match receipt.outcome.clone() {
        ReceiptOutcome::Progress => return None,
        ReceiptOutcome::Sent => Told::Sent,
        ReceiptOutcome::Delivered => Told::Delivered,
        ReceiptOutcome::Read => Told::Read,
        ReceiptOutcome::Undelivered(error) => Told::Undelivered(error),
        ReceiptOutcome::Failed(error) => Told::Failed(error),
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
        outcome,
        at,
    }));
    Meaning::Tells(Command::Message { id: message_id, command })
}

/// A message comes in, into the conversation that it `joined`, or into that of its participants.
pub(super) fn of_inbound(
    inbound: Inbound,
    joined: Option<(ConversationId, Option<String>)>,
    (tenant_id, provider): (TenantId, &str),
    at: DateTime<Utc>,
) -> Meaning {
    let Inbound { account, provider_message_id, channel, .. } = &inbound;
    let id = inbound_message_id(provider, account, *channel, provider_message_id);
    let (conversation_id, topic) = joined.unwrap_or_else(|| {
        let topic = inbound.email.as_ref().filter(|email| email.is_disproven());
        let topic = topic.map(|_| UNPROVEN_TOPIC.to_owned());
        let participants = std::iter::once(&inbound.from).chain(&inbound.to);
        (conversation_id(tenant_id, participants, topic.as_deref()), topic)
    });
    let command = Box::new(MessageCommand::Receive(MessageReceived {
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
        at,
    }));
    Meaning::Tells(Command::Message { id, command })
}
