//! Reading what a request says of who makes it: the `Authorization` header, and nothing of the URL, which proxies and
//! browsers write down. Pure.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

/// The scheme of the header, in any case (RFC 9110, section 11.1).
const SCHEME: &str = "bearer";

/// What a request says of who makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credentials<'a> {
    /// Nothing.
    None,
    /// What it bears.
    Bearer(&'a str),
    /// Something that is no such credentials.
    Unreadable,
}

/// Reads the header. Of two nobody knows which one a proxy looked at: they are none.
pub(super) fn read(headers: &HeaderMap) -> Credentials<'_> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Credentials::None };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let parts = text.and_then(|text| text.trim().split_once(' '));
    let Some((_, token)) = parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME)) else {
        return Credentials::Unreadable;
    };
    Credentials::Bearer(token.trim_start())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn one_bearer_is_read_in_each_way_that_it_is_written() {
        for value in ["Bearer abc", "bearer abc", "BEARER   abc", " Bearer abc "] {
            assert_eq!(read(&headers(&[value])), Credentials::Bearer("abc"), "{value:?}");
        }
        // What stands there is looked at by who knows keys.
        assert_eq!(read(&headers(&["Bearer a b"])), Credentials::Bearer("a b"));
        assert_eq!(read(&HeaderMap::new()), Credentials::None);
    }

    #[test]
    fn everything_else_is_no_credentials_and_not_nothing() {
        let others: [&[&'static str]; 8] = [
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["abc"],
            &["Basic dXNlcjpwYXNz"],
            &["Bearerabc"],
            &["Bearer abc", "Bearer abc"],
            &["Basic dXNlcjpwYXNz", "Bearer abc"],
        ];
        for values in others {
            assert_eq!(read(&headers(values)), Credentials::Unreadable, "{values:?}");
        }
        let mut binary = HeaderMap::new();
        binary.insert(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").expect("a value"));
        assert_eq!(read(&binary), Credentials::Unreadable);
    }
}
