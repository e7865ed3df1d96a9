//! One call to a provider and what became of it.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::address::Address;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::{Attachment, Channel, Email, ErrorClass, SendError};

use crate::{Correlation, Lack, Trouble};

/// A provider's words are kept up to this length.
const DETAIL_CHARS_MAX: usize = 500;

/// A future that can be returned by an `Arc<dyn Adapter>`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Sends messages through one account at one provider.
pub trait Adapter: Send + Sync {
    /// Makes one attempt, with one HTTP request at most, and ends within the configured timeout.
    ///
    /// It never repeats the request by itself. Dropping the future after its first poll leaves the
    /// attempt in doubt.
    fn send<'a>(&'a self, message: &'a Outbound) -> BoxFuture<'a, Outcome>;

    /// Whether the provider can be asked what became of an attempt in doubt. Where it cannot, only a
    /// receipt, a policy or a person settles a doubt.
    fn can_look_up(&self) -> bool {
        false
    }

    /// How long after an attempt [`look_up`](Self::look_up) can say for sure that the provider has nothing of it.
    /// Before that, it may be inconclusive where nothing is there yet.
    fn conclusive_after(&self) -> Duration {
        Duration::ZERO
    }

    /// Asks the provider for messages that an attempt in doubt may have sent. Changes nothing there.
    fn look_up<'a>(&'a self, _asked: &'a LookUp) -> BoxFuture<'a, LookedUp> {
        Box::pin(async {
            LookedUp::Inconclusive { detail: "this provider has no look-up".to_owned() }
        })
    }

    /// Asks the provider whether it lets the account in and may be sent by. Changes nothing there.
    fn check(&self) -> BoxFuture<'_, Checked> {
        Box::pin(async { Checked::Unchecked })
    }
}

/// The provider's answer about an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// It takes the credentials, and the account may send.
    Good {
        /// What it says of the account.
        detail: String,
    },
    /// It refuses the account.
    Refused {
        /// What is wrong.
        trouble: Trouble,
        /// The provider's own code.
        code: String,
        /// The provider's words.
        detail: String,
    },
    /// It did not answer, or not so that anything follows from it.
    Unanswered {
        /// What was seen.
        detail: String,
    },
    /// It cannot be asked.
    Unchecked,
}

/// The facts about an attempt in doubt, for a look-up.
#[derive(Clone, PartialEq, Eq)]
pub struct LookUp {
    /// The message as the attempt would have sent it.
    pub message: Outbound,
    /// When the attempt was claimed: the provider has nothing of it from before.
    pub attempted_at: DateTime<Utc>,
    /// The time now, by the same clock. The provider's own may be another.
    pub asked_at: DateTime<Utc>,
}

/// The provider's answer about an attempt in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookedUp {
    /// It has messages that may be of the attempt; some at least. Whether one of them is another
    /// message of ours, the caller knows.
    Found {
        /// Those messages: the certain ones first, and of those the oldest.
        candidates: Vec<Candidate>,
    },
    /// It has no such message, and would have by now.
    NotFound,
    /// It was not asked, because we lacked what a call takes.
    Shortage(Lack),
    /// It did not answer, or not so that anything follows from it.
    Inconclusive {
        /// What was seen.
        detail: String,
    },
}

/// A message at the provider that may be the one in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What the provider calls it.
    pub provider_message_id: String,
    /// Whether it matches in sender, recipient and text and is not older than the attempt. Of another it is not
    /// certain: where it is no other message of ours, nothing follows.
    pub certain: bool,
    /// How long ago the provider took it, by the provider's own clock and as exactly as it says. None
    /// when it does not say.
    pub age: Option<Duration>,
}

/// A message as one attempt hands it to a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Whose message it is.
    pub tenant_id: TenantId,
    /// The message.
    pub message_id: MessageId,
    /// The attempt's number, from 1.
    pub attempt: u32,
    /// How it is to travel.
    pub channel: Channel,
    /// The sender.
    pub from: Address,
    /// The recipients. A phone provider takes exactly one.
    pub to: Vec<Address>,
    /// The text.
    pub body: Option<String>,
    /// Files that go with it: by URL, for the provider to fetch, or with their content.
    pub attachments: Vec<Attachment>,
    /// What only a mail has.
    pub email: Option<Box<Email>>,
    /// The W3C trace context that the call belongs to.
    pub traceparent: Option<String>,
}

impl Outbound {
    /// What the provider is given to hand back with each receipt.
    #[must_use]
    pub const fn correlation(&self) -> Correlation {
        Correlation {
            tenant_id: self.tenant_id,
            message_id: self.message_id,
            attempt: self.attempt,
        }
    }
}

/// Says which attempt it is and nothing that a person wrote: it may end up in a log.
impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("tenant_id", &self.tenant_id)
            .field("message_id", &self.message_id)
            .field("attempt", &self.attempt)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// What became of one attempt. The line that matters is between [`Unknown`](Outcome::Unknown) and the others,
/// after which it is known whether the message was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took the message and will send receipts under this id.
    Accepted {
        /// What the provider calls the message.
        provider_message_id: String,
        /// Into how many parts the provider cut it, where it says so.
        segments: Option<u32>,
    },
    /// The provider answered that it will not send this message. Surely not sent.
    Refused {
        /// The provider's code and words; `permanent` tells whether another attempt is worth it.
        error: SendError,
    },
    /// The provider refused the account, and says nothing of the message. Surely not sent.
    Account {
        /// What is wrong.
        trouble: Trouble,
        /// The provider's own code.
        code: String,
        /// The provider's words.
        detail: String,
    },
    /// The provider answered that this is too much at once. Surely not sent.
    Throttled {
        /// The provider's own code, or HTTP's where it gives none.
        code: String,
        /// When the provider wants to be asked again, where it says so.
        retry_after: Option<Duration>,
        /// A sentence for people.
        detail: String,
    },
    /// The provider could not be reached, or answered that it is out of order. Surely not sent.
    Unavailable {
        /// The provider's own code, or `connect` or `dns`.
        code: String,
        /// A sentence for people.
        detail: String,
    },
    /// No call was made, because we lacked what it takes. Surely not sent, and nothing is known of the provider.
    Shortage(Lack),
    /// The request may have been written and no answer of the provider's own was read: the message
    /// may have been sent or not. To send it again could send it twice.
    Unknown {
        /// What was seen.
        detail: String,
    },
}

impl Outcome {
    /// The outcome's name, for logs, metrics and spans.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Refused { .. } => "refused",
            Self::Account { .. } => "account",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable { .. } => "unavailable",
            Self::Shortage(_) => "shortage",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// A message that its provider cannot carry, refused by us without a call.
    pub(crate) fn unsendable(code: &str, detail: &str) -> Self {
        let (code, detail) = (code.to_owned(), detail.to_owned());
        let class = ErrorClass::Content;
        Self::Refused { error: SendError { code, class, detail, permanent: true } }
    }
}

/// A provider's words, cut to a length that is kept.
pub(crate) fn bounded(text: &str) -> String {
    text.chars().take(DETAIL_CHARS_MAX).collect()
}
