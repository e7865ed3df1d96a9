//! Mail that came in, as Inbound Parse posts it: a form of several parts, each text in a charset of
//! its own (<https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook>).

use std::collections::HashMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8};
use futures::{FutureExt, stream};
use hatch_domain::address::{Address, AddressError};
use hatch_domain::message::event::{Attachment, Channel, Email};
use http::header::CONTENT_TYPE;
use mail_parser::{HeaderValue, Message, MessageParser, MessagePart, MimeHeaders, PartType};
use multer::Multipart;
use serde::Deserialize;
use uuid::{Uuid, uuid};

use crate::webhook::{Inbound, NotUnderstood, RawRequest};

/// What a mail without a Message-ID is called: a UUIDv5, in this namespace, of what it says. It never
/// changes.
const NAMELESS: Uuid = uuid!("9a0f4c1d-77f2-4f4b-8e0e-3b7c5d1a2e64");

/// A longer id is none: a line of a mail has no more room (RFC 5322, section 2.1.1).
const ID_BYTES_MAX: usize = 998;

/// Of a longer thread, the last ones are kept.
const REFERENCES_MAX: usize = 100;

const FORM: NotUnderstood = NotUnderstood::ContentType { expected: "a multipart form" };

/// Reads the mail.
pub(super) fn parse(account: &str, request: &RawRequest) -> Result<Inbound, NotUnderstood> {
    let form = Form::read(request)?;
    let envelope: Envelope =
        form.text("envelope").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    if let Some(mail) = form.parts.get("email") {
        return raw(account, &mail.bytes, &envelope);
    }
    let headers = Headers::read(&form.text("headers").unwrap_or_default());
    let from = form.addresses("from").into_iter().next();
    let from = match (from, &envelope.from) {
        (Some(from), _) => from,
        (None, Some(text)) => address("envelope", text)?,
        (None, None) => return Err(NotUnderstood::Missing { field: "from" }),
    };
    let body = form.text("text").filter(|text| !text.is_empty());
    let email = Email {
        subject: form.text("subject").filter(|subject| !subject.is_empty()),
        html: form.text("html").filter(|html| !html.is_empty()),
        cc: form.addresses("cc"),
        reply_to: headers.reply_to,
        mail_id: headers.mail_id.clone(),
        in_reply_to: headers.in_reply_to,
        references: headers.references,
        ..Email::default()
    };
    Ok(Inbound {
        account: account.to_owned(),
        provider_message_id: headers.mail_id.unwrap_or_else(|| form.content_id()),
        channel: Channel::Email,
        from,
        to: recipients(form.addresses("to"), &envelope)?,
        body,
        attachments: form.files(),
        email: Some(Box::new(email)),
        segments: None,
    })
}

/// Reads the mail as it was carried, which Inbound Parse posts where it is set to "POST the raw, full
/// MIME message" (RFC 5322, RFC 2045).
fn raw(account: &str, mail: &Bytes, envelope: &Envelope) -> Result<Inbound, NotUnderstood> {
    let not_read = NotUnderstood::ContentType { expected: "a mail in its field email" };
    let message = MessageParser::default().parse(mail.as_ref()).ok_or(not_read)?;
    let headers = Headers::of(&message);
    let from = match (addresses(message.from()).into_iter().next(), &envelope.from) {
        (Some(from), _) => from,
        (None, Some(text)) => address("envelope", text)?,
        (None, None) => return Err(NotUnderstood::Missing { field: "from" }),
    };
    let text = |text: Option<std::borrow::Cow<'_, str>>| {
        text.map(|text| clean(&text)).filter(|text| !text.is_empty())
    };
    let email = Email {
        subject: text(message.subject().map(Into::into)),
        html: text(message.html_bodies().find_map(|part| match &part.body {
            PartType::Html(html) => Some(html.as_ref().into()),
            // The parser names a text here where there is no HTML; shown as HTML it could be anything.
            _ => None,
        })),
        cc: addresses(message.cc()),
        reply_to: headers.reply_to,
        mail_id: headers.mail_id.clone(),
        in_reply_to: headers.in_reply_to,
        references: headers.references,
        ..Email::default()
    };
    let file = |part: &MessagePart<'_>| Attachment {
        url: None,
        content_type: part.content_type().map(|kind| match kind.subtype() {
            Some(subtype) => clean(&format!("{}/{subtype}", kind.ctype())),
            None => clean(kind.ctype()),
        }),
        filename: part.attachment_name().map(clean),
        content: Some(BASE64_STANDARD.encode(part.contents())),
    };
    Ok(Inbound {
        account: account.to_owned(),
        provider_message_id: headers
            .mail_id
            .unwrap_or_else(|| Uuid::new_v5(&NAMELESS, mail).to_string()),
        channel: Channel::Email,
        from,
        to: recipients(addresses(message.to()), envelope)?,
        body: text(message.text_bodies().find_map(|part| match &part.body {
            PartType::Text(text) => Some(text.as_ref().into()),
            _ => None,
        })),
        attachments: message.attachments().map(file).collect(),
        email: Some(Box::new(email)),
        segments: None,
    })
}

/// Those that the mail says it is to, as long as one of them is whom it was brought to. Otherwise,
/// as with a blind copy or a mailing list, whom it was brought to.
fn recipients(said: Vec<Address>, envelope: &Envelope) -> Result<Vec<Address>, NotUnderstood> {
    let brought: Vec<Address> =
        envelope.to.iter().map(|text| address("envelope", text)).collect::<Result<_, _>>()?;
    if !said.is_empty() && (brought.is_empty() || said.iter().any(|to| brought.contains(to))) {
        return Ok(said);
    }
    if brought.is_empty() {
        return Err(NotUnderstood::Missing { field: "to" });
    }
    Ok(brought)
}

fn address(field: &'static str, text: &str) -> Result<Address, NotUnderstood> {
    Address::email(text).map_err(|source: AddressError| NotUnderstood::Address { field, source })
}

/// Between whom the mail was carried, whatever it says itself.
#[derive(Default, Deserialize)]
struct Envelope {
    #[serde(default)]
    to: Vec<String>,
    /// Absent or empty for a bounce.
    #[serde(default)]
    from: Option<String>,
}

/// What the block of headers says.
#[derive(Default)]
struct Headers {
    mail_id: Option<String>,
    in_reply_to: Option<String>,
    references: Vec<String>,
    reply_to: Option<Address>,
}

impl Headers {
    fn read(block: &str) -> Self {
        let block = format!("{}\r\n\r\n", block.trim_end());
        let message = MessageParser::default().parse_headers(&block);
        message.as_ref().map(Self::of).unwrap_or_default()
    }

    fn of(message: &Message<'_>) -> Self {
        let sane = |id: &String| !id.is_empty() && id.len() <= ID_BYTES_MAX;
        let ids = |value: &HeaderValue<'_>| -> Vec<String> {
            let ids = value.as_text_list().unwrap_or_default().iter();
            ids.map(|id| clean(id.trim())).filter(sane).collect()
        };
        let mut references = ids(message.references());
        references.drain(..references.len().saturating_sub(REFERENCES_MAX));
        let reply_to = message
            .reply_to()
            .and_then(|list| list.first())
            .and_then(|first| first.address().and_then(|address| Address::email(address).ok()));
        Self {
            mail_id: message.message_id().map(|id| clean(id.trim())).filter(sane),
            in_reply_to: ids(message.in_reply_to()).into_iter().next(),
            references,
            reply_to,
        }
    }
}

/// The parts of the form.
struct Form {
    parts: HashMap<String, Part>,
    charsets: HashMap<String, String>,
    /// The names of the parts that are files, in the order in which they came.
    files: Vec<String>,
}

struct Part {
    bytes: Bytes,
    filename: Option<String>,
    content_type: Option<String>,
}

/// What the form says of a file beside it.
#[derive(Default, Deserialize)]
struct FileInfo {
    #[serde(default)]
    filename: Option<String>,
    #[serde(default, rename = "type")]
    content_type: Option<String>,
}

impl Form {
    fn read(request: &RawRequest) -> Result<Self, NotUnderstood> {
        let content_type = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary =
            multer::parse_boundary(content_type.unwrap_or_default()).map_err(|_| FORM)?;
        let parts = read_parts(request.body.clone(), boundary)
            // The whole body is there, so there is nothing to wait for.
            .now_or_never()
            .and_then(Result::ok)
            .ok_or(FORM)?;
        let mut form = Self { parts: HashMap::new(), charsets: HashMap::new(), files: Vec::new() };
        for (name, part) in parts {
            if part.filename.is_some() || is_file(&name) {
                form.files.push(name.clone());
            }
            form.parts.entry(name).or_insert(part);
        }
        form.charsets = form.json("charsets").unwrap_or_default();
        Ok(form)
    }

    /// A text, from the charset that the form names for it. What cannot be read there, and NUL, which
    /// no text has, becomes U+FFFD.
    fn text(&self, field: &str) -> Option<String> {
        let part = self.parts.get(field)?;
        let label = self.charsets.get(field).map_or("utf-8", String::as_str);
        let encoding = Encoding::for_label(label.as_bytes()).unwrap_or(UTF_8);
        Some(clean(&encoding.decode(&part.bytes).0))
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, field: &str) -> Option<T> {
        serde_json::from_slice(&self.parts.get(field)?.bytes).ok()
    }

    /// The addresses of a field that is written as in a mail. What is none is left out.
    fn addresses(&self, field: &str) -> Vec<Address> {
        let text = self.text(field).unwrap_or_default().replace(['\r', '\n'], " ");
        let header = format!("To: {text}\r\n\r\n");
        let message = MessageParser::default().parse_headers(&header);
        addresses(message.as_ref().and_then(|message| message.to()))
    }

    fn files(&self) -> Vec<Attachment> {
        let infos: HashMap<String, FileInfo> = self.json("attachment-info").unwrap_or_default();
        let file = |name: &String| {
            let part = self.parts.get(name)?;
            let info = infos.get(name);
            let said = |text: Option<&String>| text.map(|text| clean(text));
            let filename = info.and_then(|info| info.filename.as_ref());
            let content_type = info.and_then(|info| info.content_type.as_ref());
            Some(Attachment {
                url: None,
                content_type: said(part.content_type.as_ref().or(content_type)),
                filename: said(part.filename.as_ref().or(filename)),
                content: Some(BASE64_STANDARD.encode(&part.bytes)),
            })
        };
        self.files.iter().filter_map(file).collect()
    }

    /// The same again for the same mail.
    fn content_id(&self) -> String {
        let mut content = Vec::new();
        for field in ["envelope", "headers", "from", "to", "subject", "text", "html"] {
            let bytes = self.parts.get(field).map_or(&[][..], |part| &part.bytes);
            content.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            content.extend_from_slice(bytes);
        }
        Uuid::new_v5(&NAMELESS, &content).to_string()
    }
}

/// Those of a mail's header, each once. What is none is left out.
fn addresses(list: Option<&mail_parser::Address<'_>>) -> Vec<Address> {
    let mut addresses = Vec::new();
    for written in list.iter().flat_map(|list| list.iter()).filter_map(|one| one.address()) {
        match Address::email(written) {
            Ok(address) if !addresses.contains(&address) => addresses.push(address),
            _ => {}
        }
    }
    addresses
}

/// Whether a part of that name is a file: `attachment1` and so on.
fn is_file(name: &str) -> bool {
    name.strip_prefix("attachment")
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

async fn read_parts(body: Bytes, boundary: String) -> Result<Vec<(String, Part)>, multer::Error> {
    let body = stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(body)));
    let mut form = Multipart::new(body, boundary);
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        let filename = field.file_name().map(str::to_owned);
        let content_type = field.content_type().map(ToString::to_string);
        parts.push((name, Part { bytes: field.bytes().await?, filename, content_type }));
    }
    Ok(parts)
}

fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
