//! Pages of other origins that may ask the API from a browser.
//!
//! They show a key or a token themselves: no answer allows a browser to send along what it knows (cookies), so a page
//! can do nothing in the name of who looks at it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use url::Url;

/// Origins at most.
const ORIGINS_MAX: usize = 100;

/// What pages may ask for; nothing else of this process is for them.
const API: &str = "/api/";

/// What they may do, what they may say beside the body, and what they may read beside it.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const ASKED: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, traceparent, \
     tracestate, x-request-id",
);
const TOLD: HeaderValue = HeaderValue::from_static(
    "allow, content-disposition, etag, hatch-position, idempotent-replayed, location, ratelimit, \
     ratelimit-policy, retry-after, www-authenticate, x-ratelimit-limit, x-ratelimit-remaining, \
     x-ratelimit-reset, x-request-id",
);

/// Seconds that a browser may remember it: an origin that is taken from the list is refused that soon.
const REMEMBERED_SECONDS: HeaderValue = HeaderValue::from_static("600");

const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The origins whose pages may ask; cheap to clone. By default there are none.
#[derive(Debug, Clone, Default)]
pub struct Cors(Arc<[HeaderValue]>);

impl Cors {
    /// From origins as browsers write them, such as `https://app.example.com`.
    ///
    /// # Errors
    /// What is wrong with the first that is none.
    pub fn new(origins: &[String]) -> Result<Self, String> {
        if origins.len() > ORIGINS_MAX {
            return Err(format!("expected {ORIGINS_MAX} origins at most, got {}", origins.len()));
        }
        let origin = |text: &String| {
            let read = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let read = read.map(|url| url.origin().ascii_serialization());
            let read = read.filter(|origin| origin == text && !text.contains('*'));
            read.and_then(|origin| HeaderValue::from_str(&origin).ok()).ok_or_else(|| {
                format!(
                    "expected origins as browsers write them, such as https://app.example.com, without a \
                     path and never *, got {text:?}"
                )
            })
        };
        origins.iter().map(origin).collect::<Result<Arc<_>, _>>().map(Self)
    }

    /// The origin of the page that made `request` to the API, where its pages may.
    pub(crate) fn origin(&self, request: &Request) -> Option<HeaderValue> {
        if self.0.is_empty() || !request.uri().path().starts_with(API) {
            return None;
        }
        let headers = request.headers();
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else { return None };
        // A form or a frame says its origin, too, and cannot read the answer: it is not asked for that.
        let is_fetch = headers.get(FETCH_MODE).is_none_or(|mode| mode.as_bytes() == b"cors");
        (is_fetch && self.0.contains(origin)).then(|| origin.clone())
    }

    /// The answer to a browser that asks beforehand whether a page of `origin` may make a request.
    pub(crate) fn preflight(origin: Option<&HeaderValue>, request: &Request) -> Option<Response> {
        origin?;
        let asks = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        (asks && request.method() == Method::OPTIONS).then(|| {
            let said = [
                (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, ASKED),
                (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_SECONDS),
            ];
            (StatusCode::NO_CONTENT, said, Body::empty()).into_response()
        })
    }

    /// Says in the headers of an answer that a page of `origin` may read it.
    pub(crate) fn tell(&self, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
        if !self.0.is_empty() {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS) {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, TOLD);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "https://app.example.com";

    fn cors() -> Cors {
        Cors::new(&[APP.to_owned(), "http://localhost:3000".to_owned()]).expect("origins")
    }

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = axum::http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).expect("a request")
    }

    #[test]
    fn only_origins_as_browsers_write_them_are_taken() {
        for wrong in [
            "*",
            "null",
            "app.example.com",
            "https://app.example.com/",
            "https://APP.example.com",
            "https://app.example.com:443",
            "https://user@app.example.com",
            "https://*.example.com",
            "ftp://app.example.com",
            "file:///",
            "",
        ] {
            let refused = Cors::new(&[wrong.to_owned()]).err().unwrap_or_default();
            assert!(refused.contains("expected origins"), "{wrong}: {refused}");
        }
        let many = vec![APP.to_owned(); ORIGINS_MAX + 1];
        assert!(Cors::new(&many).is_err());
    }

    #[test]
    fn a_page_of_a_listed_origin_may_fetch_from_the_api_and_nothing_else() {
        let of = |path: &str, headers: &[(&str, &str)]| {
            cors().origin(&request("POST", path, headers)).is_some()
        };
        let (path, origin) = ("/api/v1/messages", ("origin", APP));
        assert!(of(path, &[origin]));
        assert!(of(path, &[origin, ("sec-fetch-mode", "cors")]));
        assert!(!of(path, &[origin, ("sec-fetch-mode", "navigate")]), "a form");
        assert!(!of(path, &[origin, ("sec-fetch-mode", "no-cors")]));
        assert!(!of("/metrics", &[origin]));
        assert!(!of(path, &[]));
        assert!(!of(path, &[origin, origin]), "one of them would be somebody else's");
        for foreign in ["https://evil.example", "null", "https://app.example.com.evil.example"] {
            assert!(!of(path, &[("origin", foreign)]), "{foreign}");
        }
    }

    #[test]
    fn by_default_no_page_may() {
        let request = request("POST", "/api/v1/messages", &[("origin", APP)]);
        assert_eq!(Cors::default().origin(&request), None);
    }

    #[test]
    fn a_preflight_is_answered_by_what_may_be_done_and_for_how_long() {
        let headers = [("origin", APP), ("access-control-request-method", "POST")];
        let asked = request("OPTIONS", "/api/v1/messages", &headers);
        let origin = cors().origin(&asked);
        let answer = Cors::preflight(origin.as_ref(), &asked).expect("an answer");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_MAX_AGE], "600");
        assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert!(Cors::preflight(None, &asked).is_none());
        let no_method = request("OPTIONS", "/api/v1/messages", &headers[..1]);
        assert!(Cors::preflight(origin.as_ref(), &no_method).is_none());
    }
}
