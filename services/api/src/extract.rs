//! Reading a request: every refusal is a [`Problem`] that names the field.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use uuid::Uuid;

use crate::body::{self, Kind};
use crate::malformed;
use crate::problem::{FieldCode, FieldError, Problem};

/// Bytes of a body that is parsed where it came in: parsing is linear, and nests 128 deep at most.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// A JSON body, within the limits of a command's.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::unsupported_media_type("application/json"));
        }
        if is_compressed(request.headers()) {
            return Err(Problem::unsupported_encoding());
        }
        let body = body::read(request, Kind::Command).await?;
        let parsed = parse_json_aside(body).await;
        parsed.map(Self).map_err(|error| Problem::invalid(vec![error]))
    }
}

/// A JSON body that may be left out, which means that it says nothing.
#[derive(Debug)]
pub(crate) struct OptionalJsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: Default + DeserializeOwned> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (json, compressed) = (is_json(request.headers()), is_compressed(request.headers()));
        let body = body::read(request, Kind::Command).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if !json {
            return Err(Problem::unsupported_media_type("no body, or application/json"));
        }
        if compressed {
            return Err(Problem::unsupported_encoding());
        }
        if body.trim_ascii() == b"null" {
            return Ok(Self(T::default()));
        }
        parse_json(&body).map(Self).map_err(|error| Problem::invalid(vec![error]))
    }
}

/// The body of an endpoint that takes none: nothing, or what some clients send wherever they post, which is
/// `null` or an object without fields.
#[derive(Debug)]
pub(crate) struct NoBody;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let json = is_json(request.headers());
        let body = body::read(request, Kind::Command).await?;
        if body.is_empty() {
            return Ok(Self);
        }
        if !json {
            return Err(Problem::unsupported_media_type("no body, or application/json"));
        }
        if body.trim_ascii() == b"null" {
            return Ok(Self);
        }
        let parsed = parse_json::<NoFields>(&body);
        parsed.map(|NoFields {}| Self).map_err(|error| Problem::invalid(vec![error]))
    }
}

fn is_compressed(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity")
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let subtype = essence.to_ascii_lowercase();
    subtype == "application/json"
        || (subtype.starts_with("application/") && subtype.ends_with("+json"))
}

/// As [`parse_json`], off the runtime's threads where the body is large.
async fn parse_json_aside<T: DeserializeOwned + Send + 'static>(
    body: Bytes,
) -> Result<T, FieldError> {
    if body.len() <= INLINE_BYTES_MAX {
        return parse_json(&body);
    }
    let parsed = tokio::task::spawn_blocking(move || parse_json(&body)).await;
    parsed.unwrap_or_else(|_| Err(FieldError::new("", "expected JSON that can be read")))
}

/// Parses `body`, a JSON object, or says which field is wrong and what was expected.
pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, FieldError> {
    if body.is_empty() {
        let detail = "expected a JSON object, the body is empty";
        return Err(FieldError::coded(FieldCode::Required, "", detail));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        let detail = format!("expected UTF-8, byte {} is not", error.valid_up_to());
        FieldError::coded(FieldCode::NotJson, "", detail)
    })?;
    // A structure could be read from a list of its fields' values, too.
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        let other = serde_json::from_str::<IgnoredAny>(text);
        return Err(other.map_or_else(
            |error| malformed::not_json(error.line(), error.column()),
            |_| FieldError::coded(FieldCode::WrongType, "", "expected a JSON object"),
        ));
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut parser)
        .map_err(|error| malformed::of_body(error.path(), error.inner(), text))?;
    parser.end().map_err(|error| malformed::not_json(error.line(), error.column()))?;
    Ok(value)
}

/// An id in the path. What is no id names nothing: 404.
#[derive(Debug)]
pub(crate) struct PathId(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<Uuid>::from_request_parts(parts, state).await;
        id.map(|Path(id)| Self(id)).map_err(|_| Problem::not_found("id"))
    }
}

/// Refuses every query parameter: an endpoint that takes none ignores none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParameters {}

/// The parameters of the query.
#[derive(Debug)]
pub(crate) struct QueryParameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::invalid(vec![parameter_error(&rejection)])),
        }
    }
}

/// What is wrong with a parameter, which axum says as `Failed to ...: name: reason`.
fn parameter_error(rejection: &QueryRejection) -> FieldError {
    let text = rejection.body_text();
    let reason = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason);
    // ``duplicate field `limit` `` names it in its words.
    let (name, said) =
        reason.split_once(": ").map_or((None, reason), |(name, said)| (Some(name), said));
    let expected = EXPECTED.iter().find(|(parameter, _)| Some(*parameter) == name);
    malformed::of_query(name, said, expected.map(|(_, expected)| *expected))
}

/// What parameters that are no texts have to be; the parser's own words say nothing to a client.
const EXPECTED: [(&str, &str); 8] = [
    ("limit", "expected a limit from 1 to 200"),
    ("after", "expected a position of the log, such as 42"),
    ("from", "expected a position of the log, such as 42"),
    ("wait", "expected 0 to 30 seconds"),
    ("min_duration_ms", "expected milliseconds, such as 250"),
    ("conversation", "expected a conversation's id, a UUID"),
    ("message", "expected a message's id, a UUID"),
    ("test", "expected true or false"),
];

#[cfg(test)]
mod tests;
