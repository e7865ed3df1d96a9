//! Mail: its recipients, its subject and its headers.

use std::collections::{BTreeMap, HashSet};

use hatch_domain::Email;
use hatch_domain::address::{Address, AddressError};
use hatch_domain::mailbox::{Mailbox, Person, PersonRole};
use hatch_domain::message::mail_id::bare;
use hatch_providers::commands_a_provider;

use super::errors::Errors;
use super::recipients::{Written, addresses, read, too_many};
use super::text::{has_control, has_nul};
use super::{Addressed, Defaults, SendRequest};
use crate::field_error::token;
use crate::problem::{FieldCode, FieldError};

/// Characters of a header's value and of a Message-ID at most: the longest line of a
/// mail (RFC 5322, section 2.1.1).
const LINE_CHARACTERS_MAX: usize = 998;
/// Characters of a subject at most.
pub(in crate::commands) const SUBJECT_CHARACTERS_MAX: usize = LINE_CHARACTERS_MAX;
/// Characters of a header's name at most.
const HEADER_NAME_CHARACTERS_MAX: usize = 76;
/// Headers at most.
const HEADERS_MAX: usize = 50;

/// Headers that are made from other fields, or by the servers that carry the mail.
const HEADERS_RESERVED: [&str; 16] = [
    "authentication-results",
    "bcc",
    "cc",
    "date",
    "dkim-signature",
    "from",
    "in-reply-to",
    "message-id",
    "mime-version",
    "received",
    "references",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
];
/// Beginnings of such headers' names.
const HEADERS_RESERVED_PREFIXES: [&str; 3] = ["content-", "arc-", "resent-"];

pub(super) fn address(
    request: &SendRequest,
    defaults: Defaults<'_>,
    errors: &mut Errors,
) -> Addressed {
    let from: Option<Mailbox> = match &request.from {
        Some(from) => errors.take("/from", mailbox(from)),
        None => defaults.email.cloned().or_else(|| {
            let detail = "is required: no default sender is set for email";
            errors.add_coded(FieldCode::Required, "/from", detail);
            None
        }),
    };
    let lists = [&request.to, &request.cc, &request.bcc];
    let counts = lists.map(|list| list.as_ref().map_or(0, |list| list.0.len()));
    if counts[0] == 0 {
        errors.add_coded(FieldCode::Required, "/to", "is required");
    }
    let longest = if counts[0] >= counts[1].max(counts[2]) {
        "/to"
    } else if counts[1] >= counts[2] {
        "/cc"
    } else {
        "/bcc"
    };
    if too_many(longest, counts.iter().sum(), errors) {
        let from = from.map(|from| from.address);
        return Addressed { from, to: Vec::new(), email: None };
    }
    // No recipient gets the same mail twice.
    let mut seen = HashSet::new();
    let mut list = |pointer, list: &Option<_>, errors: &mut Errors| {
        read(pointer, list.as_ref(), mailbox, &mut seen, errors)
    };
    let to = list("/to", &request.to, errors);
    let cc = list("/cc", &request.cc, errors);
    let bcc = list("/bcc", &request.bcc, errors);
    let reply_to = request.reply_to.as_ref();
    let reply_to = reply_to.and_then(|address| errors.take("/reply_to", mailbox(address)));
    let people = Person::among(PersonRole::From, from.as_slice())
        .chain(Person::among(PersonRole::To, &to))
        .chain(Person::among(PersonRole::Cc, &cc))
        .chain(Person::among(PersonRole::Bcc, &bcc))
        .chain(Person::among(PersonRole::ReplyTo, reply_to.as_slice()))
        .collect();
    let in_reply_to = request.in_reply_to.as_deref().and_then(|id| message_id(id, errors));
    let email = Email {
        subject: Some(subject(request.subject.as_deref(), defaults.subject, errors)),
        html: html(request.html.as_deref(), errors),
        cc: addresses(cc),
        bcc: addresses(bcc),
        reply_to: reply_to.map(|reply_to| reply_to.address),
        people,
        headers: headers(request.headers.as_ref(), errors),
        references: match request.thread.as_slice() {
            [] => in_reply_to.iter().cloned().collect(),
            thread => thread.to_vec(),
        },
        in_reply_to,
        ..Email::default()
    };
    let from = from.map(|from| from.address);
    Addressed { from, to: addresses(to), email: Some(Box::new(email)) }
}

/// An email address that can stand in a header as it is, and the name that is shown with it.
fn mailbox(written: &Written) -> Result<Mailbox, AddressError> {
    let mailbox = match &written.name {
        Some(name) => Mailbox::named(address_of(&written.address)?, name)?,
        None => Mailbox::parse(&written.address)?,
    };
    in_a_header(&mailbox.address).then_some(mailbox).ok_or(AddressError::NotEmail)
}

/// The same without a name.
pub(super) fn address_of(text: &str) -> Result<Address, AddressError> {
    let address = Address::email(text)?;
    in_a_header(&address).then_some(address).ok_or(AddressError::NotEmail)
}

fn in_a_header(address: &Address) -> bool {
    !has_control(address.as_str())
}

fn subject(subject: Option<&str>, default: &str, errors: &mut Errors) -> String {
    let Some(subject) = subject.filter(|text| !text.trim().is_empty()) else {
        return default.to_owned();
    };
    let characters = subject.chars().count();
    if characters > SUBJECT_CHARACTERS_MAX {
        let detail =
            format!("expected at most {SUBJECT_CHARACTERS_MAX} characters, got {characters}");
        errors.add_coded(FieldCode::TooLong, "/subject", detail);
    }
    if has_control(subject) {
        let detail = "expected one line without control characters";
        errors.add_coded(FieldCode::ForbiddenCharacter, "/subject", detail);
    }
    subject.to_owned()
}

fn html(html: Option<&str>, errors: &mut Errors) -> Option<String> {
    let html = html.filter(|text| !text.is_empty())?;
    if has_nul(html) {
        errors.add_coded(FieldCode::ForbiddenCharacter, "/html", "expected no NUL character");
    }
    Some(html.to_owned())
}

/// A Message-ID without its angle brackets. Of what form it is, matters only where no mail is known by it.
fn message_id(text: &str, errors: &mut Errors) -> Option<String> {
    let id = bare(text);
    let sane = stands_in_header(id);
    if !sane {
        errors.0.push(no_message_id());
    }
    sane.then(|| id.to_owned())
}

/// What is wrong with an `in_reply_to` that is none.
pub(in crate::commands) fn no_message_id() -> FieldError {
    let detail =
        "expected one Message-ID: that of a mail that is known, or one such as <id@example.com>";
    FieldError::new("/in_reply_to", detail)
}

/// Whether a text can stand in a header between angle brackets. Such ids are in use, whatever else they are.
pub(in crate::commands) fn stands_in_header(id: &str) -> bool {
    let brackets_or_controls = |c: char| c.is_control() || matches!(c, '<' | '>');
    !id.is_empty() && id.len() <= LINE_CHARACTERS_MAX && !id.contains(brackets_or_controls)
}

/// Whether a text is a Message-ID by its form.
pub(in crate::commands) fn is_message_id(id: &str) -> bool {
    stands_in_header(id)
        && id.bytes().all(|byte| byte.is_ascii_graphic())
        && id.split_once('@').is_some_and(|(left, right)| !left.is_empty() && !right.is_empty())
}

fn headers(
    headers: Option<&BTreeMap<String, String>>,
    errors: &mut Errors,
) -> BTreeMap<String, String> {
    let Some(headers) = headers else { return BTreeMap::new() };
    if headers.len() > HEADERS_MAX {
        let detail = format!("expected at most {HEADERS_MAX} headers, got {}", headers.len());
        errors.add_coded(FieldCode::WrongCount, "/headers", detail);
        return BTreeMap::new();
    }
    let mut names = HashSet::new();
    for (name, value) in headers {
        let pointer = format!("/headers{}", token(name));
        let lower = name.to_ascii_lowercase();
        if !is_header_name(name) {
            let detail = format!(
                "expected a name of 1 to {HEADER_NAME_CHARACTERS_MAX} printable ASCII characters \
                 without a colon or a space"
            );
            errors.add(&pointer, detail);
        } else if is_reserved(&lower) {
            let detail = "is set by hatch or by the servers that carry the mail, or tells a provider \
                          what to do";
            errors.add_coded(FieldCode::NotAllowed, &pointer, detail);
        } else if !names.insert(lower) {
            let detail = "is there twice; case makes no difference";
            errors.add_coded(FieldCode::Duplicate, &pointer, detail);
        }
        if value.len() > LINE_CHARACTERS_MAX || !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            let detail = format!(
                "expected at most {LINE_CHARACTERS_MAX} printable ASCII characters in one line"
            );
            errors.add(&pointer, detail);
        }
    }
    headers.clone()
}

/// A field name of RFC 5322, section 3.6.8.
fn is_header_name(name: &str) -> bool {
    (1..=HEADER_NAME_CHARACTERS_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

fn is_reserved(lower: &str) -> bool {
    HEADERS_RESERVED.contains(&lower)
        || HEADERS_RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
        || commands_a_provider(lower)
}
