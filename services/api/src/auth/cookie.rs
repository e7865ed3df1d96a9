//! The cookie that a session is opened by. It is a secret of 256 bits, which scripts do not see.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// Its name where browsers come by TLS: they take one of such a name from this host alone, for all of its paths. And its
/// name on the machine itself, where there is no TLS.
const SECURE_NAME: &str = "__Host-hatch";
const PLAIN_NAME: &str = "hatch";

/// Characters of a session's secret: 32 bytes as URL-safe base64.
const SECRET_LENGTH: usize = 43;

/// The name of the cookie that keeps an attempt to sign in by an identity provider.
pub(crate) const fn name_of_attempt(is_secure: bool) -> &'static str {
    if is_secure { "__Host-hatch-oidc" } else { "hatch-oidc" }
}

/// The name of the cookie by which a browser is known that somebody has signed in by.
pub(crate) const fn name_of_browser(is_secure: bool) -> &'static str {
    if is_secure { "__Host-hatch-known" } else { "hatch-known" }
}

/// The name, where browsers are to come by TLS only or not.
pub(crate) const fn name(is_secure: bool) -> &'static str {
    if is_secure { SECURE_NAME } else { PLAIN_NAME }
}

/// The session's secret that a request has. What cannot be one is none; of two nobody knows which is meant.
pub(crate) fn read(headers: &HeaderMap, is_secure: bool) -> Option<&str> {
    let secret = value_of(headers, name(is_secure))?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (secret.len() == SECRET_LENGTH && secret.bytes().all(fits)).then_some(secret)
}

/// Whether a request has a session's cookie, of whatever value.
pub(super) fn is_there(headers: &HeaderMap, is_secure: bool) -> bool {
    values_of(headers, name(is_secure)).next().is_some()
}

/// The value of the one cookie of that name.
pub(crate) fn value_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut found = values_of(headers, name);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The values of all cookies of that name. Others beside them may be of whatever bytes: they are other programs'.
fn values_of<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
    pairs.filter(move |(named, _)| *named == name).map(|(_, value)| value)
}

/// The header that gives a browser a session, for so many seconds.
pub(crate) fn give(secret: &str, seconds: i64, is_secure: bool) -> Option<HeaderValue> {
    set((name(is_secure), secret), "/", seconds, is_secure)
}

/// The header that takes it away.
pub(crate) fn take(is_secure: bool) -> Option<HeaderValue> {
    set((name(is_secure), ""), "/", 0, is_secure)
}

/// The header that sets a cookie which no script sees, and which no other site's form brings along.
pub(crate) fn set(
    (name, value): (&str, &str),
    path: &str,
    seconds: i64,
    is_secure: bool,
) -> Option<HeaderValue> {
    let secure = if is_secure { "; Secure" } else { "" };
    let text =
        format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA0";

    fn headers(lines: &[&str]) -> HeaderMap {
        let value =
            |line: &&str| (COOKIE, HeaderValue::from_bytes(line.as_bytes()).expect("a value"));
        lines.iter().map(value).collect()
    }

    #[test]
    fn the_secret_is_read_where_there_is_one_and_no_second() {
        let of = |text: &str| text.replace("S", SECRET);
        for (lines, found) in [
            (vec![of("hatch=S")], true),
            (vec![of("a=b; hatch=S ; c=d")], true),
            (vec![of("a=\u{e9}; hatch=S")], true),
            (vec!["a=b".to_owned(), of("hatch=S")], true),
            (vec![of("hatch=S; hatch=S")], false),
            (vec![of("__Host-hatch=S")], false),
            (vec![of("hatch=Sx")], false),
            (vec!["hatch=".to_owned()], false),
            (vec!["hatch".to_owned()], false),
            (vec![], false),
        ] {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(read(&headers(&lines), false).is_some(), found, "{lines:?}");
        }
        assert_eq!(read(&headers(&[&of("__Host-hatch=S")]), true), Some(SECRET));
    }

    #[test]
    fn a_cookie_is_for_this_host_alone_and_for_no_script() {
        let given = give(SECRET, 60, true).expect("a header");
        let expected =
            format!("__Host-hatch={SECRET}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(given, expected);
        let taken = take(false).expect("a header");
        assert_eq!(taken, "hatch=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }
}
