//! What is recorded of requests outside the log of events: the request log for those who build clients, and the part
//! of the audit that no event says. Requests wait for neither, but for what has to be in the audit before it is shown.

mod mask;
mod noted;
mod reads;
mod refusals;
mod shares;
mod write;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::extract::{MatchedPath, Request};
use axum::http::header::USER_AGENT;
use chrono::TimeDelta;
use futures::future::BoxFuture;
use hatch_domain::Environment;
use hatch_readmodel::ReadModel;
use hatch_telemetry::measure::{Counter, Family};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::noted::{Answered, Open};
pub(crate) use self::noted::{Noted, RefusedParts};
pub(crate) use self::reads::Read;
use self::refusals::Refusals;
use self::shares::Shares;
use crate::auth::is_public;
use crate::client_address::ClientAddress;

/// Requests that wait to be written at most, of a process; those beyond are left out and counted.
const WAITING_MAX: usize = 2_048;

/// Routes without a caller at which somebody becomes one.
const SIGN_INS: [&str; 3] = ["/api/v1/session", "/api/v1/invitations", "/auth/"];

/// What is recorded, and how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailRules {
    /// Whether the request log is written.
    pub logs_requests: bool,
    /// How long it is kept, also what was written before.
    pub requests: TimeDelta,
    /// Bytes of it; beyond them the oldest days go, and then nothing more is written.
    pub requests_bytes_max: u64,
    /// How long the audit of what is no event is kept.
    pub audit: TimeDelta,
}

/// What became of what was to be recorded.
#[derive(Debug, Default)]
pub struct TrailStats {
    /// Requests: `written`, `left_out` where a client asks too often, or `dropped` because too many waited, PostgreSQL
    /// did not take them or there are too many bytes, of all or of a tenant's day.
    pub requests: Family<&'static str, Counter>,
    /// Refused requests: `kept`, `left_out` where a client had too many, or `lost`.
    pub refusals: Family<&'static str, Counter>,
}

/// The trail of a process; cheap to clone. By default nothing is recorded.
#[derive(Clone, Default)]
pub struct Trail(Option<Arc<Inner>>);

struct Inner {
    rules: TrailRules,
    clock: Arc<dyn Environment>,
    answered: mpsc::Sender<Answered>,
    refusals: Refusals,
    shares: Shares,
    /// Whether the request log has all the bytes that it may have.
    is_full: AtomicBool,
    stats: TrailStats,
}

impl Trail {
    /// Records by `rules`, and what writes it until `shutdown`. What has come by then is written.
    #[must_use]
    pub fn start(
        rules: TrailRules,
        clock: Arc<dyn Environment>,
        read_model: ReadModel,
        shutdown: CancellationToken,
    ) -> (Self, BoxFuture<'static, ()>) {
        let (answered, waiting) = mpsc::channel(WAITING_MAX);
        let (refusals, stats) = (Refusals::default(), TrailStats::default());
        for outcome in ["written", "left_out", "dropped"] {
            stats.requests.of(&outcome);
        }
        for outcome in ["kept", "left_out", "lost"] {
            stats.refusals.of(&outcome);
        }
        let (shares, is_full) = (Shares::default(), AtomicBool::new(false));
        let inner = Arc::new(Inner { rules, clock, answered, refusals, shares, is_full, stats });
        let writing = write::run(Arc::clone(&inner), waiting, read_model, shutdown);
        (Self(Some(inner)), Box::pin(writing))
    }

    /// What became of what was to be recorded; none where nothing is.
    #[must_use]
    pub fn stats(&self) -> Option<&TrailStats> {
        self.0.as_deref().map(|inner| &inner.stats)
    }

    /// Begins the record of `request`, which has that id. Probes, pages and webhooks have none.
    pub(crate) fn open(&self, request: &mut Request, id: &str, method: &'static str) -> Noted {
        let Some(trail) = &self.0 else { return Noted::default() };
        let route = request.extensions().get::<MatchedPath>().cloned();
        let Some(route) = route.filter(|route| !is_left_out(route.as_str())) else {
            return Noted::default();
        };
        let Some(&ClientAddress(address)) = request.extensions().get() else {
            return Noted::default();
        };
        let agent = request.headers().get(USER_AGENT).and_then(|name| name.to_str().ok());
        let open = Open {
            trail: Arc::clone(trail),
            request_id: id.to_owned(),
            at: trail.clock.now(),
            method,
            uri: request.uri().clone(),
            route,
            address: ClientAddress(address),
            user_agent: agent.map(mask::readable),
            asker: std::sync::OnceLock::new(),
            body: std::sync::OnceLock::new(),
        };
        let noted = Noted::of(open);
        request.extensions_mut().insert(noted.clone());
        noted
    }
}

/// Whether nobody wants to know of requests to `route`: they come all the time, or have a log of their own.
fn is_left_out(route: &str) -> bool {
    is_public(route) && !SIGN_INS.iter().any(|prefix| route.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_pages_and_webhooks_are_left_out() {
        for (route, left_out) in [
            ("/health", true),
            ("/metrics", true),
            ("/docs/{*rest}", true),
            ("/api/v1/openapi.json", true),
            ("/api/v1/webhooks/{provider}", true),
            ("/api/webhooks/sms", true),
            ("/api/v1/messages", false),
            ("/api/v1/webhooks/replay/{id}", false),
            ("/api/v1/webhook-log/{id}", false),
            ("/api/v1/session", false),
        ] {
            assert_eq!(is_left_out(route), left_out, "{route}");
        }
    }
}
