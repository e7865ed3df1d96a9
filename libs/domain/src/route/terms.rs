//! Which messages are a route's, and who carries them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Reach;
use crate::account_name::AccountName;
use crate::address::{Address, AddressKind, SenderKind};
use crate::channel::Channel;
use crate::priority::Priority;

/// Accounts that a route names at most, backups among them.
pub const ACCOUNTS_MAX: usize = 32;

/// The greatest weight.
pub const WEIGHT_MAX: u16 = 100;

/// Characters of a route's name at most.
pub const NAME_CHARACTERS_MAX: usize = 64;

/// An account that shares a route's messages, and how much of them it carries in relation to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Weighted {
    /// hatch's own name of it.
    pub account: AccountName,
    /// Its weight, 0 to 100. At 0 it carries none.
    #[schema(minimum = 0, maximum = 100)]
    pub weight: u16,
}

/// Which messages are a route's, and who carries them. A condition that is not said holds for every message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteTerms {
    /// How they travel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Whom they are to: the beginning of a number, or a domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 253, example = "+44")]
    pub to: Option<Reach>,
    /// Who sends them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// Which priority they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The accounts that share them, by weight.
    pub accounts: Vec<Weighted>,
    /// Those that carry what none of these can, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backup: Vec<AccountName>,
}

/// What is wrong with a route's terms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTerms {
    /// No account is named, or too many are.
    #[error("expected 1 to 32 accounts, those of backup among them")]
    Count,
    /// All weights are 0, or one is too great.
    #[error("expected weights of 0 to 100, one of them more than 0")]
    Weights,
    /// An account is named twice.
    #[error("expected each account once, got {0} twice")]
    Twice(AccountName),
    /// It is for numbers, and its channel carries mails, or the other way around.
    #[error("expected what the channel goes to: the beginning of a number, or for mails a domain")]
    To,
    /// As [`To`](Self::To), of its sender.
    #[error("expected a sender of the channel: a number or a name, or for mails a mailbox")]
    From,
}

impl BadTerms {
    /// The field that it is about.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Count | Self::Weights | Self::Twice(_) => "accounts",
            Self::To => "to",
            Self::From => "from",
        }
    }
}

impl RouteTerms {
    /// Refuses terms by which no message would ever be sent.
    ///
    /// # Errors
    /// [`BadTerms`].
    pub fn check(&self) -> Result<(), BadTerms> {
        let count = self.accounts.len().saturating_add(self.backup.len());
        if self.accounts.is_empty() || count > ACCOUNTS_MAX {
            return Err(BadTerms::Count);
        }
        let weights = || self.accounts.iter().map(|one| one.weight);
        if weights().any(|weight| weight > WEIGHT_MAX) || weights().all(|weight| weight == 0) {
            return Err(BadTerms::Weights);
        }
        let names: Vec<&AccountName> = self.names().collect();
        let is_known = |place: &usize| names[..*place].contains(&names[*place]);
        if let Some(place) = (0..names.len()).find(is_known) {
            return Err(BadTerms::Twice(names[place].clone()));
        }
        let Some(channel) = self.channel else { return Ok(()) };
        let is_mail = channel == Channel::Email;
        if self.to.as_ref().is_some_and(|to| matches!(to, Reach::Domain(_)) != is_mail) {
            return Err(BadTerms::To);
        }
        let can_send = |from: &Address| match channel {
            Channel::Sms | Channel::Mms => SenderKind::of(from).is_some(),
            Channel::Email => from.kind() == AddressKind::Email,
            Channel::Chat => from.kind() != AddressKind::Email,
        };
        if self.from.as_ref().is_some_and(|from| !can_send(from)) {
            return Err(BadTerms::From);
        }
        Ok(())
    }

    /// Every account that it names, backups after the others.
    pub fn names(&self) -> impl Iterator<Item = &AccountName> {
        self.accounts.iter().map(|one| &one.account).chain(&self.backup)
    }
}

/// Whether a route can be called so: 1 to 64 characters, none of them a control character, and no space at either end.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let count = text.chars().take(NAME_CHARACTERS_MAX + 1).count();
    (1..=NAME_CHARACTERS_MAX).contains(&count)
        && !text.contains(char::is_control)
        && text.trim() == text
}
