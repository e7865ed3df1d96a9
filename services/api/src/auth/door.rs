//! Where every request comes by.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use chrono::{DateTime, Utc};
use hatch_directory::{AccountEntry, Directory, KeyEntry, Session, Sessions, Use};
use hatch_domain::Environment;
use hatch_domain::actor::Actor;
use hatch_domain::api_key::{self, KeyId, KeyRefusal, KeyType, Presented};
use hatch_domain::ids::{AccountId, PoolId, RouteId, TenantId};
use hatch_domain::scope::Scope;
use hatch_domain::tenant::Tenant;
use hatch_eventstore::Position;

use super::access::{self, Access};
use super::caller::{Caller, CallerSession};
use super::credentials::{self, Credentials};
use super::room;
use super::visits::{Visit, Visits};
use crate::client_address::ClientAddress;
use crate::limits::Quota;
use crate::problem::Problem;
use crate::sites::Sites;
use crate::tokens::Tokens;

/// Who makes requests without credentials, where none are asked for, as events have it.
const NOBODY: &str = "api";

/// How long an answer waits at most until what was changed holds here. It takes half a second as a rule.
const CHANGED_MAX: Duration = Duration::from_secs(2);

/// How long a request waits at most that names somebody whom the process may only not know yet.
pub(crate) const NEWS_MAX: Duration = Duration::from_millis(500);

/// Who is let in. It asks nobody: the directory has every key in memory, and the keys of issuers of tokens are there.
#[derive(Clone)]
pub struct Door {
    directory: Directory,
    clock: Arc<dyn Environment>,
    tokens: Tokens,
    is_open: bool,
    visits: Option<Visits>,
}

impl Door {
    /// For development: who sends no credentials is the default tenant's, with every scope. What is sent is looked at,
    /// also a session's cookie.
    #[must_use]
    pub fn open(directory: Directory, clock: Arc<dyn Environment>) -> Self {
        access::prepare();
        Self { directory, clock, tokens: Tokens::default(), is_open: true, visits: None }
    }

    /// Lets nobody in without a key. Keys end by `clock`.
    #[must_use]
    pub fn closed(directory: Directory, clock: Arc<dyn Environment>) -> Self {
        Self { is_open: false, ..Self::open(directory, clock) }
    }

    /// Lets people in, too, who have signed in, from pages of `sites`.
    #[must_use]
    pub fn with_sessions(self, sessions: Sessions, sites: Sites) -> Self {
        Self { visits: Some(Visits::new(sessions, sites)), ..self }
    }

    /// Lets in, too, whom one of these issuers has given a token.
    #[must_use]
    pub fn with_tokens(self, tokens: Tokens) -> Self {
        Self { tokens, ..self }
    }

    /// Puts the caller into `request`, where its route needs one.
    ///
    /// # Errors
    /// 401 without valid credentials, 403 where they do not suffice, 503 before the keys are read.
    pub(crate) async fn admit(&self, request: &mut Request) -> Result<(), Problem> {
        match self.look_at(request).await {
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

    async fn look_at(&self, request: &mut Request) -> Result<(), Refused> {
        // Where no route is, everybody is told so.
        let Some(route) = request.extensions().get::<MatchedPath>() else { return Ok(()) };
        let access = access::of(request.method(), route.as_str());
        if access == Access::Public {
            return Ok(());
        }
        let visit = self.visits.as_ref().and_then(|visits| Some((visits, visits.read(request)?)));
        let caller = match visit {
            // Requests without a session have no room for what this takes.
            Some((visits, visit)) => Box::pin(self.visitor(visits, visit)).await?,
            None => self.caller_or_news(request).await?,
        };
        // Also where it is refused: it is charged for that.
        request.extensions_mut().insert(caller.clone());
        // Who runs the installation must be able to let a tenant in again.
        if access != Access::Needs(Scope::Platform) && self.is_suspended(&caller) {
            return Err(Problem::tenant_suspended().into());
        }
        if let Access::Needs(scope) = access {
            caller.require(scope)?;
        }
        request.extensions_mut().insert(self.clone());
        Ok(())
    }

    /// Whether who was let in would be let in now: what goes on for long asks again.
    pub(crate) fn still_admits(&self, caller: &Caller) -> bool {
        let is_valid = match (&caller.actor, &caller.secret) {
            (Actor::Key(id), Some(secret)) => {
                let entry = self.directory.key(id);
                // Another secret may have taken its place meanwhile.
                entry.is_some_and(|entry| entry.key.admits(secret, self.clock.now()).is_ok())
            }
            (Actor::Key(_), None) => false,
            (Actor::Token { issuer, .. }, _) => {
                let lasts = caller.expires_at.is_some_and(|end| self.clock.now() < end);
                lasts && self.tokens.takes_from(issuer)
            }
            (Actor::User(_), _) => self.still_visits(caller),
            (Actor::System(_), _) => true,
        };
        is_valid && !self.is_suspended(caller)
    }

    /// What the headers of a request claim that was not let in.
    pub(crate) fn claimed(&self, headers: &HeaderMap) -> Claimed {
        let presented = match credentials::read(headers) {
            Credentials::Bearer(text) => api_key::read(text).ok(),
            Credentials::None | Credentials::Unreadable => None,
        };
        let key = presented.map(|presented| presented.id);
        let owner = key.as_ref().and_then(|id| self.directory.key(id)).map(|key| key.tenant_id);
        Claimed { tenant: owner.unwrap_or(TenantId::DEFAULT), key, is_known: owner.is_some() }
    }

    /// Waits until what was changed at `position` holds in this process: a key that is answered lets in from then on.
    /// Without PostgreSQL it holds later, and is changed all the same.
    pub(crate) async fn knows(&self, position: Position) {
        let _ = self.directory.wait_for(position, CHANGED_MAX).await;
    }

    /// Refuses another key to a tenant that has as many as it may. Those of the last half second are not counted yet.
    pub(crate) fn room_for_a_key(&self, tenant: TenantId) -> Result<(), Problem> {
        room::for_a_key(self.directory.keys_of(tenant, self.clock.now()))
    }

    /// What people sign in by, where they do.
    pub(crate) fn visits(&self) -> Option<&Visits> {
        self.visits.as_ref()
    }

    /// The tenants, keys and members.
    pub(crate) const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Who comes by a session.
    async fn visitor(&self, visits: &Visits, visit: Visit) -> Result<Caller, Refused> {
        let hash = visit.hash;
        // A page of another site may send a cookie, and must not use it by that.
        let found = visits.find(visit, self.clock.now()).await?;
        if let Some(session) = found.filter(|one| self.directory.position() < one.position) {
            // It began where more was known, such as that its member has joined.
            self.knows(session.position).await;
            if self.directory.position() < session.position {
                let detail =
                    "the members are not read up to this session yet: try again in a second";
                return Err(Problem::unavailable(detail).into());
            }
        }
        let caller = found.and_then(|session| {
            let entry = self.directory.member(session.member_id)?;
            let counts = entry.member.is_active()
                && entry.member.generation() == session.generation
                && entry.tenant_id == session.tenant_id;
            let (actor, scopes) = (Actor::User(entry.id.0), entry.member.scopes());
            let Session { id, generation, .. } = session;
            let session = Some(CallerSession { id, hash, generation });
            counts.then(|| Caller { session, ..Caller::of(entry.tenant_id, actor, scopes) })
        });
        match caller {
            Some(caller) => Ok(caller),
            None if found.is_some() => Err(Refused::Unknown),
            None => Err(wrong("no session").into()),
        }
    }

    fn still_visits(&self, caller: &Caller) -> bool {
        let (Some(visits), Some(session)) = (&self.visits, caller.session) else { return false };
        let entry = caller.member().and_then(|id| self.directory.member(id));
        let counts = entry.is_some_and(|entry| {
            entry.member.is_active() && entry.member.generation() == session.generation
        });
        counts && visits.sessions().goes_on(session.hash)
    }

    /// The tenant as this process knows it, once that has the log up to `position`.
    ///
    /// # Errors
    /// 503 where it has not in time.
    pub(crate) async fn tenant_at(
        &self,
        id: TenantId,
        position: Option<Position>,
    ) -> Result<Option<Arc<Tenant>>, Problem> {
        let position = position.unwrap_or(Position::START);
        if !self.directory.wait_for(position, CHANGED_MAX).await {
            let detail = format!("the list is not known up to position {position} yet");
            return Err(Problem::unavailable(detail));
        }
        Ok(self.directory.tenant(id))
    }

    /// Refuses another account to a tenant that has as many as it may. Those of the last half second are not counted yet.
    pub(crate) fn room_for_an_account(
        &self,
        tenant: TenantId,
        id: AccountId,
    ) -> Result<(), Problem> {
        let is_new = self.directory.account(id).is_none();
        room::for_an_account(self.directory.accounts_of(tenant), is_new)
    }

    /// Refuses another pool to a tenant that has as many as it may. Those of the last half second are not counted yet.
    pub(crate) fn room_for_a_pool(&self, tenant: TenantId, id: PoolId) -> Result<(), Problem> {
        let (counts, is_known) = self.directory.pools_of(tenant, id);
        room::for_a_pool(counts, !is_known)
    }

    /// Refuses another route to a tenant that has as many as it may. Those of the last half second are not counted yet.
    pub(crate) fn room_for_a_route(&self, tenant: TenantId) -> Result<(), Problem> {
        room::for_a_route(self.directory.routes_of(tenant))
    }

    /// Whether a route of the tenant other than `id` is called `name`. One of the last half second is not known yet.
    pub(crate) fn has_route_called(&self, tenant: TenantId, name: &str, id: RouteId) -> bool {
        self.directory.routes_ever(tenant).iter().any(|(entry, _)| {
            let route = entry.route.as_ref().filter(|route| route.is_there());
            entry.id != id && route.and_then(|route| route.name()) == Some(name)
        })
    }

    /// What is known of an account of the log, whosever it is, also where it was removed.
    pub(crate) fn account(&self, id: AccountId) -> Option<AccountEntry> {
        self.directory.account(id)
    }

    fn is_suspended(&self, caller: &Caller) -> bool {
        self.directory.tenant(caller.tenant).is_some_and(|tenant| tenant.is_suspended())
    }

    /// As [`caller`](Self::caller), by what the log says now where this process does not know who it is: a key that
    /// was made elsewhere a moment ago lets in.
    async fn caller_or_news(&self, request: &mut Request) -> Result<Caller, Refused> {
        let mut caller = self.caller(request);
        let is_unknown = matches!(caller, Err(Refused::Unknown));
        if is_unknown {
            // Whoever guesses keeps nothing open.
            let address = request.extensions().get::<ClientAddress>();
            let quota = request.extensions().get::<Quota>();
            if let (Some(quota), Some(address)) = (quota, address) {
                quota.refuse_guesser(*address)?;
            }
        }
        if is_unknown && self.directory.catch_up(NEWS_MAX).await {
            caller = self.caller(request);
        }
        caller
    }

    fn caller(&self, request: &Request) -> Result<Caller, Refused> {
        let is_of_a_session = |visits: &Visits| visits.is_meant(request.headers());
        let text = match credentials::read(request.headers()) {
            // A cookie of ours that is none counts as little as one that has ended.
            Credentials::None if self.visits.as_ref().is_some_and(is_of_a_session) => {
                return Err(wrong("no session").into());
            }
            Credentials::None if self.is_open => return Ok(Caller::system(NOBODY)),
            Credentials::None => return Err(Problem::no_credentials().into()),
            Credentials::Unreadable => return Err(wrong("no bearer").into()),
            Credentials::Bearer(text) => text,
        };
        let now = self.clock.now();
        if !api_key::is_meant(text) {
            return self.bearer_of_token(text, now);
        }
        let (Presented { id, hash, .. }, entry) = self.holder(text, now)?;
        let client = request.extensions().get::<ClientAddress>();
        // A guess might be an address that the key is good from.
        let Some(&ClientAddress(ip)) = client else {
            let fault = std::io::Error::other("nobody looked where the request comes from");
            return Err(Problem::fault(&fault).into());
        };
        let ranges = entry.key.ip_ranges();
        if !ranges.is_empty() && !ranges.iter().any(|range| range.contains(ip)) {
            return Err(Problem::ip_not_allowed(ip).into());
        }
        let user_agent = request.headers().get(USER_AGENT).and_then(|name| name.to_str().ok());
        self.directory.used(&entry, Use::new(now, ip, user_agent));
        let KeyEntry { tenant_id, key } = entry;
        let scopes = *key.scopes();
        let is_of_team = key.key_type() == KeyType::Team;
        let team = if is_of_team { self.directory.tenant(tenant_id) } else { None };
        let (key, secret) = (Some(key), Some(hash));
        Ok(Caller { key, secret, team, ..Caller::of(tenant_id, Actor::Key(id), scopes) })
    }

    /// Whoever an issuer says presents the token, where it is about a tenant that there is.
    fn bearer_of_token(&self, text: &str, now: DateTime<Utc>) -> Result<Caller, Refused> {
        let caller = self.tokens.caller(text, now).map_err(wrong)?;
        if !self.directory.is_read() {
            return Err(Refused::Unknown);
        }
        match self.directory.tenant(caller.tenant) {
            Some(_) => Ok(caller),
            None => Err(wrong("a token of a tenant that there is not").into()),
        }
    }

    /// The key that is presented, or why it is none. Only our log learns that.
    fn holder(&self, text: &str, now: DateTime<Utc>) -> Result<(Presented, KeyEntry), Refused> {
        let presented = api_key::read(text).map_err(|_| wrong("no key"))?;
        let entry = self.directory.key(&presented.id).ok_or(Refused::Unknown)?;
        entry.key.admits(&presented.hash, now).map_err(|refusal| match refusal {
            KeyRefusal::WrongSecret => wrong("wrong secret"),
            KeyRefusal::Expired => wrong("expired"),
            KeyRefusal::Revoked => wrong("revoked"),
        })?;
        Ok((presented, entry))
    }
}

/// Who somebody says to be who was not let in.
pub(crate) struct Claimed {
    /// Whose key it names. What nobody is known to have asked is the default tenant's to know.
    pub(crate) tenant: TenantId,
    /// The key that it names.
    pub(crate) key: Option<KeyId>,
    /// Whether there is such a key.
    pub(crate) is_known: bool,
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use axum::body::Body;
    use axum::http::header::AUTHORIZATION;
    use chrono::TimeDelta;
    use hatch_domain::api_key::command::ApiKeyCommand;

    use super::*;
    use crate::testing::Api;

    fn presenting(text: &str) -> Request {
        let request = Request::builder().header(AUTHORIZATION, format!("Bearer {text}"));
        let mut request = request.body(Body::empty()).expect("a request");
        request.extensions_mut().insert(ClientAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        request
    }

    fn let_in(door: &Door, text: &str) -> Caller {
        let Ok(caller) = door.caller(&presenting(text)) else { panic!("not let in") };
        caller
    }

    #[tokio::test]
    async fn who_came_by_a_secret_stays_no_longer_than_it_counts() {
        let api = Api::start_closed().await;
        let door = api.door();
        let key = api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |_| ()).await;
        let old = let_in(&door, &key.text);
        let mut next = key.with_another_secret();
        let rotate = async |text: &str, keep_old| {
            let hash = api_key::read(text).expect("a key").hash;
            let (old_until, at) = (api.in_time(keep_old), api.in_time(TimeDelta::zero()));
            api.change_key(&key, &ApiKeyCommand::Rotate { hash, old_until, at }).await;
        };
        rotate(&next, TimeDelta::hours(1)).await;
        let new = let_in(&door, &next);
        assert!(door.still_admits(&old) && door.still_admits(&new), "both count for an hour");
        api.advance(TimeDelta::hours(2)).await;
        assert!(!door.still_admits(&old) && door.still_admits(&new));
        next = key.with_another_secret();
        rotate(&next, TimeDelta::zero()).await;
        assert!(!door.still_admits(&new), "at once, where nothing is kept");
        assert!(door.still_admits(&let_in(&door, &next)));
        assert!(door.still_admits(&Caller::system("api")), "who needs no key has none that ends");
    }

    #[tokio::test]
    async fn a_key_opens_nothing_to_whom_nobody_knows_where_he_is() {
        let api = Api::start_closed().await;
        let here = |key: &mut hatch_domain::api_key::event::ApiKeyCreated| {
            key.ip_ranges = vec!["127.0.0.0/8".parse().expect("a range")];
        };
        let key = api.key(TenantId::DEFAULT, &[Scope::MessagesRead], here).await;
        let mut request = presenting(&key.text);
        assert!(api.door().caller(&request).is_ok());
        request.extensions_mut().remove::<ClientAddress>();
        assert!(api.door().caller(&request).is_err());
    }
}
