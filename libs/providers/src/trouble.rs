//! What can be wrong with an account. It is nobody's fault among the messages: they wait until it is mended.

/// What is wrong with an account, by what its provider says. `docs/operations.md` lists the providers' codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// The provider does not know the credentials, or they were revoked.
    Credentials,
    /// The account is suspended, closed or under review.
    Suspended,
    /// The account has no credit left.
    Credit,
    /// The credentials are good, and may not send.
    Permission,
    /// The provider has no such account, or its API is elsewhere.
    NotFound,
}

impl Trouble {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Credentials, Self::Suspended, Self::Credit, Self::Permission, Self::NotFound];

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Suspended => "suspended",
            Self::Credit => "credit",
            Self::Permission => "permission",
            Self::NotFound => "not_found",
        }
    }

    /// Its name in the events of messages that wait.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Credentials => "account_credentials",
            Self::Suspended => "account_suspended",
            Self::Credit => "account_credit",
            Self::Permission => "account_permission",
            Self::NotFound => "account_not_found",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Credentials => {
                "make the credentials good again at the provider, or set the right ones and have hatch read \
                 them again (SIGHUP)"
            }
            Self::Suspended => "settle it with the provider",
            Self::Credit => "pay at the provider",
            Self::Permission => "give the credentials the permission to send at the provider",
            Self::NotFound => "check the account's name and base_url",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_the_name_behind_the_word_account() {
        for trouble in Trouble::ALL {
            assert_eq!(trouble.reason(), format!("account_{}", trouble.as_str()));
        }
    }
}
