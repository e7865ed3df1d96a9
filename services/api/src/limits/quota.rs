//! What one request costs its client, and what he is told of what is left.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use hatch_domain::actor::Actor;

use super::table::{Client, Key};
use super::window::Standing;
use super::{Inner, Policy, seconds};
use crate::auth::{Caller, is_sign_in};
use crate::client_address::ClientAddress;
use crate::problem::Problem;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// The account of one request: its layer opens it, its handler may charge more to it, and the answer says what is
/// left. Without limits, and at a route that has neither a caller nor makes somebody one, nothing is charged.
#[derive(Clone, Default)]
pub(crate) struct Quota(Option<Arc<Opened>>);

struct Opened {
    limits: Arc<Inner>,
    account: OnceLock<Account>,
    /// Whether its wrong credentials are not counted.
    is_forgiven: AtomicBool,
}

/// Whose account it is.
struct Account {
    client: Client,
    tenant: String,
    api_key: Option<String>,
    route: u16,
    policy: Policy,
}

impl Account {
    fn key(&self) -> Key {
        Key { client: self.client, route: self.route }
    }
}

/// What is left to a client at a route.
pub(super) struct Left {
    pub(super) route: String,
    pub(super) policy: &'static str,
    pub(super) window_s: u32,
    pub(super) standing: Standing,
}

impl Quota {
    pub(super) fn of(limits: Arc<Inner>) -> Self {
        Self(Some(Arc::new(Opened {
            limits,
            account: OnceLock::new(),
            is_forgiven: AtomicBool::new(false),
        })))
    }

    /// Charges `request`, which was `admitted` or not, before its body is read.
    ///
    /// # Errors
    /// Why it was not admitted, or that nothing is left.
    pub(crate) fn admit(
        &self,
        admitted: Result<(), Problem>,
        request: &Request,
    ) -> Result<(), Problem> {
        let Some(Opened { limits, account, is_forgiven }) = self.0.as_deref() else {
            return admitted;
        };
        let address = request.extensions().get::<ClientAddress>();
        let address = address.copied().unwrap_or(ClientAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        if admitted.as_ref().is_err_and(Problem::is_unauthorized) {
            if is_forgiven.load(Ordering::Relaxed) {
                return admitted;
            }
            let (key, policy) = limits.of_wrong_credentials(address);
            let (client, route, tenant) = (key.client, key.route, String::new());
            let open = || Account { client, tenant, api_key: None, route, policy };
            let opened = account.get_or_init(open);
            limits.take(opened.key(), policy, 1)?;
            return admitted;
        }
        let Some(path) = request.extensions().get::<MatchedPath>() else { return admitted };
        let route = format!("{} {}", method(request.method()), path.as_str());
        let (client, tenant, api_key) = match request.extensions().get::<Caller>() {
            Some(caller) => of_caller(caller, address),
            // Who he is, he is about to show.
            None if is_sign_in(&route) => (Client::at(address.counted()), String::new(), None),
            None => return admitted,
        };
        let policy = limits.policy(&route, &tenant, api_key.as_deref());
        let route = limits.routes.id(&route);
        let opened = account.get_or_init(|| Account { client, tenant, api_key, route, policy });
        limits.take(opened.key(), policy, 1)?;
        // Whoever may not do it asks no oftener than who may.
        admitted
    }

    /// The wrong credentials of this request were counted when they were first presented.
    pub(crate) fn forgive(&self) {
        if let Some(opened) = self.0.as_deref() {
            opened.is_forgiven.store(true, Ordering::Relaxed);
        }
    }

    /// Refuses whose address has had as many wrong credentials as it may, before others are looked for.
    ///
    /// # Errors
    /// Nothing is left.
    pub(crate) fn refuse_guesser(&self, address: ClientAddress) -> Result<(), Problem> {
        let Some(Opened { limits, account, .. }) = self.0.as_deref() else { return Ok(()) };
        let (key, policy) = limits.of_wrong_credentials(address);
        if limits.standing(key, policy).left > 0 {
            return Ok(());
        }
        let (client, route, tenant) = (key.client, key.route, String::new());
        let opened =
            account.get_or_init(|| Account { client, tenant, api_key: None, route, policy });
        limits.take(opened.key(), policy, 1)
    }

    /// Charges `count` more, when it is known that the request asks for so much.
    ///
    /// # Errors
    /// Not so much is left: nothing of it is charged.
    pub(crate) fn charge(&self, count: usize) -> Result<(), Problem> {
        let Some((limits, account)) = self.account() else { return Ok(()) };
        match u32::try_from(count).unwrap_or(u32::MAX) {
            0 => Ok(()),
            // The request itself has passed.
            count => limits.take_more(account.key(), account.policy, (1, count)),
        }
    }

    /// Says in the headers of the answer what is left.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let Some((limits, account)) = self.account() else { return };
        let Policy { name, limit } = account.policy;
        let Standing { left, reset_ms, .. } = limits.standing(account.key(), account.policy);
        let (reset_s, window_s) = (seconds(reset_ms), limits.rules.window_s);
        headers.insert(LIMIT, HeaderValue::from(limit));
        headers.insert(REMAINING, HeaderValue::from(left));
        headers.insert(RESET, HeaderValue::from(reset_s));
        for (header, text) in [
            (POLICY, format!("\"{name}\";q={limit};w={window_s}")),
            (LEFT, format!("\"{name}\";r={left};t={reset_s}")),
        ] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(header, value);
            }
        }
    }

    /// What is left to the client at each route of this process that he asked for lately; none where there are no
    /// limits.
    pub(super) fn left(&self) -> Option<Vec<Left>> {
        let (limits, account) = self.account()?;
        let moment = limits.moment();
        let of = |(route, name): (u16, Arc<str>)| {
            let key = Key { client: account.client, route };
            limits.table.used(key, moment).filter(|used| *used > 0)?;
            let policy = limits.policy(&name, &account.tenant, account.api_key.as_deref());
            let standing = limits.table.standing(key, policy.limit, moment);
            let (route, window_s) = (name.to_string(), limits.rules.window_s);
            Some(Left { route, policy: policy.name, window_s, standing })
        };
        let mut all: Vec<_> = limits.routes.all().into_iter().filter_map(of).collect();
        // Wrong credentials of the client's address are no route.
        all.retain(|left| left.route != super::WRONG_CREDENTIALS);
        all.sort_by(|a, b| a.route.cmp(&b.route));
        Some(all)
    }

    fn account(&self) -> Option<(&Inner, &Account)> {
        let Opened { limits, account, .. } = self.0.as_deref()?;
        Some((limits, account.get()?))
    }
}

/// Whose account it is who makes a request: by which name, of which tenant, and by which key.
fn of_caller(caller: &Caller, address: ClientAddress) -> (Client, String, Option<String>) {
    let (client, api_key) = match (&caller.actor, caller.session) {
        (Actor::Key(id), _) => (Client::named(&id.to_string()), Some(id.to_string())),
        (_, Some(session)) => (Client::named(&format!("session:{}", session.id)), None),
        (actor @ (Actor::User(_) | Actor::Token { .. }), None) => {
            (Client::named(&actor.to_string()), None)
        }
        (Actor::System(_), None) => (Client::at(address.counted()), None),
    };
    (client, caller.tenant.to_string(), api_key)
}

/// The method under which a request is counted: one for all that no route has.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" | "HEAD" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "-",
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Quota {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
