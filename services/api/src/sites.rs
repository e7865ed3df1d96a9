//! Which names this process is reached by, and which pages may ask it anything.
//!
//! As long as nobody shows credentials, whoever can reach the address may ask. A browser can, on behalf of any page: by
//! a name that the page's owner lets point here, and by forms and fetches across sites. So a request by another
//! name is not answered, and neither is one that a page of another site made.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Version, header};
use url::Url;

use crate::cors::Cors;
use crate::problem::{ErrorPages, Problem};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Where providers post; what comes there is believed by its signature alone, by whatever name it came.
const WEBHOOKS: &str = "/api/v1/webhooks/";

/// What lies there and is not signed by a provider.
const UNSIGNED: [&str; 2] = ["generic", "replay"];

/// The names of an installation; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sites {
    names: Arc<Names>,
    cors: Cors,
}

#[derive(Debug)]
struct Names {
    /// Lower-case, without ports.
    hosts: Vec<String>,
    /// Of the public URL, as browsers write it.
    origin: Option<String>,
    /// Whether browsers are to come by TLS only.
    secure: bool,
    /// Below the public URL.
    error_pages: ErrorPages,
}

/// Whether browsers are to come to `public_url` by TLS only.
#[must_use]
pub fn is_secure(public_url: &str) -> bool {
    Url::parse(public_url).is_ok_and(|url| url.scheme() == "https")
}

impl Sites {
    /// The names of an installation whose public URL is `public_url`, beside those of the loopback: the address that
    /// it listens on, and `hosts`.
    #[must_use]
    pub fn new(public_url: &str, listen: Option<IpAddr>, hosts: &[String]) -> Self {
        let url = Url::parse(public_url).ok();
        let public_host = url.as_ref().and_then(Url::host_str).map(str::to_owned);
        let listen = listen.filter(|address| !address.is_unspecified());
        let named = hosts.iter().cloned().chain(public_host).chain(listen.map(|ip| ip.to_string()));
        let origin = url.as_ref().map(|url| url.origin().ascii_serialization());
        // Where the system is to choose the port, nobody knows it here, and addresses are relative.
        let is_open = url.as_ref().and_then(Url::port) == Some(0);
        let error_pages = if is_open { ErrorPages::default() } else { ErrorPages::of(public_url) };
        let secure = is_secure(public_url);
        let hosts = named.map(|name| bare(&name).into_owned()).collect();
        let names = Arc::new(Names { hosts, origin, secure, error_pages });
        Self { names, cors: Cors::default() }
    }

    /// The same, of whose API pages of some other origins may ask.
    #[must_use]
    pub fn with_cors(self, cors: Cors) -> Self {
        Self { cors, ..self }
    }

    /// The pages of other origins that may ask.
    pub(crate) const fn cors(&self) -> &Cors {
        &self.cors
    }

    /// Whether browsers are to come by TLS only.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.names.secure
    }

    /// Where errors are explained.
    pub(crate) fn error_pages(&self) -> &ErrorPages {
        &self.names.error_pages
    }

    /// `problem` as this installation answers it: its `type` is an address here.
    #[must_use]
    pub fn explain(&self, problem: Problem) -> Problem {
        problem.explained_by(self.error_pages().clone())
    }

    /// Refuses a request that was not made to one of our names, or that another site's page made.
    ///
    /// # Errors
    /// 400 where it does not say to whom it is made, 421 for another name, 403 for another site.
    pub fn check(&self, request: &Request) -> Result<(), Problem> {
        let host = host(request)?;
        let is_proven = is_for_provider(request.uri().path());
        if is_proven {
            return Ok(());
        }
        let targets = host.iter().chain(request.uri().authority());
        if targets.into_iter().any(|target| !self.is_ours(target.host())) {
            return Err(Problem::misdirected());
        }
        let is_foreign = self.cors.origin(request).is_none()
            && self.is_foreign(request.headers(), host.as_ref());
        if is_foreign && !is_navigation(request.method(), request.headers()) {
            return Err(Problem::foreign_site());
        }
        Ok(())
    }

    /// Whether the browser says that a page of our own made it. What says nothing, none of our pages made.
    pub(crate) fn is_by_own_page(&self, request: &Request) -> bool {
        let headers = request.headers();
        let mut said = headers.get_all(FETCH_SITE).iter();
        let by_own = match (said.next(), said.next()) {
            (Some(site), None) => site.as_bytes() == b"same-origin",
            (Some(_), Some(_)) => false,
            (None, _) => headers.contains_key(header::ORIGIN),
        };
        let host = host(request).ok().flatten();
        let host = host.as_ref().or_else(|| request.uri().authority());
        by_own && !self.is_foreign(headers, host)
    }

    fn is_ours(&self, host: &str) -> bool {
        let host = bare(host);
        let is_loopback = || match host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        };
        is_loopback() || self.names.hosts.iter().any(|ours| *ours == host)
    }

    /// Whether a page of another site made it, as its browser says.
    fn is_foreign(&self, headers: &HeaderMap, host: Option<&Authority>) -> bool {
        if headers.get_all(FETCH_SITE).iter().any(|site| site.as_bytes() == b"cross-site") {
            return true;
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        origins.any(|origin| {
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            let is_host = || host.is_some_and(|host| is_origin_of(&origin, host));
            self.names.origin.as_ref() != Some(&origin) && !is_host()
        })
    }
}

/// The host of a request: the one `Host` header that HTTP/1.1 asks for (RFC 9112, section 3.2), or what HTTP/2 has
/// instead, with which a `Host` has to agree (RFC 9113, section 8.3.1).
fn host(request: &Request) -> Result<Option<Authority>, Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let without_user = |host: &Authority| !host.as_str().contains('@');
    let instead =
        (request.version() == Version::HTTP_2).then(|| request.uri().authority()).flatten();
    match (first, second) {
        (None, _) if instead.is_some() => {
            instead.cloned().filter(without_user).map(Some).ok_or_else(Problem::no_host)
        }
        (None, _) if request.version() < Version::HTTP_11 => Ok(None),
        (Some(host), None) => {
            let host = Authority::try_from(host.as_bytes()).ok().filter(without_user);
            let host = host.filter(|host| instead.is_none_or(|instead| instead == host));
            host.map(Some).ok_or_else(Problem::no_host)
        }
        _ => Err(Problem::no_host()),
    }
}

/// A host without brackets and the dot of a full name, in lower case.
fn bare(host: &str) -> Cow<'_, str> {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => host.to_ascii_lowercase().into(),
        false => host.into(),
    }
}

/// Whether a page of `origin` was loaded from `host`: they are the same but for a port that goes without saying.
fn is_origin_of(origin: &str, host: &Authority) -> bool {
    let (rest, port) = match origin.split_once("://") {
        Some(("http", rest)) => (rest, ":80"),
        Some(("https", rest)) => (rest, ":443"),
        _ => return false,
    };
    let host = host.as_str().to_ascii_lowercase();
    rest.trim_end_matches(port) == host.trim_end_matches(port)
}

/// Whether what comes to `path` is believed by a provider's signature alone.
fn is_for_provider(path: &str) -> bool {
    let Some(provider) = path.strip_prefix(WEBHOOKS) else { return false };
    let first = provider.split('/').next().unwrap_or_default();
    // What is escaped may be another name by the time that it is read.
    !first.is_empty() && !UNSIGNED.contains(&first) && !provider.contains('%')
}

/// Whether the browser follows a link to a page of its own, of which the other site sees nothing.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, text: &str| {
        headers.get(name).is_some_and(|value| value.as_bytes() == text.as_bytes())
    };
    matches!(*method, Method::GET | Method::HEAD)
        && says(&FETCH_MODE, "navigate")
        && says(&FETCH_DEST, "document")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;

    use super::*;

    fn asked(method: &str, path: &str, headers: &[(&str, &str)]) -> Result<(), StatusCode> {
        let sites = Sites::new(
            "https://hatch.example",
            "192.0.2.1".parse().ok(),
            &["Tunnel.example.".to_owned()],
        );
        let mut request = axum::http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        sites.check(&request).map_err(|problem| problem.render(None).status())
    }

    #[test]
    fn only_our_names_are_answered() {
        for host in [
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:80",
            "localhost",
            "LOCALHOST.:8080",
            "app.localhost:1",
            "hatch.example",
            "hatch.example:443",
            "192.0.2.1:8080",
            "tunnel.EXAMPLE",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(asked("GET", "/health", &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "hatch.example.evil",
            "192.0.2.9",
            "0.0.0.0:8080",
        ] {
            let refused = Err(StatusCode::MISDIRECTED_REQUEST);
            assert_eq!(asked("GET", "/health", &[("host", host)]), refused, "{host}");
        }
        let absolute = asked("GET", "http://evil.example/health", &[("host", "localhost")]);
        assert_eq!(absolute, Err(StatusCode::MISDIRECTED_REQUEST));
    }

    #[test]
    fn a_request_says_once_to_whom_it_is_made() {
        let refused = Err(StatusCode::BAD_REQUEST);
        assert_eq!(asked("GET", "/health", &[]), refused);
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(asked("GET", "/health", &twice), refused);
        for host in ["", "a b", "localhost@evil.example", "localhost/x"] {
            assert_eq!(asked("GET", "/health", &[("host", host)]), refused, "{host:?}");
        }
    }

    #[test]
    fn what_another_sites_page_asks_for_is_not_done() {
        let host = ("host", "localhost:8080");
        let refused = Err(StatusCode::FORBIDDEN);
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:3000"),
            ("origin", "http://localhost"),
            ("origin", "file://"),
        ] {
            for (method, path) in
                [("POST", "/api/v1/messages/1/cancel"), ("GET", "/api/v1/messages")]
            {
                assert_eq!(asked(method, path, &[host, (name, value)]), refused, "{value}");
            }
        }
        for own in ["http://localhost:8080", "https://hatch.example"] {
            assert_eq!(
                asked("POST", "/api/v1/messages", &[host, ("origin", own)]),
                Ok(()),
                "{own}"
            );
        }
        let by_default_port = [("host", "hatch.example"), ("origin", "https://hatch.example")];
        assert_eq!(asked("POST", "/api/v1/messages", &by_default_port), Ok(()));
    }

    #[test]
    fn only_what_says_that_our_own_page_made_it_counts_as_made_by_one() {
        let sites = Sites::new("https://hatch.example", None, &[]);
        for (headers, own) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")], false),
            (&[("origin", "https://hatch.example")], true),
            (&[("origin", "http://localhost:8080")], true),
            (&[("origin", "http://localhost:3000")], false),
            (&[("origin", "null")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], false),
        ] {
            let request = axum::http::Request::builder().method("POST").uri("/api/v1/messages");
            let request = request.header("host", "localhost:8080");
            let request = headers
                .iter()
                .fold(request, |request, (name, value)| request.header(*name, *value));
            let request = request.body(Body::empty()).expect("a request");
            assert_eq!(sites.is_by_own_page(&request), own, "{headers:?}");
        }
    }

    #[test]
    fn by_http_2_the_authority_is_the_host() {
        let asked = |uri: &str, hosts: &[&str]| {
            let mut request = axum::http::Request::builder().version(Version::HTTP_2).uri(uri);
            for host in hosts {
                request = request.header("host", *host);
            }
            let request = request.body(Body::empty()).expect("a request");
            let sites = Sites::new("https://hatch.example", None, &[]);
            sites.check(&request).map_err(|problem| problem.render(None).status())
        };
        assert_eq!(asked("https://hatch.example/health", &[]), Ok(()));
        assert_eq!(asked("https://hatch.example/health", &["hatch.example"]), Ok(()));
        let no_host = Err(StatusCode::BAD_REQUEST);
        assert_eq!(asked("https://hatch.example/health", &["localhost"]), no_host);
        assert_eq!(asked("/health", &[]), no_host);
        let misdirected = Err(StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(asked("https://evil.example/health", &[]), misdirected);
    }

    #[test]
    fn a_page_of_a_listed_origin_may_ask_the_api() {
        let cors = Cors::new(&["https://app.example".to_owned()]).expect("an origin");
        let sites = Sites::new("https://hatch.example", None, &[]).with_cors(cors);
        let asked = |path: &str, mode: &str| {
            let request = axum::http::Request::builder().method("POST").uri(path);
            let request = request.header("host", "hatch.example");
            let request = request.header("origin", "https://app.example");
            let request = request.header("sec-fetch-site", "cross-site");
            let request = request.header("sec-fetch-mode", mode).body(Body::empty());
            sites.check(&request.expect("a request")).is_ok()
        };
        assert!(asked("/api/v1/messages", "cors"));
        assert!(!asked("/api/v1/messages", "navigate"), "a form");
        assert!(!asked("/_sim/inbound", "cors"));
    }

    #[test]
    fn what_a_proxy_says_of_the_host_changes_nothing() {
        for name in ["x-forwarded-host", "x-forwarded-proto", "forwarded", "x-original-host"] {
            let foreign = [("host", "evil.example"), (name, "hatch.example")];
            let refused = Err(StatusCode::MISDIRECTED_REQUEST);
            assert_eq!(asked("GET", "/health", &foreign), refused, "{name}");
            let ours = [("host", "hatch.example"), (name, "evil.example")];
            assert_eq!(asked("GET", "/health", &ours), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_link_may_be_followed_and_a_frame_may_not() {
        let from = [("host", "localhost"), ("sec-fetch-site", "cross-site")];
        let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        assert_eq!(asked("GET", "/docs/", &[from, link].concat()), Ok(()));
        let refused = Err(StatusCode::FORBIDDEN);
        assert_eq!(asked("POST", "/docs/", &[from, link].concat()), refused);
        assert_eq!(asked("GET", "/docs/", &[from, frame].concat()), refused);
    }

    #[test]
    fn a_signed_webhook_may_come_by_any_name_and_an_unsigned_one_may_not() {
        let host = [("host", "abc.tunnel.dev")];
        for path in ["/api/v1/webhooks/twilio", "/api/v1/webhooks/sendgrid/inbound?a=%20"] {
            assert_eq!(asked("POST", path, &host), Ok(()), "{path}");
        }
        for path in [
            "/api/v1/webhooks/generic",
            "/api/v1/webhooks/%67eneric",
            "/api/v1/webhooks/replay/1",
            "/api/webhooks/sms",
            "/api/v1/webhooks",
            "/api/v1/webhook-log",
        ] {
            let refused = Err(StatusCode::MISDIRECTED_REQUEST);
            assert_eq!(asked("POST", path, &host), refused, "{path}");
        }
    }
}
