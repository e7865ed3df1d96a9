//! What the status of a mail server (RFC 3463), such as `5.1.1`, says of a mail that came back.

use ErrorClass::{Account, Content, InvalidRecipient, Other, Unreachable};
use hatch_domain::ErrorClass;

/// The codes by their beginning, the longest first; the class of status before the first dot does not matter here.
const CODES: &[(&str, ErrorClass)] = &[
    ("1.8", Account), // bad sender's system
    ("1.7", Account), // bad sender's mailbox
    ("1.", InvalidRecipient),
    ("2.1", InvalidRecipient), // mailbox disabled
    ("2.3", Content),          // message too long
    ("2.", Unreachable),       // mailbox full and the like
    ("3.4", Content),          // message too big for the system
    ("3.", Unreachable),
    ("4.", Unreachable),
    ("5.", Other),
    ("6.", Content),
    ("7.", Content), // security or policy
];

/// What a mail came back for, by the status that a mail server gave.
#[must_use]
pub fn class_of_status(status: Option<&str>) -> ErrorClass {
    let of = |status: &str| {
        let (_, detail) = status.trim().split_once('.')?;
        CODES.iter().find(|(known, _)| detail.starts_with(known)).map(|(_, class)| *class)
    };
    status.and_then(of).unwrap_or(Other)
}
