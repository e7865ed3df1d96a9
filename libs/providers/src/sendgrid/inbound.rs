//! Mail that came in, as Inbound Parse posts it: a form of several parts, each text in a charset of
//! its own (<https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook>).

use std::collections::HashMap;

use hatch_mail::{Cut, Headers, clipped, decoded};
use serde::Deserialize;
use serde_json::Value;

use super::{authentication, envelope};
use crate::mail::files::{Described, FileInfo, files};
use crate::mail::form::Form;
use crate::mail::incoming::{Incoming, NAMELESS};
use crate::webhook::{Inbound, NotUnderstood, RawRequest};

/// A form without any of these fields is no mail.
const SAYS_SOMETHING: [&str; 6] = ["email", "text", "html", "subject", "from", "envelope"];

/// What a mail without a Message-ID is known by.
const CONTENT: [&str; 7] = ["envelope", "headers", "from", "to", "subject", "text", "html"];

/// How the parts of files are called, before their number.
const FILES: &str = "attachment";

/// Reads the mail.
pub(super) fn parse(account: &str, request: &RawRequest) -> Result<Inbound, NotUnderstood> {
    let mut cut = Cut::default();
    let mut form = Form::read(request, FILES, &mut cut)?;
    form.charsets = charsets(&form);
    if !SAYS_SOMETHING.iter().any(|field| form.parts.contains_key(*field)) {
        return Err(NotUnderstood::Missing { field: "from" });
    }
    let envelope = envelope::read(form.bytes("envelope"), &mut cut);
    // The whole mail, where Inbound Parse is set to "POST the raw, full MIME message".
    let content = match form.parts.get("email") {
        Some(mail) => Incoming::raw(&mail.bytes, &mut cut),
        None => parsed(&form, &mut cut),
    };
    let carried_from = envelope.as_ref().and_then(|envelope| envelope.from.as_deref());
    let findings = authentication::findings(|field| form.text(field), carried_from);
    Ok(content.inbound(account, envelope, findings, cut))
}

fn charsets(form: &Form) -> HashMap<String, String> {
    let charsets: HashMap<String, Value> = form.json("charsets").unwrap_or_default();
    let labels = charsets.into_iter().filter_map(|(field, label)| match label {
        Value::String(label) => Some((field, label)),
        _ => None,
    });
    labels.collect()
}

/// Reads the fields that Inbound Parse made of the mail.
fn parsed(form: &Form, cut: &mut Cut) -> Incoming {
    // Who wrote to whom, and about what, is told by fields, too, which count what is left out of it.
    let mut of_headers = Cut::default();
    let block = form.text("headers").unwrap_or_default();
    let headers = Headers::read(block.as_bytes(), &mut of_headers);
    cut.take(&of_headers, &["references", "reply_to"]);
    let html = form.text("html");
    let files = files(form, described(form), html.as_deref(), cut);
    Incoming {
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
        otherwise: form.content_id(&NAMELESS, &CONTENT),
    }
}

fn described(form: &Form) -> Described {
    let infos: HashMap<String, Value> = form.json("attachment-info").unwrap_or_default();
    // What cannot be read of one file costs that file only.
    let infos = infos
        .into_iter()
        .map(|(name, info)| (name, FileInfo::deserialize(info).unwrap_or_default()));
    let ids: HashMap<String, Value> = form.json("content-ids").unwrap_or_default();
    let ids = ids.into_iter().filter_map(|(id, name)| Some((name.as_str()?.to_owned(), id)));
    let count = form.text("attachments").and_then(|count| count.trim().parse::<usize>().ok());
    let (infos, ids) = (infos.collect(), ids.collect());
    Described { count: count.unwrap_or_default(), prefix: FILES, infos, ids }
}
