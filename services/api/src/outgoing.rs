//! Requests of our own to those who say who people are: their keys, and what they answer to a sign-in.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::StatusCode;
use hatch_providers::{client_builder, root_cause};
use reqwest::{Client, RequestBuilder};
use url::{Host, Url};

/// How long a connection may take, and all of an exchange.
const CONNECT_MAX: Duration = Duration::from_secs(3);
const EXCHANGE_MAX: Duration = Duration::from_secs(5);

/// A client that asks exactly the URL that it is given: whoever answers there sends it nowhere else.
pub(crate) fn client() -> Result<Client, reqwest::Error> {
    client_builder(EXCHANGE_MAX).connect_timeout(CONNECT_MAX).build()
}

/// The answer to `request`, with a body of `bytes_max` at most; or why there is none, without the URL.
pub(crate) async fn read(
    request: RequestBuilder,
    bytes_max: usize,
) -> Result<(StatusCode, Vec<u8>), String> {
    let mut response = request.send().await.map_err(|error| said(&error))?;
    let (status, mut body) = (response.status(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| said(&error))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(format!("the answer is longer than {bytes_max} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// Whether what stands at `url` comes from whom it names: nobody on the way can have changed it.
pub(crate) fn is_trusted(url: &Url) -> bool {
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let is_near = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    };
    is_plain && (url.scheme() == "https" || (url.scheme() == "http" && is_near))
}

/// Why there is no answer, without the URL.
fn said(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    root_cause(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_and_this_machine_are_believed() {
        for (url, trusted) in [
            ("https://id.example.com/keys", true),
            ("https://id.example.com:8443/keys?of=a", true),
            ("http://127.0.0.1:9/keys", true),
            ("http://[::1]:9/keys", true),
            ("http://localhost:9/keys", true),
            ("http://id.example.com/keys", false),
            ("http://10.0.0.1/keys", false),
            ("http://localhost.example.com/keys", false),
            ("https://user@id.example.com/keys", false),
            ("https://id.example.com/keys#a", false),
            ("ftp://127.0.0.1/keys", false),
            ("data:application/json,{}", false),
        ] {
            assert_eq!(is_trusted(&url.parse().expect("a URL")), trusted, "{url}");
        }
    }
}
