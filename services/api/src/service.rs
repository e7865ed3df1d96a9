//! Putting the roles' routers behind one listener.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{Next, from_fn};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::extract::BODY_BYTES_MAX;
use crate::openapi;
use crate::request::{self, RequestStats};
use crate::stall::StallListener;

/// How long requests under way may take after the end was asked for.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How long a client may take nothing of an answer that waits for it.
const STALL_MAX: Duration = Duration::from_secs(30);

/// The given routes with what every request goes through: its id, its trace, its log line, the body
/// limit and problems for errors.
pub fn app(routes: Router, new_id: fn() -> Uuid, stats: Arc<RequestStats>) -> Router {
    let named =
        move |request, next: Next| request::layer(request, next, new_id(), Arc::clone(&stats));
    let routes = openapi::complete_methods(routes);
    routes.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).layer(from_fn(named))
}

/// Serves `app` until `shutdown`, then finishes the requests under way, within ten seconds. A client
/// that takes nothing of its answer for thirty seconds is cut off.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let listener = StallListener { listener, stall_max: STALL_MAX };
    let drained = shutdown.clone();
    let serving =
        axum::serve(listener, app).with_graceful_shutdown(async move { drained.cancelled().await });
    tokio::select! {
        result = serving => result,
        () = async { shutdown.cancelled().await; tokio::time::sleep(DRAIN_MAX).await } => Ok(()),
    }
}
