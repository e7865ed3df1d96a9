//! What of an event is in the audit. No I/O and no clock.

use std::convert::Infallible;

use chrono::{DateTime, Utc};
use hatch_domain::actor::Actor;
use hatch_domain::api_key::ApiKey;
use hatch_domain::message::Message;
use hatch_domain::published::published;
use hatch_domain::{Decider, DecodeError, Kind};
use hatch_eventstore::{Position, RecordedEvent};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Error;

/// The kinds of people, and of accounts at providers.
pub(super) const MEMBER: &str = "member";
pub(super) const ACCOUNT: &str = "account";

/// What a send is made of; that has the messages themselves.
const SENDS: [&str; 4] = ["MessageRequested", "SendAttempted", "MessageSent", "MessageDelivered"];

/// Prefixes of the actors that are clients: a key, a person, the bearer of a token.
const CLIENTS: [&str; 3] = ["key:", "user:", "token:"];

/// Clients without a name: who needs none in development, and who works at the command line.
const NAMELESS: [&str; 2] = ["api", "cli"];

/// A row of the audit.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) tenant_id: Uuid,
    pub(super) at: DateTime<Utc>,
    pub(super) position: Position,
    pub(super) actor: String,
    pub(super) key_id: Option<String>,
    pub(super) action: String,
    pub(super) object_kind: String,
    pub(super) object_id: String,
    pub(super) details: Box<RawValue>,
    pub(super) request_id: Option<String>,
    pub(super) correlation_id: Uuid,
}

/// What people call a key of the API, or an account.
#[derive(Debug, Clone)]
pub(super) struct KeyName {
    pub(super) id: Uuid,
    pub(super) tenant_id: Uuid,
    pub(super) key_id: String,
}

/// Whether the audit has a row of `event`: of every one that is no message's, and of those that a client caused in a
/// message that was sent.
pub(super) fn is_audited(event: &RecordedEvent) -> bool {
    if event.aggregate != <Message as Decider>::KIND {
        return super::DEFINITION.reads_event(event);
    }
    let actor = event.metadata.actor.as_str();
    let is_client =
        NAMELESS.contains(&actor) || CLIENTS.iter().any(|prefix| actor.starts_with(prefix));
    is_client && !SENDS.contains(&event.event_type.as_str())
}

/// Refuses an event that this build does not know: which of its fields stay in the log, nobody could say.
///
/// # Errors
/// [`Error::Undecodable`].
pub(super) fn check(event: &RecordedEvent) -> Result<(), Error> {
    let (event_type, version) = (event.event_type.as_str(), event.schema_version);
    if Kind::named(&event.aggregate).is_some_and(|kind| kind.reads(event_type, version)) {
        return Ok(());
    }
    Err(Error::Undecodable {
        position: event.position,
        event_type: event.event_type.clone(),
        source: DecodeError::unknown(event_type, version),
    })
}

/// Whether people call a stream of that kind otherwise than by its id.
pub(super) fn is_called(kind: &str) -> bool {
    [<ApiKey as Decider>::KIND, ACCOUNT].contains(&kind)
}

/// The name of the key, or of the account, that begins with `event`.
pub(super) fn begins_key(event: &RecordedEvent) -> Option<KeyName> {
    #[derive(Deserialize)]
    struct Named {
        key_id: String,
    }
    #[derive(Deserialize)]
    struct NamedAccount {
        name: String,
    }
    if event.aggregate == ACCOUNT {
        let NamedAccount { name } = serde_json::from_str(event.payload.get()).ok()?;
        return Some(KeyName { id: event.stream_id, tenant_id: event.tenant_id, key_id: name });
    }
    if event.aggregate != <ApiKey as Decider>::KIND {
        return None;
    }
    let Named { key_id } = serde_json::from_str(event.payload.get()).ok()?;
    Some(KeyName { id: event.stream_id, tenant_id: event.tenant_id, key_id })
}

/// The row of an event, done for the request of that id, in a stream that people call so.
pub(super) fn entry(
    event: &RecordedEvent,
    request_id: Option<String>,
    called: Option<&str>,
) -> Entry {
    let actor = event.metadata.actor.clone();
    let read: Actor = actor.parse().unwrap_or_else(|never: Infallible| match never {});
    let key_id = if let Actor::Key(id) = read { Some(id.to_string()) } else { None };
    Entry {
        id: event.event_id,
        tenant_id: event.tenant_id,
        at: event.recorded_at,
        position: event.position,
        key_id,
        action: action(&event.aggregate, &event.event_type),
        object_kind: event.aggregate.clone(),
        object_id: called.map_or_else(|| event.stream_id.to_string(), str::to_owned),
        details: published(&event.event_type, event.payload.clone()),
        request_id: request_id.or_else(|| event.metadata.request_id.clone()),
        correlation_id: event.metadata.correlation_id,
        actor,
    }
}

/// The kind and the type, as `api_key` and `ApiKeyRevoked` make `api_key.revoked`.
fn action(aggregate: &str, event_type: &str) -> String {
    let mut name = String::with_capacity(event_type.len() + 4);
    for c in event_type.chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    let of_kind = name.strip_prefix(aggregate).and_then(|rest| rest.strip_prefix('_'));
    format!("{aggregate}.{}", of_kind.unwrap_or(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_named_by_its_kind_and_its_type() {
        for (kind, event_type, name) in [
            ("api_key", "ApiKeyRevoked", "api_key.revoked"),
            ("tenant", "TenantSuspended", "tenant.suspended"),
            ("tenant", "TeamRecipientAdded", "tenant.team_recipient_added"),
            ("message", "MessageCanceled", "message.canceled"),
            ("message", "RetryRequested", "message.retry_requested"),
            ("consent", "WordAnswered", "consent.word_answered"),
            ("member", "PasswordSet", "member.password_set"),
        ] {
            assert_eq!(action(kind, event_type), name);
        }
    }
}
