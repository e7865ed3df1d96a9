//! What happens to a message, as a function of its recipient and of how often it was asked for.
//!
//! | phone ends with | email local part | behaviour |
//! |---|---|---|
//! | `0429` | `throttle` | throttled on the first two calls for a message, then accepted |
//! | `0500` | `outage` | out of order on the first two calls for a message, then accepted |
//! | `0400` | `invalid` | refused: no such recipient |
//! | `0610` | `optout` | refused: the recipient opted out |
//! | `0504` | `mute` | accepted, never answered; receipts come |
//! | `0503` | `hole` | neither accepted nor answered |
//! | `0777` | `disorder` | receipts twice and in reverse order |
//! | `0222` | `early` | the delivered receipt comes before the answer (and again after it) |
//! | `0888` | `silent` | accepted, no receipt |
//! | `0666` | `bounce` | accepted, then undelivered |

/// So many calls for one message are throttled or fail before one succeeds.
const FAILING_CALLS: u32 = 2;

/// What the provider does with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Too many requests; asks for a second's wait.
    Throttle,
    /// An error of the provider's own.
    Outage,
    /// There is no such recipient.
    Invalid,
    /// The recipient does not want messages.
    OptedOut,
    /// Nothing, and no answer.
    Vanish,
    /// The message is taken.
    Accept(Course),
}

/// The life of an accepted message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Course {
    /// How the call is answered.
    pub(crate) answer: Answering,
    /// The receipts, in the order in which they are posted.
    pub(crate) receipts: &'static [Receipt],
    /// Where the message ends up, for those who look it up.
    pub(crate) end: Receipt,
}

/// How an accepted call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answering {
    /// At once.
    AtOnce,
    /// Once the receipt of its delivery was posted.
    AfterReceipt,
    /// Never.
    Never,
}

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// Handed to the carrier.
    Sent,
    /// Arrived.
    Delivered,
    /// Did not arrive, and never will.
    Undelivered,
    /// Refused after all: there is no such recipient.
    Invalid,
    /// Refused after all: the recipient does not want messages.
    OptedOut,
}

impl Course {
    const GOOD: Self = Self {
        answer: Answering::AtOnce,
        receipts: &[Receipt::Sent, Receipt::Delivered],
        end: Receipt::Delivered,
    };
}

/// Decides on a call to send a message to `recipient`, when it is number `calls` for that message
/// (from 1).
pub(crate) fn react(recipient: &str, calls: u32) -> Reaction {
    let fails = calls <= FAILING_CALLS;
    match magic(recipient) {
        "throttle" if fails => Reaction::Throttle,
        "outage" if fails => Reaction::Outage,
        "invalid" => Reaction::Invalid,
        "optout" => Reaction::OptedOut,
        "hole" => Reaction::Vanish,
        _ => Reaction::Accept(course(recipient)),
    }
}

/// The receipts about `recipient` of a provider that takes a message to anybody, and refuses it later.
pub(crate) fn later_receipts(recipient: &str) -> &'static [Receipt] {
    // What fails at first has succeeded by the time that there are receipts.
    match react(recipient, u32::MAX) {
        Reaction::Invalid => &[Receipt::Invalid],
        Reaction::OptedOut => &[Receipt::OptedOut],
        Reaction::Accept(course) => course.receipts,
        Reaction::Vanish | Reaction::Throttle | Reaction::Outage => &[],
    }
}

/// The life of an accepted message to `recipient`.
pub(crate) fn course(recipient: &str) -> Course {
    use Receipt::{Delivered, Sent, Undelivered};
    match magic(recipient) {
        "mute" => Course { answer: Answering::Never, ..Course::GOOD },
        "early" => Course { answer: Answering::AfterReceipt, ..Course::GOOD },
        "disorder" => Course { receipts: &[Delivered, Sent, Delivered, Sent], ..Course::GOOD },
        "silent" => Course { receipts: &[], end: Sent, ..Course::GOOD },
        "bounce" => Course { receipts: &[Sent, Undelivered], end: Undelivered, ..Course::GOOD },
        _ => Course::GOOD,
    }
}

/// What a phone number ends with, and what the local part of a mailbox is, for each behaviour.
const BEHAVIOURS: [(&str, &str); 10] = [
    ("0429", "throttle"),
    ("0500", "outage"),
    ("0400", "invalid"),
    ("0610", "optout"),
    ("0504", "mute"),
    ("0503", "hole"),
    ("0777", "disorder"),
    ("0222", "early"),
    ("0888", "silent"),
    ("0666", "bounce"),
];

/// The name of the recipient's behaviour; of an email address the local part up to a `+`, in any case: a mail goes to a
/// mailbox as somebody wrote it.
fn magic(recipient: &str) -> &'static str {
    let mailbox = recipient.split_once('@');
    let mailbox = mailbox.map(|(local, _)| local.split('+').next().unwrap_or_default());
    let is_it = |(end, name): &&(&str, &str)| match mailbox {
        Some(local) => local.eq_ignore_ascii_case(name),
        None => recipient.ends_with(end),
    };
    BEHAVIOURS.iter().find(is_it).map_or("", |one| one.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(ending: &str) -> String {
        format!("+1804555{ending}")
    }

    #[test]
    fn ordinary_recipients_are_sent_to_and_reached() {
        for recipient in ["+18045551234", "+18045550042", "user@example.com", "mutetoo@x.example"] {
            assert_eq!(react(recipient, 1), Reaction::Accept(Course::GOOD), "{recipient}");
        }
    }

    #[test]
    fn throttling_and_outages_end_with_the_third_call_for_a_message() {
        for (ending, failure) in [("0429", Reaction::Throttle), ("0500", Reaction::Outage)] {
            let reactions = [1, 2, 3, 4].map(|calls| react(&phone(ending), calls));
            let good = Reaction::Accept(Course::GOOD);
            assert_eq!(reactions, [failure, failure, good, good]);
        }
    }

    #[test]
    fn refusals_and_holes_never_end() {
        let forever =
            [("0400", Reaction::Invalid), ("0610", Reaction::OptedOut), ("0503", Reaction::Vanish)];
        for (ending, reaction) in forever {
            for calls in [1, 2, 3, 100] {
                assert_eq!(react(&phone(ending), calls), reaction);
            }
        }
    }

    #[test]
    fn accepted_messages_misbehave_each_in_its_own_way() {
        use Receipt::{Delivered, Sent, Undelivered};
        let cases: [(&str, Answering, &[Receipt], Receipt); 5] = [
            ("0504", Answering::Never, &[Sent, Delivered], Delivered),
            ("0222", Answering::AfterReceipt, &[Sent, Delivered], Delivered),
            ("0777", Answering::AtOnce, &[Delivered, Sent, Delivered, Sent], Delivered),
            ("0888", Answering::AtOnce, &[], Sent),
            ("0666", Answering::AtOnce, &[Sent, Undelivered], Undelivered),
        ];
        for (ending, answer, receipts, end) in cases {
            let expected = Reaction::Accept(Course { answer, receipts, end });
            assert_eq!(react(&phone(ending), 1), expected, "{ending}");
        }
    }

    #[test]
    fn an_email_address_is_known_by_its_local_part() {
        assert_eq!(react("hole+17@example.com", 1), Reaction::Vanish);
        assert_eq!(react("throttle@example.com", 2), Reaction::Throttle);
        assert_eq!(react("0503@example.com", 1), Reaction::Accept(Course::GOOD));
        assert_eq!(react("Hole+17@Example.com", 1), Reaction::Vanish, "in any case");
    }
}
