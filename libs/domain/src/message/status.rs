//! Where a message stands: one small fold that the decider and the read models share.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::{MessageEvent, Resolution};

/// Where a message stands. Outbound: `scheduled`, `queued`, `sending`, `sent`, `delivered`, `read`, or `retrying`,
/// `in_doubt`, `failed`, `undelivered`, `partly_delivered`, `canceled`; inbound: `received`. A message to several is
/// `delivered` once all of its recipients have it, and `read` once all have read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, to be sent later.
    Scheduled,
    /// Accepted, and waiting for its first attempt.
    Queued,
    /// An attempt is under way.
    Sending,
    /// An attempt surely failed and another is due.
    Retrying,
    /// An attempt was made and nobody knows whether it sent the message.
    InDoubt,
    /// The provider took it.
    Sent,
    /// A receipt says that it did not arrive, or that it came back.
    Undelivered,
    /// Of several recipients, some have it, and from some it came back.
    PartlyDelivered,
    /// It will not be sent, or the provider gave it up.
    Failed,
    /// A receipt says that it arrived.
    Delivered,
    /// A receipt says that it was read.
    Read,
    /// It was called off before an attempt began.
    Canceled,
    /// It came from outside.
    Received,
}

impl Status {
    /// The status' name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::InDoubt => "in_doubt",
            Self::Sent => "sent",
            Self::Undelivered => "undelivered",
            Self::PartlyDelivered => "partly_delivered",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Canceled => "canceled",
            Self::Received => "received",
        }
    }

    /// Every status.
    pub const ALL: [Self; 13] = [
        Self::Scheduled,
        Self::Queued,
        Self::Sending,
        Self::Retrying,
        Self::InDoubt,
        Self::Sent,
        Self::Undelivered,
        Self::PartlyDelivered,
        Self::Failed,
        Self::Delivered,
        Self::Read,
        Self::Canceled,
        Self::Received,
    ];

    /// How much is known of one attempt. What a higher rank says is never taken back by a lower.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::Scheduled | Self::Queued => 0,
            Self::Sending => 1,
            Self::InDoubt => 2,
            Self::Retrying => 3,
            Self::Sent => 4,
            Self::Undelivered => 5,
            Self::Failed => 6,
            Self::Canceled => 7,
            Self::PartlyDelivered => 8,
            // What was called off may have arrived by an earlier attempt.
            Self::Delivered | Self::Received => 9,
            Self::Read => 10,
        }
    }
}

/// The status and the attempt that it speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptStatus {
    /// Where the message stands.
    pub status: Status,
    /// The latest attempt, from 1; 0 before the first.
    pub attempt: u32,
}

impl Default for AttemptStatus {
    fn default() -> Self {
        Self { status: Status::Queued, attempt: 0 }
    }
}

impl AttemptStatus {
    /// Applies one event, as one of the whole message. A later attempt starts afresh; within an attempt, and for a
    /// delivery by any attempt, the status only rises in rank. So receipts may come late, twice and in any order.
    /// The one exception is what bounced: that it came back outdoes that it had arrived, and who decides lets no
    /// later word of the same attempt follow.
    #[must_use]
    pub fn after(self, event: &MessageEvent) -> Self {
        use MessageEvent as E;
        match event {
            E::MessageRequested(e) if self == Self::default() && e.send_at.is_some() => {
                Self { status: Status::Scheduled, ..self }
            }
            E::MessageRequested(e) if self == Self::default() && !e.channel.has_provider() => {
                Self { status: Status::Delivered, ..self }
            }
            E::MessageRequested(_)
            | E::MessageDeferred(_)
            | E::MessageReread(_)
            | E::MessageJoinedConversation(_)
            | E::RecipientComplained(_)
            | E::RecipientUnsubscribed(_) => self,
            E::MessageCanceled(_) => self.raised(self.attempt, Status::Canceled),
            E::RetryRequested(_) => match self.status {
                Status::Failed | Status::Undelivered => Self { status: Status::Queued, ..self },
                _ => self,
            },
            E::MessageReceived(_) => self.raised(self.attempt, Status::Received),
            E::SendAttempted(e) => self.started(e.attempt),
            E::MessageSent(e) => self.raised(e.attempt, Status::Sent),
            E::DoubtResolved(e) if e.resolution == Resolution::Sent => {
                self.raised(e.attempt, Status::Sent)
            }
            E::DoubtResolved(_) => self,
            E::SendFailed(e) => self.raised(e.attempt, Status::Retrying),
            E::SendInDoubt(e) => self.raised(e.attempt, Status::InDoubt),
            E::AttemptAbandoned(e) => self.raised(e.attempt, Status::Retrying),
            // Decided on the message as it is, and so never late.
            E::MessageFailed(e) if e.receipt_id.is_none() => self.risen(e.attempt, Status::Failed),
            E::MessageFailed(e) => self.raised(e.attempt, Status::Failed),
            E::MessageUndelivered(e) if e.bounced => self.came_back(e.attempt),
            E::MessageUndelivered(e) => self.raised(e.attempt, Status::Undelivered),
            E::MessageDelivered(_) => self.raised(self.attempt, Status::Delivered),
            E::MessageRead(_) => self.raised(self.attempt, Status::Read),
        }
    }

    fn started(self, attempt: u32) -> Self {
        if attempt <= self.attempt {
            return self;
        }
        let status = match self.status {
            Status::PartlyDelivered
            | Status::Delivered
            | Status::Read
            | Status::Received
            | Status::Canceled => self.status,
            _ => Status::Sending,
        };
        Self { status, attempt }
    }

    fn raised(self, attempt: u32, status: Status) -> Self {
        // Before an attempt, and between two rounds of them, what is said of an earlier one is late.
        let waits = matches!(self.status, Status::Scheduled | Status::Queued);
        let late = waits && status.rank() < Status::Canceled.rank();
        if late { self } else { self.risen(attempt, status) }
    }

    fn came_back(self, attempt: u32) -> Self {
        let took_place = !matches!(
            self.status,
            Status::Scheduled | Status::Queued | Status::Canceled | Status::Received
        );
        if attempt == self.attempt && took_place {
            Self { status: Status::Undelivered, ..self }
        } else {
            self
        }
    }

    const fn risen(self, attempt: u32, status: Status) -> Self {
        if attempt == self.attempt && status.rank() > self.status.rank() {
            Self { status, ..self }
        } else {
            self
        }
    }
}
