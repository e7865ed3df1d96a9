//! What clients ask for. Every 2xx here is a committed event.

mod accept;
mod addressing;
mod answer;
mod cancel_message;
mod change;
mod idempotency;
mod pooled;
mod preview_message;
mod resolve_message;
mod retry_message;
mod routes;
mod send_batch;
mod send_message;
mod send_request;

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use hatch_domain::address::Address;
use hatch_domain::mailbox::Mailbox;
use hatch_eventstore::Store;
use hatch_providers::Accounts;
use http::Uri;
use serde::de::DeserializeOwned;

pub(crate) use self::accept::{Accepted, tell_write};
pub(crate) use self::answer::Asked;
pub use self::answer::Conversations;
pub use self::change::{Change, ChangeResult, resolve, retry};
pub(crate) use self::idempotency::{IdempotencyKey, command_key};
pub use self::pooled::PoolSenders;
pub(crate) use self::resolve_message::reason_fault;
pub use self::routes::router;
pub(crate) use self::routes::routes;
use self::send_request::Defaults;
pub(crate) use self::send_request::{
    AttachmentRequest, OneAddress, OneOrSeveral, Recipients, SendRequest, Written,
};
use crate::admission::Admission;
use crate::body::{self, Kind};
use crate::extract::JsonBody;
use crate::planning::Planning;
use crate::problem::Problem;
use crate::resources::accounts::Vault;

/// Whether `body` would be taken as a request to send. For those who try random bytes (`tests/fuzz`).
#[doc(hidden)]
#[must_use]
pub fn takes_send_request(body: &[u8]) -> bool {
    let defaults = Defaults { phone: None, email: None, subject: "" };
    let parsed = crate::extract::parse_json::<SendRequest>(body);
    parsed.is_ok_and(|request| request.validate(defaults).is_ok())
}

/// The host of our Message-IDs where no public one is known: it never exists (RFC 2606, section 2).
const MAIL_HOST_UNKNOWN: &str = "hatch.invalid";

/// What the command role needs.
#[derive(Clone)]
pub struct Commands {
    /// Where events go.
    pub store: Store,
    /// Which messages are taken.
    pub admission: Admission,
    /// The provider accounts that there are. What none of them takes is refused, or it would wait for ever.
    pub accounts: Accounts,
    /// By which of them a message would go.
    pub planning: Planning,
    /// What keeps accounts in the log.
    pub vault: Vault,
    /// Where answers find what they answer.
    pub conversations: Conversations,
    /// Chooses the sender of a message by a pool.
    pub senders: PoolSenders,
    /// The sender of an SMS or MMS that names none.
    pub default_sms_sender: Option<Address>,
    /// The sender of a mail that names none.
    pub default_email_sender: Option<Mailbox>,
    /// The subject of a mail that has none.
    pub default_subject: String,
    /// The host of our Message-IDs; see [`mail_host`].
    pub mail_host: String,
}

impl Commands {
    pub(crate) fn defaults(&self) -> Defaults<'_> {
        Defaults {
            subject: &self.default_subject,
            phone: self.default_sms_sender.as_ref().or_else(|| self.senders.stand_in()),
            email: self.default_email_sender.as_ref(),
        }
    }
}

/// A JSON body, while there may be room for a message. Where there is none for any, the body is not
/// looked at: what is refused must cost next to nothing. It is read all the same, for the connection
/// to be of use afterwards.
pub(crate) struct Admissible<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<Arc<Commands>> for Admissible<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, commands: &Arc<Commands>) -> Result<Self, Problem> {
        if let Some(refusal) = commands.admission.shut() {
            body::read(request, Kind::Command).await?;
            return Err(refusal.into());
        }
        JsonBody::from_request(request, commands).await.map(|JsonBody(body)| Self(body))
    }
}

/// The host of our Message-IDs: that of the public URL, if it has one.
#[must_use]
pub fn mail_host(public_url: &str) -> String {
    let host = public_url.parse::<Uri>().ok().and_then(|url| url.host().map(str::to_lowercase));
    host.filter(|host| !host.is_empty() && !host.starts_with('['))
        .unwrap_or_else(|| MAIL_HOST_UNKNOWN.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_have_the_host_of_the_public_url_where_it_has_one() {
        for (url, host) in [
            ("https://Hatch.Example:8443/base", "hatch.example"),
            ("http://127.0.0.1:8080", "127.0.0.1"),
            ("http://[::1]:8080", MAIL_HOST_UNKNOWN),
            ("", MAIL_HOST_UNKNOWN),
        ] {
            assert_eq!(mail_host(url), host, "{url:?}");
        }
    }
}
