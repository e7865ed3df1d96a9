//! What an account becomes by each of its events.

use super::Account;
use super::event::AccountEvent;

impl Account {
    pub(super) fn after(mut self, event: &AccountEvent) -> Self {
        use AccountEvent as E;
        match event {
            E::AccountCreated(e) => {
                let e = (**e).clone();
                self = Self {
                    name: Some(e.name),
                    provider: e.provider,
                    channels: e.channels,
                    senders: e.senders,
                    traffic: e.traffic,
                    limits: e.limits,
                    on_doubt: e.on_doubt,
                    settings: e.settings,
                    secrets: e.secrets,
                    created_by: e.created_by,
                    created_at: Some(e.at),
                    changed_at: None,
                    removed_at: None,
                    // It goes on: nobody takes the account of before for this one.
                    revision: self.revision.saturating_add(1),
                };
            }
            E::AccountChanged(e) => {
                let e = (**e).clone();
                self.channels = e.channels;
                self.senders = e.senders;
                self.traffic = e.traffic;
                self.limits = e.limits;
                self.on_doubt = e.on_doubt;
                self.settings = e.settings;
                self.secrets = e.secrets;
                self.changed_at = Some(e.at);
                self.revision = self.revision.saturating_add(1);
            }
            E::AccountSecretsRewrapped(e) => {
                self.secrets.clone_from(&e.secrets);
                self.revision = self.revision.saturating_add(1);
            }
            E::AccountRemoved(e) => {
                self.removed_at.get_or_insert(e.at);
                // Nobody needs them any more.
                self.secrets.clear();
                self.revision = self.revision.saturating_add(1);
            }
        }
        self
    }
}
