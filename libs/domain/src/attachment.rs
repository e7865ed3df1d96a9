//! Files that go with a message.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ids::MessageId;

/// Namespace of [`Attachment::id`]: a UUIDv4 drawn once for hatch.
const NAMESPACE: Uuid = Uuid::from_u128(0x7be1_04d2_9c3f_4a86_b6a5_50f8_1d2e_93c7);

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
    /// The SHA-256 of the file, in lower-case hexadecimal digits, where the file is kept beside the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Bytes of that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

impl Attachment {
    /// Its id, as file number `place` of `message`, counted from 0. The same file of the same event has the same id,
    /// however often it is computed; another file in the same place has another.
    #[must_use]
    pub fn id(&self, message: MessageId, place: usize) -> Uuid {
        let what = self.digest.as_ref().or(self.url.as_ref());
        let name = format!("{}\n{place}\n{}", message.0, what.map_or("", String::as_str));
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_one_file_in_one_place_of_one_message() {
        let message = |n| MessageId(Uuid::from_u128(n));
        let file = |digest: &str| Attachment {
            digest: Some(digest.to_owned()),
            filename: Some("a".to_owned()),
            ..Attachment::default()
        };
        let id = file("ab").id(message(1), 0);
        assert_eq!(file("ab").id(message(1), 0), id);
        let renamed = Attachment { filename: None, ..file("ab") };
        assert_eq!(renamed.id(message(1), 0), id, "what it is called changes nothing");
        let others = [
            file("ab").id(message(2), 0),
            file("ab").id(message(1), 1),
            file("cd").id(message(1), 0),
        ];
        assert!(others.iter().all(|other| *other != id), "{others:?}");
    }
}
