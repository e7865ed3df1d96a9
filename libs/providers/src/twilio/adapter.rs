//! Sends by `POST /2010-04-01/Accounts/{sid}/Messages.json`.

use hatch_domain::SendError;
use hatch_domain::address::SenderKind;
use http::status::StatusCode;
use reqwest::{Client, RequestBuilder};
use url::Url;

use super::codes::{meaning, trouble};
use super::look_up::{self, MessageList};
use super::wire::{AccountBody, Created, ErrorBody};
use super::{Settings, WEBHOOK_PATH};
use crate::adapter::{Adapter, BoxFuture, Checked, LookUp, LookedUp, Outbound, Outcome, bounded};
use crate::http_client::{self, ANSWER_BYTES_MAX, Exchange, HttpAnswer};
use crate::{Correlation, Error, Trouble};

/// By default Twilio posts a receipt once more when it cannot connect, and never after a 503: a
/// restart of ours would lose it. The fragment of a callback URL asks for five retries after any
/// failure; Twilio neither sends nor signs it
/// (<https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>).
const CALLBACK_OVERRIDES: &str = "rc=5&rp=all";

/// Twilio takes ten files a message at most (error 21623).
const MEDIA_MAX: usize = 10;

/// Sends SMS and MMS through one Twilio account.
pub struct TwilioAdapter {
    client: Client,
    settings: Settings,
    base_url: String,
    messages_path: String,
    /// Parsed once: every message goes there.
    messages_url: Url,
    callback_url: String,
}

impl TwilioAdapter {
    /// Makes the adapter of an account. No connection is opened yet.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings, [`Error::Client`] when there is no HTTP client.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Self::posted_to(settings, WEBHOOK_PATH)
    }

    /// The same, whose receipts are to be posted to `path` below the public URL.
    pub(super) fn posted_to(settings: Settings, path: &str) -> Result<Self, Error> {
        settings.check()?;
        let client = http_client::client(settings.connect_timeout(), settings.http_timeout())?;
        let base = settings.base_url.as_str().trim_end_matches('/');
        let public = settings.public_url.as_str().trim_end_matches('/');
        let messages_path = format!("/2010-04-01/Accounts/{}/Messages.json", settings.account_sid);
        Ok(Self {
            base_url: base.to_owned(),
            messages_url: http_client::below(&settings.base_url, &messages_path),
            messages_path,
            callback_url: format!("{public}{path}"),
            client,
            settings,
        })
    }

    fn request(&self, message: &Outbound, to: &str) -> RequestBuilder {
        let callback = self.status_callback(message.correlation());
        let mut form = vec![("To", to), (sender_field(message), message.from.as_str())];
        form.extend(message.body.as_deref().map(|body| ("Body", body)));
        let urls = message.attachments.iter().filter_map(|file| file.url.as_deref());
        form.extend(urls.map(|url| ("MediaUrl", url)));
        form.push(("StatusCallback", &callback));
        let request = self.client.post(self.messages_url.clone());
        self.authenticated(request, message).form(&form)
    }

    /// Asks for a page of the list of messages.
    fn list_request(&self, path: &str, message: &Outbound) -> RequestBuilder {
        self.authenticated(self.client.get(format!("{}{path}", self.base_url)), message)
    }

    fn authenticated(&self, request: RequestBuilder, message: &Outbound) -> RequestBuilder {
        let request =
            request.basic_auth(&self.settings.account_sid, Some(self.settings.auth_token.expose()));
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
            let to = match sendable(message) {
                Ok(to) => to,
                Err(refused) => return refused,
            };
            let request = self.request(message, to);
            let outcome = outcome(http_client::exchange(request, ANSWER_BYTES_MAX).await);
            tracing::debug!(
                message_id = %message.message_id,
                attempt = message.attempt,
                outcome = outcome.name(),
                "called twilio"
            );
            outcome
        })
    }

    fn can_look_up(&self) -> bool {
        true
    }

    fn look_up<'a>(&'a self, asked: &'a LookUp) -> BoxFuture<'a, LookedUp> {
        Box::pin(async move {
            match sendable(&asked.message) {
                Ok(to) => {
                    let request =
                        move |path: &str, message: &Outbound| self.list_request(path, message);
                    let list = MessageList { path: &self.messages_path, request: &request };
                    look_up::look_up(&list, asked, to).await
                }
                // Such a message was never sent.
                Err(_) => LookedUp::NotFound,
            }
        })
    }

    fn check(&self) -> BoxFuture<'_, Checked> {
        Box::pin(async move {
            let Settings { account_sid, auth_token, base_url, .. } = &self.settings;
            let url =
                http_client::below(base_url, &format!("/2010-04-01/Accounts/{account_sid}.json"));
            let request = self.client.get(url).basic_auth(account_sid, Some(auth_token.expose()));
            checked(http_client::exchange(request, ANSWER_BYTES_MAX).await)
        })
    }
}

/// What the answer about an account says (<https://www.twilio.com/docs/iam/api/account>).
fn checked(exchange: Exchange) -> Checked {
    let answer = match exchange.answered_check() {
        Ok(answer) => answer,
        Err(without) => return without,
    };
    let status = answer.status;
    if let Some(account) = AccountBody::read(&answer.body).filter(|_| status.is_success()) {
        let detail = format!("{}, {}", bounded(&account.status), bounded(&account.kind));
        return match account.is_active() {
            true => Checked::Good { detail },
            false => Checked::Refused { trouble: Trouble::Suspended, code: account.status, detail },
        };
    }
    let error = ErrorBody::read(&answer.body);
    let known = error.and_then(|error| Some((trouble(status.as_u16(), error.code)?, error)));
    match known {
        Some((trouble, error)) => {
            let (code, detail) = (error.code.to_string(), bounded(&error.message));
            Checked::Refused { trouble, code, detail }
        }
        None => Checked::Unanswered {
            detail: format!("HTTP {} without an answer of Twilio's", status.as_u16()),
        },
    }
}

/// Under which name Twilio takes the sender: a messaging service is none of `From`.
fn sender_field(message: &Outbound) -> &'static str {
    match SenderKind::of(&message.from) {
        Some(SenderKind::Service) => "MessagingServiceSid",
        _ => "From",
    }
}

/// The one recipient of a message that Twilio can carry.
fn sendable(message: &Outbound) -> Result<&str, Outcome> {
    let [to] = message.to.as_slice() else {
        let detail = "Twilio takes exactly one recipient a message";
        return Err(Outcome::unsendable("recipients", detail));
    };
    if message.attachments.len() > MEDIA_MAX {
        let detail = "Twilio takes ten files a message at most";
        return Err(Outcome::unsendable("attachments", detail));
    }
    if message.attachments.iter().any(|file| file.url.is_none()) {
        let detail = "Twilio fetches each file by its URL, and one has none";
        return Err(Outcome::unsendable("attachments", detail));
    }
    Ok(to.as_str())
}

/// Says what an exchange means. Only Twilio's own body is taken for Twilio's word.
fn outcome(exchange: Exchange) -> Outcome {
    let answer = match exchange.answered() {
        Ok(answer) => answer,
        Err(without) => return without,
    };
    let status = answer.status;
    let is_gateway = answer.is_of_gateway();
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

fn accepted(answer: &HttpAnswer) -> Outcome {
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
fn throttled(answer: &HttpAnswer) -> Outcome {
    let (code, detail) = match ErrorBody::read(&answer.body) {
        Some(error) => (error.code.to_string(), bounded(&error.message)),
        None => (answer.status.as_str().to_owned(), "HTTP 429".to_owned()),
    };
    Outcome::Throttled { code, retry_after: answer.retry_after(), detail }
}

fn refused(status: StatusCode, error: &ErrorBody) -> Outcome {
    let (code, detail) = (error.code.to_string(), bounded(&error.message));
    if status.is_server_error() {
        Outcome::Unavailable { code, detail }
    } else if status.is_client_error() {
        if let Some(trouble) = trouble(status.as_u16(), error.code) {
            return Outcome::Account { trouble, code, detail };
        }
        let (class, permanent) = meaning(error.code);
        Outcome::Refused { error: SendError { code, class, detail, permanent } }
    } else {
        Outcome::Unknown { detail: format!("HTTP {} with code {code}", status.as_u16()) }
    }
}
