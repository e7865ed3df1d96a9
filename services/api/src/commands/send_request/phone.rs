//! SMS and MMS: one phone to another.

use hatch_domain::Channel;
use hatch_domain::address::Address;

use super::errors::Errors;
use super::{Addressed, Recipients, SendRequest};
use crate::problem::FieldCode;

pub(super) fn address(
    request: &SendRequest,
    channel: Channel,
    default_sender: Option<&Address>,
    errors: &mut Errors,
) -> Addressed {
    let from = match (&request.from, &request.pool) {
        (Some(_), Some(_)) => {
            let detail = "expected either from or pool";
            errors.add_coded(FieldCode::Contradiction, "/pool", detail);
            None
        }
        (None, Some(_)) => Some(stand_in()),
        (Some(from), None) => errors.take("/from", from.nameless(Address::sender)),
        (None, None) => default_sender.cloned().or_else(|| {
            errors.add_coded(FieldCode::Required, "/from", "is required: no default sender is set");
            None
        }),
    };
    let to = recipient(request.to.as_ref(), channel, errors);
    if from.is_some() && from == to {
        let detail = "expected another number than the sender's";
        errors.add_coded(FieldCode::Contradiction, "/to", detail);
    }
    Addressed { from, to: to.into_iter().collect(), email: None }
}

/// What stands for the sender until a pool has one.
pub(in crate::commands) fn stand_in() -> Address {
    Address::recorded("pool")
}

fn recipient(to: Option<&Recipients>, channel: Channel, errors: &mut Errors) -> Option<Address> {
    match to.map(|Recipients(list)| &list[..]) {
        Some([only]) => errors.take("/to", only.nameless(Address::phone)),
        Some([]) | None => {
            errors.add_coded(FieldCode::Required, "/to", "is required");
            None
        }
        Some(several) => {
            let channel = channel.as_str();
            let detail = format!("an {channel} has one recipient, got {}", several.len());
            errors.add_coded(FieldCode::WrongCount, "/to", detail);
            None
        }
    }
}
