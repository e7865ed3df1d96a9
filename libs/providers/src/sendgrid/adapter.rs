//! Sends by `POST /v3/mail/send`.

use std::collections::HashSet;

use hatch_domain::address::Address;
use hatch_domain::mailbox::PersonRole;
use hatch_domain::{Attachment, Channel, Email, ErrorClass, SendError};
use http::header::HeaderName;
use http::status::StatusCode;
use reqwest::{Client, RequestBuilder};
use url::Url;

use super::wire::{Content, CustomArgs, ErrorBody, File, Mail, Mailbox, Personalization, Scopes};
use super::{Settings, codes};
use crate::adapter::{Adapter, BoxFuture, Checked, Outbound, Outcome, bounded};
use crate::http_client::{self, ANSWER_BYTES_MAX, Exchange, HttpAnswer};
use crate::mail::outgoing::{FILENAME, Names, Texts, headers, once, subject};
use crate::{Error, Trouble};

/// The answer's header with SendGrid's id of the mail.
const MESSAGE_ID: HeaderName = HeaderName::from_static("x-message-id");

/// When the rate limit begins anew, in Unix seconds.
const RESET: &str = "x-ratelimit-reset";

/// Sends mail through one SendGrid account.
pub struct SendGridAdapter {
    client: Client,
    settings: Settings,
    /// Parsed once: every mail goes there.
    url: Url,
}

impl SendGridAdapter {
    /// Makes the adapter of an account. No connection is opened yet.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings, [`Error::Client`] when there is no HTTP client.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        let client = http_client::client(settings.connect_timeout(), settings.http_timeout())?;
        Ok(Self { url: http_client::below(&settings.base_url, "/v3/mail/send"), client, settings })
    }

    fn request(&self, message: &Outbound) -> RequestBuilder {
        let none = Email::default();
        let email = message.email.as_deref().unwrap_or(&none);
        let mail = mail(message, email, &self.settings.default_subject);
        let request = self
            .client
            .post(self.url.clone())
            .bearer_auth(self.settings.api_key.expose())
            .json(&mail);
        match &message.traceparent {
            Some(traceparent) => request.header("traceparent", traceparent),
            None => request,
        }
    }
}

impl Adapter for SendGridAdapter {
    fn send<'a>(&'a self, message: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            if message.channel != Channel::Email || message.to.is_empty() {
                return Outcome::unsendable("channel", "SendGrid takes mail with a recipient only");
            }
            let exchange = http_client::exchange(self.request(message), ANSWER_BYTES_MAX).await;
            let outcome = outcome(exchange);
            tracing::debug!(
                message_id = %message.message_id,
                attempt = message.attempt,
                outcome = outcome.name(),
                "called sendgrid"
            );
            outcome
        })
    }

    fn check(&self) -> BoxFuture<'_, Checked> {
        Box::pin(async move {
            let url = http_client::below(&self.settings.base_url, "/v3/scopes");
            let request = self.client.get(url).bearer_auth(self.settings.api_key.expose());
            checked(http_client::exchange(request, ANSWER_BYTES_MAX).await)
        })
    }
}

/// What the answer about a key's scopes says
/// (<https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions>).
fn checked(exchange: Exchange) -> Checked {
    let answer = match exchange.answered_check() {
        Ok(answer) => answer,
        Err(without) => return without,
    };
    let (status, code) = (answer.status, answer.status.as_str().to_owned());
    if let Some(scopes) = Scopes::read(&answer.body).filter(|_| status.is_success()) {
        return match scopes.may_send() {
            true => Checked::Good { detail: "the key may send mail".to_owned() },
            false => {
                let detail = "the key lacks the scope mail.send".to_owned();
                Checked::Refused { trouble: Trouble::Permission, code, detail }
            }
        };
    }
    let detail = ErrorBody::read(&answer.body).map(|error| bounded(&error.detail()));
    let known = detail.and_then(|detail| {
        codes::trouble(status.as_u16(), false, &detail).map(|trouble| (trouble, detail))
    });
    match known {
        Some((trouble, detail)) => Checked::Refused { trouble, code, detail },
        None => Checked::Unanswered {
            detail: format!("HTTP {} without an answer of SendGrid's", status.as_u16()),
        },
    }
}

fn mail<'a>(message: &'a Outbound, email: &'a Email, default_subject: &'a str) -> Mail<'a> {
    let names = Names::of(email);
    let mut seen = HashSet::new();
    // SendGrid refuses a mail that names an address twice.
    let mut mailboxes = |role, addresses: &'a [Address]| -> Vec<Mailbox<'a>> {
        let new = once(addresses, &mut seen).into_iter();
        new.map(|address| mailbox(&names, role, address)).collect()
    };
    let correlation = message.correlation();
    Mail {
        personalizations: [Personalization {
            to: mailboxes(PersonRole::To, &message.to),
            cc: mailboxes(PersonRole::Cc, &email.cc),
            bcc: mailboxes(PersonRole::Bcc, &email.bcc),
        }],
        from: mailbox(&names, PersonRole::From, &message.from),
        reply_to: email.reply_to.as_ref().map(|one| mailbox(&names, PersonRole::ReplyTo, one)),
        subject: subject(email, default_subject),
        content: content(message, email),
        attachments: message.attachments.iter().filter_map(file).collect(),
        headers: headers(email),
        custom_args: CustomArgs {
            message_id: correlation.message_id.to_string(),
            attempt: correlation.attempt.to_string(),
            tenant_id: correlation.tenant_id.to_string(),
        },
    }
}

fn mailbox<'a>(names: &Names<'a>, role: PersonRole, address: &'a Address) -> Mailbox<'a> {
    Mailbox { email: address.to_send(), name: names.name(role, address) }
}

/// The file itself; one that is only linked goes into the text.
fn file(attachment: &Attachment) -> Option<File<'_>> {
    Some(File {
        content: attachment.content.as_deref()?,
        media_type: attachment.content_type.as_deref(),
        filename: attachment.filename.as_deref().unwrap_or(FILENAME),
        disposition: "attachment",
    })
}

/// SendGrid takes no empty text, and the plain one before HTML.
fn content(message: &Outbound, email: &Email) -> Vec<Content> {
    let Texts { plain, html } = Texts::of(message, email);
    let plain = plain.map(|text| if text.is_empty() { " ".to_owned() } else { text });
    let plain = plain.map(|value| Content { media_type: "text/plain", value });
    plain.into_iter().chain(html.map(|value| Content { media_type: "text/html", value })).collect()
}

/// Says what an exchange means. Only SendGrid's own body is taken for SendGrid's word.
fn outcome(exchange: Exchange) -> Outcome {
    let answer = match exchange.answered() {
        Ok(answer) => answer,
        Err(without) => return without,
    };
    let (status, error) = (answer.status, ErrorBody::read(&answer.body));
    let is_gateway = answer.is_of_gateway();
    match error {
        _ if status == StatusCode::TOO_MANY_REQUESTS => throttled(&answer, error.as_ref()),
        _ if status == StatusCode::ACCEPTED => accepted(&answer),
        // A server or proxy that finds the request too large has not let it through.
        None if status == StatusCode::PAYLOAD_TOO_LARGE => {
            refused(status, ErrorClass::Content, "the mail is too large".to_owned())
        }
        Some(error) if status.is_client_error() => refused_by_sendgrid(status, &error),
        Some(error) if status.is_server_error() && !is_gateway => Outcome::Unavailable {
            code: status.as_str().to_owned(),
            detail: bounded(&error.detail()),
        },
        _ => Outcome::Unknown {
            detail: format!("HTTP {} without an answer of SendGrid's", status.as_u16()),
        },
    }
}

fn accepted(answer: &HttpAnswer) -> Outcome {
    match answer.text(MESSAGE_ID).filter(|id| !id.is_empty()) {
        Some(id) => Outcome::Accepted { provider_message_id: id.to_owned(), segments: None },
        None => Outcome::Unknown { detail: "HTTP 202 without a message id".to_owned() },
    }
}

fn throttled(answer: &HttpAnswer, error: Option<&ErrorBody>) -> Outcome {
    Outcome::Throttled {
        code: answer.status.as_str().to_owned(),
        retry_after: answer.retry_after().or_else(|| answer.reset_after(RESET)),
        detail: error.map_or_else(|| "HTTP 429".to_owned(), |error| bounded(&error.detail())),
    }
}

/// SendGrid numbers no errors, so its code is that of HTTP.
fn refused_by_sendgrid(status: StatusCode, error: &ErrorBody) -> Outcome {
    let detail = bounded(&error.detail());
    let names_a_field = error.fields().any(|field| !field.is_empty());
    match codes::trouble(status.as_u16(), names_a_field, &detail) {
        Some(trouble) => Outcome::Account { trouble, code: status.as_str().to_owned(), detail },
        None => refused(status, codes::of_request(status.as_u16(), error.fields()), detail),
    }
}

/// An unverified sender (403) is permanent: other mails of the account have others.
fn refused(status: StatusCode, class: ErrorClass, detail: String) -> Outcome {
    let permanent = !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY);
    let code = status.as_str().to_owned();
    Outcome::Refused { error: SendError { code, class, detail, permanent } }
}
