//! A mail as it is posted, and what SendGrid finds wrong with it.

use std::collections::{BTreeMap, HashSet};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;
use uuid::Uuid;

use super::error::ApiError;

const RECIPIENTS_MAX: usize = 1_000;
const CUSTOM_ARGS_BYTES_MAX: usize = 10_000;

/// Headers that SendGrid writes itself.
const RESERVED: [&str; 11] = [
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
];

/// The body of a send. Fields that do not matter here are ignored.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Mail {
    personalizations: Vec<Personalization>,
    pub(super) from: Mailbox,
    reply_to: Option<Mailbox>,
    subject: String,
    content: Vec<Content>,
    attachments: Vec<File>,
    headers: BTreeMap<String, String>,
    pub(super) custom_args: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Personalization {
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    bcc: Vec<Mailbox>,
    subject: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Mailbox {
    pub(super) email: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    #[serde(rename = "type")]
    media_type: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    content: String,
    filename: String,
}

impl Mail {
    /// Everybody whom it goes to, in order.
    pub(super) fn recipients(&self) -> Vec<String> {
        let lists = self.personalizations.iter().flat_map(|one| [&one.to, &one.cc, &one.bcc]);
        lists.flatten().map(|mailbox| mailbox.email.clone()).collect()
    }

    /// The first recipient, after whom everything goes.
    pub(super) fn to(&self) -> &str {
        let first = self.personalizations.first().and_then(|one| one.to.first());
        first.map_or("", |mailbox| &mailbox.email)
    }

    /// The first of its texts.
    pub(super) fn text(&self) -> &str {
        self.content.first().map_or("", |content| &content.value)
    }

    pub(super) fn filenames(&self) -> Vec<String> {
        self.attachments.iter().map(|file| file.filename.clone()).collect()
    }

    /// The Message-ID that it brings, with its angle brackets.
    pub(super) fn message_id(&self) -> Option<&str> {
        let named = |name: &str| name.eq_ignore_ascii_case("message-id");
        self.headers.iter().find(|(name, _)| named(name)).map(|(_, id)| id.as_str())
    }

    /// Hatch's id of the message, which it puts into the custom arguments.
    pub(super) fn hatch_message_id(&self) -> Option<Uuid> {
        self.custom_args.get("message_id")?.parse().ok()
    }

    /// Refuses what SendGrid refuses.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        self.check_recipients()?;
        if !is_email(&self.from.email) {
            let message = "The from object must be provided for every email send. It is an object \
                           that requires the email parameter.";
            return Err(ApiError::invalid("from.email", message));
        }
        if self.reply_to.as_ref().is_some_and(|reply_to| !is_email(&reply_to.email)) {
            return Err(ApiError::invalid("reply_to.email", "Does not contain a valid address."));
        }
        let subjects = self.personalizations.iter().all(|one| !one.subject.is_empty());
        if self.subject.is_empty() && !subjects {
            let message = "The subject is required. You can get around this requirement if you use \
                           a template with a subject defined.";
            return Err(ApiError::invalid("subject", message));
        }
        self.check_content()?;
        self.check_files()?;
        self.check_headers()
    }

    fn check_recipients(&self) -> Result<(), ApiError> {
        if self.personalizations.is_empty() {
            let message = "The personalizations field is required and must have at least one \
                           personalization.";
            return Err(ApiError::invalid("personalizations", message));
        }
        for (n, one) in self.personalizations.iter().enumerate() {
            let field = |name: &str| format!("personalizations.{n}.{name}");
            if one.to.is_empty() {
                let message = "The to array is required for all personalization objects, and must \
                               have at least one email object with a valid email address.";
                return Err(ApiError::invalid(field("to"), message));
            }
            let mut seen = HashSet::new();
            for (name, list) in [("to", &one.to), ("cc", &one.cc), ("bcc", &one.bcc)] {
                for (m, mailbox) in list.iter().enumerate() {
                    if !is_email(&mailbox.email) {
                        let field = field(&format!("{name}.{m}.email"));
                        return Err(ApiError::invalid(field, "Does not contain a valid address."));
                    }
                    if !seen.insert(mailbox.email.to_lowercase()) {
                        let message = "Each email address in the personalization block should be \
                                       unique between to, cc, and bcc.";
                        return Err(ApiError::invalid(format!("personalizations.{n}"), message));
                    }
                }
            }
        }
        if self.recipients().len() > RECIPIENTS_MAX {
            let message = "The total number of recipients must be no more than 1000.";
            return Err(ApiError::invalid("personalizations", message));
        }
        Ok(())
    }

    fn check_content(&self) -> Result<(), ApiError> {
        if self.content.is_empty() {
            let message = "Unless a valid template_id is provided, the content parameter is \
                           required. There must be at least one defined content block.";
            return Err(ApiError::invalid("content", message));
        }
        for (n, content) in self.content.iter().enumerate() {
            if content.value.is_empty() {
                let message =
                    "The content value must be a string at least one character in length.";
                return Err(ApiError::invalid(format!("content.{n}.value"), message));
            }
            if content.media_type == "text/plain" && n > 0 {
                let message = "If present, text/plain and text/html may only be provided once, and \
                               text/plain must come first.";
                return Err(ApiError::invalid("content", message));
            }
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), ApiError> {
        for (n, file) in self.attachments.iter().enumerate() {
            let field = |name: &str| format!("attachments.{n}.{name}");
            if file.content.is_empty() || BASE64_STANDARD.decode(&file.content).is_err() {
                let message = "The attachment content must be base64 encoded.";
                return Err(ApiError::invalid(field("content"), message));
            }
            if file.filename.is_empty() {
                let message = "The filename parameter is required for each attachment.";
                return Err(ApiError::invalid(field("filename"), message));
            }
        }
        Ok(())
    }

    fn check_headers(&self) -> Result<(), ApiError> {
        let reserved = |name: &&String| RESERVED.contains(&name.to_lowercase().as_str());
        if let Some(name) = self.headers.keys().find(reserved) {
            let message = format!("The header {name} is reserved and cannot be set.");
            return Err(ApiError::invalid(format!("headers.{name}"), message));
        }
        let bytes: usize =
            self.custom_args.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > CUSTOM_ARGS_BYTES_MAX {
            let message = "The custom arguments must be no more than 10000 bytes.";
            return Err(ApiError::invalid("custom_args", message));
        }
        Ok(())
    }
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        let sane = |part: &str| !part.is_empty() && !part.contains([' ', '@', '<', '>', ',']);
        sane(local) && sane(domain) && domain.contains('.')
    })
}
