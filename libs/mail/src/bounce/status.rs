//! The part of a bounce that is for programs (RFC 3464, section 2): groups of fields, of the mail and then of each
//! recipient.

use hatch_domain::BouncedRecipient;
use hatch_domain::address::Address;

use super::{REPORTED_MAX, detail, status_in};

/// What became of the mail for a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Failed,
    Delayed,
    /// It was delivered, or handed on.
    Arrived,
}

/// What is said of a recipient.
pub(super) struct Group {
    pub(super) recipient: BouncedRecipient,
    pub(super) action: Action,
}

/// What a part says of each recipient, as far as there is room.
pub(super) fn groups(content: &str) -> Vec<Group> {
    let (mut groups, mut one, mut field) = (Vec::new(), Fields::default(), String::new());
    for line in content.lines() {
        if line.starts_with([' ', '\t']) && !field.is_empty() && !line.trim().is_empty() {
            field.push(' ');
            field.push_str(line.trim());
            continue;
        }
        groups.extend(one.take(&field));
        field.clear();
        if line.trim().is_empty() {
            groups.extend(std::mem::take(&mut one).group());
        } else {
            field.push_str(line);
        }
        if groups.len() >= REPORTED_MAX {
            return groups;
        }
    }
    groups.extend(one.take(&field));
    groups.extend(one.group());
    groups
}

/// The fields of a group.
#[derive(Default)]
struct Fields {
    /// As the sender of the mail wrote it.
    original: Option<Address>,
    /// As the server that reports knows it, which may be where the other forwards to.
    last: Option<Address>,
    action: String,
    status: Option<String>,
    said: Option<String>,
}

impl Fields {
    /// Takes a field. Where no empty line is between two groups, the address of the second ends the first.
    fn take(&mut self, field: &str) -> Option<Group> {
        let (name, value) = field.split_once(':')?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        let mut before = None;
        match name.as_str() {
            "original-recipient" => {
                if self.last.is_some() {
                    before = std::mem::take(self).group();
                }
                self.original = address(value);
            }
            "final-recipient" => {
                if self.last.is_some() {
                    before = std::mem::take(self).group();
                }
                self.last = address(value);
            }
            "action" => self.action = value.to_ascii_lowercase(),
            "status" => self.status = status_in(value),
            "diagnostic-code" => {
                // `smtp; 550 5.1.1 …`: what kind of server it was does not matter.
                let said = value.split_once(';').map_or(value, |(_, said)| said);
                self.said = detail(said);
            }
            _ => {}
        }
        before
    }

    fn group(self) -> Option<Group> {
        let address = self.original.or(self.last)?;
        let status = self.status.filter(|status| !matches!(status.as_str(), "5.0.0" | "4.0.0"));
        let said = self.said.as_deref().and_then(status_in);
        let status = status.or(said);
        let action = match self.action.split_whitespace().next().unwrap_or_default() {
            "delayed" => Action::Delayed,
            "delivered" | "relayed" | "expanded" => Action::Arrived,
            "failed" => Action::Failed,
            _ if status.as_ref().is_some_and(|status| status.starts_with('2')) => Action::Arrived,
            _ => Action::Failed,
        };
        let recipient = BouncedRecipient { address, status, detail: self.said, delayed: false };
        Some(Group { recipient, action })
    }
}

/// `rfc822; user@example.com`, with or without the kind of address and angle brackets.
fn address(value: &str) -> Option<Address> {
    let text = value.split_once(';').map_or(value, |(_, text)| text);
    Address::email(text.trim().trim_start_matches('<').trim_end_matches('>').trim()).ok()
}
