//! The body of a send: its shape, its rules, and its normal form.

use std::collections::BTreeMap;

use hatch_domain::address::Address;
use hatch_domain::message::event::{Channel, Priority};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::FieldError;

/// Characters of an SMS at most: what Twilio takes (error 21617 above).
const SMS_CHARACTERS_MAX: usize = 1_600;
/// Entries of `metadata` at most.
const METADATA_ENTRIES_MAX: usize = 50;
/// Bytes of `metadata` as JSON at most.
const METADATA_BYTES_MAX: usize = 16 * 1024;

/// A send as the client wrote it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendRequest {
    #[serde(alias = "type")]
    channel: Option<String>,
    from: Option<String>,
    to: Option<Recipients>,
    body: Option<String>,
    attachments: Option<Vec<Value>>,
    send_at: Option<String>,
    #[serde(default)]
    priority: Option<Priority>,
    topic: Option<String>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, Value>>,
}

/// One recipient or a list of them.
#[derive(Debug)]
struct Recipients(Vec<String>);

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(one) => Ok(Self(vec![one])),
            list @ Value::Array(_) => {
                serde_json::from_value(list).map(Self).map_err(serde::de::Error::custom)
            }
            _ => Err(serde::de::Error::custom("expected an address or a list of addresses")),
        }
    }
}

/// A send as it was understood: what is compared under an idempotency key, and recorded.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Send {
    pub(super) channel: Channel,
    pub(super) from: Address,
    pub(super) to: Vec<Address>,
    pub(super) body: String,
    pub(super) priority: Priority,
    pub(super) metadata: BTreeMap<String, Value>,
}

impl SendRequest {
    /// Applies every rule; the error lists each field that breaks one.
    pub(super) fn validate(
        self,
        default_sender: Option<&Address>,
    ) -> Result<Send, Vec<FieldError>> {
        let mut errors = Vec::new();
        if let Some(channel) = self.channel.as_deref().filter(|channel| *channel != "sms") {
            let detail = format!("expected \"sms\", got {channel:?}");
            errors.push(FieldError::new("/channel", detail));
        }
        self.refuse_what_sms_cannot_carry(&mut errors);
        let from = match &self.from {
            Some(from) => phone("/from", from, &mut errors),
            None => default_sender.cloned().or_else(|| {
                errors.push(FieldError::new("/from", "is required: no default sender is set"));
                None
            }),
        };
        let to = recipient(self.to.as_ref(), &mut errors);
        if let (Some(from), Some(to)) = (&from, &to)
            && from == to
        {
            errors.push(FieldError::new("/to", "expected another number than the sender's"));
        }
        let body = body(self.body, &mut errors);
        let metadata = self.metadata.unwrap_or_default();
        check_metadata(&metadata, &mut errors);
        match (from, to, body) {
            (Some(from), Some(to), Some(body)) if errors.is_empty() => Ok(Send {
                channel: Channel::Sms,
                from,
                to: vec![to],
                body,
                priority: self.priority.unwrap_or_default(),
                metadata,
            }),
            _ => Err(errors),
        }
    }

    fn refuse_what_sms_cannot_carry(&self, errors: &mut Vec<FieldError>) {
        if self.topic.is_some() {
            let detail = "a phone cannot carry a topic back; leave it out for sms";
            errors.push(FieldError::new("/topic", detail));
        }
        if self.attachments.as_ref().is_some_and(|list| !list.is_empty()) {
            errors.push(FieldError::new("/attachments", "an sms has no attachments"));
        }
        if self.send_at.is_some() {
            errors.push(FieldError::new("/send_at", "scheduled sending is not available yet"));
        }
    }
}

fn phone(pointer: &str, text: &str, errors: &mut Vec<FieldError>) -> Option<Address> {
    Address::phone(text).map_err(|e| errors.push(FieldError::new(pointer, e.to_string()))).ok()
}

fn recipient(to: Option<&Recipients>, errors: &mut Vec<FieldError>) -> Option<Address> {
    match to.map(|Recipients(list)| &list[..]) {
        Some([only]) => phone("/to", only, errors),
        Some([]) | None => {
            errors.push(FieldError::new("/to", "is required"));
            None
        }
        Some(several) => {
            let detail = format!("an sms has one recipient, got {}", several.len());
            errors.push(FieldError::new("/to", detail));
            None
        }
    }
}

fn body(body: Option<String>, errors: &mut Vec<FieldError>) -> Option<String> {
    let Some(body) = body.filter(|text| !text.is_empty()) else {
        errors.push(FieldError::new("/body", "is required: an sms needs a text"));
        return None;
    };
    let characters = body.chars().count();
    if characters > SMS_CHARACTERS_MAX {
        let detail = format!("expected at most {SMS_CHARACTERS_MAX} characters, got {characters}");
        errors.push(FieldError::new("/body", detail));
    }
    if body.contains('\0') {
        errors.push(FieldError::new("/body", "expected no NUL character"));
    }
    Some(body)
}

fn check_metadata(metadata: &BTreeMap<String, Value>, errors: &mut Vec<FieldError>) {
    let bytes = serde_json::to_string(metadata).map_or(usize::MAX, |text| text.len());
    if metadata.len() > METADATA_ENTRIES_MAX || bytes > METADATA_BYTES_MAX {
        let detail = format!(
            "expected at most {METADATA_ENTRIES_MAX} entries and {METADATA_BYTES_MAX} bytes"
        );
        errors.push(FieldError::new("/metadata", detail));
    }
    if metadata.iter().any(|(key, value)| key.contains('\0') || has_nul(value)) {
        errors.push(FieldError::new("/metadata", "expected no NUL character"));
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(key, v)| key.contains('\0') || has_nul(v)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
