//! What a client is told that is not let in, or that may not do what it asks for.

use std::net::IpAddr;

use axum::http::StatusCode;
use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::scope::Scope;

use super::{Hint, Problem};

/// How to say who asks (RFC 6750, section 3): of a request without credentials, and of one with some that are not valid.
const CHALLENGE: &str = "Bearer realm=\"hatch\"";
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
        let title = "The request has no valid credentials";
        let detail = "Authorization: expected Bearer and a valid API key";
        Self {
            hint: Some(Hint::Challenge(challenge)),
            ..Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title, detail)
        }
    }

    /// The key is not to be used from there.
    pub(crate) fn ip_not_allowed(client: IpAddr) -> Self {
        let title = "The key is not for this address";
        let detail = format!("{client} is in none of the key's ip_ranges");
        Self::forbidden("ip-not-allowed", title, detail)
    }

    /// What is asked for needs a scope that the caller does not have.
    pub(crate) fn missing_scope(scope: Scope) -> Self {
        let detail = format!("this needs the scope {scope}");
        Self::forbidden("missing-scope", "A scope is missing", detail)
    }

    /// Nothing is done for the tenant for now.
    pub(crate) fn tenant_suspended() -> Self {
        let detail = "the keys of this tenant are refused until it is resumed";
        Self::forbidden("tenant-suspended", "The tenant is suspended", detail)
    }

    /// The key sends from some addresses only.
    pub(crate) fn sender_not_allowed(from: &Address) -> Self {
        let detail = format!("{from} is none of the key's senders");
        Self::forbidden("sender-not-allowed", "The key is not for this sender", detail)
    }

    /// The key sends by some channels only.
    pub(crate) fn channel_not_allowed(channel: Channel) -> Self {
        let detail = format!("{} is none of the key's channels", channel.as_str());
        Self::forbidden("channel-not-allowed", "The key is not for this channel", detail)
    }

    /// The key reaches those on the tenant's team list only.
    pub(crate) fn recipient_not_on_list(to: &Address) -> Self {
        let title = "The key is not for this recipient";
        let detail = format!("{to} is not on the tenant's team list");
        Self::forbidden("recipient-not-on-list", title, detail)
    }

    /// The key sends and changes tests only.
    pub(crate) fn message_is_live() -> Self {
        let title = "The key is for tests only";
        let detail = "the message is no test: a key of the type test does not change it";
        Self::forbidden("message-is-live", title, detail)
    }

    fn forbidden(kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, kind, title, detail)
    }
}
