//! The outermost layer: names each request, logs it once, and gives every error its body.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use uuid::Uuid;

use crate::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a client's own request id at most.
const REQUEST_ID_LENGTH_MAX: usize = 128;

/// Takes the client's `X-Request-Id` if it is sane, else makes one; answers with it, on errors too.
pub(crate) async fn layer(request: Request, next: Next, new_id: fn() -> Uuid) -> Response {
    let id = client_id(&request).unwrap_or_else(|| new_id().to_string());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let started = Instant::now();
    let span = tracing::info_span!("request", request_id = %id);
    let response = next.run(request).instrument(span).await;
    let mut response = with_body(response, &id);
    tracing::info!(
        request_id = %id,
        method = %method,
        route = route.as_deref().unwrap_or("-"),
        status = response.status().as_u16(),
        duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        "request"
    );
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn client_id(request: &Request) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let sane = !id.is_empty()
        && id.len() <= REQUEST_ID_LENGTH_MAX
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b));
    sane.then(|| id.to_owned())
}

fn with_body(mut response: Response, id: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return problem.render(id);
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
    let mut rendered = Problem::bare(status).render(id);
    if let (StatusCode::METHOD_NOT_ALLOWED, Some(allow)) = (status, allow) {
        rendered.headers_mut().insert(header::ALLOW, allow);
    }
    rendered
}
