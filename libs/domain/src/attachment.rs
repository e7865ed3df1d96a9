//! Files that go with a message.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A file that goes with a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = EventAttachment)]
pub struct Attachment {
    /// Where the file is, unless `content` is the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its media type, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// The file itself, in base64 (RFC 4648, section 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Its Content-ID, without angle brackets, by which the HTML of its mail shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
    /// Whether it belongs into the text, as a picture does, rather than beside it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inline: bool,
    /// Why the file itself is missing, where the provider named it and did not bring it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}
