//! Putting the roles' routers behind one listener.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::client_address::{Connection, TrustedProxies};
use crate::connections::Connections;
use crate::drain::{Drain, DrainListener};
use crate::openapi;
use crate::request::{self, Outermost, RequestStats};
use crate::stall::StallListener;

/// The given routes with what every request goes through: its id, its client's address, its trace, its log line,
/// the body limit and problems for errors, also for those that `drain` cannot wait for.
pub fn app(
    routes: Router,
    new_id: fn() -> Uuid,
    stats: Arc<RequestStats>,
    trusted_proxies: TrustedProxies,
    drain: &Drain,
) -> Router {
    // One layer: each costs every request a copy of all that lies within it.
    let outermost = Arc::new(Outermost { new_id, stats, trusted_proxies, drain: drain.clone() });
    openapi::complete_methods(routes).layer(from_fn_with_state(outermost, request::layer))
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
