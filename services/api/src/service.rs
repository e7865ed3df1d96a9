//! Putting the roles' routers behind one listener.

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::accepting::{Accepting, Ends};
use crate::connection::Connection;
use crate::connections::Connections;
use crate::drain::Drain;
use crate::hardening;
use crate::openapi;
use crate::problem::{Problem, error_pages};
use crate::request::{self, Entrance, Outermost};
use crate::sites::Sites;
use crate::stall::StallListener;
use crate::tls::Tls;

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
    serve_plain(StallListener::new(listener, connections), routes, shutdown)
}

/// Serves `routes` by HTTP/1 in the clear until `shutdown`, and then until the last request has ended.
///
/// # Errors
/// None today.
pub fn serve_plain(
    listener: StallListener,
    app: Router,
    shutdown: CancellationToken,
) -> BoxFuture<'static, std::io::Result<()>> {
    let accepting = Accepting { listener, tls: None, http2: false, app, ends: Ends::at(&shutdown) };
    Box::pin(async move {
        accepting.run().await;
        Ok(())
    })
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

/// Serves `app` in the clear until the end of `drain`, on as many connections as `connections` has places.
///
/// # Errors
/// None today.
pub fn serve(
    listener: TcpListener,
    connections: Connections,
    app: Router,
    drain: Drain,
) -> BoxFuture<'static, std::io::Result<()>> {
    serve_by(listener, (connections, None), app, drain)
}

/// As [`serve`], by TLS where it is given.
///
/// # Errors
/// None today.
pub fn serve_by(
    listener: TcpListener,
    (connections, tls): (Connections, Option<Tls>),
    app: Router,
    drain: Drain,
) -> BoxFuture<'static, std::io::Result<()>> {
    let listener = StallListener::new(listener, connections);
    let accepting = Accepting { listener, tls, http2: true, app, ends: drain.ends() };
    Box::pin(async move {
        tokio::select! {
            () = accepting.run() => {}
            () = drain.run() => {}
        }
        Ok(())
    })
}
