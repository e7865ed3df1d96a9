//! Where every request comes by.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::header::USER_AGENT;
use chrono::{DateTime, Utc};
use hatch_directory::{Directory, KeyEntry, Use};
use hatch_domain::Environment;
use hatch_domain::actor::Actor;
use hatch_domain::api_key::{self, KeyId, KeyRefusal, KeyType};
use hatch_domain::scope::Scope;
use hatch_eventstore::Position;

use super::Caller;
use super::access::{self, Access};
use super::credentials::{self, Credentials};
use crate::client_address::ClientAddress;
use crate::problem::Problem;

/// Who makes requests without credentials, where none are asked for, as events have it.
const NOBODY: &str = "api";

/// Characters of a client's name of itself that are noted, at most.
const USER_AGENT_CHARACTERS_MAX: usize = 256;

/// Who is let in. It asks nobody: the directory has every key in memory.
#[derive(Clone)]
pub struct Door {
    directory: Directory,
    clock: Arc<dyn Environment>,
    is_open: bool,
}

impl Door {
    /// For development: who sends no credentials is the default tenant's, with every scope. What is sent is looked at.
    #[must_use]
    pub fn open(directory: Directory, clock: Arc<dyn Environment>) -> Self {
        access::prepare();
        Self { directory, clock, is_open: true }
    }

    /// Lets nobody in without a key. Keys end by `clock`.
    #[must_use]
    pub fn closed(directory: Directory, clock: Arc<dyn Environment>) -> Self {
        Self { is_open: false, ..Self::open(directory, clock) }
    }

    /// Puts the caller into `request`, where its route needs one.
    ///
    /// # Errors
    /// 401 without valid credentials, 403 where they do not suffice, 503 before the keys are read.
    pub(crate) async fn admit(&self, request: &mut Request) -> Result<(), Problem> {
        match self.look_at(request) {
            Ok(()) => Ok(()),
            Err(Refused::For(problem)) => Err(problem),
            Err(Refused::Unknown) => {
                if self.directory.wait_for(Position::START, Duration::ZERO).await {
                    Err(wrong("unknown"))
                } else {
                    let detail = "the keys are not read yet: try again in a second";
                    Err(Problem::unavailable(detail))
                }
            }
        }
    }

    fn look_at(&self, request: &mut Request) -> Result<(), Refused> {
        // Where no route is, everybody is told so.
        let Some(route) = request.extensions().get::<MatchedPath>() else { return Ok(()) };
        let access = access::of(request.method(), route.as_str());
        if access == Access::Public {
            return Ok(());
        }
        let caller = self.caller(request)?;
        // Who runs the installation must be able to let a tenant in again.
        if access != Access::Needs(Scope::Platform) && self.is_suspended(&caller) {
            return Err(Problem::tenant_suspended().into());
        }
        if let Access::Needs(scope) = access {
            caller.require(scope)?;
        }
        let extensions = request.extensions_mut();
        extensions.insert(caller);
        extensions.insert(self.clone());
        Ok(())
    }

    /// Whether who was let in would be let in now: what goes on for long asks again.
    pub(crate) fn still_admits(&self, caller: &Caller) -> bool {
        let is_valid = match &caller.actor {
            Actor::Key(id) => self.directory.key(id).is_some_and(|KeyEntry { key, .. }| {
                let now = self.clock.now();
                key.revoked_at().is_none() && key.expires_at().is_none_or(|end| now < end)
            }),
            _ => true,
        };
        is_valid && !self.is_suspended(caller)
    }

    fn is_suspended(&self, caller: &Caller) -> bool {
        self.directory.tenant(caller.tenant).is_some_and(|tenant| tenant.is_suspended())
    }

    fn caller(&self, request: &Request) -> Result<Caller, Refused> {
        let text = match credentials::read(request.headers()) {
            Credentials::None if self.is_open => return Ok(Caller::system(NOBODY)),
            Credentials::None => return Err(Problem::no_credentials().into()),
            Credentials::Unreadable => return Err(wrong("no bearer").into()),
            Credentials::Bearer(text) => text,
        };
        let now = self.clock.now();
        let (id, KeyEntry { tenant_id, key }) = self.holder(text, now)?;
        let client = request.extensions().get::<ClientAddress>();
        let ip = client.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |client| client.0);
        let ranges = key.ip_ranges();
        if !ranges.is_empty() && !ranges.iter().any(|range| range.contains(ip)) {
            return Err(Problem::ip_not_allowed(ip).into());
        }
        let user_agent = request.headers().get(USER_AGENT).and_then(|name| name.to_str().ok());
        let user_agent =
            user_agent.map(|name| name.chars().take(USER_AGENT_CHARACTERS_MAX).collect());
        self.directory.used(&id, Use { at: now, ip, user_agent });
        let scopes = key.scopes().clone();
        Ok(Caller { tenant: tenant_id, actor: Actor::Key(id), scopes, key: Some(key) })
    }

    /// The key that is presented, or why it is none. Only our log learns that.
    fn holder(&self, text: &str, now: DateTime<Utc>) -> Result<(KeyId, KeyEntry), Refused> {
        let presented = api_key::read(text).map_err(|_| wrong("no key"))?;
        // Those of the other types promise what is not kept yet.
        if presented.key_type != KeyType::Live {
            return Err(wrong("of a type that is not taken").into());
        }
        let entry = self.directory.key(&presented.id).ok_or(Refused::Unknown)?;
        entry.key.admits(&presented.hash, now).map_err(|refusal| match refusal {
            KeyRefusal::WrongSecret => wrong("wrong secret"),
            KeyRefusal::Expired => wrong("expired"),
            KeyRefusal::Revoked => wrong("revoked"),
        })?;
        Ok((presented.id, entry))
    }
}

/// Why a request is not let in.
enum Refused {
    /// Its key is none that is known. Before the first are, none is.
    Unknown,
    For(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::For(problem)
    }
}

/// What is answered to credentials that are not valid, whatever is wrong with them.
fn wrong(why: &'static str) -> Problem {
    tracing::debug!(why, "credentials were refused");
    Problem::wrong_credentials()
}
