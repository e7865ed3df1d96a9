//! The body of a send: its shape, its rules, and its normal form.
//!
//! Every rule is applied before anything is answered, so that one answer names each field that
//! breaks one. What holds for several channels is here and in [`text`], [`attachments`] and
//! [`schedule`]; the rest in a file for each family of channels.

mod attachments;
mod chat;
mod email;
mod errors;
mod infer;
mod phone;
mod recipients;
mod schedule;
mod size;
mod text;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::consent::Programme;
use hatch_domain::ids::ConversationId;
use hatch_domain::mailbox::Mailbox;
use hatch_domain::{Attachment, Channel, Email, OnDoubt, PoolChoice, Priority};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

pub(crate) use self::attachments::AttachmentRequest;
pub(super) use self::email::{
    SUBJECT_CHARACTERS_MAX, is_message_id, no_message_id, stands_in_header,
};
use self::errors::Errors;
pub(super) use self::phone::stand_in;
pub(crate) use self::recipients::{OneAddress, OneOrSeveral, Recipients, Written};
pub(super) use self::schedule::time_to_send;
pub(super) use self::text::breaks_line;
use crate::names::{ChannelName, OnDoubtName, PriorityName};
use crate::problem::{FieldCode, FieldError};

/// A send as the client wrote it.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendRequest {
    /// How it travels. When it is left out, the addresses say it: phone numbers make it an `sms`, with attachments an
    /// `mms`, and mailboxes an `email`. A `chat` is only what says so.
    #[schema(value_type = Option<ChannelName>)]
    pub(crate) channel: Option<String>,
    /// The same as `channel`.
    #[schema(value_type = Option<ChannelName>)]
    pub(crate) r#type: Option<String>,
    /// The sender; may be left out where a default sender is set for the channel.
    #[schema(value_type = Option<OneAddress>, example = "+12016661234")]
    pub(crate) from: Option<Written>,
    /// The pool that has the sender for the recipient, in place of `from`; `sms` and `mms` only. Without both it is the
    /// tenant's default pool, or its only one, where there is such a pool.
    #[schema(example = "support", max_length = 32)]
    pub(crate) pool: Option<String>,
    /// The conversation that this is an answer in. It says the channel, the addresses, the topic, the subject and the
    /// thread, so `to` and `topic` are left out.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub(crate) conversation_id: Option<String>,
    /// The recipient, or for `email` and `chat` up to 1,000 of them; required without `conversation_id`.
    #[schema(value_type = Option<OneOrSeveral>)]
    pub(crate) to: Option<Recipients>,
    /// The text: 1,600 characters at most for `sms` and `mms`.
    pub(crate) body: Option<String>,
    /// The files: 1 to 10 by URL for `mms`, up to 50 for `email` and `chat`.
    #[schema(value_type = Option<Vec<AttachmentRequest>>, max_items = 50)]
    pub(crate) attachments: Option<Vec<Value>>,
    /// When to send it: up to a year ahead.
    #[schema(value_type = Option<chrono::DateTime<Utc>>)]
    pub(crate) send_at: Option<String>,
    /// `normal` when it is left out. `low` is another word for `bulk`.
    #[schema(value_type = Option<PriorityName>)]
    pub(crate) priority: Option<String>,
    /// What its recipients consent to; the default programme of the channel (`sms` or `email`) when it is left out. A
    /// chat has none.
    #[schema(example = "news", max_length = 64)]
    pub(crate) programme: Option<String>,
    /// The provider account that is to carry it, by its name, for those who must choose: no other one does, and none of the
    /// tenant's routes is asked. A chat has none.
    #[schema(example = "twilio-main", max_length = 32)]
    pub(crate) account: Option<String>,
    /// A conversation of its own between the same participants; `email` and `chat` only.
    #[schema(max_length = 255)]
    pub(crate) topic: Option<String>,
    /// Your own notes, given back with the message: 50 entries, 16 KiB as JSON.
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    pub(crate) metadata: Option<BTreeMap<String, Value>>,
    /// `email` only; in one line.
    #[schema(max_length = 998)]
    pub(crate) subject: Option<String>,
    /// The text as HTML; `email` only.
    pub(crate) html: Option<String>,
    /// `email` only.
    #[schema(value_type = Option<OneOrSeveral>)]
    pub(crate) cc: Option<Recipients>,
    /// `email` only.
    #[schema(value_type = Option<OneOrSeveral>)]
    pub(crate) bcc: Option<Recipients>,
    /// `email` only.
    #[schema(value_type = Option<OneAddress>)]
    pub(crate) reply_to: Option<Written>,
    /// Further header fields; `email` only, 50 at most.
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub(crate) headers: Option<BTreeMap<String, String>>,
    /// The Message-ID of the mail that this one answers; `email` only. Where that mail is known, of whatever form its id
    /// is, this one joins its conversation.
    #[schema(max_length = 1000)]
    pub(crate) in_reply_to: Option<String>,
    /// What becomes of an attempt of which nobody knows whether it sent: the provider is asked (`look_up`; where it cannot
    /// be, as `wait`), a receipt or a person is waited for (`wait`), it is sent again at the risk of a second copy
    /// (`resend`), or it fails at the risk that it was sent (`fail`). Its account's policy when it is left out. A chat has
    /// none.
    #[schema(value_type = Option<OnDoubtName>)]
    pub(crate) on_doubt: Option<String>,
    /// Names without a channel are participants of a chat, as the clients of older systems mean them.
    #[serde(skip)]
    pub(crate) names_mean_chat: bool,
    /// The Message-IDs of the thread that it goes on with, the oldest first; those of `in_reply_to` alone when empty.
    #[serde(skip)]
    pub(crate) thread: Vec<String>,
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
    #[serde(serialize_with = "priority_as_compared")]
    pub(super) priority: Priority,
    pub(super) metadata: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attachments: Vec<Attachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<Box<Email>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) topic: Option<String>,
    /// Absent for the default one, also where the client names that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) programme: Option<Programme>,
    /// The only account that may carry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<AccountName>,
    /// As it was asked for; whether it is in range depends on the time and is judged later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) send_at: Option<DateTime<Utc>>,
    /// The pool that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pool: Option<String>,
    /// Whether it names no sender, so that a pool may have one.
    #[serde(skip)]
    pub(super) is_from_left_out: bool,
    /// The pool that its sender was taken from, and why that one.
    #[serde(skip)]
    pub(super) pool_choice: Option<PoolChoice>,
    /// What becomes of a doubt, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) on_doubt: Option<OnDoubt>,
    /// The conversation that it is an answer in. Such a one is compared by what was asked for.
    #[serde(skip)]
    pub(super) conversation_id: Option<ConversationId>,
    /// Whether what it answers there is a test.
    #[serde(skip)]
    pub(super) answers_test: bool,
}

/// What stands in for what a message leaves out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults<'a> {
    /// The sender of an SMS or MMS.
    pub(crate) phone: Option<&'a Address>,
    /// The sender of a mail.
    pub(crate) email: Option<&'a Mailbox>,
    /// The subject of a mail.
    pub(crate) subject: &'a str,
}

/// Where a message goes, and what it carries that only its channel has.
struct Addressed {
    from: Option<Address>,
    to: Vec<Address>,
    email: Option<Box<Email>>,
}

impl SendRequest {
    /// Applies every rule; the error lists each field that breaks one.
    pub(crate) fn validate(self, defaults: Defaults<'_>) -> Result<Send, Vec<FieldError>> {
        let mut errors = Errors::default();
        let Some(channel) = infer::channel(&self, &mut errors) else { return Err(errors.0) };
        let errors = &mut errors;
        self.refuse_fields_of_other_channels(channel, errors);
        let addressed = match channel {
            Channel::Sms | Channel::Mms => phone::address(&self, channel, defaults.phone, errors),
            Channel::Email => email::address(&self, defaults, errors),
            Channel::Chat => chat::address(&self, errors),
        };
        let attachments = attachments::read(self.attachments.as_deref(), channel, errors);
        let has_html = addressed.email.as_ref().is_some_and(|email| email.html.is_some());
        let body = text::body(self.body, channel, has_html, &attachments, errors);
        let topic = text::topic(self.topic, channel, errors);
        let metadata = self.metadata.unwrap_or_default();
        text::check_metadata(&metadata, errors);
        let send_at = schedule::read(self.send_at.as_deref(), channel, errors);
        let priority = priority(self.priority.as_deref(), errors);
        let programme = programme(self.programme.as_deref(), channel, errors);
        let account = account(self.account.as_deref(), channel, errors);
        let on_doubt = on_doubt(self.on_doubt.as_deref(), channel, errors);
        match addressed.from {
            Some(from) if errors.0.is_empty() => {
                let (to, email) = (addressed.to, addressed.email);
                let send = Send {
                    channel,
                    from,
                    to,
                    body,
                    priority,
                    metadata,
                    attachments,
                    email,
                    topic,
                    programme,
                    account,
                    send_at,
                    pool: self.pool,
                    is_from_left_out: self.from.is_none(),
                    pool_choice: None,
                    on_doubt,
                    conversation_id: None,
                    answers_test: false,
                };
                size::check(&send, errors);
                if errors.0.is_empty() { Ok(send) } else { Err(std::mem::take(&mut errors.0)) }
            }
            _ => Err(std::mem::take(&mut errors.0)),
        }
    }

    fn refuse_fields_of_other_channels(&self, channel: Channel, errors: &mut Errors) {
        let is_text = matches!(channel, Channel::Sms | Channel::Mms);
        if self.pool.is_some() && !is_text {
            let detail = format!("only an sms or mms has one; this is {}", channel.as_str());
            errors.add_coded(FieldCode::NotAllowed, "/pool", detail);
        }
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
            let detail = format!("only an email has one; this is {}", channel.as_str());
            errors.add_coded(FieldCode::NotAllowed, pointer, detail);
        }
    }
}

fn programme(name: Option<&str>, channel: Channel, errors: &mut Errors) -> Option<Programme> {
    let name = name?;
    let Some(default) = Programme::default_of(channel) else {
        let channel = channel.as_str();
        errors.add("/programme", format!("a {channel} needs no consent, and has no programme"));
        return None;
    };
    let named = errors.take("/programme", Programme::new(name))?;
    (named != default).then_some(named)
}

/// Whether the tenant has it, its look-up says later.
fn account(name: Option<&str>, channel: Channel, errors: &mut Errors) -> Option<AccountName> {
    let name = name?;
    if !channel.has_provider() {
        let detail = format!("no account carries a {}", channel.as_str());
        errors.add_coded(FieldCode::NotAllowed, "/account", detail);
        return None;
    }
    let read = name.parse::<AccountName>();
    read.map_err(|error| errors.add("/account", error.to_string())).ok()
}

fn on_doubt(name: Option<&str>, channel: Channel, errors: &mut Errors) -> Option<OnDoubt> {
    let name = name?;
    if !channel.has_provider() {
        let detail = format!("nothing is in doubt of a {}", channel.as_str());
        errors.add_coded(FieldCode::NotAllowed, "/on_doubt", detail);
        return None;
    }
    let found = OnDoubt::named(name);
    if found.is_none() {
        let known = OnDoubt::ALL.map(OnDoubt::as_str).join(", ");
        let detail = format!("expected one of {known}, got {name:?}");
        errors.add_coded(FieldCode::UnknownValue, "/on_doubt", detail);
    }
    found
}

/// Keys live for ever, so a request that was made when `bulk` was still called `low` is the same request today.
fn priority_as_compared<S: Serializer>(priority: &Priority, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match priority {
        Priority::Bulk => Priority::BULK_ONCE,
        other => other.as_str(),
    })
}

fn priority(name: Option<&str>, errors: &mut Errors) -> Priority {
    let Some(name) = name else { return Priority::default() };
    let found = Priority::named(name);
    found.unwrap_or_else(|| {
        let known = Priority::ALL.map(Priority::as_str).join(", ");
        let detail = format!("expected one of {known}, got {name:?}");
        errors.add_coded(FieldCode::UnknownValue, "/priority", detail);
        Priority::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_compared_by_the_name_that_it_had_when_keys_were_first_used() {
        for (priority, name) in
            [(Priority::High, "high"), (Priority::Normal, "normal"), (Priority::Bulk, "low")]
        {
            let mut written = Vec::new();
            priority_as_compared(&priority, &mut serde_json::Serializer::new(&mut written))
                .expect("JSON");
            assert_eq!(written, format!("{name:?}").into_bytes());
        }
    }
}
