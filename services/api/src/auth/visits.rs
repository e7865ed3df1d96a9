//! People who have signed in: what a request says of its session, and whether that counts.

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, USER_AGENT};
use axum::http::{HeaderMap, Method};
use chrono::{DateTime, Utc};
use hatch_directory::{Session, SessionError, SessionHash, Sessions, Use};

use super::cookie;
use crate::client_address::ClientAddress;
use crate::limits::Quota;
use crate::problem::Problem;
use crate::sites::Sites;

/// The sessions, and the pages that may use them.
#[derive(Clone)]
pub(crate) struct Visits {
    sessions: Sessions,
    sites: Sites,
}

/// What a request says of its session.
pub(super) struct Visit {
    /// What the session is opened by.
    pub(super) hash: SessionHash,
    /// Whether it may change something, and no page of ours made it.
    is_foreign: bool,
    /// What is left to who asks.
    quota: Quota,
    address: Option<ClientAddress>,
    user_agent: Option<String>,
}

impl Visits {
    pub(crate) const fn new(sessions: Sessions, sites: Sites) -> Self {
        Self { sessions, sites }
    }

    pub(crate) const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The session that a request names. Who says otherwise who he is comes by none.
    pub(super) fn read(&self, request: &Request) -> Option<Visit> {
        let headers = request.headers();
        if headers.contains_key(AUTHORIZATION) {
            return None;
        }
        let secret = cookie::read(headers, self.sites.is_secure())?;
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let user_agent = headers.get(USER_AGENT).and_then(|name| name.to_str().ok());
        Some(Visit {
            hash: SessionHash::of(secret),
            is_foreign: !is_safe && !self.sites.is_by_own_page(request),
            quota: request.extensions().get::<Quota>().cloned().unwrap_or_default(),
            address: request.extensions().get::<ClientAddress>().copied(),
            user_agent: user_agent.map(str::to_owned),
        })
    }

    /// Whether there is a cookie of ours, though it may be none that opens anything.
    pub(super) fn is_meant(&self, headers: &HeaderMap) -> bool {
        cookie::is_there(headers, self.sites.is_secure())
    }

    /// The session, if it goes on.
    pub(super) async fn find(
        &self,
        visit: Visit,
        now: DateTime<Utc>,
    ) -> Result<Option<Session>, Problem> {
        if visit.is_foreign {
            return Err(Problem::foreign_site());
        }
        let Some(ClientAddress(ip)) = visit.address else {
            let fault = std::io::Error::other("nobody looked where the request comes from");
            return Err(Problem::fault(&fault));
        };
        // A page that is open since its session has ended asks on, and guesses nothing.
        if self.sessions.opens_nothing(visit.hash, now) {
            visit.quota.forgive();
            return Ok(None);
        }
        // What is not in memory costs a query, whoever invented it.
        if !self.sessions.holds(visit.hash) {
            visit.quota.refuse_guesser(ClientAddress(ip))?;
        }
        let used = Use::new(now, ip, visit.user_agent.as_deref());
        Ok(self.sessions.find(visit.hash, &used).await?)
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Busy => Self::unavailable("too many sessions are looked for at once"),
            SessionError::Unanswered(_) => Self::unavailable("the sessions are not answered for"),
            SessionError::Postgres(error) => {
                tracing::warn!(%error, "PostgreSQL did not say whether there is a session");
                Self::unavailable("the sessions are not answered for")
            }
        }
    }
}
