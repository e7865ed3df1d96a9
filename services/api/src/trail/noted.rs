//! The record of one request, while it is answered.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use hatch_domain::actor::Actor;
use hatch_domain::ids::TenantId;
use hatch_readmodel::{AnsweredRequest, Audited};
use serde_json::json;

use super::refusals::Client;
use super::{Inner, mask};
use crate::auth::{Caller, Claimed, Door};
use crate::client_address::ClientAddress;
use crate::problem::{POSITION, Problem};

/// Bytes of a body at most whose shape is looked at.
const BODY_BYTES_MAX: usize = 8 * 1024;

/// Routes whose bodies are credentials: not even a copy of one is made.
const CREDENTIALS: [&str; 5] =
    ["/api/v1/session", "/api/v1/members", "/api/v1/invitations", "/api/v1/accounts", "/auth/"];

/// Things at most that a request is said to be about.
const TOUCHED_MAX: usize = 8;

/// What is known of a request so far; an extension of it. Where nothing is recorded, it is empty.
#[derive(Clone, Default)]
pub(crate) struct Noted(Option<Arc<Open>>);

pub(super) struct Open {
    pub(super) trail: Arc<Inner>,
    pub(super) request_id: String,
    pub(super) at: DateTime<Utc>,
    pub(super) method: &'static str,
    pub(super) uri: Uri,
    pub(super) route: MatchedPath,
    pub(super) address: ClientAddress,
    pub(super) user_agent: Option<String>,
    pub(super) asker: OnceLock<Asker>,
    /// A copy: what a body takes of the limit of all bodies is given back when it was worked on.
    pub(super) body: OnceLock<Bytes>,
}

/// Parts of a request that were refused to who asks, though the whole was not; an extension of the answer.
#[derive(Debug, Clone)]
pub(crate) struct RefusedParts {
    /// How many.
    pub(crate) count: usize,
    /// Why the first of them was.
    pub(crate) code: String,
}

/// Who asks.
pub(super) struct Asker {
    tenant: TenantId,
    /// None where nobody knows.
    actor: Option<String>,
    /// The key that was presented, good or not.
    key_id: Option<String>,
    /// Whether there is that key.
    names_a_key: bool,
}

/// A request that was answered, and its body, whose shape is not looked at yet.
pub(super) struct Answered {
    pub(super) row: AnsweredRequest,
    pub(super) body: Option<Bytes>,
}

impl Noted {
    pub(super) fn of(open: Open) -> Self {
        Self(Some(Arc::new(open)))
    }

    /// Notes who asks, once `door` has let him in or not.
    pub(crate) fn asked(&self, door: &Door, request: &Request) {
        let Some(open) = &self.0 else { return };
        let asker = match request.extensions().get::<Caller>() {
            Some(Caller { tenant, actor, .. }) => {
                let key_id = if let Actor::Key(id) = actor { Some(id.to_string()) } else { None };
                Asker {
                    tenant: *tenant,
                    actor: Some(actor.to_string()),
                    names_a_key: key_id.is_some(),
                    key_id,
                }
            }
            None => {
                let Claimed { tenant, key, is_known } = door.claimed(request.headers());
                let key_id = key.map(|id| id.to_string());
                Asker { tenant, actor: None, key_id, names_a_key: is_known }
            }
        };
        // Nobody asks twice.
        let _ = open.asker.set(asker);
    }

    /// Notes what the body is.
    pub(crate) fn body(&self, body: &[u8]) {
        let Some(open) = &self.0 else { return };
        let route = open.route.as_str();
        let is_secret = CREDENTIALS.iter().any(|prefix| route.starts_with(prefix));
        let is_wanted = open.trail.rules.logs_requests && !is_secret;
        if is_wanted && (1..=BODY_BYTES_MAX).contains(&body.len()) {
            let _ = open.body.set(Bytes::copy_from_slice(body));
        }
    }

    /// Records how it was answered, and after how long. Nobody waits for that.
    pub(crate) fn close(&self, response: &Response, took: Duration) {
        let Some(open) = &self.0 else { return };
        let Some(asker) = open.asker.get() else { return };
        let code = response.extensions().get::<Problem>().map(Problem::code);
        let is_known = asker.actor.is_some();
        if asker.is_refused(response.status()) {
            // What nobody is to be held to may come as often as it likes: a few are recorded.
            if !open.refuse(asker, (response.status(), code.as_deref()), None) {
                return;
            }
        } else if !is_known {
            return;
        } else if let Some(RefusedParts { count, code }) =
            response.extensions().get::<RefusedParts>()
        {
            open.refuse(asker, (StatusCode::FORBIDDEN, Some(code.as_str())), Some(*count));
        }
        if open.trail.rules.logs_requests {
            if !open.has_share(asker, response.status()) {
                open.trail.stats.requests.of(&"left_out").increment();
                return;
            }
            let row = open.row(asker, response, code, took);
            open.trail.answered(Answered { row, body: open.body.get().cloned() });
        }
    }
}

impl Asker {
    /// Whether an answer of that status says that he may not do that.
    fn is_refused(&self, status: StatusCode) -> bool {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => true,
            // Who is known and asks too often has done no wrong.
            StatusCode::TOO_MANY_REQUESTS => self.actor.is_none(),
            _ => false,
        }
    }
}

impl Open {
    /// Puts a refusal into the audit, of the whole request or of so many `parts`; false where the client has had too many
    /// of them.
    fn refuse(
        &self,
        asker: &Asker,
        (status, code): (StatusCode, Option<&str>),
        parts: Option<usize>,
    ) -> bool {
        // Whoever tries the key of another hides nothing of those that are tried beside it.
        let client = match (&asker.actor, &asker.key_id) {
            (Some(actor), _) => Client::Known(actor.clone()),
            (None, Some(key)) if asker.names_a_key => Client::Claiming(key.clone()),
            (None, _) => Client::At(self.address.counted()),
        };
        let details = || {
            let route = self.route.as_str();
            let mut details = json!({
                "method": self.method, "route": route, "status": status.as_u16(), "code": code,
            });
            if let Some(parts) = parts {
                details["parts"] = parts.into();
            }
            details
        };
        let audited = || Audited {
            id: self.trail.clock.new_id(),
            tenant: asker.tenant,
            at: self.at,
            actor: asker.actor.clone(),
            key_id: asker.key_id.clone(),
            action: "request.refused",
            object: None,
            details: details(),
            request_id: Some(self.request_id.clone()),
            address: Some(self.address.0),
        };
        let kept = self.trail.refusals.note(self.at, (asker.tenant, client), audited);
        let outcome = if kept { "kept" } else { "left_out" };
        self.trail.stats.refusals.of(&outcome).increment();
        kept
    }

    /// Whether an answer of that status has a row: who is told that he asks too often may be told so all the time.
    fn has_share(&self, asker: &Asker, status: StatusCode) -> bool {
        match &asker.actor {
            Some(actor) if status == StatusCode::TOO_MANY_REQUESTS => {
                self.trail.shares.too_often(self.at, asker.tenant, actor)
            }
            _ => true,
        }
    }

    fn row(
        &self,
        asker: &Asker,
        response: &Response,
        code: Option<String>,
        took: Duration,
    ) -> AnsweredRequest {
        let (route, path) = (self.route.as_str(), self.uri.path());
        let headers = response.headers();
        let header = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let mut touched = mask::ids_of_path(route, path);
        touched.extend(header(&LOCATION).into_iter().flat_map(mask::ids_of_location));
        touched.truncate(TOUCHED_MAX);
        AnsweredRequest {
            id: self.trail.clock.new_id(),
            tenant: asker.tenant,
            request_id: self.request_id.clone(),
            at: self.at,
            method: self.method,
            path: mask::path(route, path),
            query: self.uri.query().map(mask::query),
            route: route.to_owned(),
            status: response.status().as_u16(),
            code,
            actor: asker.actor.clone(),
            key_id: asker.key_id.clone(),
            address: self.address.0,
            user_agent: self.user_agent.clone(),
            duration_us: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
            position: header(&POSITION).and_then(|position| position.parse().ok()),
            touched,
            body: None,
        }
    }
}

impl Inner {
    fn answered(&self, answered: Answered) {
        let tenant = answered.row.tenant;
        let has_room = !self.is_full.load(Ordering::Relaxed) && self.shares.begin(tenant);
        if has_room && self.answered.try_send(answered).is_ok() {
            return;
        }
        if has_room {
            self.shares.end(tenant);
        }
        self.stats.requests.of(&"dropped").increment();
    }
}
