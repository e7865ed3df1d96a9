//! What a key decides. One that has ended stays ended.

use chrono::{DateTime, Utc};

use super::ApiKey;
use super::command::{ApiKeyCommand, ApiKeyRejection};
use super::event::{ApiKeyEvent, ApiKeyRevoked, ApiKeyRotated};

impl ApiKey {
    pub(super) fn decide_command(
        &self,
        command: &ApiKeyCommand,
    ) -> Result<Vec<ApiKeyEvent>, ApiKeyRejection> {
        let event = match command {
            ApiKeyCommand::Create(_) if self.created_at.is_some() => {
                return Err(ApiKeyRejection::Exists);
            }
            ApiKeyCommand::Create(created) => (**created).clone().into(),
            ApiKeyCommand::Rotate { hash, old_until, at } => {
                self.lives(*at)?;
                if self.secret.as_ref() == Some(hash) {
                    // Said twice, it would end the secret before.
                    return Ok(Vec::new());
                }
                let (secret_hash, old_until, at) = (hash.clone(), *old_until, *at);
                ApiKeyRotated { secret_hash, old_until, at }.into()
            }
            ApiKeyCommand::Revoke { at } => {
                // One that has expired may be ended all the same: a clock may go back.
                match self.lives(*at) {
                    Err(ApiKeyRejection::Expired) | Ok(()) => ApiKeyRevoked { at: *at }.into(),
                    Err(rejection) => return Err(rejection),
                }
            }
        };
        Ok(vec![event])
    }

    fn lives(&self, at: DateTime<Utc>) -> Result<(), ApiKeyRejection> {
        match () {
            () if self.created_at.is_none() => Err(ApiKeyRejection::Unknown),
            () if self.revoked_at.is_some() => Err(ApiKeyRejection::Revoked),
            () if self.expires_at.is_some_and(|end| end <= at) => Err(ApiKeyRejection::Expired),
            () => Ok(()),
        }
    }
}
