//! What kind of mail it is: the signs of its headers, of who sent it and how, and of what it says, are weighed.
//!
//! A mail is taken for automatic only by a sign that no person's mail program writes, or by two that one might.

use hatch_domain::mailbox::Mailbox;
use hatch_domain::{Attachment, Bounce, MailKind};

use super::bounce::Report;
use super::signs::{Sign, Signs, Weight};
use super::subjects::{Opening, opening};

/// What is known of a mail beside its headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// The sender's address.
    pub from: &'a str,
    /// The name that is shown with it.
    pub from_name: Option<&'a str>,
    /// The recipients.
    pub to: &'a [Mailbox],
    /// The subject, decoded.
    pub subject: Option<&'a str>,
    /// Whether it was carried without a sender that a bounce could go to.
    pub without_sender: bool,
    /// The text.
    pub text: Option<&'a str>,
    /// The HTML.
    pub html: Option<&'a str>,
    /// The files, with their content.
    pub files: &'a [Attachment],
    /// The Message-ID of the mail that it answers.
    pub in_reply_to: Option<&'a String>,
    /// The Message-IDs of the thread, the oldest first.
    pub references: &'a [String],
}

/// What kind of mail it is, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kind {
    /// The kind.
    pub kind: MailKind,
    /// The names of the signs that decided.
    pub signs: Vec<String>,
    /// Of a bounce, what it says of the mail that did not arrive.
    pub bounce: Option<Bounce>,
}

/// What signs weigh that speak for a bounce.
const BOUNCE: &[Weight] = &[Weight::Bounce, Weight::MaybeBounce, Weight::NoSender, Weight::Report];

/// What signs weigh that speak for an automatic reply.
const REPLY: &[Weight] =
    &[Weight::AutoReply, Weight::Automatic, Weight::NoSender, Weight::Report, Weight::Hint];

/// The same, of a mail to many whose subject opens like an automatic reply.
const BULK_REPLY: &[Weight] = &[Weight::AutoReply, Weight::Automatic, Weight::Hint, Weight::Bulk];

/// What signs weigh that speak for a list.
const MANY: &[Weight] = &[Weight::List, Weight::Bulk];

/// The beginnings of the local parts that programs report failures by.
const DAEMONS: &[&str] = &["mailer-daemon", "mailer_daemon", "mailerdaemon", "mail-daemon"];

/// The local parts that programs, and now and then people, report failures by.
const POSTMASTERS: &[&str] = &["postmaster", "post-master", "post_master"];

/// What Exchange calls itself in a bounce, followed by hexadecimal digits.
const EXCHANGE: &str = "microsoftexchange";

/// The names that mail servers call themselves by.
const SERVERS: &[&str] = &[
    "mail delivery system",
    "mail delivery subsystem",
    "mail delivery service",
    "mailer-daemon",
    "mailer daemon",
    "internet mail delivery",
    "mail administrator",
];

/// The beginnings of the local parts that nobody reads the answers of.
const DEAF: &[&str] = &[
    "no-reply",
    "noreply",
    "no_reply",
    "no.reply",
    "donotreply",
    "do-not-reply",
    "do_not_reply",
    "dontreply",
    "ne-pas-repondre",
    "nepasrepondre",
    "keine-antwort",
    "noresponder",
    "no-responder",
    "autoreply",
    "auto-reply",
    "autoresponder",
];

/// What kind of mail it is. Whether it is our own, only the log knows.
#[must_use]
pub fn kind_of(signs: &Signs, facts: &Facts<'_>) -> Kind {
    let mut found = signs.found.clone();
    if facts.without_sender && !has(&found, Weight::NoSender) {
        found.push(Sign { name: "envelope", weight: Weight::NoSender });
    }
    found.extend(of_sender(facts));
    let opening = facts.subject.and_then(opening);
    found.extend(opening.map(|opening| Sign { name: "subject", weight: of_opening(opening) }));
    let mut report = Report::read(facts.files);
    found.extend(report.sign());
    let may_be_bounce = found.iter().any(|sign| BOUNCE.contains(&sign.weight));
    // Its words say nothing without another sign: people write about bounces, too.
    if may_be_bounce {
        report.take_text(facts, &signs.failed);
        found.extend(report.sign());
    }
    if report.says_arrived() {
        // What it reports is no failure.
        for sign in &mut found {
            if matches!(sign.weight, Weight::Bounce | Weight::MaybeBounce | Weight::Report) {
                sign.weight = Weight::AutoReply;
            }
        }
    }
    let mut weighed: Vec<Sign> = Vec::new();
    for sign in found {
        if !weighed.contains(&sign) {
            weighed.push(sign);
        }
    }
    let (kind, speaking) = weigh(&weighed, opening);
    let mut names: Vec<String> = Vec::new();
    for sign in weighed.iter().filter(|sign| speaking.contains(&sign.weight)) {
        if !names.iter().any(|name| name == sign.name) {
            names.push(sign.name.to_owned());
        }
    }
    let bounce = (kind == MailKind::Bounce)
        .then(|| report.into_bounce(facts.in_reply_to.into_iter().chain(facts.references.last())));
    Kind { kind, signs: names, bounce: bounce.flatten() }
}

/// The kind, and what the signs that speak for it weigh.
fn weigh(found: &[Sign], opening: Option<Opening>) -> (MailKind, &'static [Weight]) {
    let count =
        |weights: &[Weight]| found.iter().filter(|sign| weights.contains(&sign.weight)).count();
    let opens_as_reply = opening == Some(Opening::AutoReply);
    let of_two = count(&[Weight::MaybeBounce, Weight::NoSender, Weight::Report]) > 1;
    if has(found, Weight::Bounce) || (of_two && !opens_as_reply) {
        (MailKind::Bounce, BOUNCE)
    } else if has(found, Weight::Bulk) && opening == Some(Opening::MaybeAutoReply) {
        (MailKind::AutoReply, BULK_REPLY)
    } else if count(&[Weight::AutoReply, Weight::Report]) > 0 {
        (MailKind::AutoReply, REPLY)
    } else if count(MANY) > 0 {
        (MailKind::List, MANY)
    } else if count(&[Weight::Automatic, Weight::NoSender]) > 0 || count(&[Weight::Hint]) > 1 {
        (MailKind::AutoReply, REPLY)
    } else {
        (MailKind::Person, &[])
    }
}

fn has(found: &[Sign], weight: Weight) -> bool {
    found.iter().any(|sign| sign.weight == weight)
}

const fn of_opening(opening: Opening) -> Weight {
    match opening {
        Opening::AutoReply => Weight::AutoReply,
        Opening::MaybeAutoReply => Weight::Hint,
        Opening::Bounce => Weight::MaybeBounce,
    }
}

/// What address and name of the sender say.
fn of_sender(facts: &Facts<'_>) -> Option<Sign> {
    let local = facts.from.split('@').next().unwrap_or_default().trim().to_lowercase();
    let name = facts.from_name.unwrap_or_default().trim().to_lowercase();
    let begins = |known: &[&str]| known.iter().any(|known| local.starts_with(known));
    let hex = local.strip_prefix(EXCHANGE);
    let is_exchange =
        hex.is_some_and(|hex| hex.len() >= 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let weight = if begins(DAEMONS) {
        Weight::Bounce
    } else if POSTMASTERS.contains(&local.as_str())
        || is_exchange
        || SERVERS.iter().any(|known| name.starts_with(known))
    {
        Weight::MaybeBounce
    } else if begins(DEAF) {
        Weight::Hint
    } else {
        return None;
    };
    Some(Sign { name: "from", weight })
}

#[cfg(test)]
mod tests;
