//! What Vonage's error codes mean for a message (<https://developer.vonage.com/api-errors/messages>).
//!
//! A code is permanent for the message unless it is said to be worth another attempt. That also goes for what is wrong
//! with the *sender* that the message names, because other messages of the account name others. A code that says
//! nothing of the message has it wait until the account is mended. Codes that are not known are permanent.

use hatch_domain::ErrorClass;

use self::Again::{MayHelp, Never, WhenMended};
use crate::Trouble::{self, Credentials, Credit, Permission, Suspended};
use ErrorClass::{Account, Content, Expired, InvalidRecipient, OptedOut, Other, Rate, Unreachable};

/// A message that was sent already. It is no failure: what became of it, receipts of its own say.
pub(super) const DUPLICATE: u32 = 1320;

/// Whether another attempt at the same message may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    MayHelp,
    Never,
    /// It can help once somebody has mended the account.
    WhenMended(Trouble),
}

/// Every code that is known, in ascending order.
pub(super) const CODES: &[(u32, ErrorClass, Again)] = &[
    (1000, Rate, MayHelp),                    // too many requests at once
    (1010, Content, Never),                   // a parameter is missing
    (1020, Content, Never),                   // a parameter is wrong
    (1021, Content, Never),                   // invalid tag of a message
    (1022, Content, Never),                   // invalid template
    (1030, Unreachable, MayHelp),             // internal error
    (1040, Content, Never),                   // the message cannot be processed
    (1050, InvalidRecipient, Never),          // the number is barred
    (1060, Account, WhenMended(Suspended)),   // the account is barred
    (1070, Account, WhenMended(Credit)),      // the account's quota is used up
    (1080, Account, WhenMended(Permission)),  // the account may not use the API
    (1090, Content, Never),                   // too long
    (1100, Unreachable, MayHelp),             // the network could not be reached
    (1110, Account, WhenMended(Credentials)), // wrong signature of the request
    (1120, Account, Never),                   // the sender is not taken
    (1130, Content, Never),                   // invalid time to live
    (1140, Account, WhenMended(Permission)),  // not allowed to the account
    (1150, Content, Never),                   // invalid parameters
    (1160, Account, Never), // the recipient is not on the account's list, in a trial
    (1170, InvalidRecipient, Never), // no such number
    (1180, Unreachable, MayHelp), // the recipient is away for a time
    (1190, InvalidRecipient, Never), // the recipient is away for good
    (1210, Content, Never), // held for spam
    (1220, Unreachable, MayHelp), // the handset is busy
    (1230, Unreachable, MayHelp), // error of the network
    (1240, OptedOut, Never), // the recipient opted out
    (1241, Rate, MayHelp),  // too many to this recipient
    (1250, InvalidRecipient, Never), // no route
    (1260, InvalidRecipient, Never), // no route to the destination
    (1270, Content, Never), // too many messages of one number
    (1280, Content, Never), // not possible for the recipient
    (1290, Content, Never), // refused by the network
    (1300, InvalidRecipient, Never), // not a user of the network
    (1310, InvalidRecipient, Never), // the recipient's device takes no such message
    (1320, Other, Never),   // sent already
    (1330, Other, Never),   // unknown error
    (1340, Content, Never), // outside of the time for it
    (1360, Expired, Never), // the time to live is over
];

/// What the code says of the reason, and whether another attempt cannot help.
pub(super) fn meaning(code: u32) -> (ErrorClass, bool) {
    find(code).map_or((Other, true), |(class, again)| (class, again != MayHelp))
}

/// The same of a code as it is written.
pub(super) fn meaning_of(code: &str) -> (ErrorClass, bool) {
    code.parse().map_or((Other, true), meaning)
}

/// Whether the table has the code.
pub(super) fn is_known(code: &str) -> bool {
    code.parse().is_ok_and(|code| find(code).is_some())
}

/// What is wrong with the account, where that is what a code of a refused request says.
pub(super) fn trouble(code: &str) -> Option<Trouble> {
    match find(code.parse().ok()?) {
        Some((_, WhenMended(trouble))) => Some(trouble),
        _ => None,
    }
}

fn find(code: u32) -> Option<(ErrorClass, Again)> {
    let place = CODES.binary_search_by_key(&code, |(known, ..)| *known).ok()?;
    Some((CODES[place].1, CODES[place].2))
}
