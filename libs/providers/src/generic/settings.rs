//! Who may post generic webhooks.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Error, Secret};

/// Without a secret nobody may, unless they are said to be open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Senders show it as `Authorization: Bearer`. At least 16 characters.
    pub bearer_secret: Option<Secret>,
    /// Anybody may post: for development on one machine.
    pub open: bool,
}

/// A shorter secret could be guessed.
const SECRET_CHARS_MIN: usize = 16;

impl Settings {
    /// Checks what types cannot say.
    pub(super) fn check(&self) -> Result<(), Error> {
        let (setting, expected) = match &self.bearer_secret {
            None if self.open => return Ok(()),
            None => ("bearer_secret", "a secret of at least 16 characters, or open = true"),
            Some(_) if self.open => ("open", "false where there is a bearer_secret"),
            Some(secret) if secret.expose().chars().count() >= SECRET_CHARS_MIN => return Ok(()),
            Some(_) => ("bearer_secret", "a secret of at least 16 characters"),
        };
        Err(Error::Setting { setting, expected })
    }
}
