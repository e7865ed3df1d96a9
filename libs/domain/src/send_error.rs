//! Why a message was not sent or not delivered.

use serde::{Deserialize, Serialize};

/// Why a message was not sent or not delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendError {
    /// The provider's own code, or one of ours such as `connect`.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
    /// Whether trying again cannot help.
    pub permanent: bool,
}
