//! Sends by `POST /v3/mail/send`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

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
use crate::{Error, Trouble};

/// The answer's header with SendGrid's id of the mail.
const MESSAGE_ID: HeaderName = HeaderName::from_static("x-message-id");

/// When the rate limit begins anew, in Unix seconds.
const RESET: &str = "x-ratelimit-reset";

/// What a file without a name is called.
const FILENAME: &str = "attachment";

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
    let answer = match exchange {
        Exchange::Answered(answer) => answer,
        Exchange::NotSent { detail, .. } | Exchange::NoAnswer { detail } => {
            return Checked::Unanswered { detail };
        }
        Exchange::Shortage(lack) => {
            return Checked::Unanswered { detail: format!("this process lacks {}", lack.as_str()) };
        }
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
    let mut mailboxes =
        |role, addresses: &'a [Address]| names.mailboxes(role, addresses, &mut seen);
    let subject = email.subject.as_deref().filter(|subject| !subject.trim().is_empty());
    let correlation = message.correlation();
    Mail {
        personalizations: [Personalization {
            to: mailboxes(PersonRole::To, &message.to),
            cc: mailboxes(PersonRole::Cc, &email.cc),
            bcc: mailboxes(PersonRole::Bcc, &email.bcc),
        }],
        from: names.mailbox(PersonRole::From, &message.from),
        reply_to: email.reply_to.as_ref().map(|one| names.mailbox(PersonRole::ReplyTo, one)),
        subject: subject.unwrap_or(default_subject),
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

/// The names that are shown with the addresses of a mail.
struct Names<'a>(HashMap<(PersonRole, &'a Address), &'a str>);

impl<'a> Names<'a> {
    fn of(email: &'a Email) -> Self {
        let people = email.people.iter();
        Self(people.map(|one| ((one.role, &one.address), one.name.as_str())).collect())
    }

    fn mailbox(&self, role: PersonRole, address: &'a Address) -> Mailbox<'a> {
        let name = self.0.get(&(role, address)).copied();
        Mailbox { email: address.to_send(), name }
    }

    /// The addresses that are not in `seen` yet: SendGrid refuses a mail that names one twice.
    fn mailboxes(
        &self,
        role: PersonRole,
        addresses: &'a [Address],
        seen: &mut HashSet<Cow<'a, Address>>,
    ) -> Vec<Mailbox<'a>> {
        let new = addresses.iter().filter(|address| seen.insert(address.identity()));
        new.map(|address| self.mailbox(role, address)).collect()
    }
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

/// The text and its HTML, each with the links below it. SendGrid takes no empty text.
fn content(message: &Outbound, email: &Email) -> Vec<Content> {
    let links: Vec<(&str, &str)> = message
        .attachments
        .iter()
        .filter(|file| file.content.is_none())
        .filter_map(|file| {
            let url = file.url.as_deref()?;
            Some((url, file.filename.as_deref().unwrap_or(url)))
        })
        .collect();
    let text = message.body.as_deref().filter(|text| !text.is_empty());
    let html = email.html.as_deref().filter(|html| !html.is_empty());
    let text = match (text, html) {
        (None, Some(_)) => None,
        (text, _) => Some(with_links(text.unwrap_or_default(), &links)),
    };
    let text = text.map(|text| if text.is_empty() { " ".to_owned() } else { text });
    let html = html.map(|html| with_html_links(html, &links));
    let plain = text.map(|value| Content { media_type: "text/plain", value });
    plain.into_iter().chain(html.map(|value| Content { media_type: "text/html", value })).collect()
}

fn with_links(text: &str, links: &[(&str, &str)]) -> String {
    let line = |&(url, name): &(&str, &str)| {
        if url == name { url.to_owned() } else { format!("{name}: {url}") }
    };
    let lines = links.iter().map(line).collect::<Vec<_>>().join("\n");
    match (text.is_empty(), lines.is_empty()) {
        (_, true) => text.to_owned(),
        (true, false) => lines,
        (false, false) => format!("{text}\n\n{lines}"),
    }
}

/// Puts the links at the end of the HTML's body.
fn with_html_links(html: &str, links: &[(&str, &str)]) -> String {
    let paragraphs: String = links
        .iter()
        .map(|(url, name)| format!("<p><a href=\"{}\">{}</a></p>", escaped(url), escaped(name)))
        .collect();
    let end = html.to_ascii_lowercase().rfind("</body>").unwrap_or(html.len());
    format!("{}{paragraphs}{}", &html[..end], &html[end..])
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A Message-ID as it stands in a header; none that would break it, or that a header has no characters for.
fn bracketed(id: &String) -> Option<String> {
    let is_printable =
        id.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"<>".contains(&byte));
    is_printable.then(|| format!("<{id}>"))
}

/// The client's headers and, before them, those of the thread, which are ours to say.
fn headers(email: &Email) -> BTreeMap<&str, String> {
    let references = email.references.iter().filter_map(bracketed).collect::<Vec<_>>().join(" ");
    let thread = [
        ("Message-ID", email.mail_id.as_ref().and_then(bracketed)),
        ("In-Reply-To", email.in_reply_to.as_ref().and_then(bracketed)),
        ("References", (!references.is_empty()).then_some(references)),
    ];
    let thread: BTreeMap<&str, String> =
        thread.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let told = |name: &str| thread.keys().any(|ours| ours.eq_ignore_ascii_case(name));
    let theirs = email.headers.iter().filter(|(name, _)| !told(name));
    let theirs: Vec<_> = theirs.map(|(name, value)| (name.as_str(), value.clone())).collect();
    thread.into_iter().chain(theirs).collect()
}

/// Says what an exchange means. Only SendGrid's own body is taken for SendGrid's word.
fn outcome(exchange: Exchange) -> Outcome {
    let answer = match exchange {
        Exchange::NotSent { code, detail } => {
            return Outcome::Unavailable { code: code.to_owned(), detail };
        }
        Exchange::Shortage(lack) => return Outcome::Shortage(lack),
        Exchange::NoAnswer { detail } => return Outcome::Unknown { detail },
        Exchange::Answered(answer) => answer,
    };
    let (status, error) = (answer.status, ErrorBody::read(&answer.body));
    // Whatever stands in such a body, it comes from a gateway that did not hear SendGrid's answer.
    let is_gateway = matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
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
