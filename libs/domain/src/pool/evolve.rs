//! What a pool becomes by each of its events.

use super::Pool;
use super::event::PoolEvent;

impl Pool {
    pub(super) fn after(mut self, event: &PoolEvent) -> Self {
        use PoolEvent as E;
        // It goes on where a pool is made again: nobody takes the one of before for this one.
        self.revision = self.revision.saturating_add(1);
        match event {
            E::PoolCreated(e) => {
                let e = (**e).clone();
                (self.name, self.terms, self.created_by) = (Some(e.name), e.terms, e.created_by);
                (self.created_at, self.changed_at, self.removed_at) = (Some(e.at), None, None);
            }
            E::PoolChanged(e) => {
                self.terms.clone_from(&e.terms);
                self.changed_at = Some(e.at);
            }
            E::PoolRemoved(e) => {
                self.removed_at.get_or_insert(e.at);
            }
        }
        self
    }
}
