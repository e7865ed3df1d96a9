//! What only a mail has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::address::Address;
use crate::authentication::Authentication;
use crate::ids::ConversationId;
use crate::mailbox::Person;

/// What only a mail has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = EventEmail)]
pub struct Email {
    /// The subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The text as HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// Who gets a copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<Address>,
    /// Who gets a copy unseen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<Address>,
    /// Where answers are to go, if not to the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Address>,
    /// Those of all of these, sender and recipients among them, who are shown by a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<Person>,
    /// Further headers, as the client wrote them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Its Message-ID (RFC 5322, section 3.6.4), without angle brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail_id: Option<String>,
    /// The Message-ID of the mail that it answers, without angle brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// The Message-IDs of the thread so far, oldest first, without angle brackets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Of one that came in, whether it comes from whom it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// Of one that came in, between whom it was carried, whatever it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
    /// Of one that came in, what kind of mail it is.
    #[serde(default, skip_serializing_if = "MailKind::is_person")]
    pub kind: MailKind,
    /// What decided on its kind, such as `auto-submitted` or `list-id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signs: Vec<String>,
    /// Of one that reports that another did not arrive, what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounce: Option<Bounce>,
    /// Of one that came in, whether it carries the Message-ID of another mail and says something else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated_id: bool,
    /// Of one that came in, those of its recipients that are our own mailboxes, as far as that is known; and its sender,
    /// where that is one. What is answered is answered from the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ours: Vec<Address>,
    /// Of one that reached several of our mailboxes, those whom the conversation that it began in is among: without the
    /// others of us. Empty where that is its sender and all recipients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub among: Vec<Address>,
    /// Of one that came in, the conversation of a mail that it refers to, where it did not join that: its sender has no
    /// part in it, or it is about something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked_to: Option<ConversationId>,
    /// Of one that came in, what was left out of it and how many of them, because it was beyond a limit: `to`,
    /// `cc`, `references`, `parts` and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cut: BTreeMap<String, u64>,
    /// Of one that came in, the SHA-256 of the body of the request that brought it, in lower-case hexadecimal digits,
    /// where that is kept: the mail can be read again from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

/// Between whom a mail was carried, as the provider says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = MailEnvelope)]
pub struct Envelope {
    /// The sender as it was written; none for a bounce.
    #[serde(default)]
    pub from: Option<String>,
    /// The recipients as they were written.
    #[serde(default)]
    pub to: Vec<String>,
}

/// What kind of mail it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// A person wrote it.
    #[default]
    Person,
    /// A program answered by itself, such as a notice of absence.
    AutoReply,
    /// It reports that another mail did not arrive.
    Bounce,
    /// It was sent to a list.
    List,
    /// We sent it, and it came back. There is no message of it: it is dropped with a row of the webhook log.
    Own,
}

impl MailKind {
    /// The kind's name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::AutoReply => "auto_reply",
            Self::Bounce => "bounce",
            Self::List => "list",
            Self::Own => "own",
        }
    }

    /// Whether a person wrote it.
    #[must_use]
    pub const fn is_person(&self) -> bool {
        matches!(self, Self::Person)
    }
}

/// What a bounce says of the mail that did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = MailBounce)]
pub struct Bounce {
    /// The Message-ID of that mail, without angle brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail_id: Option<String>,
    /// Whom it did not reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<BouncedRecipient>,
}

/// A recipient whom a mail did not reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BouncedRecipient {
    /// The recipient.
    pub address: Address,
    /// The status of RFC 3463, such as `5.1.1`, where the bounce has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What the server said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether the mail is still tried.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delayed: bool,
}

impl Email {
    /// Whether it is known to come from whom it says.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.authentication.as_ref().is_some_and(Authentication::is_proven)
    }

    /// Whether it is known not to come from whom it says.
    #[must_use]
    pub fn is_disproven(&self) -> bool {
        self.authentication.as_ref().is_some_and(Authentication::is_disproven)
    }

    /// The mailboxes of ours that belong to the conversation of a mail to `to` beside these: those that got a copy, where
    /// none of ours is among the recipients.
    #[must_use]
    pub fn copied_to_us(&self, to: &[Address]) -> &[Address] {
        if to.iter().any(|one| self.is_ours(one)) { &[] } else { &self.ours }
    }

    /// Whether the conversation that the mail began in is that of `mailbox`, one of ours. It is the first of ours, unless
    /// the mail says whom that conversation is among.
    #[must_use]
    pub fn began_with(&self, mailbox: &Address) -> bool {
        let is_it = |one: &Address| one.identity() == mailbox.identity();
        match self.among.as_slice() {
            [] => self.ours.first().is_some_and(is_it),
            among => among.iter().any(is_it),
        }
    }

    /// Whether `address` is known to be one of our own mailboxes.
    #[must_use]
    pub fn is_ours(&self, address: &Address) -> bool {
        self.ours.iter().any(|ours| ours.identity() == address.identity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_to_us_belongs_to_the_conversation_where_no_recipient_is_ours() {
        let address = |text| Address::email(text).expect("a mailbox");
        let (support, boss) = (address("support@example.com"), address("boss@partner.example"));
        let email = Email { ours: vec![support.clone()], ..Email::default() };
        assert_eq!(email.copied_to_us(std::slice::from_ref(&boss)), std::slice::from_ref(&support));
        assert_eq!(email.copied_to_us(&[boss.clone(), address("Support@Example.com")]), []);
        assert!(email.is_ours(&support) && !email.is_ours(&boss));
        assert_eq!(Email::default().copied_to_us(&[boss]), []);
    }

    #[test]
    fn a_mail_began_with_the_first_of_us_unless_it_says_with_whom() {
        let address = |text| Address::email(text).expect("a mailbox");
        let (support, sales) = (address("support@example.com"), address("sales@example.com"));
        let ours = vec![support.clone(), sales.clone()];
        let mut email = Email { ours, ..Email::default() };
        assert!(email.began_with(&address("Support@Example.com")) && !email.began_with(&sales));
        email.among = vec![address("ann@example.com"), sales.clone()];
        assert!(email.began_with(&sales) && !email.began_with(&support));
        assert!(!Email::default().began_with(&sales));
    }
}
