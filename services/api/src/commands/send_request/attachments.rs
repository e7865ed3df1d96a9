//! Files: each by its URL, or, in a mail, as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hatch_domain::{Attachment, Channel};
use serde_json::{Map, Value};
use url::Url;
use utoipa::ToSchema;

use super::errors::Errors;
use super::text::has_control;
use crate::field_error::token;
use crate::problem::FieldCode;

/// Files of an MMS at most: what Twilio takes.
const MMS_ATTACHMENTS_MAX: usize = 10;
/// Files of any other message at most.
const ATTACHMENTS_MAX: usize = 50;
/// Characters of a URL at most.
const URL_CHARACTERS_MAX: usize = 2_048;
/// Characters of a file's name at most.
const FILENAME_CHARACTERS_MAX: usize = 255;
/// Characters of a media type at most: 127 on either side of the slash (RFC 6838, section 4.2).
const CONTENT_TYPE_CHARACTERS_MAX: usize = 255;

/// A file, as the document has it.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what is read from JSON values, place by place")]
pub(crate) enum AttachmentRequest {
    /// Its URL, `http` or `https`.
    Url(String),
    /// With what is known of it.
    File(AttachmentFile),
}

/// A file by its URL, or in a mail as it is.
#[derive(ToSchema)]
#[schema(example = json!({"url": "https://example.com/a.jpg", "content_type": "image/jpeg"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what is read from JSON values, place by place")]
pub(crate) struct AttachmentFile {
    /// Where it is, `http` or `https`; or else `content`.
    #[schema(max_length = 2048)]
    url: Option<String>,
    /// Its media type.
    #[schema(max_length = 255, example = "image/png")]
    content_type: Option<String>,
    /// Its name; required with `content`.
    #[schema(max_length = 255)]
    filename: Option<String>,
    /// The file in base64, with padding; `email` only.
    content: Option<String>,
}

/// The files, each wrong one named by its place.
pub(super) fn read(
    attachments: Option<&[Value]>,
    channel: Channel,
    errors: &mut Errors,
) -> Vec<Attachment> {
    let attachments = attachments.unwrap_or_default();
    let max = if channel == Channel::Mms { MMS_ATTACHMENTS_MAX } else { ATTACHMENTS_MAX };
    match channel {
        Channel::Mms if attachments.is_empty() => {
            let detail = "is required: an mms has 1 to 10";
            errors.add_coded(FieldCode::Required, "/attachments", detail);
        }
        _ if attachments.len() > max => {
            let detail = format!("expected at most {max}, got {}", attachments.len());
            errors.add_coded(FieldCode::WrongCount, "/attachments", detail);
            return Vec::new();
        }
        _ => {}
    }
    let read = |(index, value)| one(&format!("/attachments/{index}"), value, channel, errors);
    attachments.iter().enumerate().map(read).collect()
}

fn one(pointer: &str, value: &Value, channel: Channel, errors: &mut Errors) -> Attachment {
    match value {
        Value::String(url) => {
            check_url(pointer, url, errors);
            Attachment { url: Some(url.clone()), ..Attachment::default() }
        }
        Value::Object(fields) => object(pointer, fields, channel, errors),
        _ => {
            let detail = "expected a URL, or an object with a url or a content";
            errors.add_coded(FieldCode::WrongType, pointer, detail);
            Attachment::default()
        }
    }
}

fn object(
    pointer: &str,
    fields: &Map<String, Value>,
    channel: Channel,
    errors: &mut Errors,
) -> Attachment {
    let mut attachment = Attachment::default();
    for (name, value) in fields {
        let place = format!("{pointer}{}", token(name));
        let field = match name.as_str() {
            "url" => &mut attachment.url,
            "content_type" => &mut attachment.content_type,
            "filename" => &mut attachment.filename,
            "content" => &mut attachment.content,
            "id" => {
                let detail = "uploaded attachments are not available yet";
                errors.add_coded(FieldCode::NotAvailable, place, detail);
                continue;
            }
            _ => {
                let detail = "unknown field: there are url, content_type, filename, content";
                errors.add_coded(FieldCode::UnknownField, place, detail);
                continue;
            }
        };
        match value {
            Value::Null => {}
            Value::String(text) => *field = Some(text.clone()),
            _ => errors.add_coded(FieldCode::WrongType, place, "expected a text"),
        }
    }
    check(pointer, &attachment, fields.contains_key("id"), channel, errors);
    attachment
}

fn check(
    pointer: &str,
    attachment: &Attachment,
    uploaded: bool,
    channel: Channel,
    errors: &mut Errors,
) {
    let content = format!("{pointer}/content");
    match (&attachment.url, &attachment.content) {
        (Some(url), None) => check_url(&format!("{pointer}/url"), url, errors),
        (None, Some(_)) if channel != Channel::Email => {
            let detail = "only an email takes a file as it is; give its url";
            errors.add_coded(FieldCode::NotAllowed, content, detail);
        }
        (None, Some(base64)) => {
            if base64.is_empty() || STANDARD.decode(base64).is_err() {
                errors.add(content, "expected a file in base64, with padding");
            }
            if attachment.filename.is_none() {
                errors.add_coded(FieldCode::Required, format!("{pointer}/filename"), "is required");
            }
        }
        (Some(_), Some(_)) => {
            let detail = "expected a url or a content, not both";
            errors.add_coded(FieldCode::Contradiction, content, detail);
        }
        (None, None) if !uploaded => {
            errors.add_coded(FieldCode::Required, pointer, "expected a url or a content");
        }
        (None, None) => {}
    }
    if attachment.filename.as_deref().is_some_and(|name| !is_filename(name)) {
        let detail = format!(
            "expected 1 to {FILENAME_CHARACTERS_MAX} characters, no quote and no control character"
        );
        errors.add(format!("{pointer}/filename"), detail);
    }
    if attachment.content_type.as_deref().is_some_and(|kind| !is_media_type(kind)) {
        errors.add(format!("{pointer}/content_type"), "expected a media type, such as image/png");
    }
}

fn check_url(pointer: &str, text: &str, errors: &mut Errors) {
    // What the parser would silently take out, a provider's would not.
    let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let sane = plain && text.len() <= URL_CHARACTERS_MAX;
    let url = Url::parse(text).ok().filter(|url| sane && matches!(url.scheme(), "http" | "https"));
    if url.is_none() {
        let detail = format!("expected an http or https URL of at most {URL_CHARACTERS_MAX} bytes");
        errors.add(pointer, detail);
    }
}

fn is_filename(name: &str) -> bool {
    (1..=FILENAME_CHARACTERS_MAX).contains(&name.chars().count())
        && !has_control(name)
        && !name.contains('"')
}

/// A type and a subtype of RFC 6838, section 4.2, without parameters.
fn is_media_type(text: &str) -> bool {
    let token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.len() <= CONTENT_TYPE_CHARACTERS_MAX
        && text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}
