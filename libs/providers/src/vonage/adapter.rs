//! Sends by `POST /v1/messages` (<https://developer.vonage.com/api/messages>).

use std::sync::Arc;

use hatch_domain::{Attachment, Environment, SendError};
use http::status::StatusCode;
use reqwest::{Client, RequestBuilder};
use url::Url;

use super::codes::{DUPLICATE, is_known, meaning_of, trouble};
use super::settings::Credentials;
use super::wire::{Content, Created, File, MessageBody, Problem, to_vonage};
use super::{Settings, WEBHOOK_PATH};
use crate::adapter::{Adapter, BoxFuture, Outbound, Outcome, bounded};
use crate::http_client::{self, ANSWER_BYTES_MAX, Exchange, HttpAnswer};
use crate::{Error, Trouble};

/// Characters of a text at most.
const TEXT_CHARS_MAX: usize = 1_000;

/// Characters of the text that goes with a file at most.
const CAPTION_CHARS_MAX: usize = 2_000;

/// The form of the webhooks that are asked for.
const WEBHOOK_VERSION: &str = "v1";

/// Sends SMS and MMS through one Vonage account.
pub struct VonageAdapter {
    client: Client,
    credentials: Credentials,
    api_key: String,
    messages_url: Url,
    webhook_url: String,
    clock: Arc<dyn Environment>,
}

impl VonageAdapter {
    /// Makes the adapter of an account that is called `vonage`. No connection is opened yet.
    ///
    /// # Errors
    /// [`Error::Setting`] for wrong settings, [`Error::Client`] when there is no HTTP client.
    pub fn new(settings: Settings, clock: Arc<dyn Environment>) -> Result<Self, Error> {
        Self::posted_to(settings, WEBHOOK_PATH, clock)
    }

    /// The same, whose receipts are to be posted to `path` below the public URL.
    pub(super) fn posted_to(
        settings: Settings,
        path: &str,
        clock: Arc<dyn Environment>,
    ) -> Result<Self, Error> {
        let credentials = settings.check()?;
        let client = http_client::client(settings.connect_timeout(), settings.http_timeout())?;
        let public = settings.public_url.as_str().trim_end_matches('/');
        Ok(Self {
            client,
            credentials,
            messages_url: http_client::below(&settings.base_url, "/v1/messages"),
            webhook_url: format!("{public}{path}"),
            api_key: settings.api_key,
            clock,
        })
    }

    /// The request; `None` where its token cannot be signed.
    fn request(&self, message: &Outbound, sendable: Sendable<'_>) -> Option<RequestBuilder> {
        let Sendable { to, content } = sendable;
        let (channel, message_type) = content.kind();
        let body = MessageBody {
            channel,
            message_type,
            to,
            from: to_vonage(&message.from),
            content,
            client_ref: message.correlation().to_reference(),
            webhook_url: &self.webhook_url,
            webhook_version: WEBHOOK_VERSION,
        };
        let request = self.client.post(self.messages_url.clone()).json(&body);
        let request = match &self.credentials {
            Credentials::Application { id, key } => {
                request.bearer_auth(key.token(id, self.clock.now(), self.clock.new_id())?)
            }
            Credentials::Account { secret } => {
                request.basic_auth(&self.api_key, Some(secret.expose()))
            }
        };
        Some(match &message.traceparent {
            Some(traceparent) => request.header("traceparent", traceparent),
            None => request,
        })
    }
}

impl Adapter for VonageAdapter {
    fn send<'a>(&'a self, message: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let sendable = match sendable(message) {
                Ok(sendable) => sendable,
                Err(refused) => return refused,
            };
            let Some(request) = self.request(message, sendable) else {
                let detail = "no token could be signed".to_owned();
                return Outcome::Unavailable { code: "token".to_owned(), detail };
            };
            let outcome = outcome(http_client::exchange(request, ANSWER_BYTES_MAX).await);
            tracing::debug!(
                message_id = %message.message_id,
                attempt = message.attempt,
                outcome = outcome.name(),
                "called vonage"
            );
            outcome
        })
    }
}

/// A message that Vonage can carry.
struct Sendable<'a> {
    to: &'a str,
    content: Content<'a>,
}

fn sendable(message: &Outbound) -> Result<Sendable<'_>, Outcome> {
    let [to] = message.to.as_slice() else {
        let detail = "Vonage takes exactly one recipient a message";
        return Err(Outcome::unsendable("recipients", detail));
    };
    let text = message.body.as_deref().filter(|text| !text.is_empty());
    let content = match message.attachments.as_slice() {
        [] => text_alone(text)?,
        [file] => with_file(file, text)?,
        _ => {
            let detail = "Vonage takes one file a message at most";
            return Err(Outcome::unsendable("attachments", detail));
        }
    };
    Ok(Sendable { to: to_vonage(to), content })
}

fn text_alone(text: Option<&str>) -> Result<Content<'_>, Outcome> {
    let Some(text) = text else {
        return Err(Outcome::unsendable("body", "Vonage takes no message without text or file"));
    };
    if text.chars().count() > TEXT_CHARS_MAX {
        let detail = "Vonage takes 1,000 characters of text at most";
        return Err(Outcome::unsendable("body", detail));
    }
    Ok(Content::Text(text))
}

fn with_file<'a>(file: &'a Attachment, caption: Option<&'a str>) -> Result<Content<'a>, Outcome> {
    let Some(url) = file.url.as_deref() else {
        let detail = "Vonage fetches a file by its URL, and this one has none";
        return Err(Outcome::unsendable("attachments", detail));
    };
    if caption.is_some_and(|caption| caption.chars().count() > CAPTION_CHARS_MAX) {
        let detail = "Vonage takes 2,000 characters of text with a file at most";
        return Err(Outcome::unsendable("body", detail));
    }
    let kind = kind_of(file.content_type.as_deref(), url).ok_or_else(|| {
        let detail = "Vonage takes images, vCards, audio and video, and this file is not known to be one: give its \
                      content_type";
        Outcome::unsendable("attachments", detail)
    })?;
    Ok(kind(File { url, caption }))
}

/// The kind of a file: by its media type, or else by how its URL ends.
fn kind_of<'a>(content_type: Option<&str>, url: &str) -> Option<fn(File<'a>) -> Content<'a>> {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    if !essence.is_empty() && essence != "application/octet-stream" {
        return match essence.split_once('/') {
            Some(("image", _)) => Some(Content::Image),
            Some(("audio", _)) => Some(Content::Audio),
            Some(("video", _)) => Some(Content::Video),
            Some(("text", "vcard" | "x-vcard" | "directory")) => Some(Content::Vcard),
            _ => None,
        };
    }
    let url = Url::parse(url).ok()?;
    let (_, ending) = url.path().rsplit_once('.')?;
    match ending.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" | "png" | "gif" | "webp" | "bmp" | "heic" => Some(Content::Image),
        "vcf" | "vcard" => Some(Content::Vcard),
        "mp3" | "m4a" | "amr" | "wav" | "ogg" | "aac" => Some(Content::Audio),
        "mp4" | "3gp" | "mov" | "webm" | "mpeg" | "mpg" => Some(Content::Video),
        _ => None,
    }
}

/// Says what an exchange means. Only Vonage's own body is taken for Vonage's word.
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
    } else if let Some(problem) = Problem::read(&answer.body).filter(|_| !is_gateway) {
        refused(status, &problem)
    } else {
        Outcome::Unknown {
            detail: format!("HTTP {} without an answer of Vonage's", status.as_u16()),
        }
    }
}

fn accepted(answer: &HttpAnswer) -> Outcome {
    match Created::read(&answer.body) {
        Some(provider_message_id) => Outcome::Accepted { provider_message_id, segments: None },
        None => Outcome::Unknown {
            detail: format!("HTTP {} without the id of a message", answer.status.as_u16()),
        },
    }
}

fn throttled(answer: &HttpAnswer) -> Outcome {
    let (code, detail) = match Problem::read(&answer.body) {
        Some(problem) => (problem.code, bounded(&problem.detail)),
        None => (answer.status.as_str().to_owned(), "HTTP 429".to_owned()),
    };
    Outcome::Throttled { code, retry_after: answer.retry_after(), detail }
}

fn refused(status: StatusCode, problem: &Problem) -> Outcome {
    let (code, detail) = (problem.code.clone(), bounded(&problem.detail));
    if status.is_server_error() {
        return Outcome::Unavailable { code, detail };
    }
    if !status.is_client_error() {
        return Outcome::Unknown { detail: format!("HTTP {} with code {code}", status.as_u16()) };
    }
    // It was sent, by this attempt or by an earlier one, and its receipts say by which.
    if code.parse::<u32>() == Ok(DUPLICATE) {
        return Outcome::Unknown {
            detail: "Vonage says that the message was sent already".to_owned(),
        };
    }
    // A code that is known says more than the status: one of the message is no word on the account.
    let of_status = match status {
        _ if is_known(&code) => None,
        StatusCode::UNAUTHORIZED => Some(Trouble::Credentials),
        StatusCode::PAYMENT_REQUIRED => Some(Trouble::Credit),
        StatusCode::FORBIDDEN => Some(Trouble::Permission),
        StatusCode::NOT_FOUND => Some(Trouble::NotFound),
        _ => None,
    };
    if let Some(trouble) = trouble(&code).or(of_status) {
        return Outcome::Account { trouble, code, detail };
    }
    let (class, permanent) = meaning_of(&code);
    Outcome::Refused { error: SendError { code, class, detail, permanent } }
}
