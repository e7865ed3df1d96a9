//! Whether something may be sent, and why not.

use std::fmt;

use super::identity::Identity;

/// Why the fence is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The server is not the one that the epoch was begun on.
    Fenced {
        /// The log's epoch.
        epoch: i32,
        /// The server of that epoch.
        recorded: Box<Identity>,
        /// The server as it is.
        found: Box<Identity>,
    },
    /// Somebody remembers an event that the log lacks.
    Regressed {
        /// The log's epoch.
        epoch: i32,
        /// Who, and which.
        detail: String,
    },
}

impl Closed {
    /// The reason in one word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "FENCED",
            Self::Regressed { .. } => "LOG_REGRESSED",
        }
    }

    /// The log's epoch.
    #[must_use]
    pub const fn epoch(&self) -> i32 {
        match self {
            Self::Fenced { epoch, .. } | Self::Regressed { epoch, .. } => *epoch,
        }
    }

    /// What was found, as a sentence without its end.
    #[must_use]
    pub fn finding(&self) -> String {
        match self {
            Self::Fenced { epoch, recorded, found } => {
                let changes: Vec<String> = recorded
                    .differences(found)
                    .into_iter()
                    .map(|(name, was, is)| format!("{name} was {was} and is {is}"))
                    .collect();
                format!("this is not the server of the log's epoch {epoch}: {}", changes.join(", "))
            }
            Self::Regressed { epoch, detail } => {
                format!("the log lost events of its epoch {epoch}: {detail}")
            }
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}. The database was restored, cloned or failed over. Nothing is sent: make sure that \
             it is the one to go on with and that no other hatch sends from the other one, then run \
             `hatch fence lift`",
            self.code(),
            self.finding()
        )
    }
}

/// Whether something may be sent by this log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FenceState {
    /// PostgreSQL was not asked yet, or is away: nothing is sent.
    Unknown,
    /// Yes.
    Open {
        /// The log's epoch.
        epoch: i32,
        /// The bus generation that carries this log and no other; none while that is not certain.
        generation: Option<i32>,
        /// The newest generation, while it is one in which something foreign was found, and what.
        foreign: Option<(i32, String)>,
    },
    /// No, until [`lift_fence`](super::lift_fence).
    Closed(Closed),
}
