//! Where the projection's tables are: those that are read, and copies of them.

use std::borrow::Cow;

/// The schema of the tables that the views read and the projector writes. Statements name it.
const LIVE: &str = "rm_messages_v1";

/// One of the schemas that hold the tables of the projection `messages`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    /// What the views show. Migrations change these.
    Live,
    /// What a rebuild fills, to become the live tables.
    Building,
    /// What were the live tables until a rebuild took over.
    Replaced,
    /// What the live tables are compared with.
    Scratch,
}

impl Tables {
    /// Those that only a rebuild or a verification makes, and leaves behind when it is killed.
    pub(crate) const PASSING: [Self; 3] = [Self::Building, Self::Replaced, Self::Scratch];

    /// The schema's name.
    pub(crate) const fn schema(self) -> &'static str {
        match self {
            Self::Live => LIVE,
            Self::Building => "rm_messages_building",
            Self::Replaced => "rm_messages_replaced",
            Self::Scratch => "rm_messages_scratch",
        }
    }

    /// `statement`, which names the live tables, for these.
    pub(crate) fn sql(self, statement: &'static str) -> Cow<'static, str> {
        match self {
            Self::Live => Cow::Borrowed(statement),
            other => Cow::Owned(statement.replace(LIVE, other.schema())),
        }
    }
}
