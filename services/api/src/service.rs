//! Putting the roles' routers behind one listener.

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::connections::Connections;
use crate::drain::{Drain, DrainListener};
use crate::hardening;
use crate::openapi;
use crate::problem::{Problem, error_pages};
use crate::request::{self, Entrance, Outermost};
use crate::sites::Sites;
use crate::stall::StallListener;

/// The given routes with what every request goes through: its id, its client's address, its trace, its log line,
/// the limits of bodies, headers for browsers, and problems for errors, also for those that `drain` cannot wait for.
pub fn app(routes: Router, entrance: Entrance, drain: &Drain) -> Router {
    // One layer: each costs every request a copy of all that lies within it.
    let outermost = Arc::new(Outermost { entrance, drain: drain.clone() });
    openapi::complete_methods(routes).layer(from_fn_with_state(outermost, request::layer))
}

/// Serves routes that are no part of the API until `shutdown`, on as many connections as `connections` has places. What
/// lies below `prefix` is asked for by no stranger's page. The pages of errors are there, too.
///
/// # Errors
/// When the listener fails.
pub fn serve_beside(
    listener: TcpListener,
    connections: Connections,
    routes: Router,
    (sites, prefix): (Sites, &'static str),
    shutdown: CancellationToken,
) -> BoxFuture<'static, std::io::Result<()>> {
    let connections = connections.explained_by(&sites);
    let routes = routes.merge(error_pages()).layer(from_fn(move |request: Request, next: Next| {
        let sites = sites.clone();
        async move { beside(&sites, prefix, request, next).await }
    }));
    let routes = routes.into_make_service_with_connect_info::<Connection>();
    let listener = StallListener::new(listener, connections);
    let serving = axum::serve(listener, routes);
    Box::pin(serving.with_graceful_shutdown(shutdown.cancelled_owned()).into_future())
}

async fn beside(sites: &Sites, prefix: &str, mut request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<ConnectInfo<Connection>>();
    let _busy = connection.map(|connection| connection.0.busy());
    let path = request.uri().path();
    let (is_open, is_page) = (!path.starts_with(prefix), hardening::is_page(path));
    request.extensions_mut().insert(sites.error_pages().clone());
    let mut response = match sites.check(&request) {
        Err(problem) if !is_open => problem.into_response(),
        _ => next.run(request).await,
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = sites.explain(problem).render(None);
    }
    hardening::harden(response.headers_mut(), is_page, sites.is_secure());
    response
}

/// Serves `app` until the end of `drain`, by a [`StallListener`] of as many connections as `connections` has places.
///
/// # Errors
/// When the listener fails.
pub fn serve(
    listener: TcpListener,
    connections: Connections,
    app: Router,
    drain: Drain,
) -> BoxFuture<'static, std::io::Result<()>> {
    Box::pin(async move {
        let listener = DrainListener::new(StallListener::new(listener, connections), &drain)?;
        let app = app.into_make_service_with_connect_info::<Connection>();
        let serving = axum::serve(listener, app).with_graceful_shutdown(drain.settled());
        tokio::select! {
            result = serving => result,
            () = drain.run() => Ok(()),
        }
    })
}
