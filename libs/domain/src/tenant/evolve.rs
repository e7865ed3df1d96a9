//! What a tenant becomes by each of its events.

use super::event::TenantEvent;
use super::{TeamRecipient, Tenant, compared};

impl Tenant {
    pub(super) fn after(mut self, event: &TenantEvent) -> Self {
        use TenantEvent as E;
        match event {
            E::TenantCreated(e) => {
                self.name = Some(e.name.clone());
                self.created_at = Some(e.at);
            }
            E::TenantRenamed(e) => self.name = Some(e.name.clone()),
            E::TenantSuspended(e) => {
                // Another reason is no other beginning.
                self.suspended_at.get_or_insert(e.at);
                self.suspended_for.clone_from(&e.reason);
            }
            E::TenantResumed(_) => (self.suspended_at, self.suspended_for) = (None, None),
            E::TeamRecipientAdded(e) => {
                let one = TeamRecipient { address: e.address.clone(), added_at: e.at };
                self.team.entry(compared(&e.address)).or_insert(one);
            }
            E::TeamRecipientRemoved(e) => {
                self.team.remove(&compared(&e.address));
            }
        }
        self
    }
}
