//! What a client is told that is not let in, or that may not do what it asks for.

use std::net::IpAddr;

use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::scope::Scope;

use super::{Hint, Problem, catalogue};

/// How to say who asks (RFC 6750, section 3): of a request without credentials, and of one with some that are not valid.
pub(super) const CHALLENGE: &str = "Bearer realm=\"hatch\"";
const CHALLENGE_AGAIN: &str = "Bearer realm=\"hatch\", error=\"invalid_token\"";

impl Problem {
    /// The request does not say who makes it.
    pub(crate) fn no_credentials() -> Self {
        Self::unauthorized(CHALLENGE)
    }

    /// What the request says of who makes it is not valid. Why, a stranger does not learn.
    pub(crate) fn wrong_credentials() -> Self {
        Self::unauthorized(CHALLENGE_AGAIN)
    }

    fn unauthorized(challenge: &'static str) -> Self {
        let hint = Some(Hint::Challenge(challenge));
        Self { hint, ..Self::plain(&catalogue::UNAUTHORIZED) }
    }

    /// The key is not to be used from there.
    pub(crate) fn ip_not_allowed(client: IpAddr) -> Self {
        let detail = format!("{client} is in none of the key's ip_ranges");
        Self::of(&catalogue::IP_NOT_ALLOWED, detail)
    }

    /// What is asked for needs a scope that the caller does not have.
    pub(crate) fn missing_scope(scope: Scope) -> Self {
        Self::of(&catalogue::MISSING_SCOPE, format!("this needs the scope {scope}"))
    }

    /// Nothing is done for the tenant for now.
    pub(crate) fn tenant_suspended() -> Self {
        Self::plain(&catalogue::TENANT_SUSPENDED)
    }

    /// The key sends from some addresses only.
    pub(crate) fn sender_not_allowed(from: &Address) -> Self {
        let detail = format!("{from} is none of the key's senders");
        Self::of(&catalogue::SENDER_NOT_ALLOWED, detail)
    }

    /// The key sends by some channels only.
    pub(crate) fn channel_not_allowed(channel: Channel) -> Self {
        let detail = format!("{} is none of the key's channels", channel.as_str());
        Self::of(&catalogue::CHANNEL_NOT_ALLOWED, detail)
    }

    /// The key reaches those on the tenant's team list only.
    pub(crate) fn recipient_not_on_list(to: &Address) -> Self {
        let detail = format!("{to} is not on the tenant's team list");
        Self::of(&catalogue::RECIPIENT_NOT_ON_LIST, detail)
    }

    /// The key sends and changes tests only.
    pub(crate) fn message_is_live() -> Self {
        Self::plain(&catalogue::MESSAGE_IS_LIVE)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::http::header::WWW_AUTHENTICATE;

    use super::*;

    #[test]
    fn each_401_says_how_to_say_who_asks_and_no_other_answer_does() {
        for entry in catalogue::PROBLEMS {
            let (status, headers, _) = Problem::plain(entry).into_parts(None);
            let is_said = headers.contains_key(WWW_AUTHENTICATE);
            assert_eq!(is_said, status == StatusCode::UNAUTHORIZED, "{}", entry.code);
        }
        let (_, headers, _) = Problem::wrong_credentials().into_parts(None);
        assert_eq!(headers[WWW_AUTHENTICATE], CHALLENGE_AGAIN);
    }
}
