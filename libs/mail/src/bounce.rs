//! What a bounce says of the mail that did not arrive: whom it did not reach and why, and what that mail is called.
//!
//! The standard says it in a part for programs (RFC 3464). Many servers say it only in words, and those are read by
//! what they have in common: a line that begins with the address, and a code of the server below it.

mod status;
mod text;

use std::borrow::Cow;
use std::collections::HashMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use hatch_domain::address::Address;
use hatch_domain::mailbox::Mailbox;
use hatch_domain::{Attachment, Bounce, BouncedRecipient};

use super::kind::Facts;
use super::signs::{Sign, Weight};
use super::{Cut, Headers, clean, html_to_text};

/// Bytes that are read of a part or a text that may report a bounce.
pub const BOUNCE_BYTES_MAX: usize = 128 * 1024;

/// Parts of a mail that are read as a report, or as the mail that it is about.
const PARTS_MAX: usize = 8;

/// Recipients that a bounce tells of.
pub const REPORTED_MAX: usize = 100;

/// Characters that are kept of what a server said.
const DETAIL_CHARACTERS_MAX: usize = 500;

/// The media types of a part for programs.
const STATUS: [&str; 2] = ["message/delivery-status", "message/global-delivery-status"];

/// The media types of the mail that did not arrive, or of its headers.
const ORIGINAL: [&str; 5] = [
    "message/rfc822",
    "text/rfc822-headers",
    "message/global",
    "message/global-headers",
    "message/rfc822-headers",
];

/// What a mail says of another one that did not arrive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Report {
    mail_id: Option<String>,
    recipients: Recipients,
    /// Whether there is a part for programs.
    is_for_programs: bool,
    /// Whether some recipient got the mail.
    arrived: bool,
    /// Whether it says that a server goes on trying.
    goes_on: bool,
    /// Whether its words are those of a bounce.
    has_words: bool,
}

impl Report {
    /// Reads the files of a mail. None of them has to be a report.
    pub(super) fn read(files: &[Attachment]) -> Self {
        let mut report = Self::default();
        let files = files.iter().filter_map(|file| Some((media_type(file)?, file)));
        let known = |(kind, _): &(String, &Attachment)| {
            STATUS.contains(&kind.as_str()) || ORIGINAL.contains(&kind.as_str())
        };
        for (kind, file) in files.filter(known).take(PARTS_MAX) {
            let Some(content) = content(file) else { continue };
            if STATUS.contains(&kind.as_str()) {
                report.is_for_programs = true;
                report.take_status(&content);
            } else if report.mail_id.is_none() {
                report.mail_id = mail_id(&content);
            }
        }
        report
    }

    /// Reads what the mail says in words, too. `failed` are the recipients that its headers name.
    pub(super) fn take_text(&mut self, facts: &Facts<'_>, failed: &[Mailbox]) {
        let plain = facts.text.filter(|text| !text.trim().is_empty());
        let text = match (plain, facts.html) {
            (Some(text), _) => Cow::Borrowed(beginning(text)),
            (None, Some(html)) => Cow::Owned(html_to_text(beginning(html))),
            (None, None) => Cow::Borrowed(""),
        };
        let text = text.as_ref();
        if !self.is_for_programs && text::is_for_programs(text) {
            self.take_status(text);
        }
        let said = text::read(facts.subject.unwrap_or_default(), text, facts.to);
        self.has_words = said.has_words;
        self.mail_id = self.mail_id.take().or(said.mail_id);
        // The part for programs says it better.
        if self.recipients.list.is_empty() && !self.arrived {
            self.goes_on = said.goes_on;
            for recipient in said.recipients {
                self.recipients.add(recipient);
            }
            for mailbox in failed {
                self.recipients.of(&mailbox.address);
            }
        }
    }

    /// What it says, for the log; none where it says only that a server goes on trying, and not for whom. `answered`
    /// are the mails that it refers to, the best first, in case that it does not bring the one that did not arrive.
    pub(super) fn into_bounce<'a>(
        self,
        answered: impl IntoIterator<Item = &'a String>,
    ) -> Option<Bounce> {
        let mail_id = self.mail_id.or_else(|| answered.into_iter().next().cloned());
        let recipients = self.recipients.list;
        let says_something = mail_id.is_some() || !recipients.is_empty();
        // What names nobody and says of no failure is a notice, such as one of a delay in a language that is not known.
        let is_warning = recipients.is_empty() && (self.goes_on || !self.has_words);
        (says_something && !is_warning).then_some(Bounce { mail_id, recipients })
    }

    /// Whether it reports that a mail arrived, and nothing else.
    pub(super) fn says_arrived(&self) -> bool {
        self.arrived && self.recipients.list.is_empty()
    }

    /// What it says of the kind of its mail.
    pub(super) fn sign(&self) -> Option<Sign> {
        let has_code = |one: &BouncedRecipient| {
            one.status.is_some() || one.detail.as_deref().and_then(code_in).is_some()
        };
        let name = if self.is_for_programs {
            "delivery-status"
        } else if self.has_words && self.recipients.list.iter().any(has_code) {
            "text"
        } else {
            return None;
        };
        Some(Sign { name, weight: Weight::MaybeBounce })
    }

    fn take_status(&mut self, content: &str) {
        for of in status::groups(content) {
            match of.action {
                status::Action::Failed => self.recipients.add(of.recipient),
                status::Action::Delayed => {
                    self.recipients.add(BouncedRecipient { delayed: true, ..of.recipient });
                }
                status::Action::Arrived => self.arrived = true,
            }
        }
    }
}

/// Recipients, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Recipients {
    list: Vec<BouncedRecipient>,
    /// Where each is in the list, by what it is compared by.
    known: HashMap<Address, usize>,
}

impl Recipients {
    /// The recipient of that address, if there is room for it.
    fn of(&mut self, address: &Address) -> Option<&mut BouncedRecipient> {
        let identity = address.identity();
        let n = match self.known.get(identity.as_ref()).copied() {
            Some(n) => n,
            None if self.list.len() == REPORTED_MAX => return None,
            None => {
                let n = self.list.len();
                self.known.insert(identity.into_owned(), n);
                let address = address.clone();
                let new = BouncedRecipient { address, status: None, detail: None, delayed: false };
                self.list.push(new);
                n
            }
        };
        self.list.get_mut(n)
    }

    /// Adds what is said of a recipient to what is known of it.
    fn add(&mut self, said: BouncedRecipient) {
        let Some(known) = self.of(&said.address) else { return };
        if known.status.is_none() && said.status.is_some() {
            known.detail = said.detail.or_else(|| known.detail.take());
        } else if known.detail.is_none() {
            known.detail = said.detail;
        }
        known.status = known.status.take().or(said.status);
        known.delayed |= said.delayed;
    }
}

/// The media type of a file, without parameters and in lower case.
fn media_type(file: &Attachment) -> Option<String> {
    let kind = file.content_type.as_deref()?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    (kind.len() < 64).then(|| kind.to_ascii_lowercase())
}

/// The beginning of a file's content, as text.
fn content(file: &Attachment) -> Option<String> {
    let encoded = file.content.as_deref()?;
    let end = encoded.len().min(BOUNCE_BYTES_MAX / 3 * 4);
    let bytes = BASE64_STANDARD.decode(encoded.get(..end)?).ok()?;
    Some(clean(&String::from_utf8_lossy(&bytes)))
}

/// The Message-ID of a mail, or of its headers.
fn mail_id(mail: &str) -> Option<String> {
    let end = mail.find("\n\n").or_else(|| mail.find("\n\r\n")).unwrap_or(mail.len());
    Headers::read(&mail.as_bytes()[..end], &mut Cut::default()).mail_id
}

/// As much of a text as is read.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(BOUNCE_BYTES_MAX)]
}

/// What a server said, in one line and as much as is kept of it; none where it said nothing.
fn detail(said: &str) -> Option<String> {
    let mut line = String::new();
    let mut left = DETAIL_CHARACTERS_MAX;
    for word in said.split_whitespace() {
        if left <= 1 {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
            left -= 1;
        }
        line.extend(word.chars().filter(|c| !c.is_control()).take(left));
        left = left.saturating_sub(word.chars().take(left).count());
    }
    (!line.is_empty()).then_some(line)
}

/// The first status of RFC 3463 in a text, such as `5.1.1`; no address of a machine is one.
fn status_in(text: &str) -> Option<String> {
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    text.split(|c: char| !is_of_number(c)).find_map(|number| {
        let number = number.trim_end_matches('.');
        let mut parts = number.split('.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        let is_short = |part: &str| (1..=3).contains(&part.len());
        let is_status = matches!(class, "2" | "4" | "5") && is_short(subject) && is_short(detail);
        (is_status && parts.next().is_none()).then(|| number.to_owned())
    })
}

/// The first code of SMTP in a text that says that something failed, such as `550`.
fn code_in(text: &str) -> Option<&str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '@' | '_' | '/'));
    text.split(word).find(|word| matches!(word.as_bytes(), [b'4' | b'5', b'0'..=b'5', b'0'..=b'9']))
}

#[cfg(test)]
mod tests;
