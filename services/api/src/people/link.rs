//! The secret of an invitation: whom it is for, and 256 bits that nobody can guess.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hatch_domain::api_key::SecretHash;
use hatch_domain::ids::MemberId;
use uuid::Uuid;

/// Bytes of a member's id, and of both.
const ID_BYTES: usize = 16;
const BYTES: usize = ID_BYTES + 32;

/// The text of a link. It is shown once, and kept nowhere.
#[derive(Clone)]
pub(crate) struct Link {
    member: MemberId,
    text: String,
}

/// Without its text.
impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("member", &self.member).finish_non_exhaustive()
    }
}

impl Link {
    /// A new one for this member.
    pub(crate) fn mint(member: MemberId, entropy: &[u8; 64]) -> Self {
        let mut bytes = [0; BYTES];
        bytes[..ID_BYTES].copy_from_slice(member.0.as_bytes());
        bytes[ID_BYTES..].copy_from_slice(&entropy[..BYTES - ID_BYTES]);
        Self { member, text: URL_SAFE_NO_PAD.encode(bytes) }
    }

    /// What somebody presents as one. Whether it is one, its hash tells.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == BYTES)?;
        let member = Uuid::from_slice(&bytes[..ID_BYTES]).ok().map(MemberId)?;
        Some(Self { member, text: text.to_owned() })
    }

    /// Whom it is for.
    pub(crate) const fn member(&self) -> MemberId {
        self.member
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What is kept of it.
    pub(crate) fn hash(&self) -> SecretHash {
        SecretHash::of(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_says_whom_it_is_for_and_is_read_as_it_was_made() {
        let member = MemberId(Uuid::from_u128(7));
        let link = Link::mint(member, &[5; 64]);
        let read = Link::read(link.text()).expect("a link");
        assert_eq!((read.member(), read.hash()), (member, link.hash()));
        assert_ne!(Link::mint(member, &[6; 64]).hash(), link.hash());
        assert!(!format!("{link:?}").contains(link.text()));
        let text = link.text();
        for wrong in ["", "abc", &text[1..], &format!("{text}AAAA"), &format!("{}=", &text[..63])] {
            assert!(Link::read(wrong).is_none(), "{wrong}");
        }
    }
}
