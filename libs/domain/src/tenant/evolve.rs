//! What a tenant becomes by each of its events.

use super::Tenant;
use super::event::TenantEvent;

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
                self.suspended_at = Some(e.at);
                self.suspended_for.clone_from(&e.reason);
            }
            E::TenantResumed(_) => (self.suspended_at, self.suspended_for) = (None, None),
        }
        self
    }
}
