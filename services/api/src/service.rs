//! Putting the roles' routers behind one listener.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::body::Bodies;
use crate::client_address::{Connection, TrustedProxies};
use crate::connections::Connections;
use crate::drain::{Drain, DrainListener};
use crate::hardening;
use crate::openapi;
use crate::request::{self, Outermost, RequestStats};
use crate::sites::Sites;
use crate::stall::StallListener;

/// What every request goes through.
pub struct Entrance {
    /// Makes the ids of requests that have none.
    pub new_id: fn() -> Uuid,
    /// Counts the answers.
    pub stats: Arc<RequestStats>,
    /// Whose word on a client's address counts.
    pub trusted_proxies: TrustedProxies,
    /// By which names this process is reached.
    pub sites: Sites,
    /// How much of bodies may be in memory.
    pub bodies: Bodies,
}

/// The given routes with what every request goes through: its id, its client's address, its trace, its log line,
/// the limits of bodies, headers for browsers, and problems for errors, also for those that `drain` cannot wait for.
pub fn app(routes: Router, entrance: Entrance, drain: &Drain) -> Router {
    // One layer: each costs every request a copy of all that lies within it.
    let outermost = Arc::new(Outermost { entrance, drain: drain.clone() });
    openapi::complete_methods(routes).layer(from_fn_with_state(outermost, request::layer))
}

/// Routes that are no part of the API, which strangers' pages may not ask for anything below `prefix` either.
pub fn guarded(routes: Router, sites: Sites, prefix: &'static str) -> Router {
    routes.layer(from_fn(move |request: Request, next: Next| {
        let sites = sites.clone();
        async move {
            let checked = if request.uri().path().starts_with(prefix) {
                sites.check(&request)
            } else {
                Ok(())
            };
            let mut response = match checked {
                Ok(()) => next.run(request).await,
                Err(problem) => problem.render(None),
            };
            hardening::harden(response.headers_mut(), false, sites.is_secure());
            response
        }
    }))
}

/// Serves `app` until the end of `drain`, by a [`StallListener`] of as many connections as `connections` has places.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    connections: Connections,
    app: Router,
    drain: Drain,
) -> std::io::Result<()> {
    let listener = DrainListener::new(StallListener::new(listener, connections), &drain)?;
    let app = app.into_make_service_with_connect_info::<Connection>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(drain.settled());
    tokio::select! {
        result = serving => result,
        () = drain.run() => Ok(()),
    }
}
