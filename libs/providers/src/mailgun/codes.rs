//! What Mailgun's refusals and events mean for a mail. Mailgun numbers no errors: it has HTTP's codes and words for a
//! request (<https://documentation.mailgun.com/docs/mailgun/api-reference/mg-api-errors>), codes of mail servers and a
//! few of its own for a mail that did not arrive
//! (<https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure>).

use hatch_domain::ErrorClass;

use crate::Trouble::{self, Credentials, Credit, NotFound, Permission, Suspended};
use crate::mail::class_of_status;
use ErrorClass::{Account, Content, Expired, InvalidRecipient, OptedOut, Other, Rate, Unreachable};

/// HTTP's codes of a refused request.
pub(super) const STATUSES: &[(u16, ErrorClass)] = &[
    (400, Content),
    (401, Account),
    (402, Account),
    (403, Account),
    (404, Account),
    (405, Account),
    (408, Unreachable),
    (413, Content), // too large
    (415, Content),
    (421, Unreachable), // misdirected
    (425, Unreachable),
    (429, Rate),
];

/// HTTP's codes that are about the account and no mail.
pub(super) const TROUBLES: &[(u16, Trouble)] = &[
    (401, Credentials),
    (402, Credit),
    (403, Permission),
    (404, NotFound), // no such domain, which may be one of the other region
    (405, NotFound),
];

/// Of a 400, what makes it one about the account: lower case.
pub(super) const NOT_ALLOWED: &[&str] =
    &["is not allowed to send", "for test purposes only", "sandbox subdomain"];

/// Of what is about the account, what the words say more exactly: lower case.
pub(super) const WORDS: &[(&str, Trouble)] = &[
    ("disabled", Suspended),
    ("suspended", Suspended),
    ("activate your", Suspended),
    ("business verification", Suspended),
    ("payment", Credit),
    ("credit", Credit),
];

/// Of a 400, the parameter that is refused, by the beginning of the words: lower case, without quotes.
pub(super) const PARAMETERS: &[(&str, ErrorClass)] = &[
    ("to parameter", InvalidRecipient),
    ("cc parameter", InvalidRecipient),
    ("bcc parameter", InvalidRecipient),
    ("from parameter", Account),
];

/// The reasons of a mail that failed for good.
pub(super) const REASONS: &[(&str, ErrorClass)] = &[
    ("suppress-bounce", InvalidRecipient),
    ("suppress-complaint", OptedOut),
    ("suppress-unsubscribe", OptedOut),
    ("old", Expired),      // tried for as long as Mailgun tries
    ("espblock", Account), // the recipient's provider blocks the sender
];

/// Mailgun's own codes of a mail that failed for good.
pub(super) const SUPPRESSED: &[(u64, ErrorClass)] = &[
    (605, InvalidRecipient), // it bounced before
    (606, OptedOut),         // it unsubscribed
    (607, OptedOut),         // it complained
];

/// The replies of mail servers (RFC 5321, section 4.2.3) where no status is told, which says more.
pub(super) const REPLIES: &[(u64, ErrorClass)] = &[
    (421, Unreachable),
    (450, Unreachable),
    (451, Unreachable),
    (452, Unreachable),
    (498, Unreachable), // Mailgun's own: no server of the domain was reached
    (499, Unreachable),
    (550, InvalidRecipient),
    (551, InvalidRecipient),
    (552, Content),
    (553, InvalidRecipient),
    (554, Content),
];

/// What a request was refused for.
pub(super) fn of_request(status: u16, said: &str) -> ErrorClass {
    let class = STATUSES.iter().find(|(known, _)| *known == status).map(|(_, class)| *class);
    if status != 400 {
        return class.unwrap_or(Other);
    }
    let said = said.to_lowercase().replace(['\'', '"'], "");
    let named = PARAMETERS.iter().find(|(beginning, _)| said.starts_with(beginning));
    named.map_or(Content, |(_, class)| *class)
}

/// What is wrong with the account, where that is what a refused request says.
pub(super) fn trouble(status: u16, said: &str) -> Option<Trouble> {
    let said = said.to_lowercase();
    let of_status = TROUBLES.iter().find(|(known, _)| *known == status).map(|(_, one)| *one);
    let of_words = (status == 400 && NOT_ALLOWED.iter().any(|words| said.contains(words)))
        .then_some(Permission);
    let trouble = of_status.or(of_words)?;
    if trouble == NotFound {
        return Some(trouble);
    }
    let exactly = WORDS.iter().find(|(words, _)| said.contains(words));
    Some(exactly.map_or(trouble, |(_, exactly)| *exactly))
}

/// What a mail failed for, for good: `code` and `status` are the mail server's, or Mailgun's own code.
pub(super) fn of_failure(reason: &str, code: Option<u64>, status: Option<&str>) -> ErrorClass {
    let of_reason = REASONS.iter().find(|(known, _)| reason.eq_ignore_ascii_case(known));
    if let Some((_, class)) = of_reason {
        return *class;
    }
    let of_code = |table: &[(u64, ErrorClass)]| {
        table.iter().find(|(known, _)| Some(*known) == code).map(|(_, class)| *class)
    };
    let of_status = || Some(class_of_status(status)).filter(|class| *class != Other);
    of_code(SUPPRESSED).or_else(of_status).or_else(|| of_code(REPLIES)).unwrap_or(Other)
}

/// Whether Mailgun did not try because it sends nothing to the recipient.
pub(super) fn is_suppressed(reason: &str, code: Option<u64>) -> bool {
    let reason = reason.to_ascii_lowercase();
    reason.starts_with("suppress-") || SUPPRESSED.iter().any(|(known, _)| Some(*known) == code)
}
