//! Sends by `POST /2010-04-01/Accounts/{sid}/Messages.json`.

use hatch_domain::message::event::SendError;
use http::status::StatusCode;
use reqwest::{Client, RequestBuilder};

use super::wire::{Created, ErrorBody, is_permanent};
use super::{Settings, WEBHOOK_PATH};
use crate::adapter::{Adapter, BoxFuture, Outbound, Outcome};
use crate::http_client::{self, Answer, Exchange};
use crate::{Correlation, Error};

/// By default Twilio posts a receipt once more when it cannot connect, and never after a 503: a
/// restart of ours would lose it. The fragment of a callback URL asks for five retries after any
/// failure; Twilio neither sends nor signs it
/// (<https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>).
const CALLBACK_OVERRIDES: &str = "rc=5&rp=all";

/// Twilio's words are kept up to this length.
const DETAIL_CHARS_MAX: usize = 500;

/// Sends SMS and MMS through one Twilio account.
pub struct TwilioAdapter {
    client: Client,
    settings: Settings,
    messages_url: String,
    callback_url: String,
}

impl TwilioAdapter {
    /// Makes the adapter of an account. No connection is opened yet.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings, [`Error::Client`] when there is no HTTP client.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        let client = http_client::client(settings.connect_timeout(), settings.http_timeout())?;
        let base = settings.base_url.as_str().trim_end_matches('/');
        let public = settings.public_url.as_str().trim_end_matches('/');
        Ok(Self {
            messages_url: format!(
                "{base}/2010-04-01/Accounts/{}/Messages.json",
                settings.account_sid
            ),
            callback_url: format!("{public}{WEBHOOK_PATH}"),
            client,
            settings,
        })
    }

    fn request(&self, message: &Outbound, to: &str) -> RequestBuilder {
        let callback = self.status_callback(message.correlation());
        let mut form = vec![("To", to), ("From", message.from.as_str())];
        form.extend(message.body.as_deref().map(|body| ("Body", body)));
        let urls = message.attachments.iter().filter_map(|file| file.url.as_deref());
        form.extend(urls.map(|url| ("MediaUrl", url)));
        form.push(("StatusCallback", &callback));
        let request = self
            .client
            .post(&self.messages_url)
            .basic_auth(&self.settings.account_sid, Some(self.settings.auth_token.expose()))
            .form(&form);
        match &message.traceparent {
            Some(traceparent) => request.header("traceparent", traceparent),
            None => request,
        }
    }

    fn status_callback(&self, correlation: Correlation) -> String {
        format!("{}?{}#{CALLBACK_OVERRIDES}", self.callback_url, correlation.to_query())
    }
}

impl Adapter for TwilioAdapter {
    fn send<'a>(&'a self, message: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let [to] = message.to.as_slice() else {
                return one_recipient_only();
            };
            let outcome = outcome(http_client::exchange(self.request(message, to.as_str())).await);
            tracing::debug!(
                message_id = %message.message_id,
                attempt = message.attempt,
                outcome = name(&outcome),
                "called twilio"
            );
            outcome
        })
    }
}

/// Says what an exchange means. Only Twilio's own body is taken for Twilio's word.
fn outcome(exchange: Exchange) -> Outcome {
    let answer = match exchange {
        Exchange::NotSent { code, detail } => {
            return Outcome::Unavailable { code: code.to_owned(), detail };
        }
        Exchange::NoAnswer { detail } => return Outcome::Unknown { detail },
        Exchange::Answered(answer) => answer,
    };
    let status = answer.status;
    // Whatever stands in such a body, it comes from a gateway that did not hear Twilio's answer.
    let is_gateway = matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
    if status == StatusCode::TOO_MANY_REQUESTS {
        throttled(&answer)
    } else if status.is_success() {
        accepted(&answer)
    } else if let Some(error) = ErrorBody::read(&answer.body).filter(|_| !is_gateway) {
        refused(status, &error)
    } else {
        Outcome::Unknown {
            detail: format!("HTTP {} without an answer of Twilio's", status.as_u16()),
        }
    }
}

fn accepted(answer: &Answer) -> Outcome {
    match Created::read(&answer.body) {
        Some(created) => Outcome::Accepted {
            segments: created.segments(),
            provider_message_id: created.into_sid(),
        },
        None => Outcome::Unknown {
            detail: format!("HTTP {} without a message SID", answer.status.as_u16()),
        },
    }
}

/// Twilio promises that a request answered with 429 is never processed (error 20429).
fn throttled(answer: &Answer) -> Outcome {
    let detail = ErrorBody::read(&answer.body)
        .map_or_else(|| "HTTP 429".to_owned(), |error| bounded(&error.message));
    Outcome::Throttled { retry_after: answer.retry_after, detail }
}

fn refused(status: StatusCode, error: &ErrorBody) -> Outcome {
    let (code, detail) = (error.code.to_string(), bounded(&error.message));
    if status.is_server_error() {
        Outcome::Unavailable { code, detail }
    } else if status.is_client_error() {
        let permanent = is_permanent(error.code);
        Outcome::Refused { error: SendError { code, detail, permanent } }
    } else {
        Outcome::Unknown { detail: format!("HTTP {} with code {code}", status.as_u16()) }
    }
}

fn one_recipient_only() -> Outcome {
    Outcome::Refused {
        error: SendError {
            code: "recipients".to_owned(),
            detail: "Twilio takes exactly one recipient a message".to_owned(),
            permanent: true,
        },
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(DETAIL_CHARS_MAX).collect()
}

const fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Refused { .. } => "refused",
        Outcome::Throttled { .. } => "throttled",
        Outcome::Unavailable { .. } => "unavailable",
        Outcome::Unknown { .. } => "unknown",
    }
}
