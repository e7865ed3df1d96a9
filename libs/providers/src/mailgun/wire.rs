//! Mailgun's own forms and JSON, as far as hatch writes and reads them. Unknown fields are ignored.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

/// The media type of a form without files.
const URLENCODED: &str = "application/x-www-form-urlencoded";

/// The media type of a file that says none.
const OCTETS: &str = "application/octet-stream";

/// What is posted to send a mail, in its order; a name may stand there several times.
#[derive(Debug, Default)]
pub(super) struct Form<'a> {
    texts: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    files: Vec<File<'a>>,
}

/// A file of a form.
#[derive(Debug)]
pub(super) struct File<'a> {
    /// `attachment` or `inline`.
    pub(super) field: &'static str,
    pub(super) filename: &'a str,
    pub(super) media_type: Option<&'a str>,
    pub(super) content: Vec<u8>,
}

impl<'a> Form<'a> {
    pub(super) fn text(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        self.texts.push((name.into(), value.into()));
    }

    pub(super) fn file(&mut self, file: File<'a>) {
        self.files.push(file);
    }

    /// Bytes of the names and values of those texts whose names begin so.
    pub(super) fn bytes_of(&self, prefixes: &[&str]) -> usize {
        let told = self
            .texts
            .iter()
            .filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)));
        told.map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Its media type and its body. `boundary` is a text that no part holds.
    pub(super) fn encoded(self, boundary: &str) -> (String, Vec<u8>) {
        if self.files.is_empty() {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(&self.texts);
            return (URLENCODED.to_owned(), form.finish().into_bytes());
        }
        let contents = self.files.iter().map(|file| file.content.len());
        let mut body = Vec::with_capacity(contents.sum());
        for (name, value) in &self.texts {
            part(&mut body, boundary, &format!("name=\"{}\"", quoted(name)));
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(value.as_bytes());
            body.extend_from_slice(b"\r\n");
        }
        // Each goes as soon as it is written: a mail may have 25 MB of them.
        for File { field, filename, media_type, content } in self.files {
            let named = format!("name=\"{field}\"; filename=\"{}\"", quoted(filename));
            part(&mut body, boundary, &named);
            let media_type = media_type.filter(|text| is_of_header(text)).unwrap_or(OCTETS);
            body.extend_from_slice(format!("\r\nContent-Type: {media_type}\r\n\r\n").as_bytes());
            body.extend_from_slice(&content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={boundary}"), body)
    }
}

/// Begins a part of a form (RFC 7578).
fn part(body: &mut Vec<u8>, boundary: &str, named: &str) {
    let head = format!("--{boundary}\r\nContent-Disposition: form-data; {named}");
    body.extend_from_slice(head.as_bytes());
}

/// A name between quotes, as browsers write it
/// (<https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data>).
fn quoted(name: &str) -> Cow<'_, str> {
    if !name.contains(['"', '\r', '\n']) {
        return name.into();
    }
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A").into()
}

fn is_of_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// The body of a 200.
#[derive(Debug, Deserialize)]
struct Queued {
    id: String,
}

/// What Mailgun calls a mail that it took, without angle brackets; none where the body is not Mailgun's.
pub(super) fn queued(body: &[u8]) -> Option<String> {
    let Queued { id } = serde_json::from_slice(body).ok()?;
    Some(unbracketed(&id).to_owned()).filter(|id| !id.is_empty())
}

/// A Message-ID without angle brackets.
pub(super) fn unbracketed(id: &str) -> &str {
    id.trim().trim_start_matches('<').trim_end_matches('>')
}

/// The body of every error that Mailgun itself answers, but for one: `Forbidden` stands there alone.
#[derive(Debug, Deserialize)]
struct ErrorBody {
    message: String,
}

/// Mailgun's words; none when the body is not Mailgun's.
pub(super) fn error(body: &[u8]) -> Option<String> {
    if body.trim_ascii() == b"Forbidden" {
        return Some("Forbidden".to_owned());
    }
    let ErrorBody { message } = serde_json::from_slice(body).ok()?;
    Some(message).filter(|message| !message.trim().is_empty())
}

/// A domain, as far as it says whether it may be sent by.
#[derive(Debug, Deserialize)]
pub(super) struct DomainBody {
    pub(super) domain: Domain,
}

/// See [`DomainBody`].
#[derive(Debug, Deserialize)]
pub(super) struct Domain {
    /// `active`, `unverified` or `disabled`.
    pub(super) state: String,
    #[serde(default)]
    pub(super) is_disabled: bool,
}

/// A page of the list of events.
#[derive(Debug, Deserialize)]
pub(super) struct Events {
    pub(super) items: Vec<EventBody>,
}

/// An event, as it is listed and as it is posted.
#[derive(Debug, Deserialize)]
pub(super) struct EventBody {
    #[serde(default)]
    pub(super) event: String,
    /// Unique among those of a day.
    #[serde(default)]
    pub(super) id: String,
    /// In seconds since 1970.
    #[serde(default)]
    pub(super) timestamp: Value,
    #[serde(default)]
    pub(super) message: Value,
    #[serde(rename = "user-variables", default)]
    pub(super) variables: Value,
    #[serde(default)]
    pub(super) recipient: Value,
    #[serde(default)]
    pub(super) severity: Value,
    #[serde(default)]
    pub(super) reason: Value,
    #[serde(rename = "delivery-status", default)]
    pub(super) delivery: Value,
    #[serde(default)]
    pub(super) reject: Value,
    #[serde(rename = "client-info", default)]
    pub(super) client: Value,
}

impl EventBody {
    /// The Message-ID of its mail, without angle brackets.
    pub(super) fn mail_id(&self) -> Option<&str> {
        let id = self.message["headers"]["message-id"].as_str()?;
        Some(unbracketed(id)).filter(|id| !id.is_empty())
    }

    /// One of our variables, which Mailgun hands back as they were given to it.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        match self.variables.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// When it was, in seconds since 1970.
    pub(super) fn at(&self) -> Option<f64> {
        let at = match &self.timestamp {
            Value::String(text) => text.parse().ok(),
            at => at.as_f64(),
        };
        at.filter(|at: &f64| at.is_finite() && *at >= 0.0)
    }
}
