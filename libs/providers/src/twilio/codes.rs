//! What Twilio's error codes mean for a message (<https://www.twilio.com/docs/api/errors>).
//!
//! A code is permanent for the message unless it is said to be worth another attempt. That also goes for what is
//! wrong with the *sender* that the message names, because other messages of the account name others. A code that
//! says nothing of the message has it wait until the account is mended. Codes that are not known are permanent, and
//! so is 30410, "timed out at the carrier": the message may have arrived, and to send it again is a decision for
//! people.

use hatch_domain::ErrorClass;

use self::Again::{MayHelp, Never, WhenMended};
use crate::Trouble::{self, Credentials, NotFound, Permission, Suspended};
use ErrorClass::{Account, Content, Expired, InvalidRecipient, OptedOut, Other, Rate, Unreachable};

/// Whether another attempt at the same message may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    MayHelp,
    Never,
    /// As soon as the account is mended, of which it speaks.
    WhenMended(Trouble),
}

/// Every code that is known, in ascending order.
pub(super) const CODES: &[(u32, ErrorClass, Again)] = &[
    (10001, Account, WhenMended(Suspended)), // account not active
    (11751, Content, Never),                 // media too large for the provider
    (14107, Rate, MayHelp),                  // rate between two numbers
    (20003, Account, WhenMended(Credentials)), // wrong credentials
    (20005, Account, WhenMended(Suspended)), // account not active
    (20008, Account, WhenMended(Permission)), // test credentials
    (20403, Account, WhenMended(Permission)), // forbidden
    (20404, Account, WhenMended(NotFound)),  // no such account
    (20429, Rate, MayHelp),                  // too many requests at once
    (20500, Unreachable, MayHelp),           // internal error
    (20503, Unreachable, MayHelp),           // unavailable
    (21211, InvalidRecipient, Never),        // invalid To
    (21212, Account, Never),                 // invalid From
    (21408, Account, Never),                 // no permission for the region
    (21601, Account, Never),                 // From is not SMS-capable
    (21602, Content, Never),                 // no body
    (21603, Account, Never),                 // no From
    (21604, InvalidRecipient, Never),        // no To
    (21606, Account, Never),                 // From is not SMS-capable or not ours
    (21608, Account, Never),                 // To is not verified, in a trial
    (21609, Account, Never),                 // invalid callback URL
    (21610, OptedOut, Never),                // the recipient opted out
    (21611, Rate, MayHelp),                  // the sender's queue is full
    (21612, InvalidRecipient, Never),        // no route from From to To
    (21614, InvalidRecipient, Never),        // not a mobile number
    (21617, Content, Never),                 // body too long
    (21619, Content, Never),                 // neither body nor media
    (21620, Content, Never),                 // invalid media URL
    (21621, Account, Never),                 // From has no MMS
    (21622, Account, Never),                 // MMS is not enabled
    (21623, Content, Never),                 // too many files
    (21624, Content, Never),                 // invalid validity period
    (21635, InvalidRecipient, Never),        // a landline
    (21654, Content, Never),                 // no template
    (21655, Content, Never),                 // invalid template
    (21656, Content, Never),                 // invalid variables of a template
    (21658, Content, Never),                 // invalid content of a template
    (21659, Account, Never),                 // From is not ours
    (21660, Account, Never),                 // From is another account's
    (21701, Account, Never),                 // messaging service
    (21703, Account, Never),                 // messaging service without senders
    (21704, Account, Never),                 // messaging service without senders for the region
    (21705, Account, Never),                 // invalid messaging service
    (21910, Account, Never),                 // From and To are of two channels
    (30001, Rate, MayHelp),                  // queue overflow
    (30002, Account, WhenMended(Suspended)), // account suspended
    (30003, Unreachable, MayHelp),           // handset off or out of reach
    (30004, InvalidRecipient, Never),        // the recipient's number takes no messages
    (30005, InvalidRecipient, Never),        // unknown or inactive number
    (30006, InvalidRecipient, Never),        // landline or unreachable carrier
    (30007, Content, Never),                 // filtered by a carrier
    (30008, Other, MayHelp),                 // unknown error
    (30011, Content, Never),                 // the recipient cannot take MMS
    (30012, Expired, Never),                 // the validity period is too short
    (30017, Unreachable, MayHelp),           // carrier congested
    (30018, Account, Never),                 // sender is not registered
    (30019, Content, Never),                 // too large for the carrier
    (30022, Rate, MayHelp),                  // 10DLC rate
    (30023, Rate, MayHelp),                  // 10DLC daily cap
    (30024, Account, Never),                 // sender is not provisioned
    (30027, Rate, MayHelp),                  // T-Mobile daily cap
    (30032, Account, Never),                 // toll-free number is not verified
    (30033, Account, Never),                 // campaign suspended
    (30034, Account, Never),                 // unregistered number
    (30035, Account, Never),                 // number is still being configured
    (30036, Expired, MayHelp),               // validity period over
    (30410, Unreachable, Never),             // timed out at the carrier
    (30450, Content, Never),                 // blocked as SMS pumping
    (63001, Account, Never),                 // channel credentials
    (63003, InvalidRecipient, Never),        // channel does not know To
    (63005, Content, Never),                 // channel takes no such content
    (63006, Content, Never),                 // channel cannot format the content
    (63007, Account, Never),                 // no channel for From
    (63009, Unreachable, MayHelp),           // channel provider error
    (63010, Unreachable, MayHelp),           // channel provider internal error
    (63012, Unreachable, MayHelp),           // channel provider unavailable
    (63013, Content, Never),                 // against the channel's policy
    (63014, OptedOut, Never),                // the recipient blocked the sender
    (63016, Content, Never),                 // free text outside of the time for it
    (63017, Rate, MayHelp),                  // channel rate
    (63018, Rate, MayHelp),                  // channel rate
    (63019, Content, Never),                 // media cannot be fetched
    (63020, Account, Never),                 // business manager
    (63021, Content, Never),                 // invalid content
    (63024, InvalidRecipient, Never),        // invalid recipient of the channel
    (63027, Content, Never),                 // no such template
    (63028, Content, Never),                 // wrong parameters of a template
    (63033, InvalidRecipient, Never),        // the recipient may not be written to
    (63034, Content, Never),                 // media too large
    (63038, Rate, MayHelp),                  // daily limit of the account
    (63040, Account, Never),                 // template rejected
    (63041, Account, Never),                 // template paused
    (63042, Account, Never),                 // template disabled
    (63051, Account, Never),                 // business account locked
];

/// Twilio's codes about accounts and requests of any kind, whatever they are for.
const PLATFORM: std::ops::RangeInclusive<u32> = 20_000..=20_999;

/// What the code says of the reason, and whether another attempt cannot help.
pub(super) fn meaning(code: u32) -> (ErrorClass, bool) {
    find(code).map_or((Other, true), |(class, again)| (class, again != MayHelp))
}

/// What is wrong with the account, where that is what a refused request says. A code that is not known counts as
/// such only where it is about no message, and has the status of refused credentials.
pub(super) fn trouble(status: u16, code: u32) -> Option<Trouble> {
    match (find(code), status) {
        (Some((_, WhenMended(trouble))), _) => Some(trouble),
        (Some(_), _) => None,
        (None, 401) => Some(Credentials),
        (None, 403) if PLATFORM.contains(&code) => Some(Permission),
        (None, _) => None,
    }
}

fn find(code: u32) -> Option<(ErrorClass, Again)> {
    let place = CODES.binary_search_by_key(&code, |(known, ..)| *known).ok()?;
    Some((CODES[place].1, CODES[place].2))
}
