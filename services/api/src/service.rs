//! Putting the roles' routers behind one listener.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{Next, from_fn};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::drain::{Drain, DrainListener};
use crate::extract::BODY_BYTES_MAX;
use crate::openapi;
use crate::request::{self, RequestStats};
use crate::stall::StallListener;

/// How long a client may take nothing of an answer that waits for it.
const STALL_MAX: Duration = Duration::from_secs(30);

/// The given routes with what every request goes through: its id, its trace, its log line, the body
/// limit and problems for errors, also for those that `drain` cannot wait for.
pub fn app(
    routes: Router,
    new_id: fn() -> Uuid,
    stats: Arc<RequestStats>,
    drain: &Drain,
) -> Router {
    let named =
        move |request, next: Next| request::layer(request, next, new_id(), Arc::clone(&stats));
    let (timed, closing) = (drain.clone(), drain.clone());
    openapi::complete_methods(routes)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(move |request, next| timed.clone().in_time(request, next)))
        .layer(from_fn(named))
        .layer(from_fn(move |request, next| closing.clone().closing(request, next)))
}

/// Serves `app` until the end of `drain`. A client that takes nothing of its answer for thirty seconds
/// is cut off.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, app: Router, drain: Drain) -> std::io::Result<()> {
    let listener = DrainListener::new(StallListener { listener, stall_max: STALL_MAX }, &drain)?;
    let serving = axum::serve(listener, app).with_graceful_shutdown(drain.settled());
    tokio::select! {
        result = serving => result,
        () = drain.run() => Ok(()),
    }
}
