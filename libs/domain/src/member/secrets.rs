//! What the log keeps of a member that nobody is shown.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! mute {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text as it is kept.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

mute! {
    /// What argon2id made of a password: with its salt and what it cost, as one text. It has no schema: nobody outside
    /// is told it.
    PasswordHash
}
mute! {
    /// A secret that the installation's master key opens. It has no schema: nobody outside is told it.
    SealedText
}
