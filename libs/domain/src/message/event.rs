//! The facts of a message's life, as the log keeps them. How a shape may change, says
//! [`events!`](crate::events!).

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use super::doubt::{BY_POLICY, DoubtResolved, Resolution};
use crate::address::Address;
use crate::consent::Programme;
use crate::consent::words::{Confirmed, Suggestion};
use crate::ids::ConversationId;
use crate::{
    AccountChoice, Attachment, Channel, Email, MailKind, Priority, SendError, SendOptions,
};

/// Somebody asked for a message to be sent, and it was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageRequestedData)]
pub struct MessageRequested {
    /// The conversation that it belongs to.
    pub conversation_id: ConversationId,
    /// How it is to travel.
    pub channel: Channel,
    /// The sender.
    pub from: Address,
    /// The recipients, at least one.
    pub to: Vec<Address>,
    /// The text.
    #[schema(required)]
    pub body: Option<String>,
    /// Files that go with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// What only a mail has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Box<Email>>,
    /// The topic that sets its conversation apart from others of the same participants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// When it is to be sent, if not at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<DateTime<Utc>>,
    /// Which queue it waits in.
    pub priority: Priority,
    /// What its recipients have to consent to, where that is not the default programme of the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programme: Option<Programme>,
    /// The word of its recipient's that it answers, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirms: Option<Confirmed>,
    /// The client's own notes, kept and never read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// Whether it is a test: then no account that reaches people carries it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// How it is to be sent, where more was said than usual.
    #[serde(default, skip_serializing_if = "SendOptions::is_default")]
    pub options: SendOptions,
    /// When it was asked for.
    pub at: DateTime<Utc>,
}

/// An attempt to send was claimed: the claimant may call the provider, once, before `call_before`. Nobody else
/// ever makes this attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SendAttemptedData)]
pub struct SendAttempted {
    /// The attempt's number, from 1.
    pub attempt: u32,
    /// The provider, such as `twilio`.
    pub provider: String,
    /// The provider account that is used.
    pub account: String,
    /// How it was chosen. Attempts from before there were routes do not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<AccountChoice>,
    /// The claimant's token. It stays in the log: an event that was read elsewhere has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub token: Option<Uuid>,
    /// The call must begin before this.
    pub call_before: DateTime<Utc>,
    /// With no outcome by then, the claimant is gone and the attempt is in doubt.
    pub lease_until: DateTime<Utc>,
    /// When it was claimed.
    pub at: DateTime<Utc>,
}

/// The provider took the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageSentData)]
pub struct MessageSent {
    /// The attempt that succeeded.
    pub attempt: u32,
    /// What the provider calls the message.
    pub provider_message_id: String,
    /// Into how many parts the provider cut it, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u32>,
    /// When the provider's answer, or the receipt that stands for it, came.
    pub at: DateTime<Utc>,
}

/// The attempt surely did not send the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SendFailedData)]
pub struct SendFailed {
    /// The attempt that failed.
    pub attempt: u32,
    /// Why.
    pub error: SendError,
    /// When the next attempt is due; none when this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<DateTime<Utc>>,
    /// When it failed.
    pub at: DateTime<Utc>,
}

/// The request was written and no answer came: the message may or may not have been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SendInDoubtData)]
pub struct SendInDoubt {
    /// The attempt in doubt.
    pub attempt: u32,
    /// What was seen.
    pub detail: String,
    /// Since when it is in doubt.
    pub at: DateTime<Utc>,
}

/// The attempt says nothing of the message, and counts for none: the claimant made no call, because its deadline had
/// passed or it lacked what a call takes, or the provider refused the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AttemptAbandonedData)]
pub struct AttemptAbandoned {
    /// The attempt that was given up.
    pub attempt: u32,
    /// What the claimant lacked, such as `files`, or what is wrong with the account, such as
    /// `account_credentials`; none when its deadline had passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the next attempt is due.
    pub retry_at: DateTime<Utc>,
    /// What the provider said of the account, where it refused that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<SendError>,
    /// Where it waits for the account: until when at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was given up.
    pub at: DateTime<Utc>,
}

/// The message will not be sent: refused for good, out of attempts, or failed at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageFailedData)]
pub struct MessageFailed {
    /// The last attempt.
    pub attempt: u32,
    /// Why.
    pub error: SendError,
    /// The receipt that said so, when it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_id: Option<Uuid>,
    /// Whom of several recipients it speaks of; none where it speaks of the message, and of all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Address>,
    /// When it became certain.
    pub at: DateTime<Utc>,
}

/// A receipt says that the message reached its recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageDeliveredData)]
pub struct MessageDelivered {
    /// The attempt that it speaks of.
    pub attempt: u32,
    /// What the provider calls the message.
    pub provider_message_id: String,
    /// The content id of the receipt.
    pub receipt_id: Uuid,
    /// Whom of several recipients it speaks of; none where it speaks of the message, and of all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Address>,
    /// When the receipt came.
    pub at: DateTime<Utc>,
}

/// A receipt says that the message did not reach its recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageUndeliveredData)]
pub struct MessageUndelivered {
    /// The attempt that it speaks of.
    pub attempt: u32,
    /// What the provider calls the message.
    pub provider_message_id: String,
    /// The content id of the receipt.
    pub receipt_id: Uuid,
    /// Why.
    pub error: SendError,
    /// Whom of several recipients it speaks of; none where it speaks of the message, and of all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Address>,
    /// Whether it was sent back, perhaps after a server had taken it: whoever it was to has not got it then, whatever
    /// else is said of the same attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bounced: bool,
    /// When the receipt came.
    pub at: DateTime<Utc>,
}

/// Somebody wrote to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageReceivedData)]
pub struct MessageReceived {
    /// The conversation that it belongs to.
    pub conversation_id: ConversationId,
    /// How it came.
    pub channel: Channel,
    /// The provider that brought it.
    pub provider: String,
    /// The provider account that it came in by.
    pub account: String,
    /// What the provider calls it.
    pub provider_message_id: String,
    /// The sender.
    pub from: Address,
    /// The recipients.
    pub to: Vec<Address>,
    /// The text.
    #[schema(required)]
    pub body: Option<String>,
    /// Files that came with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// What only a mail has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Box<Email>>,
    /// The topic that sets its conversation apart from others of the same participants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Into how many parts it was cut, where the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u32>,
    /// What its text seems to mean for the consent of its sender, where that is not certain: somebody should look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggests: Option<Suggestion>,
    /// Whether it is a test: the account that brought it carries nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// A receipt says that the recipient has read the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageReadData)]
pub struct MessageRead {
    /// The attempt that it speaks of.
    pub attempt: u32,
    /// What the provider calls the message.
    pub provider_message_id: String,
    /// The content id of the receipt.
    pub receipt_id: Uuid,
    /// Whom of several recipients it speaks of; none where it speaks of the message, and of all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Address>,
    /// When the receipt came.
    pub at: DateTime<Utc>,
}

/// The message was called off before an attempt began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageCanceledData)]
pub struct MessageCanceled {
    /// When.
    pub at: DateTime<Utc>,
}

/// The next attempt has to wait for something other than a failure's back-off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageDeferredData)]
pub struct MessageDeferred {
    /// For what, such as `rate`, or `waiting_for_account`.
    pub reason: String,
    /// No attempt starts before; of a message in a line: when it is to go on at the earliest, as things were.
    pub until: DateTime<Utc>,
    /// What is said of it, where it waits for its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<SendError>,
    /// Where it waits for its account: until when at the latest. It goes on as soon as there is one that works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// The line in which it waits, where its account has one: those of an account, or of an account's sender, go on one
    /// after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// Somebody asked for a message that failed or did not arrive to be tried again: a new round of attempts begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RetryRequestedData)]
pub struct RetryRequested {
    /// When.
    pub at: DateTime<Utc>,
}

/// A message that came in was read again, from the request that brought it, by a build that reads it otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageRereadData)]
pub struct MessageReread {
    /// The message as it reads now. Who wrote it to whom, its conversation and its names are as they were.
    pub message: Box<MessageReceived>,
    /// When it was read again.
    pub at: DateTime<Utc>,
}

/// A recipient called the message spam. It changes no status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RecipientComplainedData)]
pub struct RecipientComplained {
    /// The attempt that it speaks of.
    pub attempt: u32,
    /// What the provider calls the message.
    pub provider_message_id: String,
    /// The content id of the receipt.
    pub receipt_id: Uuid,
    /// Who complained.
    pub recipient: Address,
    /// The provider's word for it, such as `spamreport`.
    pub reason: String,
    /// When the receipt came.
    pub at: DateTime<Utc>,
}

/// A recipient unsubscribed by the message. It changes no status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RecipientUnsubscribedData)]
pub struct RecipientUnsubscribed {
    /// The attempt that it speaks of.
    pub attempt: u32,
    /// What the provider calls the message.
    pub provider_message_id: String,
    /// The content id of the receipt.
    pub receipt_id: Uuid,
    /// Who unsubscribed.
    pub recipient: Address,
    /// The provider's word for it, such as `group_unsubscribe`.
    pub reason: String,
    /// When the receipt came.
    pub at: DateTime<Utc>,
}

/// A message that came in belongs to one more conversation: it reached several of our mailboxes, and this is the one that
/// its sender has with another of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageJoinedConversationData)]
pub struct MessageJoinedConversation {
    /// That conversation. The event itself belongs to the one that the message began in.
    pub conversation_id: ConversationId,
    /// The mailbox of ours whose conversation it is.
    pub mailbox: Address,
    /// Those whom the conversation is among, where it begins with this message.
    pub participants: Vec<Address>,
    /// The topic that sets it apart from others of the same participants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// What kind of mail it was when it joined.
    #[serde(default, skip_serializing_if = "MailKind::is_person")]
    pub kind: MailKind,
    /// When it came to that mailbox.
    pub at: DateTime<Utc>,
}

// What was asked for is shared: it is the largest by far, and each state of the message holds it.
crate::events! {
    /// Every event of a message's stream.
    pub enum MessageEvent {
        MessageRequested as Arc<MessageRequested>,
        SendAttempted without [token],
        MessageSent,
        SendFailed,
        SendInDoubt,
        AttemptAbandoned,
        MessageFailed,
        MessageDelivered,
        MessageUndelivered,
        MessageReceived,
        MessageRead,
        MessageCanceled,
        MessageDeferred,
        RetryRequested,
        MessageReread,
        RecipientComplained,
        RecipientUnsubscribed,
        MessageJoinedConversation,
        DoubtResolved,
    }
}

impl MessageEvent {
    /// When it happened.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        match self {
            Self::MessageRequested(e) => e.at,
            Self::SendAttempted(e) => e.at,
            Self::MessageSent(e) => e.at,
            Self::SendFailed(e) => e.at,
            Self::SendInDoubt(e) => e.at,
            Self::AttemptAbandoned(e) => e.at,
            Self::MessageFailed(e) => e.at,
            Self::MessageDelivered(e) => e.at,
            Self::MessageUndelivered(e) => e.at,
            Self::MessageReceived(e) => e.at,
            Self::MessageRead(e) => e.at,
            Self::MessageCanceled(e) => e.at,
            Self::MessageDeferred(e) => e.at,
            Self::RetryRequested(e) => e.at,
            Self::MessageReread(e) => e.at,
            Self::RecipientComplained(e) => e.at,
            Self::RecipientUnsubscribed(e) => e.at,
            Self::MessageJoinedConversation(e) => e.at,
            Self::DoubtResolved(e) => e.at,
        }
    }

    /// Whom of the recipients it speaks of; none where it speaks of the whole message.
    #[must_use]
    pub const fn recipient(&self) -> Option<&Address> {
        match self {
            Self::MessageFailed(e) => e.recipient.as_ref(),
            Self::MessageDelivered(e) => e.recipient.as_ref(),
            Self::MessageUndelivered(e) => e.recipient.as_ref(),
            Self::MessageRead(e) => e.recipient.as_ref(),
            Self::RecipientComplained(e) => Some(&e.recipient),
            Self::RecipientUnsubscribed(e) => Some(&e.recipient),
            _ => None,
        }
    }
}
