//! Headers that tell browsers to do as little as possible with an answer.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// An answer of ours is data: nothing in it is run, loaded or framed.
const DATA: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

/// A file that a stranger sent: to be saved. Where a browser shows it after all, nothing in it runs, and it is of no
/// site.
pub(crate) const FILE: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

/// The page that shows the API has scripts and styles of its own, and tries requests out.
const PAGE: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

/// The pages by which people sign in have a script and a style of their own, and nothing that stands in the page runs.
pub(crate) const SIGN_IN: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

/// Two years, as the lists of browsers ask for.
const SECURE: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// Whether `path` is of the page that shows the API.
#[must_use]
pub fn is_page(path: &str) -> bool {
    ["/docs", "/api/v1/docs"].iter().any(|page| path.starts_with(page))
}

/// Adds them to an answer, which may be a page; `secure` where browsers are to come by TLS only.
pub fn harden(headers: &mut HeaderMap, is_page: bool, secure: bool) {
    // Only a file, which allows less than data does, and the pages by which people sign in have one of their own.
    let own = headers.get(CONTENT_SECURITY_POLICY);
    let own = own.filter(|own| **own == FILE || **own == SIGN_IN).cloned();
    let policy = own.unwrap_or(if is_page { PAGE } else { DATA });
    let set = [
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
    ];
    for (name, value) in set {
        headers.insert(name, value);
    }
    if !is_page {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if secure {
        headers.insert(STRICT_TRANSPORT_SECURITY, SECURE);
    }
}
