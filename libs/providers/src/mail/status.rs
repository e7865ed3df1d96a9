//! The status codes of mail servers (RFC 3463).

use ErrorClass::{Account, Content, InvalidRecipient, Other, Unreachable};
use hatch_domain::ErrorClass;

/// RFC 3463's codes by their beginning, the longest first; the class of status before the first dot does not
/// matter here.
const ENHANCED: &[(&str, ErrorClass)] = &[
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

/// What a mail came back for, by the status that a mail server gave, such as `5.1.1`.
#[must_use]
pub fn class_of_status(status: Option<&str>) -> ErrorClass {
    let detail = status.and_then(|status| status.trim().split_once('.'));
    let known = detail.and_then(|(_, detail)| {
        ENHANCED.iter().find(|(beginning, _)| detail.starts_with(beginning))
    });
    known.map_or(Other, |(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_classed_by_what_is_behind_its_first_dot() {
        for (status, class) in [
            ("5.1.1", InvalidRecipient),
            ("4.1.1", InvalidRecipient),
            ("5.1.8", Account),
            (" 5.2.1 ", InvalidRecipient),
            ("4.2.2", Unreachable),
            ("5.3.4", Content),
            ("5.7.1", Content),
            ("5.5.0", Other),
            ("5.9.9", Other),
            ("blocked", Other),
            ("", Other),
        ] {
            assert_eq!(class_of_status(Some(status)), class, "{status}");
        }
        assert_eq!(class_of_status(None), Other);
    }
}
