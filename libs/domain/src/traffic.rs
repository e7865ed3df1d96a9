//! Which messages an account takes: those that are meant, those that only try hatch out, or both.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which messages an account takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    /// Those that are meant for people.
    #[default]
    Live,
    /// Those that only try hatch out.
    Test,
    /// Both.
    All,
}

impl Traffic {
    /// Whether a message that is a test, or is not, may go by such an account.
    #[must_use]
    pub const fn admits(self, is_test: bool) -> bool {
        match self {
            Self::Live => !is_test,
            Self::Test => is_test,
            Self::All => true,
        }
    }

    /// What is called so.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        [Self::Live, Self::Test, Self::All].into_iter().find(|one| one.as_str() == text)
    }

    /// Its name in settings and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
            Self::All => "all",
        }
    }

    /// Whether a test may go by such an account. Then nothing that it takes may reach a person.
    #[must_use]
    pub const fn is_simulated(self) -> bool {
        self.admits(true)
    }
}
