//! Takes secrets out of what is kept of an exchange: what a request authenticates by, wherever it stands, and the
//! values of whatever is called as a secret.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HeaderMap};
use url::Url;

/// Bytes that are kept of a body.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// Characters that are kept of a header, and of a URL.
const LINE_CHARACTERS_MAX: usize = 1_024;

/// A secret that is shorter is none: it would stand everywhere.
const SECRET_BYTES_MIN: usize = 6;

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

/// The headers that are kept, beside those that end as [`IDS`] do: what is not known to hold no secret is not.
const HEADERS: &[&str] = &[
    "accept",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "server",
    "traceparent",
    "user-agent",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// The headers that name a request, or what came of it.
const IDS: [&str; 2] = ["request-id", "message-id"];

/// A field whose name has one of these holds a secret.
const SECRET_NAMES: &[&str] =
    &["secret", "token", "password", "passwd", "api_key", "apikey", "signature", "authorization"];

/// What a request authenticates by.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Those of a request with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut secrets = Vec::new();
        for value in headers.get_all(AUTHORIZATION) {
            let Ok(text) = value.to_str() else { continue };
            let (scheme, credentials) = text.split_once(' ').unwrap_or(("", text));
            secrets.push(credentials.to_owned());
            if !scheme.eq_ignore_ascii_case("basic") {
                continue;
            }
            let decoded = BASE64_STANDARD.decode(credentials).ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            // What is before the colon is a name.
            let password = decoded.as_deref().and_then(|text| text.split_once(':'));
            secrets.extend(password.map(|(_, password)| password.to_owned()));
        }
        secrets.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        // One that holds another one goes first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The beginning of a body, as text.
    pub(super) fn text(&self, body: &[u8]) -> String {
        // A secret that begins within what is kept is seen as a whole.
        let longest = self.0.iter().map(String::len).max().unwrap_or_default();
        let seen = body.get(..BODY_BYTES_MAX + longest).unwrap_or(body);
        let text = self.without(String::from_utf8_lossy(seen));
        cut(&without_named(&text), BODY_BYTES_MAX).to_owned()
    }

    /// A URL without what is secret in it.
    pub(super) fn url(&self, url: &Url) -> String {
        let mut shown = url.clone();
        // Neither fails for a URL with a host.
        let _ = shown.set_password(None);
        let _ = shown.set_username("");
        let text = self.without(Cow::Borrowed(shown.as_str()));
        cut(&without_named(&text), LINE_CHARACTERS_MAX).to_owned()
    }

    fn without<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        self.0.iter().fold(text, |text, secret| match text.contains(secret.as_str()) {
            true => Cow::Owned(text.replace(secret.as_str(), REDACTED)),
            false => text,
        })
    }
}

/// The headers that are kept.
pub(super) fn headers(all: &HeaderMap) -> BTreeMap<String, String> {
    let is_kept =
        |name: &str| HEADERS.contains(&name) || IDS.iter().any(|ending| name.ends_with(ending));
    let kept = all.iter().filter(|(name, _)| is_kept(name.as_str()));
    kept.map(|(name, value)| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), cut(&text, LINE_CHARACTERS_MAX).to_owned())
    })
    .collect()
}

/// `text` without the values of fields that are called as secrets are: `name=value` of a form or a query, and
/// `"name": "value"` of JSON.
fn without_named(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    let ends = SECRET_NAMES
        .iter()
        .flat_map(|name| lower.match_indices(*name).map(|(at, found)| at + found.len()));
    let mut ends: Vec<usize> = ends.collect();
    if ends.is_empty() {
        return Cow::Borrowed(text);
    }
    ends.sort_unstable();
    let (mut shown, mut done, mut looked) = (String::with_capacity(text.len()), 0, 0);
    // All of these places are between ASCII characters. Each is looked at once, whatever stands there.
    for end in ends {
        if end <= looked {
            continue;
        }
        // The name may go on.
        let rest = &text[end..];
        let goes_on = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        looked = goes_on.map_or(text.len(), |more| end + more);
        if let Some((from, to)) = value_at(text, looked) {
            shown.push_str(&text[done..from]);
            shown.push_str(REDACTED);
            (done, looked) = (to, to);
        }
    }
    shown.push_str(&text[done..]);
    Cow::Owned(shown)
}

/// The value behind a name that ends at `at`; none where none follows.
fn value_at(text: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    if bytes.get(at) == Some(&b'=') {
        let end = text[at + 1..].find(['&', '\n', '\r', ' ', '"']);
        return Some((at + 1, end.map_or(text.len(), |end| at + 1 + end)));
    }
    // A URL within a form.
    if text[at..].starts_with("%3D") || text[at..].starts_with("%3d") {
        let begin = at + "%3D".len();
        let ends = ["&", "%26", "\n", "\r", " ", "\""].map(|end| text[begin..].find(end));
        let end = ends.into_iter().flatten().min();
        return Some((begin, end.map_or(text.len(), |end| begin + end)));
    }
    // A quote, or one that is escaped because the JSON stands in a text.
    let skip = |from: usize, skipped: &[u8]| {
        (from..bytes.len()).find(|place| !skipped.contains(&bytes[*place])).unwrap_or(bytes.len())
    };
    let colon = skip(at, b"\\\" \t");
    if colon == at || bytes.get(colon) != Some(&b':') {
        return None;
    }
    let begin = skip(colon + 1, b"\\\" \t\r\n");
    let mut end = begin;
    while end < bytes.len() && !matches!(bytes[end], b'"' | b',' | b'}' | b'\n') {
        // What is escaped belongs to the value.
        end += if bytes[end] == b'\\' && bytes.get(end + 1) == Some(&b'"') { 2 } else { 1 };
    }
    let mut end = end.min(bytes.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    (end > begin).then_some((begin, end))
}

/// At most `bytes_max` bytes of `text`, as whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn secrets(authorization: &str) -> Secrets {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).expect("a value"));
        Secrets::of(&headers)
    }

    #[test]
    fn what_a_request_authenticates_by_stands_nowhere() {
        let basic = format!("Basic {}", BASE64_STANDARD.encode("AC0:a-token-of-mine"));
        for authorization in [basic.as_str(), "Bearer a-token-of-mine"] {
            let shown = secrets(authorization).text(b"To=%2B1&x=a-token-of-mine&Body=Hello");
            assert_eq!(shown, "To=%2B1&x=[redacted]&Body=Hello", "{authorization}");
        }
        let url = "https://user:pass@api.example.com/v1?token=abc&page=2".parse().expect("a URL");
        assert_eq!(
            secrets("Bearer nothing").url(&url),
            "https://api.example.com/v1?token=[redacted]&page=2"
        );
    }

    #[test]
    fn what_is_called_as_a_secret_is_taken_out_and_the_rest_stays() {
        let none = Secrets(Vec::new());
        for (body, shown) in [
            ("Body=Hello&To=%2B18045551234", "Body=Hello&To=%2B18045551234"),
            ("api_key=k&api_secret=s&text=hi", "api_key=[redacted]&api_secret=[redacted]&text=hi"),
            (r#"{"api_secret":"s","to":"+1"}"#, r#"{"api_secret":"[redacted]","to":"+1"}"#),
            (r#"{"Token" : "a\"b", "to": 1}"#, r#"{"Token" : "[redacted]", "to": 1}"#),
            (r#"{"password":12345}"#, r#"{"password":[redacted]}"#),
            (
                "MediaUrl=https%3A%2F%2Fx.test%2Fa%3FX-Signature%3Dabc%26page%3D2&To=%2B1",
                "MediaUrl=https%3A%2F%2Fx.test%2Fa%3FX-Signature%3D[redacted]%26page%3D2&To=%2B1",
            ),
            ("the token is lost", "the token is lost"),
            ("Grüße, secret", "Grüße, secret"),
            ("client_secret_hash=é&a=1", "client_secret_hash=[redacted]&a=1"),
            ("password", "password"),
        ] {
            assert_eq!(none.text(body.as_bytes()), shown, "{body}");
        }
    }

    #[test]
    fn a_secret_at_the_edge_of_what_is_kept_is_not_kept_in_part() {
        let body = format!("{}a-token-of-mine", "x".repeat(BODY_BYTES_MAX - 5));
        let shown = secrets("Bearer a-token-of-mine").text(body.as_bytes());
        assert!(shown.len() <= BODY_BYTES_MAX && !shown.contains("a-tok"), "{}", &shown[4_000..]);
        let umlauts = "ü".repeat(BODY_BYTES_MAX);
        assert!(Secrets(Vec::new()).text(umlauts.as_bytes()).len() <= BODY_BYTES_MAX);
    }

    #[test]
    fn headers_that_may_hold_a_secret_are_not_kept() {
        let mut all = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer x"),
            ("x-api-key", "x"),
            ("cookie", "x"),
            ("content-type", "text/plain"),
            ("x-request-id", "RQ1"),
        ] {
            all.insert(name, HeaderValue::from_static(value));
        }
        let kept: Vec<_> = headers(&all).into_keys().collect();
        assert_eq!(kept, ["content-type", "x-request-id"]);
    }
}
