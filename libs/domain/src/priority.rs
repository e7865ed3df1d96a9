//! Which of two waiting messages goes first.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which of two waiting messages goes first. Each priority has its own queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Login codes and the like.
    High,
    /// Everything that was not said to be otherwise.
    #[default]
    Normal,
    /// Campaigns.
    Low,
}

impl Priority {
    /// Every priority, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// The priority's name in the API, in subjects and in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}
