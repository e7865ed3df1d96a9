//! A secret as it is kept: nobody reads it without the installation's master key.
//!
//! Here it is data alone. `hatch-seal` makes it and opens it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the text of this form begins with. Another form has another number.
const FORM: &str = "s1";

/// Characters of a master key's id: hexadecimal digits.
const MASTER_KEY_ID_LENGTH: usize = 16;

/// Bytes of a text at most: a secret of 32 KiB, and what is around it.
const BYTES_MAX: usize = 64 * 1024;

/// A secret that was sealed, as one text: `s1.<id of the master key>.<wrapped data key>.<box>`, of which the last two
/// are URL-safe base64. It has no schema: nobody outside is told it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sealed(String);

/// A text that is no sealed secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a sealed secret")]
pub struct BadSealed;

impl Sealed {
    /// Puts one together: the id of the master key, the data key that it wraps, and what that key seals, the last two as
    /// URL-safe base64.
    ///
    /// # Errors
    /// A part that is none.
    pub fn of(master_key_id: &str, wrapped_key: &str, sealed: &str) -> Result<Self, BadSealed> {
        format!("{FORM}.{master_key_id}.{wrapped_key}.{sealed}").parse()
    }

    /// The id of the master key that opens it.
    #[must_use]
    pub fn master_key_id(&self) -> &str {
        self.part(1)
    }

    /// The data key under the master key, as URL-safe base64.
    #[must_use]
    pub fn wrapped_key(&self) -> &str {
        self.part(2)
    }

    /// What the data key seals, as URL-safe base64.
    #[must_use]
    pub fn sealed(&self) -> &str {
        self.part(3)
    }

    fn part(&self, n: usize) -> &str {
        self.0.split('.').nth(n).unwrap_or_default()
    }
}

impl FromStr for Sealed {
    type Err = BadSealed;

    fn from_str(text: &str) -> Result<Self, BadSealed> {
        if text.len() > BYTES_MAX {
            return Err(BadSealed);
        }
        let mut parts = text.split('.');
        let (Some(FORM), Some(id), Some(wrapped), Some(sealed), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadSealed);
        };
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_id = id.len() == MASTER_KEY_ID_LENGTH && id.bytes().all(is_hex);
        let is_base64 = |text: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !text.is_empty() && text.bytes().all(fits)
        };
        let is_one = is_id && is_base64(wrapped) && is_base64(sealed);
        if is_one { Ok(Self(text.to_owned())) } else { Err(BadSealed) }
    }
}

impl TryFrom<String> for Sealed {
    type Error = BadSealed;

    fn try_from(text: String) -> Result<Self, BadSealed> {
        text.parse()
    }
}

impl From<Sealed> for String {
    fn from(sealed: Sealed) -> Self {
        sealed.0
    }
}

/// Nobody needs it in a log.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef";

    #[test]
    fn a_sealed_secret_is_one_text() {
        let sealed = Sealed::of(ID, "d3JhcHBlZA", "Ym94").expect("good parts");
        let text = String::from(sealed.clone());
        assert_eq!(text, "s1.0123456789abcdef.d3JhcHBlZA.Ym94");
        assert_eq!(text.parse(), Ok(sealed.clone()));
        assert_eq!(
            (sealed.master_key_id(), sealed.wrapped_key(), sealed.sealed()),
            (ID, "d3JhcHBlZA", "Ym94")
        );
        assert_eq!(format!("{sealed:?}"), "Sealed(..)");
    }

    #[test]
    fn what_is_none_is_refused() {
        let long = format!("s1.{ID}.a.{}", "a".repeat(BYTES_MAX));
        for text in [
            "",
            "s1",
            "s2.0123456789abcdef.a.b",
            "s1.0123456789abcde.a.b",
            "s1.0123456789ABCDEF.a.b",
            "s1.0123456789abcdef..b",
            "s1.0123456789abcdef.a.",
            "s1.0123456789abcdef.a.b.c",
            "s1.0123456789abcdef.a+.b",
            &long,
        ] {
            assert_eq!(text.parse::<Sealed>(), Err(BadSealed), "{text:.40}");
        }
    }
}
