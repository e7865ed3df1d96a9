//! What a provider posts, for the document of the API.

use serde_json::Value;

/// What a provider posts to one of its paths, as far as hatch reads it.
#[derive(Debug, Clone)]
pub struct Posted {
    /// How the path ends, after the account: as that of its hook.
    pub suffix: Option<&'static str>,
    /// What the document calls it: at the short path, which matters where the path has an end of its own, and at the
    /// path of an account.
    pub operations: [&'static str; 2],
    /// The kind of the body.
    pub media_type: &'static str,
    /// The schema's name in the document.
    pub name: &'static str,
    /// The schema.
    pub schema: Value,
    /// Whether the body is a list of these.
    pub is_list: bool,
    /// A body.
    pub example: Value,
}

/// A text of the provider's, for a schema.
pub(crate) fn text(about: &str) -> Value {
    serde_json::json!({"type": "string", "description": about})
}
