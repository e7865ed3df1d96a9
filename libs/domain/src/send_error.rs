//! Why a message was not sent or not delivered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a message was not sent or not delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = EventError)]
pub struct SendError {
    /// The provider's own code, or one of ours such as `connect`.
    pub code: String,
    /// What kind of reason it is, whichever provider gives it. Events from before there were classes have
    /// none, which reads as `other`.
    #[serde(default, skip_serializing_if = "ErrorClass::is_other")]
    pub class: ErrorClass,
    /// A sentence for people.
    pub detail: String,
    /// Whether trying again cannot help.
    pub permanent: bool,
}

/// What kind of reason keeps a message from its recipient. Each adapter maps its provider's codes to these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The recipient does not want it, or the provider holds that it does not.
    OptedOut,
    /// There is no such recipient, or it cannot take messages of this channel.
    InvalidRecipient,
    /// What the message says or carries is not taken.
    Content,
    /// The account, its credentials or its sender have to be mended first.
    Account,
    /// It was too much at once.
    Rate,
    /// The provider, a carrier or the recipient could not be reached.
    Unreachable,
    /// It could not be sent for as long as it was valid.
    Expired,
    /// None of these, or nobody knows. So reads what a later build may write.
    #[default]
    #[serde(other)]
    Other,
}

impl ErrorClass {
    /// Every class.
    pub const ALL: [Self; 8] = [
        Self::OptedOut,
        Self::InvalidRecipient,
        Self::Content,
        Self::Account,
        Self::Rate,
        Self::Unreachable,
        Self::Expired,
        Self::Other,
    ];

    /// The class's name in the API and in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OptedOut => "opted_out",
            Self::InvalidRecipient => "invalid_recipient",
            Self::Content => "content",
            Self::Account => "account",
            Self::Rate => "rate",
            Self::Unreachable => "unreachable",
            Self::Expired => "expired",
            Self::Other => "other",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    const fn is_other(&self) -> bool {
        matches!(self, Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_is_written_by_its_name_and_an_absent_one_is_other() {
        for class in ErrorClass::ALL {
            assert_eq!(serde_json::to_value(class).expect("a text"), class.as_str());
        }
        let old = json!({"code": "21211", "detail": "invalid To", "permanent": true});
        let read: SendError = serde_json::from_value(old.clone()).expect("an old one");
        assert_eq!(read.class, ErrorClass::Other);
        assert_eq!(serde_json::to_value(&read).expect("an object"), old, "as it was written");
        let error = SendError { class: ErrorClass::InvalidRecipient, ..read };
        let written = serde_json::to_value(&error).expect("an object");
        assert_eq!(written["class"], "invalid_recipient");
        assert_eq!(serde_json::from_value::<SendError>(written).expect("readable"), error);
    }

    #[test]
    fn a_class_of_a_later_build_reads_as_other() {
        let later = json!({"code": "1", "class": "haunted", "detail": "", "permanent": true});
        let read: SendError = serde_json::from_value(later).expect("readable");
        assert_eq!(read.class, ErrorClass::Other);
    }
}
