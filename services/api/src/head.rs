//! What the head of a request may be.

use axum::http::HeaderName;

/// The request's id, which is the client's own if that is sane.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a client's own request id at most.
const REQUEST_ID_LENGTH_MAX: usize = 128;

/// Whether a client's own request id is taken.
pub(crate) fn is_request_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= REQUEST_ID_LENGTH_MAX
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b))
}

/// Bytes of a request's path and query at most: what RFC 9110, section 4.1 asks every server to take.
pub(crate) const URI_BYTES_MAX: usize = 8_000;

/// Headers of a request at most. By HTTP/1 it is the HTTP library that refuses more, as it does a path of 64 KiB and what
/// is not HTTP: [`ready_made`](crate::ready_made) has what it is to say.
pub(crate) const HEADERS_MAX: usize = 100;

/// Bytes of all headers at most, names and values.
pub(crate) const HEADERS_BYTES_MAX: usize = 32 * 1024;
