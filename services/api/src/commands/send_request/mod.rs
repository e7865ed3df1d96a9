//! The body of a send: its shape, its rules, and its normal form.
//!
//! Every rule is applied before anything is answered, so that one answer names each field that
//! breaks one. What holds for several channels is here and in [`text`], [`attachments`] and
//! [`schedule`]; the rest in a file for each family of channels.

mod attachments;
mod chat;
mod email;
mod infer;
mod phone;
mod recipients;
mod schedule;
mod text;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_domain::address::Address;
use hatch_domain::message::event::{Attachment, Channel, Email, Priority};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::recipients::Recipients;
pub(super) use self::schedule::time_to_send;
use crate::problem::FieldError;

/// A send as the client wrote it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SendRequest {
    pub(crate) channel: Option<String>,
    /// The same as `channel`.
    pub(crate) r#type: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<Recipients>,
    pub(crate) body: Option<String>,
    pub(crate) attachments: Option<Vec<Value>>,
    pub(crate) send_at: Option<String>,
    pub(crate) priority: Option<Priority>,
    pub(crate) topic: Option<String>,
    pub(crate) metadata: Option<BTreeMap<String, Value>>,
    pub(crate) subject: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) cc: Option<Recipients>,
    pub(crate) bcc: Option<Recipients>,
    pub(crate) reply_to: Option<String>,
    pub(crate) headers: Option<BTreeMap<String, String>>,
    pub(crate) in_reply_to: Option<String>,
}

/// A send as it was understood: what is compared under an idempotency key, and recorded. Its JSON is
/// hashed for keys that live for ever: a field that is added later is left out when it is absent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Send {
    pub(super) channel: Channel,
    pub(super) from: Address,
    pub(super) to: Vec<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<String>,
    pub(super) priority: Priority,
    pub(super) metadata: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attachments: Vec<Attachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<Box<Email>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) topic: Option<String>,
    /// As it was asked for; whether it is in range depends on the time and is judged later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) send_at: Option<DateTime<Utc>>,
}

/// The senders of messages that name none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DefaultSenders<'a> {
    /// For SMS and MMS.
    pub(crate) phone: Option<&'a Address>,
    /// For mails.
    pub(crate) email: Option<&'a Address>,
}

/// What is wrong with a request, collected.
#[derive(Debug, Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    /// The value, or a note of why `pointer` has none.
    fn take<T, E: ToString>(&mut self, pointer: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(pointer, error.to_string())).ok()
    }
}

/// Where a message goes, and what it carries that only its channel has.
struct Addressed {
    from: Option<Address>,
    to: Vec<Address>,
    email: Option<Box<Email>>,
}

impl SendRequest {
    /// Applies every rule; the error lists each field that breaks one.
    pub(crate) fn validate(self, senders: DefaultSenders<'_>) -> Result<Send, Vec<FieldError>> {
        let mut errors = Errors::default();
        let Some(channel) = infer::channel(&self, &mut errors) else { return Err(errors.0) };
        let errors = &mut errors;
        self.refuse_fields_of_other_channels(channel, errors);
        let addressed = match channel {
            Channel::Sms | Channel::Mms => phone::address(&self, channel, senders.phone, errors),
            Channel::Email => email::address(&self, senders.email, errors),
            Channel::Chat => chat::address(&self, errors),
        };
        let attachments = attachments::read(self.attachments.as_deref(), channel, errors);
        let has_html = addressed.email.as_ref().is_some_and(|email| email.html.is_some());
        let body = text::body(self.body, channel, has_html, &attachments, errors);
        let topic = text::topic(self.topic, channel, errors);
        let metadata = self.metadata.unwrap_or_default();
        text::check_metadata(&metadata, errors);
        let send_at = schedule::read(self.send_at.as_deref(), channel, errors);
        match addressed.from {
            Some(from) if errors.0.is_empty() => Ok(Send {
                channel,
                from,
                to: addressed.to,
                body,
                priority: self.priority.unwrap_or_default(),
                metadata,
                attachments,
                email: addressed.email,
                topic,
                send_at,
            }),
            _ => Err(std::mem::take(&mut errors.0)),
        }
    }

    fn refuse_fields_of_other_channels(&self, channel: Channel, errors: &mut Errors) {
        if channel == Channel::Email {
            return;
        }
        let listed = |list: &Option<Recipients>| list.as_ref().is_some_and(|l| !l.0.is_empty());
        let only_email = [
            ("/subject", self.subject.is_some()),
            ("/html", self.html.is_some()),
            ("/cc", listed(&self.cc)),
            ("/bcc", listed(&self.bcc)),
            ("/reply_to", self.reply_to.is_some()),
            ("/headers", self.headers.as_ref().is_some_and(|headers| !headers.is_empty())),
            ("/in_reply_to", self.in_reply_to.is_some()),
        ];
        for (pointer, _) in only_email.into_iter().filter(|(_, given)| *given) {
            errors.add(pointer, format!("only an email has one; this is {}", channel.as_str()));
        }
    }
}
