//! One HTTP exchange, sorted by what is known after it: the part that is the same for all providers.
//!
//! The client makes exactly one request: no retries, no redirects, no proxy from the environment.
//! (hyper moves a request to a fresh connection when an idle one turns out to be closed *before* a
//! byte of it was written. That is the same request, not a second one.)

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use http::header::{DATE, HeaderMap, RETRY_AFTER};
use http::status::StatusCode;
use reqwest::{Client, RequestBuilder, redirect, retry};

use crate::Error;

/// An idle connection is kept this long. Short, because a provider that closes it while a request
/// is being written leaves that request in doubt.
const IDLE: Duration = Duration::from_secs(20);

/// More of an answer is not read. Answers to a send are about one kibibyte.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A provider's wish to wait is not believed beyond this.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// What is known after one exchange.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// No connection, so no byte was written.
    NotSent { code: &'static str, detail: String },
    /// The request may have been written, and no answer came.
    NoAnswer { detail: String },
    /// An answer came, whoever gave it.
    Answered(Answer),
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The `Retry-After` header, as a wait from the answer on.
    pub(crate) retry_after: Option<Duration>,
    /// The body; empty when it broke off or is too long to be a provider's.
    pub(crate) body: Bytes,
}

/// The client for one provider account.
pub(crate) fn client(connect_timeout: Duration, timeout: Duration) -> Result<Client, Error> {
    // Fails only when the process chose its cryptography before; then that is used.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .connect_timeout(connect_timeout)
        .timeout(timeout)
        .pool_idle_timeout(IDLE)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("hatch/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(Error::Client)
}

/// Makes the one exchange.
pub(crate) async fn exchange(request: RequestBuilder) -> Exchange {
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => return without_answer(&error),
    };
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(None) => break,
            Ok(Some(_)) | Err(_) => {
                body.clear();
                break;
            }
        }
    }
    Exchange::Answered(Answer { status, retry_after, body: body.freeze() })
}

/// Sorts a failure by whether a byte of the request can have been written. The details name the
/// kind of failure only: the error's own words may hold the URL.
fn without_answer(error: &reqwest::Error) -> Exchange {
    let timeout = error.is_timeout();
    if error.is_dns() {
        Exchange::NotSent { code: "dns", detail: "the provider's name was not resolved".into() }
    } else if error.is_connect() && timeout {
        Exchange::NotSent { code: "connect", detail: "connecting took too long".into() }
    } else if error.is_connect() {
        Exchange::NotSent { code: "connect", detail: format!("no connection: {}", root(error)) }
    } else if error.is_builder() {
        Exchange::NotSent { code: "request", detail: "the request could not be built".into() }
    } else if timeout {
        Exchange::NoAnswer { detail: "no answer in time".into() }
    } else {
        Exchange::NoAnswer { detail: format!("the connection broke: {}", root(error)) }
    }
}

/// The innermost cause, which is the operating system's or the TLS library's sentence.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Reads `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, which is taken relative to the
/// answer's own `Date` so that no clock of ours is compared with theirs.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = DateTime::parse_from_rfc2822(value).ok()?;
        let date = headers.get(DATE)?.to_str().ok()?;
        (until - DateTime::parse_from_rfc2822(date).ok()?).to_std().unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date_and_is_bounded() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let expected = [
            ("1", Some(1)),
            (" 30 ", Some(30)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("999999999", Some(3600)),
            ("soon", None),
            ("-1", None),
        ];
        for (value, seconds) in expected {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, date.parse().expect("a header value"));
            headers.insert(RETRY_AFTER, value.parse().expect("a header value"));
            assert_eq!(retry_after(&headers), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
