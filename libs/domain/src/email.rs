//! What only a mail has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::address::Address;
use crate::authentication::Authentication;
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
    /// Of one that came in, what was left out of it and how many of them, because it was beyond a limit: `to`,
    /// `cc`, `references`, `parts` and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cut: BTreeMap<String, u64>,
}

impl Email {
    /// Whether it is known not to come from whom it says.
    #[must_use]
    pub fn is_disproven(&self) -> bool {
        self.authentication.as_ref().is_some_and(Authentication::is_disproven)
    }
}
