//! When somebody has to look at a message again, told by one event alone, so that progress never
//! depends on a delivery being remembered.

use chrono::{DateTime, Utc};

use super::event::{MessageEvent, Resolution};

/// What an event says of its message's due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Look at it at this time; what is to be done then, the message itself says.
    At {
        /// The attempt that the event speaks of; none when it speaks of the next one.
        attempt: Option<u32>,
        /// When.
        at: DateTime<Utc>,
    },
    /// This attempt, and those before it, need nobody any more. A later one keeps its time.
    Settled {
        /// The attempt.
        attempt: u32,
    },
    /// Nothing is left to be done for the message.
    Over,
}

impl MessageEvent {
    /// Whether its message waits for an account from now on: until then, nobody has to look at it before its
    /// validity ends.
    #[must_use]
    pub const fn waits_for_account(&self) -> bool {
        match self {
            Self::AttemptAbandoned(e) => e.expires_at.is_some(),
            Self::MessageDeferred(e) => e.expires_at.is_some(),
            _ => false,
        }
    }

    /// What the event says of its message's due time.
    #[must_use]
    pub fn due(&self) -> Due {
        match self {
            Self::MessageRequested(e) if !e.channel.has_provider() => Due::Over,
            Self::MessageRequested(e) => Due::At { attempt: None, at: e.send_at.unwrap_or(e.at) },
            Self::SendAttempted(e) => Due::At { attempt: Some(e.attempt), at: e.lease_until },
            Self::SendInDoubt(e) => Due::At { attempt: Some(e.attempt), at: e.at },
            Self::SendFailed(e) => match e.retry_at {
                Some(at) => Due::At { attempt: Some(e.attempt), at },
                None => Due::Settled { attempt: e.attempt },
            },
            Self::AttemptAbandoned(e) => {
                Due::At { attempt: Some(e.attempt), at: e.expires_at.unwrap_or(e.retry_at) }
            }
            Self::MessageDeferred(e) => {
                Due::At { attempt: None, at: e.expires_at.unwrap_or(e.until) }
            }
            Self::RetryRequested(e) => Due::At { attempt: None, at: e.at },
            Self::MessageSent(e) => Due::Settled { attempt: e.attempt },
            Self::MessageUndelivered(e) => Due::Settled { attempt: e.attempt },
            // Decided by us on the message as it is; a receipt may speak of an earlier attempt.
            Self::MessageFailed(e) if e.receipt_id.is_none() => Due::Over,
            Self::MessageFailed(e) => Due::Settled { attempt: e.attempt },
            // Where it was not sent, the event that follows says what is due.
            Self::DoubtResolved(e) if e.resolution == Resolution::Sent => {
                Due::Settled { attempt: e.attempt }
            }
            // They move no message, and so its due time neither: no attempt has the number 0.
            Self::RecipientComplained(_)
            | Self::RecipientUnsubscribed(_)
            | Self::DoubtResolved(_) => Due::Settled { attempt: 0 },
            Self::MessageDelivered(_)
            | Self::MessageRead(_)
            | Self::MessageCanceled(_)
            | Self::MessageReceived(_)
            | Self::MessageReread(_)
            | Self::MessageJoinedConversation(_) => Due::Over,
        }
    }
}
