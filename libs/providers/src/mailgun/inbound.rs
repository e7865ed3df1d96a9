//! Mail that came in by a route whose action is `forward` to us: a form, in UTF-8, of several parts with the mail's
//! headers and files, or with the whole mail where the URL ends in `mime`
//! (<https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/receive-http>).
//!
//! What Mailgun found of the sender stands among the headers, where whoever wrote the mail may have written it, too. So
//! it is not read.

use std::collections::HashMap;

use bytes::Bytes;
use hatch_domain::Envelope;
use hatch_domain::address::Address;
use hatch_domain::authentication::Findings;
use hatch_mail::{Cut, HEADERS_BYTES_MAX, Headers, clipped};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::signature::Signature;
use super::webhook::essence;
use crate::mail::envelope;
use crate::mail::files::{Described, files};
use crate::mail::form::{Form, Part};
use crate::mail::incoming::{Incoming, NAMELESS};
use crate::webhook::{Inbound, NotUnderstood, Once, RawRequest};

/// A form without any of these fields is no mail.
const SAYS_SOMETHING: [&str; 6] =
    ["body-mime", "body-plain", "body-html", "subject", "from", "recipient"];

/// What a mail without a Message-ID is known by.
const CONTENT: [&str; 6] =
    ["recipient", "sender", "message-headers", "subject", "body-plain", "body-html"];

/// The fields of the signature, which says nothing of the mail.
const SIGNATURE: [&str; 3] = ["timestamp", "token", "signature"];

/// Headers that are read from fields of their names, where the list of headers is not there.
const HEADERS: [&str; 9] = [
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Message-Id",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "Subject",
];

/// How the parts of files are called, before their number.
const FILES: &str = "attachment-";

/// Headers of a mail that are looked at.
const HEADERS_MAX: usize = 2_000;

/// Fields of a form without files that are looked at.
const FIELDS_MAX: usize = 1_000;

/// The signature that stands among the fields.
pub(super) fn signature(request: &RawRequest) -> Option<Signature> {
    read(request, &mut Cut::default()).ok().map(|form| of_form(&form))
}

fn of_form(form: &Form) -> Signature {
    let [timestamp, token, signature] = SIGNATURE.map(|field| form.text(field).unwrap_or_default());
    Signature { timestamp, token, signature }
}

/// The token that is good for this mail alone. A repeat may have another boundary and order of parts, so neither
/// counts.
pub(super) fn once(request: &RawRequest) -> Option<Once> {
    let form = read(request, &mut Cut::default()).ok()?;
    let mut parts: Vec<_> =
        form.parts.iter().filter(|(name, _)| !SIGNATURE.contains(&name.as_str())).collect();
    parts.sort_unstable_by_key(|(name, _)| name.as_str());
    let mut digest = Sha256::new();
    let mut say = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    for (name, part) in parts {
        say(name.as_bytes());
        say(part.filename.as_deref().unwrap_or_default().as_bytes());
        say(&part.bytes);
    }
    of_form(&form).once(digest.finalize().into())
}

fn read(request: &RawRequest, cut: &mut Cut) -> Result<Form, NotUnderstood> {
    if essence(&request.headers) == "multipart/form-data" {
        return Form::read(request, FILES, cut);
    }
    let fields = form_urlencoded::parse(&request.body).take(FIELDS_MAX);
    let parts = fields.map(|(name, value)| {
        let bytes = Bytes::from(value.into_owned());
        (name.into_owned(), Part { bytes, filename: None, content_type: None })
    });
    Ok(Form::of(parts, FILES, cut))
}

/// Reads the mail.
pub(super) fn parse(account: &str, request: &RawRequest) -> Result<Inbound, NotUnderstood> {
    let mut cut = Cut::default();
    let form = read(request, &mut cut)?;
    if !SAYS_SOMETHING.iter().any(|field| form.parts.contains_key(*field)) {
        return Err(NotUnderstood::Missing { field: "from" });
    }
    let envelope = envelope_of(&form, &mut cut);
    let content = match form.parts.get("body-mime") {
        Some(mail) => Incoming::raw(&mail.bytes, &mut cut),
        None => parsed(&form, &mut cut),
    };
    let carried_from = envelope.as_ref().and_then(|envelope| envelope.from.as_deref());
    let envelope_from = carried_from.and_then(|from| Address::email(from).ok());
    let findings = Findings { envelope_from, ..Findings::default() };
    Ok(content.inbound(account, envelope, findings, cut))
}

/// Between whom the mail was carried; nothing where the form says nothing of it.
fn envelope_of(form: &Form, cut: &mut Cut) -> Option<Envelope> {
    let (sender, recipient) = (form.text("sender"), form.text("recipient"));
    if sender.is_none() && recipient.is_none() {
        return None;
    }
    let recipient = recipient.unwrap_or_default();
    Some(envelope::kept(sender.as_deref(), recipient.split(',').map(str::trim), cut))
}

/// Reads the fields that Mailgun made of the mail.
fn parsed(form: &Form, cut: &mut Cut) -> Incoming {
    let headers = Headers::read(block(form, cut).as_bytes(), cut);
    let subject = form.text("subject").map(|subject| clipped(subject, cut));
    let subject = subject.filter(|subject| !subject.is_empty());
    let html = form.text("body-html");
    let files = files(form, described(form), html.as_deref(), cut);
    Incoming {
        headers: Headers { subject: headers.subject.clone().or(subject), ..headers },
        body: form.text("body-plain"),
        html,
        files,
        otherwise: form.content_id(&NAMELESS, &CONTENT),
    }
}

/// The mail's headers as a mail has them, from the list of them or from fields of their names.
fn block(form: &Form, cut: &mut Cut) -> String {
    let listed: Option<Vec<Value>> = form.json("message-headers");
    let mut headers: Vec<(String, String)> = Vec::new();
    match listed {
        Some(listed) => {
            cut.count("headers", listed.len().saturating_sub(HEADERS_MAX));
            let pair =
                |one: &Value| Some((one[0].as_str()?.to_owned(), one[1].as_str()?.to_owned()));
            headers.extend(listed.iter().take(HEADERS_MAX).filter_map(pair));
        }
        None => {
            let field = |name: &str| {
                let value = form.text(name).or_else(|| form.text(&name.to_lowercase()))?;
                Some((name.to_owned(), value))
            };
            headers.extend(HEADERS.into_iter().filter_map(field));
        }
    }
    let mut block = String::new();
    for (name, value) in headers {
        // What breaks the line would be a header of its own.
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if is_name && block.len() < HEADERS_BYTES_MAX {
            let value = value.replace(['\r', '\n', '\0'], " ");
            block.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
        }
    }
    block
}

/// What the form says of the files: how many there are, and by which Content-IDs the HTML shows them.
fn described(form: &Form) -> Described {
    let ids: HashMap<String, Value> = form.json("content-id-map").unwrap_or_default();
    let named = ids.into_iter().filter_map(|(id, name)| {
        let id = id.trim().trim_matches(['<', '>']).to_owned();
        let name = name.as_str()?.to_owned();
        (!id.is_empty() && !name.is_empty()).then_some((name, id))
    });
    let count = form.text("attachment-count").and_then(|count| count.trim().parse().ok());
    Described {
        count: count.unwrap_or_default(),
        prefix: FILES,
        infos: HashMap::new(),
        ids: named.collect(),
    }
}
