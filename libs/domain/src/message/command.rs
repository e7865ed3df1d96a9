//! What can be asked of a message, and why it may be refused.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::event::{MessageReceived, MessageRequested, Resolution};
use super::status::Status;
use crate::address::Address;
use crate::ids::ConversationId;
use crate::{AccountChoice, SendError};

/// A command to one message.
#[derive(Debug, Clone)]
pub enum MessageCommand {
    /// Send a new message. The request was validated at the edge.
    Request(Arc<MessageRequested>),
    /// Claim the next attempt.
    StartAttempt(StartAttempt),
    /// Say what came of a claimed attempt.
    RecordOutcome(RecordOutcome),
    /// Say what a provider's receipt tells.
    RecordReceipt(RecordReceipt),
    /// Take in a message from outside.
    Receive(MessageReceived),
    /// Take what a message from outside reads like now.
    Reread {
        /// The reading.
        message: Box<MessageReceived>,
        /// Now.
        at: DateTime<Utc>,
    },
    /// Let a message from outside belong to one more conversation.
    Join(Box<JoinConversation>),
    /// Call it off, as long as no attempt has begun.
    Cancel {
        /// Now.
        at: DateTime<Utc>,
    },
    /// Begin a new round of attempts for a message that failed or did not arrive.
    Retry {
        /// Now.
        at: DateTime<Utc>,
    },
    /// Let the next attempt wait.
    Defer {
        /// For what.
        reason: String,
        /// Until when.
        until: DateTime<Utc>,
        /// Now.
        at: DateTime<Utc>,
    },
    /// Let the next attempt wait until there is an account for it that works.
    WaitForAccount(WaitForAccount),
    /// Let the next attempt wait in a line of its account, until there is room for it.
    WaitInLine(WaitInLine),
    /// Let a message that waits for an attempt fail without one.
    Refuse {
        /// Why, such as a recipient who opted out.
        error: SendError,
        /// Now.
        at: DateTime<Utc>,
    },
    /// Say that the lease of the attempt under way is over and its claimant gone.
    ExpireLease {
        /// Now.
        at: DateTime<Utc>,
    },
    /// Say what came of an attempt in doubt, by a look-up or a policy.
    SettleDoubt(SettleDoubt),
    /// Say what an attempt in doubt was, by a person.
    ResolveDoubt(ResolveDoubt),
    /// Give up a message that waits for an attempt: what it says is out of date.
    Expire {
        /// When the round began that is out of date ([`Message::round_from`](super::Message::round_from)). A
        /// round that somebody began since is not.
        round_from: DateTime<Utc>,
        /// Now.
        at: DateTime<Utc>,
    },
}

/// Has a message belong to one more conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinConversation {
    /// That conversation.
    pub conversation_id: ConversationId,
    /// The mailbox of ours whose conversation it is.
    pub mailbox: Address,
    /// Those whom it is among.
    pub participants: Vec<Address>,
    /// What sets it apart from others of the same participants.
    pub topic: Option<String>,
    /// When the message came to that mailbox.
    pub at: DateTime<Utc>,
}

/// Has a message wait for an account.
#[derive(Debug, Clone)]
pub struct WaitForAccount {
    /// What is wrong, in one word.
    pub reason: String,
    /// The same for people.
    pub error: SendError,
    /// When it is given up, if it still waits.
    pub expires_at: DateTime<Utc>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// Has a message wait in a line of its account.
#[derive(Debug, Clone)]
pub struct WaitInLine {
    /// What there is not enough of, in one word.
    pub reason: String,
    /// The line.
    pub waits_for: String,
    /// When there is to be room at the earliest, as things are; none where that may be at any time.
    pub until: Option<DateTime<Utc>>,
    /// When it is given up, if it still waits.
    pub expires_at: DateTime<Utc>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// Ends the doubt about an attempt.
#[derive(Debug, Clone)]
pub struct SettleDoubt {
    /// The attempt.
    pub attempt: u32,
    /// What came of it.
    pub settlement: Settlement,
    /// Now.
    pub at: DateTime<Utc>,
}

/// Ends the doubt about the latest attempt by a person's word.
#[derive(Debug, Clone)]
pub struct ResolveDoubt {
    /// What the attempt was.
    pub resolution: Resolution,
    /// How the person knows.
    pub reason: String,
    /// Now.
    pub at: DateTime<Utc>,
}

/// What an attempt in doubt turned out to be.
#[derive(Debug, Clone)]
pub enum Settlement {
    /// The provider has the message.
    Sent {
        /// What the provider calls it.
        provider_message_id: String,
    },
    /// It has not, or is held not to have.
    NotSent {
        /// Why, and how that is known.
        error: SendError,
        /// When to try again; none when it was the last attempt.
        retry_at: Option<DateTime<Utc>>,
    },
}

/// Claims the next attempt for whoever holds the token.
#[derive(Debug, Clone)]
pub struct StartAttempt {
    /// The provider to be called.
    pub provider: String,
    /// The account to be used there.
    pub account: String,
    /// How it was chosen.
    pub choice: Option<AccountChoice>,
    /// The claimant's token, never used before.
    pub token: Uuid,
    /// The call must begin before this.
    pub call_before: DateTime<Utc>,
    /// With no outcome by then the attempt is in doubt.
    pub lease_until: DateTime<Utc>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// What came of an attempt, said by its claimant.
#[derive(Debug, Clone)]
pub struct RecordOutcome {
    /// The attempt.
    pub attempt: u32,
    /// The claimant's token.
    pub token: Uuid,
    /// What came of it.
    pub outcome: AttemptOutcome,
    /// Now.
    pub at: DateTime<Utc>,
}

/// What can come of an attempt.
#[derive(Debug, Clone)]
pub enum AttemptOutcome {
    /// The provider took the message.
    Accepted {
        /// What the provider calls it.
        provider_message_id: String,
        /// Its parts, where the provider says so.
        segments: Option<u32>,
    },
    /// It surely was not sent.
    NotSent {
        /// Why.
        error: SendError,
        /// When to try again; none when it was the last attempt. A permanent error has no next one.
        retry_at: Option<DateTime<Utc>>,
    },
    /// Nobody knows.
    Unknown {
        /// What was seen.
        detail: String,
    },
    /// The provider refused the account and said nothing of the message: nothing was sent, and the attempt counts
    /// for none.
    AccountRefused {
        /// What is wrong with the account, in one word.
        reason: String,
        /// What the provider said.
        error: SendError,
        /// When the message is given up, if it still waits for the account; none where it goes by another one at once.
        expires_at: Option<DateTime<Utc>>,
    },
    /// No call was made, for a reason of the claimant's own: nothing was sent, and the attempt counts for none.
    Abandoned {
        /// What the claimant lacked, such as `files`; none when the deadline had passed before the call.
        reason: Option<String>,
        /// When to try again.
        retry_at: DateTime<Utc>,
    },
}

/// A provider's receipt for one attempt.
#[derive(Debug, Clone)]
pub struct RecordReceipt {
    /// The attempt that it speaks of; none when the receipt named only the provider's id.
    pub attempt: Option<u32>,
    /// What the provider calls the message.
    pub provider_message_id: String,
    /// Content id: the same receipt again has the same.
    pub receipt_id: Uuid,
    /// Whom of the recipients it speaks of; none for the only one, and for all of them.
    pub recipient: Option<Address>,
    /// What it says.
    pub outcome: ReceiptOutcome,
    /// Now.
    pub at: DateTime<Utc>,
}

/// What a receipt can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptOutcome {
    /// The provider handed the message on.
    Sent,
    /// It arrived.
    Delivered,
    /// It was read.
    Read,
    /// It did not arrive.
    Undelivered(SendError),
    /// It was sent back, perhaps after it had arrived.
    Bounced(SendError),
    /// The provider gave it up.
    Failed(SendError),
    /// The recipient called it spam, in the provider's word.
    Complained(String),
    /// The recipient unsubscribed by it, in the provider's word.
    Unsubscribed(String),
}

/// Why a message refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageRejection {
    /// The stream has begun already.
    #[error("the message exists already")]
    Exists,
    /// The stream has no first event.
    #[error("there is no such message")]
    Unknown,
    /// An inbound message is not sent and has no receipts.
    #[error("the message is inbound")]
    Inbound,
    /// It is not waiting for an attempt.
    #[error("the message is {}, and starts no attempt", .0.as_str())]
    NotWaiting(Status),
    /// It cannot be called off any more.
    #[error("the message is {}, and cannot be canceled", .0.as_str())]
    NotCancelable(Status),
    /// It has not failed, and is not known not to have arrived.
    #[error("the message is {}, and cannot be retried", .0.as_str())]
    NotRetryable(Status),
    /// Nothing about it is in doubt.
    #[error("the message is {}, and nothing about it is in doubt", .0.as_str())]
    NotInDoubt(Status),
    /// Its next attempt is not due yet.
    #[error("the next attempt is due at {0}")]
    NotDue(DateTime<Utc>),
    /// Somebody else holds the attempt, or nobody made it.
    #[error("attempt {0} is not the caller's")]
    NotClaimant(u32),
    /// The receipt belongs to no attempt of this message.
    #[error("the receipt belongs to no attempt of this message")]
    NoSuchAttempt,
    /// The receipt speaks of one recipient, and does not say of which of this message.
    #[error("the receipt names none of the recipients of this message")]
    NoSuchRecipient,
}
