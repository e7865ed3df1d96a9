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
    /// Campaigns. It was called `low` once, which is read as well.
    #[serde(alias = "low")]
    Bulk,
}

impl Priority {
    /// Every priority, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Bulk];

    /// What [`Bulk`](Self::Bulk) was called once: in events, in rows and in subjects that are older, and by clients.
    pub const BULK_ONCE: &'static str = "low";

    /// The priority's name in the API, in subjects and in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }

    /// The priority of that name, or of the one that it had once.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|priority| priority.as_str() == name);
        found.or_else(|| (name == Self::BULK_ONCE).then_some(Self::Bulk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_low_once_is_bulk() {
        for (text, expected) in [
            ("high", Some(Priority::High)),
            ("normal", Some(Priority::Normal)),
            ("bulk", Some(Priority::Bulk)),
            ("low", Some(Priority::Bulk)),
            ("Low", None),
            ("", None),
        ] {
            assert_eq!(Priority::named(text), expected, "{text}");
            let read = serde_json::from_value::<Priority>(text.into()).ok();
            assert_eq!(read, expected, "{text} as JSON");
        }
        assert_eq!(serde_json::to_value(Priority::Bulk).expect("JSON"), "bulk");
    }
}
