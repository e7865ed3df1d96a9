//! What SendGrid's refusals and events mean for a mail. SendGrid numbers no errors: it has HTTP's codes for a
//! request, words for a mail that it dropped, and RFC 3463's codes and words of its own for one that came back
//! (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event>).

use hatch_domain::ErrorClass;

use crate::Trouble::{self, Credentials, Credit, NotFound, Permission, Suspended};
use crate::mail::class_of_status;
use ErrorClass::{Account, Content, InvalidRecipient, OptedOut, Other, Rate, Unreachable};

/// HTTP's codes of a refused request.
pub(super) const STATUSES: &[(u16, ErrorClass)] = &[
    (400, Content),
    (401, Account),
    (402, Account),
    (403, Account), // unverified sender, where it names that field
    (404, Account),
    (405, Account),
    (408, Unreachable),
    (413, Content), // too large
    (415, Content),
    (425, Unreachable),
    (429, Rate),
];

/// HTTP's codes that are about the account and no mail.
pub(super) const TROUBLES: &[(u16, Trouble)] = &[
    (401, Credentials),
    (402, Credit),
    (403, Permission),
    (404, NotFound), // no such path, which is a wrong base URL
    (405, NotFound),
];

/// Of a 401 and a 403, what the words say more exactly: lower case.
pub(super) const WORDS: &[(&str, Trouble)] = &[
    ("credits", Credit), // "Maximum credits exceeded"
    ("suspended", Suspended),
    ("under review", Suspended),
    ("deactivated", Suspended),
];

/// Of a 400, the field that is refused, by its beginning.
pub(super) const FIELDS: &[(&str, ErrorClass)] = &[
    ("from", Account),
    ("personalizations.0.bcc", InvalidRecipient),
    ("personalizations.0.cc", InvalidRecipient),
    ("personalizations.0.to", InvalidRecipient),
];

/// The reasons of `dropped`.
pub(super) const DROPPED: &[(&str, ErrorClass)] = &[
    ("Bounced Address", InvalidRecipient),
    ("Unsubscribed Address", OptedOut),
    ("Spam Reporting Address", OptedOut),
    ("Invalid", InvalidRecipient),
    ("Spam Content", Content),
    ("Invalid SMTPAPI header", Content),
    ("Recipient List over Package Quota", Rate),
];

/// The `bounce_classification` of `bounce`.
pub(super) const BOUNCED: &[(&str, ErrorClass)] = &[
    ("Invalid Address", InvalidRecipient),
    ("Mailbox Unavailable", Unreachable),
    ("Technical", Unreachable),
    ("Technical Failure", Unreachable),
    ("Content", Content),
    ("Reputation", Account),
    ("Frequency or Volume Too High", Rate),
    ("Unclassified", Other),
];

/// What a request was refused for; `fields` are those that SendGrid names.
pub(super) fn of_request<'a>(status: u16, mut fields: impl Iterator<Item = &'a str>) -> ErrorClass {
    let class = find(STATUSES, |known| *known == status);
    match class {
        Some(Content) if status == 400 => {
            let named = fields.find_map(|field| find(FIELDS, |known| field.starts_with(known)));
            named.unwrap_or(Content)
        }
        class => class.unwrap_or(Other),
    }
}

/// What is wrong with the account, where that is what a refused request says. A 403 that names a field is about its
/// mail: the sender is not verified.
pub(super) fn trouble(status: u16, has_fields: bool, detail: &str) -> Option<Trouble> {
    let (_, trouble) = TROUBLES.iter().find(|(known, _)| *known == status)?;
    if has_fields && status == 403 {
        return None;
    }
    let detail = detail.to_lowercase();
    let said = WORDS.iter().find(|(words, _)| detail.contains(words));
    match status {
        401 | 403 => Some(said.map_or(*trouble, |(_, trouble)| *trouble)),
        _ => Some(*trouble),
    }
}

/// What a mail was dropped for.
pub(super) fn of_drop(reason: &str) -> ErrorClass {
    find(DROPPED, |known| reason.trim().eq_ignore_ascii_case(known)).unwrap_or(Other)
}

/// What a mail came back for.
pub(super) fn of_bounce(classification: Option<&str>, status: Option<&str>) -> ErrorClass {
    let said = classification
        .and_then(|said| find(BOUNCED, |known| said.trim().eq_ignore_ascii_case(known)))
        .filter(|class| *class != Other);
    said.unwrap_or_else(|| class_of_status(status))
}

fn find<K: Copy>(table: &[(K, ErrorClass)], is_it: impl Fn(&K) -> bool) -> Option<ErrorClass> {
    table.iter().find(|(known, _)| is_it(known)).map(|(_, class)| *class)
}
