//! Sends by `POST /v3/{domain}/messages`
//! (<https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages>).

use std::collections::HashSet;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::DateTime;
use hatch_domain::address::Address;
use hatch_domain::mailbox::PersonRole;
use hatch_domain::{Channel, Email, ErrorClass, SendError};
use hmac::{Hmac, Mac};
use http::header::CONTENT_TYPE;
use http::status::StatusCode;
use reqwest::{Client, RequestBuilder};
use sha2::Sha256;
use url::Url;

use super::look_up;
use super::wire::{self, DomainBody, File, Form};
use super::{COMMANDING_HEADERS, Settings, codes};
use crate::adapter::{Adapter, BoxFuture, Checked, LookUp, LookedUp, Outbound, Outcome, bounded};
use crate::http_client::{self, ANSWER_BYTES_MAX, Exchange, HttpAnswer};
use crate::mail::outgoing::{FILENAME, MESSAGE_ID, Names, Texts, headers, once, subject};
use crate::{Error, Trouble};

/// The user of every API key.
const USER: &str = "api";

/// Bytes of a mail at most, its files in base64 among them: 25 MB.
const MAIL_BYTES_MAX: usize = 25 * 1024 * 1024;

/// Recipients of a mail at most, those of copies among them.
const RECIPIENTS_MAX: usize = 1_000;

/// Bytes of all options, headers and variables at most.
const PARAMETERS_BYTES_MAX: usize = 16 * 1024;

/// How the parameters begin that this limit is for.
const PARAMETERS: [&str; 3] = ["o:", "h:", "v:"];

/// What a throttled request is told when it may come again, before the time.
const AGAIN_AFTER: &str = "try again after ";

/// Sends mail of one domain at Mailgun.
pub struct MailgunAdapter {
    client: Client,
    settings: Settings,
    /// Parsed once: every mail goes there.
    messages_url: Url,
    events_url: Url,
}

impl MailgunAdapter {
    /// Makes the adapter of an account. No connection is opened yet.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings, [`Error::Client`] when there is no HTTP client.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        let client = http_client::client(settings.connect_timeout(), settings.http_timeout())?;
        let below = |what: &str| {
            http_client::below(&settings.base_url, &format!("/v3/{}/{what}", settings.domain))
        };
        let (messages_url, events_url) = (below("messages"), below("events"));
        Ok(Self { client, messages_url, events_url, settings })
    }

    fn request(&self, message: &Outbound) -> Result<RequestBuilder, Outcome> {
        let none = Email::default();
        let email = message.email.as_deref().unwrap_or(&none);
        let form = form(message, email, &self.settings.default_subject)?;
        let (content_type, body) = form.encoded(&self.boundary(message));
        let request = self.client.post(self.messages_url.clone());
        let request = request.header(CONTENT_TYPE, content_type).body(body);
        Ok(self.authenticated(request, message))
    }

    fn authenticated(&self, request: RequestBuilder, message: &Outbound) -> RequestBuilder {
        let request = request.basic_auth(USER, Some(self.settings.api_key.expose()));
        match &message.traceparent {
            Some(traceparent) => request.header("traceparent", traceparent),
            None => request,
        }
    }

    /// What the parts of a form are told apart by: nobody who wrote a part of it can know it.
    fn boundary(&self, message: &Outbound) -> String {
        let key = self.settings.api_key.expose().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        mac.update(message.correlation().to_query().as_bytes());
        let digits = mac.finalize().into_bytes();
        let digits: String = digits.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
        format!("hatch-{digits}")
    }
}

impl Adapter for MailgunAdapter {
    fn send<'a>(&'a self, message: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let request = match self.request(message) {
                Ok(request) => request,
                Err(refused) => return refused,
            };
            let outcome = outcome(http_client::exchange(request, ANSWER_BYTES_MAX).await);
            tracing::debug!(
                message_id = %message.message_id,
                attempt = message.attempt,
                outcome = outcome.name(),
                "called mailgun"
            );
            outcome
        })
    }

    fn can_look_up(&self) -> bool {
        true
    }

    fn conclusive_after(&self) -> Duration {
        self.settings.events_settled_after() + self.settings.http_timeout()
    }

    fn look_up<'a>(&'a self, asked: &'a LookUp) -> BoxFuture<'a, LookedUp> {
        Box::pin(async move {
            let Some(query) = look_up::query(asked) else {
                let detail = "the mail has no Message-ID by which Mailgun would know it".to_owned();
                return LookedUp::Inconclusive { detail };
            };
            let mut url = self.events_url.clone();
            url.set_query(Some(&query));
            let request = self.authenticated(self.client.get(url), &asked.message);
            let exchange = http_client::exchange(request, look_up::PAGE_BYTES_MAX).await;
            look_up::conclude(exchange, asked, self.conclusive_after())
        })
    }

    fn check(&self) -> BoxFuture<'_, Checked> {
        Box::pin(async move {
            let Settings { domain, api_key, base_url, .. } = &self.settings;
            let url = http_client::below(base_url, &format!("/v4/domains/{domain}"));
            let request = self.client.get(url).basic_auth(USER, Some(api_key.expose()));
            checked(http_client::exchange(request, ANSWER_BYTES_MAX).await)
        })
    }
}

/// What the answer about a domain says
/// (<https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/domains/get-v4-domains--name->).
fn checked(exchange: Exchange) -> Checked {
    let answer = match exchange.answered_check() {
        Ok(answer) => answer,
        Err(without) => return without,
    };
    let status = answer.status;
    let body = serde_json::from_slice(&answer.body).ok();
    if let Some(DomainBody { domain }) = body.filter(|_| status.is_success()) {
        let detail = format!("the domain is {}", bounded(&domain.state));
        let trouble = match domain.state.as_str() {
            _ if domain.is_disabled => Trouble::Suspended,
            "active" => return Checked::Good { detail },
            "disabled" => Trouble::Suspended,
            _ => Trouble::Permission,
        };
        return Checked::Refused { trouble, code: bounded(&domain.state), detail };
    }
    let said = wire::error(&answer.body);
    let known = said.and_then(|said| Some((codes::trouble(status.as_u16(), &said)?, said)));
    match known {
        Some((trouble, said)) => {
            let code = status.as_str().to_owned();
            Checked::Refused { trouble, code, detail: bounded(&said) }
        }
        None => Checked::Unanswered {
            detail: format!("HTTP {} without an answer of Mailgun's", status.as_u16()),
        },
    }
}

/// The form of a mail, within the limits that Mailgun has.
fn form<'a>(
    message: &'a Outbound,
    email: &'a Email,
    default_subject: &'a str,
) -> Result<Form<'a>, Outcome> {
    let refuse = |code: &str, detail: &str| Err(Outcome::unsendable(code, detail));
    if message.channel != Channel::Email || message.to.is_empty() {
        return refuse("channel", "Mailgun takes mail with a recipient only");
    }
    let names = Names::of(email);
    let mut form = Form::default();
    form.text("from", mailbox(&names, PersonRole::From, &message.from));
    let mut seen = HashSet::new();
    let lists = [
        ("to", PersonRole::To, &message.to),
        ("cc", PersonRole::Cc, &email.cc),
        ("bcc", PersonRole::Bcc, &email.bcc),
    ];
    for (field, role, addresses) in lists {
        for address in once(addresses, &mut seen) {
            form.text(field, mailbox(&names, role, address));
        }
    }
    if seen.len() > RECIPIENTS_MAX {
        return refuse("recipients", "Mailgun takes 1,000 recipients a mail at most");
    }
    form.text("subject", subject(email, default_subject));
    let size = texts(&mut form, message, email);
    parameters(&mut form, message, email, &names);
    if form.bytes_of(&PARAMETERS) > PARAMETERS_BYTES_MAX {
        return refuse("headers", "Mailgun takes 16 KiB of headers and variables a mail at most");
    }
    let contents = message.attachments.iter().filter_map(|file| file.content.as_ref());
    if size + contents.map(String::len).sum::<usize>() > MAIL_BYTES_MAX {
        return refuse("size", "Mailgun takes mails of 25 MB at most, with their files in base64");
    }
    files(&mut form, message)?;
    Ok(form)
}

/// Puts in the text and its HTML, and says how long they are. Mailgun wants one of the two, and not empty.
fn texts(form: &mut Form<'_>, message: &Outbound, email: &Email) -> usize {
    let Texts { plain, html } = Texts::of(message, email);
    let plain = plain.map(|text| if text.is_empty() { " ".to_owned() } else { text });
    let mut size = 0;
    for (field, text) in [("text", plain), ("html", html)] {
        if let Some(text) = text {
            size += text.len();
            form.text(field, text);
        }
    }
    size
}

/// Puts in the headers and, as variables, our ids.
fn parameters<'a>(form: &mut Form<'a>, message: &'a Outbound, email: &'a Email, names: &Names<'a>) {
    if let Some(reply_to) = &email.reply_to {
        form.text("h:Reply-To", mailbox(names, PersonRole::ReplyTo, reply_to));
    }
    // A client's header must not say by what we know the events.
    let is_told = |name: &str| !name.to_ascii_lowercase().starts_with(COMMANDING_HEADERS);
    for (name, value) in headers(email).into_iter().filter(|(name, _)| is_told(name)) {
        // As Mailgun writes it.
        let name = if name == MESSAGE_ID { "Message-Id" } else { name };
        form.text(format!("h:{name}"), value);
    }
    let correlation = message.correlation();
    form.text("v:message_id", correlation.message_id.to_string());
    form.text("v:attempt", correlation.attempt.to_string());
    form.text("v:tenant_id", correlation.tenant_id.to_string());
}

/// Puts in the files that are there; those that are only linked are in the text. One that the HTML shows is called by
/// its Content-ID, which is how Mailgun has it
/// (<https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-attachments>).
fn files<'a>(form: &mut Form<'a>, message: &'a Outbound) -> Result<(), Outcome> {
    for attachment in &message.attachments {
        let Some(content) = &attachment.content else { continue };
        let content = BASE64_STANDARD.decode(content).map_err(|_| {
            Outcome::unsendable("attachments", "a file is not what its base64 should be")
        })?;
        let id = attachment.content_id.as_deref().filter(|_| attachment.inline);
        let (field, filename) = match id {
            Some(id) => ("inline", id),
            None => ("attachment", attachment.filename.as_deref().unwrap_or(FILENAME)),
        };
        let media_type = attachment.content_type.as_deref();
        form.file(File { field, filename, media_type, content });
    }
    Ok(())
}

/// An address, with the name that is shown with it (RFC 5322, section 3.4).
fn mailbox<'a>(names: &Names<'a>, role: PersonRole, address: &'a Address) -> String {
    let shown = address.to_send();
    match names.name(role, address) {
        Some(name) => {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{name}\" <{shown}>")
        }
        None => shown.into_owned(),
    }
}

/// Says what an exchange means. Only Mailgun's own body is taken for Mailgun's word.
fn outcome(exchange: Exchange) -> Outcome {
    let answer = match exchange.answered() {
        Ok(answer) => answer,
        Err(without) => return without,
    };
    let (status, said) = (answer.status, wire::error(&answer.body));
    let is_gateway = answer.is_of_gateway();
    match said {
        said if status == StatusCode::TOO_MANY_REQUESTS => throttled(&answer, said.as_deref()),
        _ if status == StatusCode::OK => accepted(&answer),
        // A server or proxy that finds the request too large has not let it through.
        None if status == StatusCode::PAYLOAD_TOO_LARGE => {
            refused(status, ErrorClass::Content, "the mail is too large".to_owned())
        }
        Some(said) if status.is_client_error() => refused_by_mailgun(status, &said),
        Some(said) if status.is_server_error() && !is_gateway => {
            Outcome::Unavailable { code: status.as_str().to_owned(), detail: bounded(&said) }
        }
        _ => Outcome::Unknown {
            detail: format!("HTTP {} without an answer of Mailgun's", status.as_u16()),
        },
    }
}

fn accepted(answer: &HttpAnswer) -> Outcome {
    match wire::queued(&answer.body) {
        Some(id) => Outcome::Accepted { provider_message_id: id, segments: None },
        None => Outcome::Unknown { detail: "HTTP 200 without a message id".to_owned() },
    }
}

fn throttled(answer: &HttpAnswer, said: Option<&str>) -> Outcome {
    Outcome::Throttled {
        code: answer.status.as_str().to_owned(),
        retry_after: answer.retry_after().or_else(|| again_after(answer, said?)),
        detail: said.map_or_else(|| "HTTP 429".to_owned(), bounded),
    }
}

/// The wait until the time that the words end with: `… try again after Mon, 20 Dec 2021 20:33:21 UTC`.
fn again_after(answer: &HttpAnswer, said: &str) -> Option<Duration> {
    let (_, time) = said.split_once(AGAIN_AFTER)?;
    let time = time.trim().trim_end_matches('.').replace("UTC", "GMT");
    answer.wait_until(DateTime::parse_from_rfc2822(&time).ok()?)
}

/// Mailgun numbers no errors, so its code is that of HTTP.
fn refused_by_mailgun(status: StatusCode, said: &str) -> Outcome {
    let detail = bounded(said);
    match codes::trouble(status.as_u16(), said) {
        Some(trouble) => Outcome::Account { trouble, code: status.as_str().to_owned(), detail },
        None => refused(status, codes::of_request(status.as_u16(), said), detail),
    }
}

fn refused(status: StatusCode, class: ErrorClass, detail: String) -> Outcome {
    let passing =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::MISDIRECTED_REQUEST];
    let (code, permanent) = (status.as_str().to_owned(), !passing.contains(&status));
    Outcome::Refused { error: SendError { code, class, detail, permanent } }
}
