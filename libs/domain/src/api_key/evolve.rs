//! What a key becomes by each of its events.

use super::event::ApiKeyEvent;
use super::{ApiKey, OLD_SECRETS_MAX};

impl ApiKey {
    pub(super) fn after(mut self, event: &ApiKeyEvent) -> Self {
        use ApiKeyEvent as E;
        match event {
            E::ApiKeyCreated(e) => {
                let e = (**e).clone();
                self.id = e.key_id;
                self.name = e.name;
                self.key_type = e.key_type;
                self.scopes = e.scopes;
                self.senders = e.senders;
                self.channels = e.channels;
                self.ip_ranges = e.ip_ranges;
                self.secret = Some(e.secret_hash);
                self.expires_at = e.expires_at;
                self.created_by = e.created_by;
                self.created_at = Some(e.at);
            }
            E::ApiKeyRotated(e) => {
                // Whoever ends the secret before at once means those before that one, too.
                for (_, until) in &mut self.old {
                    *until = e.old_until.min(*until);
                }
                if let Some(before) = self.secret.replace(e.secret_hash.clone()) {
                    self.old.insert(0, (before, e.old_until));
                }
                self.old.retain(|(_, until)| *until > e.at);
                self.old.truncate(OLD_SECRETS_MAX);
                self.rotated_at = Some(e.at);
            }
            E::ApiKeyRevoked(e) => {
                self.revoked_at.get_or_insert(e.at);
            }
        }
        self
    }
}
