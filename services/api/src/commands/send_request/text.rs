//! Texts: the body, the topic, and the client's own notes.

use std::collections::BTreeMap;

use hatch_domain::{Attachment, Channel};
use serde_json::Value;

use super::errors::Errors;
use crate::problem::FieldCode;

/// Characters of an SMS or MMS at most: what Twilio takes (error 21617 above).
const PHONE_CHARACTERS_MAX: usize = 1_600;
/// Characters of a topic at most.
const TOPIC_CHARACTERS_MAX: usize = 255;
/// Entries of `metadata` at most.
const METADATA_ENTRIES_MAX: usize = 50;
/// Bytes of `metadata` as JSON at most.
const METADATA_BYTES_MAX: usize = 16 * 1024;

/// The text, which only something else to show can stand for. One of spaces alone is none.
pub(super) fn body(
    body: Option<String>,
    channel: Channel,
    has_html: bool,
    attachments: &[Attachment],
    errors: &mut Errors,
) -> Option<String> {
    let Some(body) = body.filter(|text| !text.trim().is_empty()) else {
        let missing = match channel {
            Channel::Sms => "is required: an sms needs a text",
            // What else an MMS needs, its attachments say.
            Channel::Mms => return None,
            Channel::Email if has_html || !attachments.is_empty() => return None,
            Channel::Email => "is required: there is neither html nor an attachment",
            Channel::Chat if !attachments.is_empty() => return None,
            Channel::Chat => "is required: there is no attachment",
        };
        errors.add_coded(FieldCode::Required, "/body", missing);
        return None;
    };
    let characters = body.chars().count();
    if matches!(channel, Channel::Sms | Channel::Mms) && characters > PHONE_CHARACTERS_MAX {
        let detail =
            format!("expected at most {PHONE_CHARACTERS_MAX} characters, got {characters}");
        errors.add_coded(FieldCode::TooLong, "/body", detail);
    }
    if has_nul(&body) {
        errors.add_coded(FieldCode::ForbiddenCharacter, "/body", "expected no NUL character");
    }
    Some(body)
}

/// The topic; an empty one is none.
pub(super) fn topic(
    topic: Option<String>,
    channel: Channel,
    errors: &mut Errors,
) -> Option<String> {
    let topic = topic.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())?;
    if !matches!(channel, Channel::Email | Channel::Chat) {
        let detail = format!("a phone cannot carry it back; leave it out for {}", channel.as_str());
        errors.add_coded(FieldCode::NotAllowed, "/topic", detail);
    } else if topic.chars().count() > TOPIC_CHARACTERS_MAX || has_control(&topic) {
        let detail = format!(
            "expected at most {TOPIC_CHARACTERS_MAX} characters in one line, without control \
             characters"
        );
        let code =
            if has_control(&topic) { FieldCode::ForbiddenCharacter } else { FieldCode::TooLong };
        errors.add_coded(code, "/topic", detail);
    }
    Some(topic)
}

pub(super) fn check_metadata(metadata: &BTreeMap<String, Value>, errors: &mut Errors) {
    if metadata.is_empty() {
        return;
    }
    let bytes = serde_json::to_string(metadata).map_or(usize::MAX, |text| text.len());
    if metadata.len() > METADATA_ENTRIES_MAX || bytes > METADATA_BYTES_MAX {
        let detail = format!(
            "expected at most {METADATA_ENTRIES_MAX} entries and {METADATA_BYTES_MAX} bytes"
        );
        errors.add_coded(FieldCode::TooLong, "/metadata", detail);
    }
    if metadata.iter().any(|(key, value)| has_nul(key) || holds_nul(value)) {
        errors.add_coded(FieldCode::ForbiddenCharacter, "/metadata", "expected no NUL character");
    }
}

/// PostgreSQL's texts cannot hold it.
pub(super) fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// Whether a text could break out of the line that it is put into.
pub(super) fn has_control(text: &str) -> bool {
    text.contains(breaks_line)
}

/// Whether a character ends a line or steers what shows it.
pub(in crate::commands) fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => has_nul(text),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(key, v)| has_nul(key) || holds_nul(v)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
