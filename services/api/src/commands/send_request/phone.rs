//! SMS and MMS: one phone to another.

use hatch_domain::Channel;
use hatch_domain::address::Address;

use super::errors::Errors;
use super::{Addressed, Recipients, SendRequest};

pub(super) fn address(
    request: &SendRequest,
    channel: Channel,
    default_sender: Option<&Address>,
    errors: &mut Errors,
) -> Addressed {
    let from = match &request.from {
        Some(from) => errors.take("/from", Address::phone(from)),
        None => default_sender.cloned().or_else(|| {
            errors.add("/from", "is required: no default sender is set");
            None
        }),
    };
    let to = recipient(request.to.as_ref(), channel, errors);
    if from.is_some() && from == to {
        errors.add("/to", "expected another number than the sender's");
    }
    Addressed { from, to: to.into_iter().collect(), email: None }
}

fn recipient(to: Option<&Recipients>, channel: Channel, errors: &mut Errors) -> Option<Address> {
    match to.map(|Recipients(list)| &list[..]) {
        Some([only]) => errors.take("/to", Address::phone(only)),
        Some([]) | None => {
            errors.add("/to", "is required");
            None
        }
        Some(several) => {
            let channel = channel.as_str();
            errors.add("/to", format!("an {channel} has one recipient, got {}", several.len()));
            None
        }
    }
}
