//! The words of a bounce, as servers write them that have no part for programs.

use std::collections::HashSet;

use hatch_domain::BouncedRecipient;
use hatch_domain::address::Address;
use hatch_domain::mailbox::Mailbox;

use super::{REPORTED_MAX, Recipients, code_in, detail, mail_id, status_in};

/// Bytes of a text in which the words of a bounce are looked for.
const WORDS_BYTES_MAX: usize = 8 * 1024;

/// Bytes of what is said of a recipient that are gathered.
const SAID_BYTES_MAX: usize = 1024;

/// Addresses that a text may name in the middle of its sentences and still mean those whom the mail did not reach.
const MENTIONED_MAX: usize = 3;

/// Words that only bounces have, in lower case.
const WORDS: &[&str] = &[
    "this is the qmail-send program",
    "wasn't able to deliver your message",
    "was not able to deliver your message",
    "unable to deliver your message",
    "could not be delivered",
    "couldn't be delivered",
    "could not deliver",
    "cannot be delivered",
    "wasn't delivered to",
    "was not delivered to",
    "has not been delivered",
    "delivery to the following recipient",
    "delivery has failed to these recipients",
    "delivery of the following message failed",
    "following address(es) failed",
    "following addresses had permanent",
    "following addresses had transient",
    "following recipient(s) could not be reached",
    "message delivery failed",
    "mail delivery failed",
    "undeliverable message",
    "permanent fatal errors",
    "permanent failure",
    "delivery status notification",
    "delivery attempts failed",
    "action: failed",
    "konnte nicht zugestellt werden",
    "konnte nicht an die folgenden empfänger",
    "n'a pas pu être remis",
    "n'a pas pu être délivré",
    "no se pudo entregar",
    "no se ha podido entregar",
    "non è stato possibile recapitare",
    "não pôde ser entregue",
    "kon niet worden bezorgd",
    "kunde inte levereras",
    "nie mogła zostać dostarczona",
    "не может быть доставлено",
    "не удалось доставить",
    "您的邮件被退回",
    "退信原因",
    "无法发送到",
    "无法投递",
    "邮件发送失败",
    "配信できません",
    "届けることができません",
    "전송하지 못했습니다",
    "배달하지 못했습니다",
];

/// Words by which a server says that it goes on trying, in lower case.
const GOES_ON: &[&str] = &[
    "warning message only",
    "has been delayed",
    "delivery delayed",
    "delivery incomplete",
    "will be retried",
    "will continue to try",
    "will keep trying",
    "will try again",
    "not yet been delivered",
    "no action is required on your part",
];

/// Words of a subject by which a server says that it goes on trying, in lower case.
const DELAYS: &[&str] =
    &["(delay)", "delayed", "verzögert", "retardé", "retrasad", "ritardat", "vertraagd", "延迟"];

/// The beginnings of lines after which the mail itself follows that did not arrive, in lower case.
const COPIES: &[&str] = &[
    "--- below this line is a copy",
    "--- the header of the original",
    "------ this is a copy of",
    "----- original message",
    "-----original message",
    "----- message headers",
    "--- original message",
    "--- begin message",
    "----- message header follows",
    "original message headers:",
    "original message follows",
    "original headers:",
    "message headers follow",
    "return-path:",
    "received:",
    "x-received:",
    "dkim-signature:",
];

/// What stands before the address on some servers' lines, in lower case.
const LABELS: &[&str] =
    &["to:", "recipient:", "recipient address:", "收件人:", "收件人：", "收信人:", "收信人："];

/// What the words of a mail say.
#[derive(Default)]
pub(super) struct Said {
    /// Whether they are those of a bounce.
    pub(super) has_words: bool,
    /// Whether the server goes on trying.
    pub(super) goes_on: bool,
    pub(super) recipients: Vec<BouncedRecipient>,
    pub(super) mail_id: Option<String>,
}

/// Whether the text itself holds what is for programs.
pub(super) fn is_for_programs(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start);
    lines.any(|line| begins(line, "final-recipient:") || begins(line, "original-recipient:"))
}

/// Reads the words of a mail that was brought `to` somebody: to the sender of the mail that did not arrive.
pub(super) fn read(subject: &str, text: &str, to: &[Mailbox]) -> Said {
    let beginning = &text[..text.floor_char_boundary(WORDS_BYTES_MAX)];
    let lower = beginning.to_lowercase().replace('\u{2019}', "'");
    // Sentences go on over the ends of lines.
    let lower = lower.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = |words: &[&str]| words.iter().any(|words| lower.contains(words));
    let goes_on = says(GOES_ON) || is_delay(subject);
    let copy = text.lines().position(is_copy);
    let own = || text.lines().take(copy.unwrap_or(usize::MAX));
    let mut recipients = Recipients::default();
    let mut block: Option<Block> = None;
    let ours: HashSet<Address> = to.iter().map(|to| to.address.identity().into_owned()).collect();
    let is_ours = |address: &Address| ours.contains(address.identity().as_ref());
    for line in own() {
        if let Some((address, rest)) = address_line(line).filter(|(one, _)| !is_ours(one)) {
            if let Some(block) = block.replace(Block::new(address)) {
                recipients.add(block.recipient());
            }
            if let Some(block) = &mut block {
                block.take(rest);
            }
        } else if let Some(block) = &mut block {
            block.take(line);
        }
    }
    if let Some(block) = block {
        recipients.add(block.recipient());
    }
    if recipients.list.is_empty() {
        mentioned(own(), is_ours).into_iter().for_each(|recipient| recipients.add(recipient));
    }
    let has_code =
        |one: &BouncedRecipient, of: &str| one.status.as_ref().is_some_and(|s| s.starts_with(of));
    let goes_on = goes_on && !recipients.list.iter().any(|one| has_code(one, "5"));
    for recipient in &mut recipients.list {
        recipient.delayed = goes_on;
    }
    Said {
        has_words: says(WORDS) || goes_on,
        goes_on,
        recipients: recipients.list,
        mail_id: named(text),
    }
}

/// Whether a subject says that the server goes on trying.
fn is_delay(subject: &str) -> bool {
    let subject = subject.to_lowercase();
    DELAYS.iter().any(|word| subject.contains(word))
}

/// What is said of one recipient.
struct Block {
    address: Address,
    said: String,
    /// An empty line came: what follows is of all, and only its codes count.
    is_over: bool,
    status: Option<String>,
}

impl Block {
    const fn new(address: Address) -> Self {
        Self { address, said: String::new(), is_over: false, status: None }
    }

    fn take(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            self.is_over |= !self.said.is_empty();
            return;
        }
        let lacks_code = self.status.is_none() && code_in(&self.said).is_none();
        let has_code = status_in(line).is_some() || code_in(line).is_some();
        if self.is_over && !(lacks_code && has_code) {
            return;
        }
        if self.is_over {
            self.said.clear();
        }
        if self.said.len() + line.len() <= SAID_BYTES_MAX {
            self.said.push(' ');
            self.said.push_str(line);
        }
        self.status = self.status.take().or_else(|| status_in(line));
    }

    fn recipient(self) -> BouncedRecipient {
        let detail = detail(&self.said);
        BouncedRecipient { address: self.address, status: self.status, detail, delayed: false }
    }
}

/// The address that a line begins with and what follows it, if it is a line of that kind: an address alone or before a
/// colon, with or without angle brackets.
fn address_line(line: &str) -> Option<(Address, &str)> {
    let line = line.trim().trim_start_matches(['*', '\u{2022}']).trim_start();
    let label = LABELS.iter().find(|label| begins(line, label));
    let line = label.map_or(line, |label| line.get(label.len()..).unwrap_or_default()).trim_start();
    if let Some(inner) = line.strip_prefix('<') {
        let (text, rest) = inner.split_once('>')?;
        return Some((address(text)?, rest.trim_start_matches(':').trim_start()));
    }
    let end = line.find(|c: char| c.is_whitespace() || matches!(c, ':' | '<' | ',' | ';'));
    let (text, rest) = line.split_at(end.unwrap_or(line.len()));
    // Exchange writes `user@example.com<mailto:user@example.com>`.
    let rest = match rest.strip_prefix("<mailto:").and_then(|rest| rest.split_once('>')) {
        Some((_, rest)) => rest,
        None => rest,
    };
    let rest = rest.trim_start();
    let is_end = rest.is_empty() || rest.starts_with([':', '(', '<']) || label.is_some();
    is_end.then_some(())?;
    Some((address(text)?, rest.trim_start_matches(':').trim_start()))
}

/// The addresses that are named in the middle of sentences, with the first code of the text.
fn mentioned<'t>(
    lines: impl Iterator<Item = &'t str> + Clone,
    is_ours: impl Fn(&Address) -> bool,
) -> Vec<BouncedRecipient> {
    let is_end = |c: char| c.is_whitespace() || "<>()[]\"'`,;:“”‘’「」（）".contains(c);
    let words = lines.clone().flat_map(|line| line.split(is_end)).filter(|word| word.contains('@'));
    let mut found: Vec<Address> = Vec::new();
    for word in words.take(REPORTED_MAX) {
        let Some(address) = address(word.trim_matches(['.', '*', '!', '?'])) else { continue };
        let is_known = found.iter().any(|known| known.identity() == address.identity());
        if !is_known && !is_ours(&address) {
            found.push(address);
        }
    }
    if found.len() > MENTIONED_MAX {
        return Vec::new();
    }
    let code = lines.clone().find(|line| status_in(line).is_some());
    let code = code.or_else(|| lines.clone().find(|line| code_in(line).is_some()));
    let (status, said) = (code.and_then(status_in), code.and_then(detail));
    let recipient = |address| BouncedRecipient {
        address,
        status: status.clone(),
        detail: said.clone(),
        delayed: false,
    };
    found.into_iter().map(recipient).collect()
}

/// An address that may be a recipient: not that of the server itself.
fn address(text: &str) -> Option<Address> {
    let address = Address::email(text.trim()).ok()?;
    let local = address.as_str().split('@').next().unwrap_or_default().to_ascii_lowercase();
    (!matches!(local.as_str(), "mailer-daemon" | "postmaster")).then_some(address)
}

/// The Message-ID of the mail that did not arrive, where the text has a copy of its headers.
fn named(text: &str) -> Option<String> {
    let mut lines = text.lines().map(|line| line.trim_start_matches(['>', '|', ' ', '\t']));
    let found = lines.by_ref().find(|line| begins(line, "message-id:"))?;
    let next = lines.next().unwrap_or_default();
    // A long one stands on a line of its own.
    let is_cut = found.trim_end().ends_with(':');
    mail_id(&if is_cut { format!("{found} {next}") } else { found.to_owned() })
}

/// Whether the mail that did not arrive follows.
fn is_copy(line: &str) -> bool {
    let line = line.trim_start();
    COPIES.iter().any(|copy| begins(line, copy))
}

/// Whether a line begins so, in upper or lower case.
fn begins(line: &str, beginning: &str) -> bool {
    let start = line.get(..beginning.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(beginning))
}
