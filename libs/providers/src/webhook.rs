//! The webhooks of providers: first their signature is checked, then their meaning is read.

use std::fmt;

use bytes::Bytes;
use hatch_domain::address::{Address, AddressError};
use hatch_domain::ids::is_provider_id;
use hatch_domain::{Attachment, Channel, Email, SendError};
use http::header::HeaderMap;
use http::method::Method;
use http::uri::PathAndQuery;
use uuid::Uuid;

use crate::{BoxFuture, Correlation};

/// By which most providers say what happened.
static POST: [Method; 1] = [Method::POST];

/// Verifies and understands the webhooks of one account at one provider.
pub trait Webhook: Send + Sync {
    /// The methods of its requests. One that comes by another method is refused before anything of it is read.
    fn methods(&self) -> &[Method] {
        &POST
    }

    /// Finds out what a request is. By default [`verify`](Self::verify) decides. A provider has its own where it must
    /// ask another server first, such as for a key, or where it expects an answer before it posts anything. It may
    /// wait: the caller limits the time.
    fn receive<'r>(&'r self, request: &'r RawRequest) -> BoxFuture<'r, Received<'r>> {
        Box::pin(async move {
            match self.verify(request) {
                Ok(verified) => Received::Verified(verified),
                Err(refusal) => Received::Refused(refusal),
            }
        })
    }

    /// Checks the signature over the raw bytes. Nothing that is in the request is believed before.
    ///
    /// # Errors
    /// [`WebhookRefusal`] when the request is not proven to come from the provider's account.
    fn verify<'r>(&self, request: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal>;

    /// Whether [`receive`](Self::receive) may find a request with these headers good, whatever its body is. Where it
    /// cannot, no more than the beginning of the body is read.
    fn may_be_signed(&self, headers: &HeaderMap) -> bool;

    /// The token of the request, where the signature does not cover its content. Without it, whoever has seen one
    /// request could post other content under the same signature. A repeat with the same content is taken.
    fn once(&self, _request: &Verified<'_>) -> Option<Once> {
        None
    }

    /// Says what a request means, in the order in which it says so.
    ///
    /// # Errors
    /// [`NotUnderstood`] for a request that is the provider's and that this build cannot read. It
    /// is to be kept and answered as a success: sending it again would not help.
    fn parse(&self, request: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood>;

    /// Whether a request that is [`NotUnderstood`] is answered as the sender's mistake (400), because
    /// the sender can mend it. A provider cannot: its request is kept and answered as a success.
    fn refuses_nonsense(&self) -> bool {
        false
    }

    /// The answer that the provider expects when a request was taken.
    fn success(&self) -> http::Response<Bytes>;
}

/// A request as it came in, before anybody looked into it.
#[derive(Clone)]
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// Path and query exactly as requested, before any router took a part of it away.
    pub path_and_query: PathAndQuery,
    /// The headers.
    pub headers: HeaderMap,
    /// The body's bytes.
    pub body: Bytes,
}

/// Says how much came in and not what: the body and the query hold what people wrote.
impl fmt::Debug for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRequest")
            .field("method", &self.method)
            .field("path", &self.path_and_query.path())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What a request turned out to be.
#[derive(Debug)]
pub enum Received<'r> {
    /// The account's own, proven: it is to be parsed.
    Verified(Verified<'r>),
    /// A question of the provider's, such as a handshake: this is the answer, and nothing else follows.
    Answer(http::Response<Bytes>),
    /// Not proven to come from the provider's account.
    Refused(WebhookRefusal),
}

/// A request whose signature was found good: by [`Webhook::receive`], now or when it came in.
#[derive(Debug, Clone, Copy)]
pub struct Verified<'r>(&'r RawRequest);

impl<'r> Verified<'r> {
    /// To be called when, and only when, the signature is good.
    pub(crate) const fn new(request: &'r RawRequest) -> Self {
        Self(request)
    }

    /// A request that was verified when it came in, and was kept since then.
    #[must_use]
    pub const fn kept(request: &'r RawRequest) -> Self {
        Self(request)
    }

    /// The request.
    #[must_use]
    pub const fn request(&self) -> &'r RawRequest {
        self.0
    }
}

/// A signature that is good for one thing that a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// What the signature has for no other request.
    pub token: String,
    /// When it was made, in seconds since 1970, as it says itself.
    pub signed_at: i64,
    /// A SHA-256 of what the request says: the same for a repeat, however it is written.
    pub said: [u8; 32],
}

/// Why a request is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRefusal {
    /// It carries no signature.
    #[error("find the signature header")]
    MissingSignature,
    /// Its signature is not one of this account over these bytes and our public URL.
    #[error("match the signature to the request and our public URL")]
    WrongSignature,
    /// It does not carry the secret that senders were given.
    #[error("find the bearer secret")]
    MissingSecret,
    /// The secret that it carries is another's.
    #[error("match the bearer secret")]
    WrongSecret,
    /// It has more fields than any request of the provider, and none of them was looked at.
    #[error("check a form of more than 1,000 fields")]
    TooManyFields,
    /// Its signature is older than any repeat of a provider's, or is of a time that is not yet.
    #[error("believe a signature of another time")]
    Stale,
    /// Its signature has been used for a request that said something else.
    #[error("believe a signature that was used for another request")]
    Used,
    /// The signature does not cover the body, and the hash that should is missing or another's.
    #[error("match the body to the hash of it that was signed")]
    WrongBody,
}

/// Why a verified request makes no sense to this build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUnderstood {
    /// It has no body of the kind that the provider sends.
    #[error("read the body as {expected}")]
    ContentType {
        /// The kind of body that is understood.
        expected: &'static str,
    },
    /// Its body should be JSON, and is not from there on.
    #[error("read the body as JSON: it is none at line {line}, column {column}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column in it.
        column: usize,
    },
    /// It has a field that there is not.
    #[error("read the field {field}: there is none of this name")]
    Unknown {
        /// What the sender calls the field.
        field: String,
    },
    /// A field without which it means nothing is absent or empty.
    #[error("find the field {field}")]
    Missing {
        /// The provider's name of the field.
        field: &'static str,
    },
    /// A field is there and not what it has to be.
    #[error("read the field {field}: expected {expected}")]
    Field {
        /// The provider's name of the field.
        field: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// It speaks of another account than the one that signed it.
    #[error("match the account named in the request to the one that signed it")]
    ForeignAccount,
    /// It tells a status that this build does not know.
    #[error("understand the status {status:?}")]
    Status {
        /// The status as the provider calls it.
        status: String,
    },
    /// Our code for it failed over it.
    #[error("read the body: the reader failed over it")]
    Unreadable,
    /// A sender or recipient is no address that this build knows, such as a sender's name.
    #[error("read the field {field} as an address")]
    Address {
        /// The provider's name of the field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: AddressError,
    },
}

/// What a webhook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// How a message that we sent is doing.
    Receipt(Receipt),
    /// Somebody wrote to us.
    Inbound(Inbound),
    /// One thing of several that this build cannot read; the others are what they are.
    Unclear(NotUnderstood),
}

/// How a message that we sent is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The attempt that it speaks of; absent when the message was not sent by hatch, or by hand.
    pub correlation: Option<Correlation>,
    /// The provider account.
    pub account: String,
    /// What the provider calls the message.
    pub provider_message_id: String,
    /// A UUIDv5 of what the receipt says: the same again when it is repeated.
    pub receipt_id: Uuid,
    /// Whom of the recipients it speaks of, where the provider says so.
    pub recipient: Option<Address>,
    /// What it says.
    pub outcome: ReportedOutcome,
    /// What it says of whether the provider sends to the address at all.
    pub suppression: Option<Suppression>,
}

/// A provider begins, or ceases, to send nothing to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// The address; none for the only recipient of the message.
    pub address: Option<Address>,
    /// The provider's own code or word for it, such as `21610` or `spamreport`.
    pub reason: String,
    /// Whether it is lifted.
    pub lifted: bool,
}

/// What a receipt says of its attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportedOutcome {
    /// The provider still works on it, which changes nothing.
    Progress,
    /// The provider handed it on.
    Sent,
    /// It reached the recipient.
    Delivered,
    /// The recipient has read it.
    Read,
    /// It was handed on and did not reach the recipient.
    Undelivered(SendError),
    /// It was sent back, perhaps after the recipient's server had taken it.
    Bounced(SendError),
    /// The provider gave it up.
    Failed(SendError),
    /// The recipient called it spam, in the provider's word.
    Complained(String),
    /// The recipient unsubscribed by it, in the provider's word.
    Unsubscribed(String),
}

impl ReportedOutcome {
    /// Why the message did not arrive, where it did not.
    #[must_use]
    pub const fn error(&self) -> Option<&SendError> {
        match self {
            Self::Undelivered(error) | Self::Bounced(error) | Self::Failed(error) => Some(error),
            Self::Progress
            | Self::Sent
            | Self::Delivered
            | Self::Read
            | Self::Complained(_)
            | Self::Unsubscribed(_) => None,
        }
    }
}

/// Somebody wrote to us.
#[derive(Clone, PartialEq, Eq)]
pub struct Inbound {
    /// The provider account that it came in by.
    pub account: String,
    /// What the provider calls it.
    pub provider_message_id: String,
    /// How it came.
    pub channel: Channel,
    /// The sender.
    pub from: Address,
    /// The recipients.
    pub to: Vec<Address>,
    /// The text.
    pub body: Option<String>,
    /// Files that came with it, where the provider keeps them or with their content.
    pub attachments: Vec<Attachment>,
    /// What only a mail has.
    pub email: Option<Box<Email>>,
    /// Of a mail, the mailboxes that it says it was brought to on its way.
    pub delivered_to: Vec<Address>,
    /// Into how many parts it was cut, where the provider says so.
    pub segments: Option<u32>,
}

/// Says which message it is and nothing that a person wrote: it may end up in a log.
impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("account", &self.account)
            .field("provider_message_id", &self.provider_message_id)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// What the provider calls a message, as `field` says it.
pub(crate) fn provider_id<'a>(
    field: &'static str,
    text: &'a str,
) -> Result<&'a str, NotUnderstood> {
    if is_provider_id(text) {
        return Ok(text);
    }
    let expected = "a name of at most 998 bytes without control characters";
    Err(NotUnderstood::Field { field: field.to_owned(), expected })
}
