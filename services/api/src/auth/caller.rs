//! Who makes a request, as handlers know it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use hatch_directory::SessionHash;
use hatch_domain::actor::Actor;
use hatch_domain::address::Address;
use hatch_domain::api_key::{ApiKey, KeyType, SecretHash};
use hatch_domain::consent::Consent;
use hatch_domain::ids::{MemberId, SessionId, TenantId};
use hatch_domain::message::Message;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::scope::{Scope, Scopes};
use hatch_domain::tenant::Tenant;
use hatch_domain::{Channel, Decider as _, Email};
use hatch_eventstore::Metadata;
use uuid::Uuid;

use crate::problem::Problem;

/// Who makes a request, and for whom. A handler takes it as an argument: the [`Door`](super::Door) has put it there.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whose data it is about: everything else is not there.
    pub(crate) tenant: TenantId,
    /// As events have it.
    pub(crate) actor: Actor,
    /// What may be asked for.
    pub(crate) scopes: Scopes,
    /// The key that was presented, if one was.
    pub(crate) key: Option<Arc<ApiKey>>,
    /// By which of that key's texts it was presented, which may end before the key does.
    pub(crate) secret: Option<SecretHash>,
    /// The tenant, with its team list, where the key reaches nobody else.
    pub(crate) team: Option<Arc<Tenant>>,
    /// When what was presented ends, where it says so itself.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// The session of a person who has signed in.
    pub(crate) session: Option<CallerSession>,
}

/// By which session a person comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallerSession {
    /// The session.
    pub(crate) id: SessionId,
    /// What it is opened by.
    pub(crate) hash: SessionHash,
    /// It counts as long as this is the member's.
    pub(crate) generation: i32,
}

impl Caller {
    /// `actor`, for `tenant`, who may do what `scopes` say.
    pub(crate) fn of(tenant: TenantId, actor: Actor, scopes: Scopes) -> Self {
        Self {
            tenant,
            actor,
            scopes,
            key: None,
            secret: None,
            team: None,
            expires_at: None,
            session: None,
        }
    }

    /// A part of hatch, or who sent no credentials where none are asked for: the default tenant's, with every scope.
    pub(crate) fn system(name: &str) -> Self {
        Self::of(TenantId::DEFAULT, Actor::System(name.to_owned()), Scopes::all())
    }

    /// The person who makes the request; none where a program does.
    pub(crate) fn member(&self) -> Option<MemberId> {
        match &self.actor {
            Actor::User(id) => Some(MemberId(*id)),
            _ => None,
        }
    }

    /// The metadata of what the caller does; `correlation_id` is that of what it sets off.
    pub(crate) fn metadata(&self, correlation_id: Uuid) -> Metadata {
        Metadata { correlation_id, actor: self.actor.to_string(), ..Metadata::default() }
    }

    /// Whether it may be asked for what needs `scope`.
    pub(crate) fn allows(&self, scope: Scope) -> bool {
        self.scopes.allows(scope)
    }

    /// Refuses what needs a scope that is not there.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.allows(scope) { Ok(()) } else { Err(Problem::missing_scope(scope)) }
    }

    /// Whether it may see events of streams of the kind `aggregate`, where events of all kinds are shown. What nobody
    /// has thought of is the administrator's.
    pub(crate) fn may_see(&self, aggregate: &str) -> bool {
        self.allows(match aggregate {
            Message::KIND => Scope::MessagesRead,
            Consent::KIND => Scope::ContactsRead,
            ApiKey::KIND => Scope::KeysWrite,
            _ => Scope::Admin,
        })
    }

    /// What the caller's messages are for. Who comes without a key means them.
    fn key_type(&self) -> KeyType {
        self.key.as_ref().map_or(KeyType::Live, |key| key.key_type())
    }

    /// Whether the caller's messages are tests.
    pub(crate) fn is_test(&self) -> bool {
        self.key_type() == KeyType::Test
    }

    /// Whether the key sends from some addresses, by some channels or to some people only, or nothing but tests.
    pub(crate) fn is_restricted(&self) -> bool {
        let restricted = |key: &Arc<ApiKey>| {
            key.key_type() != KeyType::Live
                || !key.senders().is_empty()
                || !key.channels().is_empty()
        };
        self.key.as_ref().is_some_and(restricted)
    }

    /// Refuses a message by that channel and from that sender, unless the key sends such.
    pub(crate) fn may_send(&self, channel: Channel, from: &Address) -> Result<(), Problem> {
        let Some(key) = &self.key else { return Ok(()) };
        let (channels, senders) = (key.channels(), key.senders());
        if !channels.is_empty() && !channels.contains(&channel) {
            return Err(Problem::channel_not_allowed(channel));
        }
        let is_one = |sender: &Address| sender.identity() == from.identity();
        if !senders.is_empty() && !senders.iter().any(is_one) {
            return Err(Problem::sender_not_allowed(from));
        }
        Ok(())
    }

    /// Refuses a message that goes to these, with what its mail says of copies, unless the key reaches all of them.
    pub(crate) fn may_reach(&self, to: &[Address], mail: Option<&Email>) -> Result<(), Problem> {
        if self.key_type() != KeyType::Team {
            return Ok(());
        }
        let copies = mail.into_iter().flat_map(|mail| mail.cc.iter().chain(&mail.bcc));
        let on_list = |one: &Address| self.team.as_ref().is_some_and(|team| team.is_of_team(one));
        match to.iter().chain(copies).find(|one| !on_list(one)) {
            Some(stranger) => Err(Problem::recipient_not_on_list(stranger)),
            None => Ok(()),
        }
    }

    /// Refuses a message that exists, unless the key could have sent it: else it would be sent again, or not at all, by
    /// who cannot send it.
    pub(crate) fn may_change(&self, requested: &MessageRequested) -> Result<(), Problem> {
        self.may_send(requested.channel, &requested.from)?;
        self.may_reach(&requested.to, requested.email.as_deref())?;
        if self.is_test() && !requested.test {
            return Err(Problem::message_is_live());
        }
        Ok(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::fault(&std::io::Error::other("nobody looked who asks")))
    }
}

#[cfg(test)]
mod tests {
    use hatch_domain::tenant::Tenant;

    use super::*;

    #[test]
    fn events_of_a_kind_are_shown_to_who_may_read_of_it() {
        let kinds = [Message::KIND, Consent::KIND, ApiKey::KIND, Tenant::KIND, "another"];
        for (scopes, seen) in [
            (vec![Scope::MessagesRead], vec![Message::KIND]),
            (vec![Scope::MessagesRead, Scope::ContactsRead], vec![Message::KIND, Consent::KIND]),
            (vec![Scope::MessagesRead, Scope::KeysWrite], vec![Message::KIND, ApiKey::KIND]),
            (vec![Scope::Admin], kinds.to_vec()),
            (vec![], vec![]),
        ] {
            let caller = Caller { scopes: Scopes::of(&scopes), ..Caller::system("test") };
            let shown: Vec<_> = kinds.into_iter().filter(|kind| caller.may_see(kind)).collect();
            assert_eq!(shown, seen, "{scopes:?}");
        }
    }
}
