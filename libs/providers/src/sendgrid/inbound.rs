//! Mail that came in, as Inbound Parse posts it: a form of several parts, each text in a charset of
//! its own (<https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook>).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use futures::{FutureExt, stream};
use hatch_domain::address::Address;
use hatch_domain::authentication::Authentication;
use hatch_domain::mailbox::{Mailbox, Person, PersonRole};
use hatch_domain::{Attachment, Channel, Email, Envelope};
use hatch_mail::{
    Cut, Facts, Headers, Mail, PARTS_MAX, charset_of, clean, clipped, decode, decode_html, decoded,
    filename_of, kind_of, mailboxes,
};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use memchr::memmem;
use multer::Multipart;
use serde::Deserialize;
use serde_json::Value;
use uuid::{Uuid, uuid};

use super::{authentication, envelope, files};
use crate::webhook::{Inbound, NotUnderstood, RawRequest};

/// What a mail without a Message-ID is called: a UUIDv5, in this namespace, of what it says. It never
/// changes.
const NAMELESS: Uuid = uuid!("9a0f4c1d-77f2-4f4b-8e0e-3b7c5d1a2e64");

const FORM: NotUnderstood = NotUnderstood::ContentType { expected: "a multipart form" };

/// A form without any of these fields is no mail.
const SAYS_SOMETHING: [&str; 6] = ["email", "text", "html", "subject", "from", "envelope"];

/// Reads the mail.
pub(super) fn parse(account: &str, request: &RawRequest) -> Result<Inbound, NotUnderstood> {
    let mut cut = Cut::default();
    let form = Form::read(request, &mut cut)?;
    if !SAYS_SOMETHING.iter().any(|field| form.parts.contains_key(*field)) {
        return Err(NotUnderstood::Missing { field: "from" });
    }
    let envelope = envelope::read(form.bytes("envelope"), &mut cut);
    let content = match form.parts.get("email") {
        Some(mail) => Content::raw(&mail.bytes, &mut cut),
        None => Content::parsed(&form, &mut cut),
    };
    Ok(content.inbound(account, &form, envelope, cut))
}

/// What a mail says, however it was posted.
struct Content {
    headers: Headers,
    body: Option<String>,
    html: Option<String>,
    files: Vec<Attachment>,
    /// What it is called if it does not say so itself.
    otherwise: Uuid,
}

impl Content {
    /// Reads the mail as it was carried, which Inbound Parse posts where it is set to "POST the raw, full
    /// MIME message".
    fn raw(mail: &Bytes, cut: &mut Cut) -> Self {
        let Mail { headers, text, html, files } = Mail::read(mail, cut);
        Self { headers, body: text, html, files, otherwise: Uuid::new_v5(&NAMELESS, mail) }
    }

    /// Reads the fields that Inbound Parse made of the mail.
    fn parsed(form: &Form, cut: &mut Cut) -> Self {
        // Who wrote to whom, and about what, is told by fields, too, which count what is left out of it.
        let mut of_headers = Cut::default();
        let block = form.text("headers").unwrap_or_default();
        let headers = Headers::read(block.as_bytes(), &mut of_headers);
        cut.take(&of_headers, &["references", "reply_to"]);
        let html = form.text("html");
        let files = files::files(form, html.as_deref(), cut);
        Self {
            headers: Headers {
                from: form.mailboxes("from", cut).into_iter().next(),
                to: form.mailboxes("to", cut),
                cc: form.mailboxes("cc", cut),
                subject: form.text("subject").map(|subject| clipped(decoded(&subject), cut)),
                ..headers
            },
            body: form.text("text"),
            html,
            files,
            otherwise: form.content_id(),
        }
    }

    fn inbound(self, account: &str, form: &Form, envelope: Option<Envelope>, cut: Cut) -> Inbound {
        let Self { headers, body, html, files, otherwise } = self;
        let carried_from = envelope.as_ref().and_then(|envelope| envelope.from.as_ref());
        // One that names nobody is shown, and cannot be answered.
        let carried = || Address::received_mailbox(carried_from.map_or("", String::as_str)).into();
        let from = headers.from.unwrap_or_else(carried);
        let present = |text: Option<String>| text.filter(|text| !text.is_empty());
        let findings =
            authentication::findings(|field| form.text(field), carried_from.map(String::as_str));
        let authentication = Authentication::of(&from.address, findings);
        let to = recipients(headers.to, envelope.as_ref(), &headers.delivered_to);
        let (cc, reply_to) = (headers.cc, headers.reply_to);
        let people = Person::of(PersonRole::From, &from)
            .into_iter()
            .chain(Person::among(PersonRole::To, &to))
            .chain(Person::among(PersonRole::Cc, &cc))
            .chain(Person::among(PersonRole::ReplyTo, reply_to.as_slice()));
        let people = people.collect();
        let kind = kind_of(
            &headers.signs,
            &Facts {
                from: from.address.as_str(),
                from_name: from.name.as_deref(),
                to: &to,
                subject: headers.subject.as_deref(),
                without_sender: envelope.as_ref().is_some_and(envelope::is_without_sender),
                text: body.as_deref(),
                html: html.as_deref(),
                files: &files,
                in_reply_to: headers.in_reply_to.as_ref(),
                references: &headers.references,
            },
        );
        let addresses =
            |list: Vec<Mailbox>| list.into_iter().map(|one| one.address).collect::<Vec<_>>();
        let email = Email {
            subject: present(headers.subject),
            html: present(html),
            cc: addresses(cc),
            reply_to: reply_to.map(|reply_to| reply_to.address),
            people,
            mail_id: headers.mail_id.clone(),
            in_reply_to: headers.in_reply_to,
            references: headers.references,
            authentication: Some(authentication)
                .filter(|found| *found != Authentication::default()),
            envelope,
            cut: cut.into_counts(),
            kind: kind.kind,
            signs: kind.signs,
            bounce: kind.bounce,
            ..Email::default()
        };
        Inbound {
            account: account.to_owned(),
            provider_message_id: headers.mail_id.unwrap_or_else(|| otherwise.to_string()),
            channel: Channel::Email,
            from: from.address,
            to: addresses(to),
            body: present(body),
            attachments: files,
            email: Some(Box::new(email)),
            delivered_to: addresses(headers.delivered_to),
            segments: None,
        }
    }
}

/// Those that the mail says it is to. Where it names none, as a blind copy may, whom it was brought to.
fn recipients(
    said: Vec<Mailbox>,
    envelope: Option<&Envelope>,
    delivered_to: &[Mailbox],
) -> Vec<Mailbox> {
    if !said.is_empty() {
        return said;
    }
    let brought = envelope.map(envelope::recipients).unwrap_or_default();
    if brought.is_empty() { delivered_to.to_vec() } else { brought }
}

/// The parts of the form.
pub(super) struct Form {
    pub(super) parts: HashMap<String, Part>,
    charsets: HashMap<String, String>,
    /// The names of the parts that are files, in the order in which they came.
    pub(super) files: Vec<String>,
}

/// A part of the form.
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) filename: Option<String>,
    pub(super) content_type: Option<String>,
}

impl Form {
    fn read(request: &RawRequest, cut: &mut Cut) -> Result<Self, NotUnderstood> {
        let content_type = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary =
            multer::parse_boundary(content_type.unwrap_or_default()).map_err(|_| FORM)?;
        let read = |body: Bytes| {
            let parts = read_parts(body, boundary.clone());
            // The whole body is there, so there is nothing to wait for.
            parts.now_or_never().and_then(Result::ok)
        };
        let parts = read(request.body.clone());
        let parts = parts.or_else(|| read(without_controls(&request.body, &boundary)?));
        let parts = parts.ok_or(FORM)?;
        let mut form = Self { parts: HashMap::new(), charsets: HashMap::new(), files: Vec::new() };
        for (name, part) in parts {
            if form.parts.len() == PARTS_MAX {
                cut.count("parts", 1);
            } else if let Entry::Vacant(vacant) = form.parts.entry(name) {
                if part.filename.is_some() || is_file(vacant.key()) {
                    form.files.push(vacant.key().clone());
                }
                vacant.insert(part);
            } else {
                // A name stands for its first part.
                cut.count("parts", 1);
            }
        }
        let charsets: HashMap<String, Value> = form.json("charsets").unwrap_or_default();
        let labels = charsets.into_iter().filter_map(|(field, label)| match label {
            Value::String(label) => Some((field, label)),
            _ => None,
        });
        form.charsets = labels.collect();
        Ok(form)
    }

    /// A text, from the charset that the form or the part names for it. What cannot be read in any, and NUL,
    /// which no text has, becomes U+FFFD.
    pub(super) fn text(&self, field: &str) -> Option<String> {
        let part = self.parts.get(field)?;
        let of_part = || charset_of(part.content_type.as_ref()?.as_bytes());
        let label = self.charsets.get(field).cloned().or_else(of_part);
        let read = if field == "html" { decode_html } else { decode };
        Some(clean(&read(&part.bytes, label.as_deref()).text))
    }

    fn bytes(&self, field: &str) -> Option<&[u8]> {
        self.parts.get(field).map(|part| &*part.bytes)
    }

    pub(super) fn json<T: for<'de> Deserialize<'de>>(&self, field: &str) -> Option<T> {
        serde_json::from_slice(self.bytes(field)?).ok()
    }

    /// The mailboxes of a field that is written as in a mail. What is none is left out.
    fn mailboxes(&self, field: &str, cut: &mut Cut) -> Vec<Mailbox> {
        mailboxes(&self.text(field).unwrap_or_default(), field, cut)
    }

    /// The same again for the same mail.
    fn content_id(&self) -> Uuid {
        let mut content = Vec::new();
        for field in ["envelope", "headers", "from", "to", "subject", "text", "html"] {
            let bytes = self.parts.get(field).map_or(&[][..], |part| &part.bytes);
            content.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            content.extend_from_slice(bytes);
        }
        Uuid::new_v5(&NAMELESS, &content)
    }
}

/// The form without the control characters in what says what its parts are, such as a NUL in the name of a file, for
/// which nothing of it could be read. None where there are none.
fn without_controls(body: &Bytes, boundary: &str) -> Option<Bytes> {
    let is_control = |byte: &u8| byte.is_ascii_control() && !b"\r\n\t".contains(byte);
    let delimiter = format!("--{boundary}\r\n");
    let (mut kept, mut end) = (Vec::new(), 0);
    for begin in memmem::find_iter(body, delimiter.as_bytes()) {
        let head = &body[begin..];
        let head = &head[..memmem::find(head, b"\r\n\r\n").unwrap_or(head.len())];
        if begin < end || !head.iter().any(is_control) {
            continue;
        }
        kept.extend_from_slice(&body[end..begin]);
        kept.extend(head.iter().filter(|byte| !is_control(byte)));
        end = begin + head.len();
    }
    kept.extend_from_slice(&body[end..]);
    (end > 0).then(|| kept.into())
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
        let disposition = field.headers().get(CONTENT_DISPOSITION);
        let filename = disposition.and_then(|value| filename_of(value.as_bytes()));
        let filename = filename.or_else(|| field.file_name().map(str::to_owned));
        let content_type = field.content_type().map(ToString::to_string);
        parts.push((name, Part { bytes: field.bytes().await?, filename, content_type }));
    }
    Ok(parts)
}
