//! Answers that are written as bytes, where nothing came as far as the routes: the HTTP library answers by itself what it
//! takes for no request, without a body and without the headers that browsers mind.

use std::fmt::Write as _;

use axum::http::header::{CONNECTION, CONTENT_LENGTH};
use axum::http::{HeaderValue, StatusCode};
use hatch_domain::Environment as _;
use hatch_eventstore::SystemEnvironment;

use crate::hardening;
use crate::head::{HEADERS_BYTES_MAX, HEADERS_MAX, REQUEST_ID, URI_BYTES_MAX};
use crate::problem::{ErrorPages, FieldError, Problem};

/// The beginning of every answer that the HTTP library makes by itself.
const BEGINNING: &[u8] = b"HTTP/1.1 4";

/// A header that every answer of the routes has.
const OURS: &[u8] = b"x-content-type-options";

/// `problem` as bytes, after which the connection ends.
pub(crate) fn answer(problem: Problem) -> Vec<u8> {
    let id = SystemEnvironment.new_id().to_string();
    let (status, mut headers, body) = problem.into_parts(Some(&id));
    hardening::harden(&mut headers, false, false);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    let mut head = String::new();
    for (name, value) in &headers {
        // A String takes all that is written to it, and what we say is text.
        let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let reason = status.canonical_reason().unwrap_or_default();
    let mut answer = format!("HTTP/1.1 {} {reason}\r\n{head}\r\n", status.as_u16()).into_bytes();
    answer.extend(body);
    answer
}

/// The answer that replaces `bytes`, if those are an answer of the HTTP library's own: a head without a body. `pages`
/// explain it.
pub(crate) fn instead_of(bytes: &[u8], pages: impl FnOnce() -> ErrorPages) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(BEGINNING)?;
    let ends = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    if ends != bytes.len() || bytes.windows(OURS.len()).any(|part| part == OURS) {
        return None;
    }
    let problem = match rest.get(..2)? {
        b"00" => {
            let detail = "expected the head of a request, as RFC 9112 has it";
            Problem::invalid(vec![FieldError::new("", detail)])
        }
        b"14" => Problem::uri_too_long(URI_BYTES_MAX),
        b"31" => Problem::too_many_headers(HEADERS_MAX, HEADERS_BYTES_MAX),
        other => {
            let status = std::str::from_utf8(other).ok()?.parse::<u16>().ok()? + 400;
            Problem::bare(StatusCode::from_u16(status).ok()?)
        }
    };
    Some(answer(problem.explained_by(pages())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARYS: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
         content-length: 0\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        let answer = String::from_utf8(answer(Problem::unavailable("later"))).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert!(head.contains("retry-after: 1"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["status"], 503);
    }

    #[test]
    fn the_librarys_own_answer_is_known_from_ours_and_from_what_is_no_answer() {
        let pages = || ErrorPages::of("https://hatch.example.com");
        let instead = instead_of(LIBRARYS.as_bytes(), pages).expect("it is the library's");
        assert!(instead.starts_with(b"HTTP/1.1 431 "));
        assert_eq!(instead_of(&instead, pages), None, "ours");
        let said = String::from_utf8(instead).expect("text");
        assert!(
            said.contains("\"type\":\"https://hatch.example.com/docs/errors/too-large\""),
            "{said}"
        );
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 4",
            "{\"body\":\"HTTP/1.1 400 Bad Request\r\n\r\n\"}",
            &format!("{LIBRARYS}more"),
            "",
        ] {
            assert_eq!(instead_of(other.as_bytes(), pages), None, "{other}");
        }
    }
}
