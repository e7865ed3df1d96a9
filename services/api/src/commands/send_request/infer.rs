//! Which channel a send is for.

use hatch_domain::Channel;
use hatch_domain::address::{Address, AddressKind};

use super::SendRequest;
use super::errors::Errors;
use crate::problem::FieldCode;

/// Channels of the API that nothing carries yet.
const NOT_YET: [&str; 3] = ["whatsapp", "voice", "voicemail"];

/// The channel that the request names, or else means; none when it names one that there is not.
pub(super) fn channel(request: &SendRequest, errors: &mut Errors) -> Option<Channel> {
    let (pointer, name) = match (request.channel.as_deref(), request.r#type.as_deref()) {
        (None, None) => return Some(meant(request)),
        (None, Some(name)) => ("/type", name),
        (Some(name), None) => ("/channel", name),
        (Some(name), Some(alias)) => {
            if name != alias {
                let detail = "expected the same as channel, or one of the two alone";
                errors.add_coded(FieldCode::Contradiction, "/type", detail);
                return None;
            }
            ("/channel", name)
        }
    };
    let found = Channel::ALL.into_iter().find(|channel| channel.as_str() == name);
    if found.is_none() {
        let known = Channel::ALL.map(Channel::as_str).join(", ");
        let (code, detail) = if NOT_YET.contains(&name) {
            let detail = format!("{name} is not available yet; expected one of {known}");
            (FieldCode::NotAvailable, detail)
        } else {
            (FieldCode::UnknownValue, format!("expected one of {known}, got {name:?}"))
        };
        errors.add_coded(code, pointer, detail);
    }
    match found {
        // With files it is one, whatever its client calls it, as at the carriers.
        Some(Channel::Sms) if has_files(request) => Some(Channel::Mms),
        found => found,
    }
}

fn has_files(request: &SendRequest) -> bool {
    request.attachments.as_ref().is_some_and(|list| !list.is_empty())
}

/// A phone number makes it a text message, an email address a mail, and names alone a chat. So an
/// address of another kind than the rest is named as wrong, and no mistyped number becomes a chat.
fn meant(request: &SendRequest) -> Channel {
    let to = request.to.iter().flat_map(|to| &to.0);
    let kinds = || request.from.iter().chain(to.clone()).map(|text| kind(text));
    let phone = kinds().any(|kind| kind == AddressKind::Phone);
    if !phone && kinds().any(|kind| kind == AddressKind::Email) {
        Channel::Email
    } else if phone || kinds().next().is_none() {
        if has_files(request) { Channel::Mms } else { Channel::Sms }
    } else {
        Channel::Chat
    }
}

fn kind(text: &str) -> AddressKind {
    let dialled = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '.' | '-' | '(' | ')');
    match Address::kind_of(text) {
        AddressKind::Name if text.trim().is_empty() || text.chars().all(dialled) => {
            AddressKind::Phone
        }
        kind => kind,
    }
}
