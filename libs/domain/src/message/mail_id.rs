//! The Message-IDs that we give our mails: they say which message and conversation an answer is for.

use uuid::Uuid;

use crate::ids::{ConversationId, MessageId};

/// The Message-ID of one of our mails (RFC 5322, section 3.6.4): `message.conversation@host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailId {
    /// The message.
    pub message_id: MessageId,
    /// Its conversation, which an answer joins.
    pub conversation_id: ConversationId,
}

impl MailId {
    /// The Message-ID without angle brackets.
    #[must_use]
    pub fn to_text(self, host: &str) -> String {
        format!("{}.{}@{host}", self.message_id, self.conversation_id)
    }

    /// Reads a Message-ID, with or without angle brackets; none when it is not one of `host`'s.
    #[must_use]
    pub fn parse(text: &str, host: &str) -> Option<Self> {
        let (id, domain) = Self::parse_any(text)?;
        domain.eq_ignore_ascii_case(host).then_some(id)
    }

    /// Reads a Message-ID of our form, and whose it is: another installation's have the same form.
    #[must_use]
    pub fn parse_any(text: &str) -> Option<(Self, &str)> {
        let (local, domain) = bare(text).rsplit_once('@')?;
        let (message, conversation) = local.split_once('.')?;
        let id = Self {
            message_id: MessageId(Uuid::try_parse(message).ok()?),
            conversation_id: ConversationId(Uuid::try_parse(conversation).ok()?),
        };
        Some((id, domain))
    }
}

/// A Message-ID without its angle brackets and the spaces around it: as ids are kept and compared.
#[must_use]
pub fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let id = MailId {
            message_id: MessageId(Uuid::from_u128(7)),
            conversation_id: ConversationId(Uuid::from_u128(8)),
        };
        let text = id.to_text("hatch.example");
        assert_eq!(MailId::parse(&text, "hatch.example"), Some(id));
        assert_eq!(MailId::parse(&format!(" <{text}> "), "Hatch.Example"), Some(id));
        assert_eq!(MailId::parse(&text, "other.example"), None);
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        for text in ["", "@", "a@hatch.example", "a.b@hatch.example", "<>", "a.b"] {
            assert_eq!(MailId::parse(text, "hatch.example"), None, "{text:?}");
        }
    }
}
