//! How a message is to be sent, as far as whoever asked for it said more than most do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::account_name::AccountName;

/// How a message is to be sent, as far as whoever asked for it said more than most do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct SendOptions {
    /// The only account that may carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
    /// What becomes of an attempt in doubt; none where its account's policy decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_doubt: Option<OnDoubt>,
    /// From which pool its sender was taken, and why that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolChoice>,
}

impl SendOptions {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a message has its sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolChoice {
    /// The pool.
    pub name: String,
    /// Why this one of its senders, such as `sticky`.
    pub reason: String,
}

/// What becomes of an attempt in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// The provider is asked what became of it.
    LookUp,
    /// Only a receipt settles it, or a person.
    Wait,
    /// It is sent again, at the risk of a second copy.
    Resend,
    /// It fails, at the risk that it was sent.
    Fail,
}

impl OnDoubt {
    /// Every policy.
    pub const ALL: [Self; 4] = [Self::LookUp, Self::Wait, Self::Resend, Self::Fail];

    /// Its name in the API and in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LookUp => "look_up",
            Self::Wait => "wait",
            Self::Resend => "resend",
            Self::Fail => "fail",
        }
    }

    /// The policy of that name.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text)
    }

    /// The policy that holds for a doubt: what its message has `asked` for, or else what is `set` for its account. Where
    /// the provider cannot be asked, `look_up` means `wait`.
    #[must_use]
    pub fn of(asked: Option<Self>, set: Option<Self>, can_look_up: bool) -> Self {
        match asked.or(set) {
            Some(Self::LookUp) | None if can_look_up => Self::LookUp,
            Some(Self::LookUp) | None => Self::Wait,
            Some(policy) => policy,
        }
    }
}

/// By which account an attempt is made, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountChoice {
    /// hatch's own name of the account.
    pub name: AccountName,
    /// The route that chose it; none where no route fits the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Why it was chosen, for people.
    pub reason: String,
}

impl AccountChoice {
    /// The same, which says of a message whose sender a pool has chosen why it is that one, too.
    #[must_use]
    pub fn with_sender(mut self, sender: Option<&PoolChoice>) -> Self {
        if let Some(PoolChoice { name, reason }) = sender {
            self.reason = format!("{}; its sender by the pool {name}: {reason}", self.reason);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::OnDoubt as P;
    use super::{AccountChoice, PoolChoice};

    #[test]
    fn a_claim_says_why_its_account_and_why_its_sender() {
        let name = "main".parse().expect("a name");
        let choice = AccountChoice { name, route: None, reason: "the only one".to_owned() };
        assert_eq!(choice.clone().with_sender(None), choice);
        let sender = PoolChoice { name: "support".to_owned(), reason: "country".to_owned() };
        let said = choice.with_sender(Some(&sender)).reason;
        assert_eq!(said, "the only one; its sender by the pool support: country");
    }

    #[test]
    fn a_message_decides_before_its_account_and_nobody_is_asked_who_cannot_be() {
        for (asked, set, can_look_up, policy) in [
            (None, None, true, P::LookUp),
            (None, None, false, P::Wait),
            (None, Some(P::Fail), true, P::Fail),
            (None, Some(P::LookUp), false, P::Wait),
            (Some(P::Resend), Some(P::Fail), true, P::Resend),
            (Some(P::LookUp), Some(P::Resend), true, P::LookUp),
            (Some(P::LookUp), Some(P::Resend), false, P::Wait),
            (Some(P::Wait), None, true, P::Wait),
            (Some(P::Fail), None, false, P::Fail),
        ] {
            assert_eq!(P::of(asked, set, can_look_up), policy, "{asked:?} {set:?} {can_look_up}");
        }
        assert!(P::ALL.into_iter().all(|policy| P::named(policy.as_str()) == Some(policy)));
    }
}
