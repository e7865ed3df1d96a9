//! Chat: between participants of this installation, whatever they are called by.

use std::collections::HashSet;

use hatch_domain::address::{Address, AddressError, AddressKind};
use hatch_domain::mailbox::Mailbox;

use super::errors::Errors;
use super::recipients::{Written, addresses, read, too_many};
use super::{Addressed, SendRequest};
use crate::problem::FieldCode;

pub(super) fn address(request: &SendRequest, errors: &mut Errors) -> Addressed {
    let from = match &request.from {
        Some(from) => errors.take("/from", from.nameless(participant)),
        None => {
            let detail = "is required: a chat has no default sender";
            errors.add_coded(FieldCode::Required, "/from", detail);
            None
        }
    };
    let count = request.to.as_ref().map_or(0, |to| to.0.len());
    let to = if count == 0 {
        errors.add_coded(FieldCode::Required, "/to", "is required");
        Vec::new()
    } else if too_many("/to", count, errors) {
        Vec::new()
    } else {
        let one = |written: &Written| written.nameless(participant).map(Mailbox::from);
        read("/to", request.to.as_ref(), one, &mut HashSet::new(), errors)
    };
    Addressed { from, to: addresses(to), email: None }
}

fn participant(text: &str) -> Result<Address, AddressError> {
    match Address::written_kind(text) {
        AddressKind::Phone => Address::phone(text),
        // What has a scope is written to by its own channel only.
        AddressKind::Email | AddressKind::WhatsappUser | AddressKind::ExternalId => {
            super::email::address_of(text)
        }
        AddressKind::Name => Address::name(text),
    }
}
