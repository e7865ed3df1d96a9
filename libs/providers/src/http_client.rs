//! One HTTP exchange, sorted by what is known after it: the part that is the same for all providers.
//!
//! The client makes exactly one request: no retries, no redirects, no proxy from the environment. So do those of all
//! other requests of ours, which begin as it does.
//! (hyper moves a request to a fresh connection when an idle one turns out to be closed *before* a
//! byte of it was written. That is the same request, not a second one.)

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, FixedOffset};
use http::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use http::status::StatusCode;
use reqwest::{Client, ClientBuilder, RequestBuilder, redirect, retry};
use url::Url;

use crate::adapter::{Checked, LookedUp, Outcome};
use crate::exchange::{Noted, TimedConnections};
use crate::shortage::SystemNames;
use crate::{Error, Lack};

/// An idle connection is kept this long. Short, because a provider that closes it while a request
/// is being written leaves that request in doubt.
const IDLE: Duration = Duration::from_secs(20);

/// More of an answer to a send is not read. They are about one kibibyte.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A provider's wish to wait is not believed beyond this.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// The result of one exchange.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// No connection, so no byte was written.
    NotSent { code: &'static str, detail: String },
    /// No connection, because this process lacked what one takes.
    Shortage(Lack),
    /// The request may have been written, and no answer came.
    NoAnswer { detail: String },
    /// An answer came, whoever gave it.
    Answered(HttpAnswer),
}

impl Exchange {
    /// The answer to a send; without one, what is known of the message.
    pub(crate) fn answered(self) -> Result<HttpAnswer, Outcome> {
        match self {
            Self::Answered(answer) => Ok(answer),
            Self::NotSent { code, detail } => {
                Err(Outcome::Unavailable { code: code.to_owned(), detail })
            }
            Self::Shortage(lack) => Err(Outcome::Shortage(lack)),
            Self::NoAnswer { detail } => Err(Outcome::Unknown { detail }),
        }
    }

    /// The answer to a check of an account; without one, why there is none.
    pub(crate) fn answered_check(self) -> Result<HttpAnswer, Checked> {
        match self {
            Self::Answered(answer) => Ok(answer),
            Self::NotSent { detail, .. } | Self::NoAnswer { detail } => {
                Err(Checked::Unanswered { detail })
            }
            Self::Shortage(lack) => {
                let detail = format!("this process lacks {}", lack.as_str());
                Err(Checked::Unanswered { detail })
            }
        }
    }

    /// The answer to a look-up; without one, the look-up says nothing of the message.
    pub(crate) fn answered_look_up(self) -> Result<HttpAnswer, LookedUp> {
        match self {
            Self::Answered(answer) => Ok(answer),
            Self::NotSent { detail, .. } | Self::NoAnswer { detail } => {
                Err(LookedUp::Inconclusive { detail })
            }
            Self::Shortage(lack) => Err(LookedUp::Shortage(lack)),
        }
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body; empty when it broke off or is too long to be a provider's.
    pub(crate) body: Bytes,
}

/// What every client of ours begins as: it asks exactly the URL that it is given, once, within `timeout`.
pub fn client_builder(timeout: Duration) -> ClientBuilder {
    // Fails only when the process chose its cryptography before; then that is used.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .timeout(timeout)
        .http1_only()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .dns_resolver(SystemNames)
        .referer(false)
        .user_agent(concat!("hatch/", env!("CARGO_PKG_VERSION")))
}

/// The client for one provider account.
pub(crate) fn client(connect_timeout: Duration, timeout: Duration) -> Result<Client, Error> {
    client_builder(timeout)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE)
        .connector_layer(TimedConnections)
        .build()
        .map_err(Error::Client)
}

/// Makes the one exchange, and reads `answer_bytes_max` of the answer's body at most.
pub(crate) async fn exchange(request: RequestBuilder, answer_bytes_max: usize) -> Exchange {
    let (client, request) = request.build_split();
    let request = match request {
        Ok(request) => request,
        Err(error) => return without_answer(&error),
    };
    let noted = Noted::begin(&request);
    let mut response = match client.execute(request).await {
        Ok(response) => response,
        Err(error) => {
            noted.end(None);
            return without_answer(&error);
        }
    };
    noted.answered();
    let status = response.status();
    let headers = response.headers().clone();
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= answer_bytes_max => {
                body.extend_from_slice(&chunk);
            }
            Ok(None) => break,
            Ok(Some(_)) | Err(_) => {
                body.clear();
                break;
            }
        }
    }
    let answer = HttpAnswer { status, headers, body: body.freeze() };
    noted.end(Some(&answer));
    Exchange::Answered(answer)
}

/// Sorts a failure by whether a byte of the request can have been written. The details name the
/// kind of failure only: the error's own words may hold the URL.
fn without_answer(error: &reqwest::Error) -> Exchange {
    let timeout = error.is_timeout();
    // Looking a name up takes files, and the system does not say that it got none.
    let lack = match error.is_dns() {
        true => Lack::of(error).or_else(Lack::now),
        false => Lack::of(error).filter(|_| error.is_connect()),
    };
    if let Some(lack) = lack {
        Exchange::Shortage(lack)
    } else if error.is_dns() {
        Exchange::NotSent { code: "dns", detail: "the provider's name was not resolved".into() }
    } else if error.is_connect() && timeout {
        Exchange::NotSent { code: "connect", detail: "connecting took too long".into() }
    } else if error.is_connect() {
        Exchange::NotSent {
            code: "connect",
            detail: format!("no connection: {}", root_cause(error)),
        }
    } else if error.is_builder() {
        Exchange::NotSent { code: "request", detail: "the request could not be built".into() }
    } else if timeout {
        Exchange::NoAnswer { detail: "no answer in time".into() }
    } else {
        Exchange::NoAnswer { detail: format!("the connection broke: {}", root_cause(error)) }
    }
}

/// The innermost cause, which is the operating system's or the TLS library's sentence. The error itself would name the
/// URL.
#[must_use]
pub fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

impl HttpAnswer {
    /// Whether a gateway answered that did not hear the provider's own answer, whatever stands in the body.
    pub(crate) fn is_of_gateway(&self) -> bool {
        matches!(self.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
    }

    /// The wait that `Retry-After` (RFC 9110, 10.2.3) asks for: seconds, or a date, which is taken
    /// relative to the answer's own `Date` so that no clock of ours is compared with theirs.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let value = self.text(RETRY_AFTER)?;
        let wait = if let Ok(seconds) = value.parse() {
            Duration::from_secs(seconds)
        } else {
            self.until(DateTime::parse_from_rfc2822(value).ok()?)?
        };
        Some(wait.min(RETRY_AFTER_MAX))
    }

    /// The wait until the Unix time, in seconds, that a header of that name tells. Relative to
    /// `Date`, as above.
    pub(crate) fn reset_after(&self, header: &'static str) -> Option<Duration> {
        let seconds = self.text(HeaderName::from_static(header))?.parse().ok()?;
        let wait = self.until(DateTime::from_timestamp(seconds, 0)?.fixed_offset())?;
        Some(wait.min(RETRY_AFTER_MAX))
    }

    /// A header's text without the space around it.
    pub(crate) fn text(&self, header: HeaderName) -> Option<&str> {
        self.headers.get(header)?.to_str().ok().map(str::trim)
    }

    /// The wait until a time that the answer tells in another way, by its own clock and bounded as above.
    pub(crate) fn wait_until(&self, time: DateTime<FixedOffset>) -> Option<Duration> {
        Some(self.until(time)?.min(RETRY_AFTER_MAX))
    }

    fn until(&self, time: DateTime<FixedOffset>) -> Option<Duration> {
        Some((time - self.date()?).to_std().unwrap_or_default())
    }

    /// When it was given, by the clock of whoever gave it, cut to the second.
    pub(crate) fn date(&self) -> Option<DateTime<FixedOffset>> {
        DateTime::parse_from_rfc2822(self.text(DATE)?).ok()
    }
}

/// `path`, which begins with a slash, below `base`.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// Refuses a URL that is more than a place below which paths can be put.
pub(crate) fn check_url(setting: &'static str, url: &Url) -> Result<(), Error> {
    let plain = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain && matches!(url.scheme(), "http" | "https") {
        return Ok(());
    }
    let expected = "an http or https URL without user, query and fragment";
    Err(Error::Setting { setting, expected })
}

/// How long an account's calls may take where its settings say nothing, in milliseconds.
pub(crate) const fn default_http_timeout_ms() -> u64 {
    15_000
}

/// How long an account's connections may take where its settings say nothing, in milliseconds.
pub(crate) const fn default_connect_timeout_ms() -> u64 {
    2_000
}

/// Refuses timeouts that cannot be told apart.
pub(crate) const fn check_timeouts(connect_ms: u64, http_ms: u64) -> Result<(), Error> {
    if connect_ms > 0 && connect_ms < http_ms {
        return Ok(());
    }
    let (setting, expected) = ("connect_timeout_ms", "more than 0 and less than http_timeout_ms");
    Err(Error::Setting { setting, expected })
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
            let answer = answer(&[(DATE, date), (RETRY_AFTER, value)]);
            assert_eq!(answer.retry_after(), seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn a_reset_is_a_unix_time_by_the_answers_own_clock_and_is_bounded() {
        // 1994-11-06T08:49:37Z
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let expected = [
            ("784111787", Some(10)),
            ("784111000", Some(0)),
            ("999999999999", Some(3600)),
            ("soon", None),
        ];
        let name = HeaderName::from_static("x-ratelimit-reset");
        for (value, seconds) in expected {
            let answer = answer(&[(DATE, date), (name.clone(), value)]);
            let wait = answer.reset_after("x-ratelimit-reset");
            assert_eq!(wait, seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(answer(&[(name, "784111787")]).reset_after("x-ratelimit-reset"), None);
    }

    fn answer(headers: &[(HeaderName, &str)]) -> HttpAnswer {
        let value = |text: &str| text.parse().expect("a header value");
        let headers = headers.iter().map(|(name, text)| (name.clone(), value(text))).collect();
        HttpAnswer { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Bytes::new() }
    }
}
