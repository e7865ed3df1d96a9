//! What every request goes through: it is named, its body limited, its trace begun, its caller known; it is logged and
//! counted once, every error has its body, and it ends with the process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hatch_telemetry::measure::{Counter, Family, Histogram};
use hatch_telemetry::request::within;
use hatch_telemetry::{span, trace};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::auth::Door;
use crate::body::Bodies;
use crate::client_address::TrustedProxies;
use crate::connection;
use crate::connection_service::has_place;
use crate::cors::Cors;
use crate::drain::Drain;
use crate::hardening;
use crate::head::{HEADERS_BYTES_MAX, HEADERS_MAX, REQUEST_ID, URI_BYTES_MAX, is_request_id};
use crate::limits::Limits;
use crate::problem::Problem;
use crate::sites::Sites;
use crate::trail::Trail;
use crate::unread::Reading;

/// The name under which requests without a route are counted.
const NO_ROUTE: &str = "-";

/// Routes of those who look whether the process is well.
const PROBES: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Routes whose requests set nothing off, and come all the time.
const UNTRACED: [&str; 4] = [NO_ROUTE, PROBES[0], PROBES[1], PROBES[2]];

/// What the HTTP interface has answered since it started, by route: the pattern, not the path.
#[derive(Debug, Default)]
pub struct RequestStats {
    /// Each route that was asked for; `-` is what has none.
    pub routes: Family<String, RouteStats>,
}

/// What one route has answered.
#[derive(Debug)]
pub struct RouteStats {
    /// Answers, by method and status.
    pub answers: Family<(&'static str, u16), Counter>,
    /// Seconds until the answer began, whatever the method was.
    pub seconds: Histogram,
}

/// Upper bounds for the durations of requests, in seconds. Each route has them all, so they are few.
const REQUEST_SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 2.5];

impl Default for RouteStats {
    fn default() -> Self {
        Self { answers: Family::default(), seconds: Histogram::new(REQUEST_SECONDS) }
    }
}

/// What every request goes through.
pub struct Entrance {
    /// Makes the ids of requests that have none.
    pub new_id: fn() -> Uuid,
    /// Counts the answers.
    pub stats: Arc<RequestStats>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// By which names this process is reached, and which pages may ask.
    pub sites: Sites,
    /// How much of bodies may be in memory.
    pub bodies: Bodies,
    /// Who is let in.
    pub door: Door,
    /// How often clients may ask.
    pub limits: Limits,
    /// What is recorded of requests.
    pub trail: Trail,
}

/// What the outermost layer works with.
pub(crate) struct Outermost {
    pub(crate) entrance: Entrance,
    pub(crate) drain: Drain,
}

/// Takes the client's `X-Request-Id` if it is sane, else a new one; answers with it, on errors too.
/// The trace is the client's, by its `traceparent`, else a new one where traces are exported.
pub(crate) async fn layer(
    State(outermost): State<Arc<Outermost>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Outermost { entrance, drain } = &*outermost;
    let Entrance { new_id, stats, trusted_proxies, sites, bodies, door, limits, trail } = entrance;
    let busy = connection::identify(&mut request, trusted_proxies);
    let reading = Reading::of(&mut request);
    let quota = limits.open(&mut request);
    let origin = sites.cors().origin(&request);
    let id = client_id(&request).unwrap_or_else(|| new_id().to_string());
    request.extensions_mut().insert(bodies.clone());
    request.extensions_mut().insert(sites.error_pages().clone());
    let method = method_name(request.method());
    let noted = trail.open(&mut request, &id, method);
    let is_page = hardening::is_page(request.uri().path());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let traceparent = traceparent.map(str::to_owned);
    let started = Instant::now();
    let lines = tracing::info_span!("request", request_id = %id);
    let traced = if UNTRACED.contains(&route) {
        Span::none()
    } else {
        span!("request", otel.kind = "server", request_id = %id, method, route, status = Empty)
    };
    let answered = async {
        let answered = async {
            let checked = unheard(&request).map_or_else(|| sites.check(&request), Err);
            // A browser asks it before it sends a key.
            let preflight = Cors::preflight(origin.as_ref(), &request);
            if let (Ok(()), Some(preflight)) = (&checked, preflight) {
                return preflight;
            }
            let admitted = match checked {
                Ok(()) => door.admit(&mut request).await,
                Err(problem) => Err(problem),
            };
            let admitted = quota.admit(admitted, &request);
            noted.asked(door, &request);
            match admitted {
                Err(problem) => problem.into_response(),
                Ok(()) => next.run(request).await,
            }
        };
        (drain.in_time(answered).await, trace::current_trace_id())
    };
    let answered = trace::within(traced.clone(), traceparent.as_deref(), answered);
    let (response, trace_id) = within(id.clone(), answered.instrument(lines)).await;
    drop(busy);
    let took = started.elapsed();
    noted.close(&response, took);
    let mut response = with_body(response, &id, sites);
    let status = response.status().as_u16();
    traced.record("status", status);
    let route_stats = stats.routes.of(route);
    route_stats.answers.of(&(counted_method(method, response.status()), status)).increment();
    route_stats.seconds.observe_duration(took);
    log((&id, trace_id.as_deref()), (method, route), status, took);
    name(response.headers_mut(), &id);
    hardening::harden(response.headers_mut(), is_page, sites.is_secure());
    sites.cors().tell(origin, response.headers_mut());
    reading.tell(response.headers_mut());
    quota.tell(response.headers_mut());
    if drain.has_begun() {
        // The client comes back by another connection.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Says in an answer which request it is of.
fn name(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
}

fn log(
    (id, trace_id): (&str, Option<&str>),
    (method, route): (&str, &str),
    status: u16,
    took: Duration,
) {
    let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // They come all the time, and what they say is said elsewhere.
    if PROBES.contains(&route) {
        tracing::debug!(request_id = %id, trace_id, method, route, status, duration_us, "request");
    } else {
        tracing::info!(request_id = %id, trace_id, method, route, status, duration_us, "request");
    }
}

/// Why the request's head is not looked at.
fn unheard(request: &Request) -> Option<Problem> {
    if let Err(problem) = has_place(request) {
        return Some(problem);
    }
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > URI_BYTES_MAX {
        return Some(Problem::uri_too_long(URI_BYTES_MAX));
    }
    if request.headers().len() > HEADERS_MAX {
        return Some(Problem::too_many_headers(HEADERS_MAX, HEADERS_BYTES_MAX));
    }
    let sizes = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    (sizes.sum::<usize>() > HEADERS_BYTES_MAX)
        .then(|| Problem::headers_too_large(HEADERS_BYTES_MAX))
}

/// The method, if it is one that exists: a client can write anything there.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "-",
    }
}

/// The method by which an answer is counted: those that a route does not have are one, for it is clients who
/// choose them.
fn counted_method(method: &'static str, status: StatusCode) -> &'static str {
    if status == StatusCode::METHOD_NOT_ALLOWED { "-" } else { method }
}

fn client_id(request: &Request) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    is_request_id(id).then(|| id.to_owned())
}

fn with_body(mut response: Response, id: &str, sites: &Sites) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return sites.explain(problem).render(Some(id));
    }
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let has_body = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    if !is_error || has_body {
        return response;
    }
    let allow = response.headers_mut().remove(header::ALLOW);
    let mut rendered = sites.explain(Problem::bare(status)).render(Some(id));
    if let (StatusCode::METHOD_NOT_ALLOWED, Some(allow)) = (status, allow) {
        rendered.headers_mut().insert(header::ALLOW, allow);
    }
    rendered
}

#[cfg(test)]
mod tests;
