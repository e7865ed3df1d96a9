//! What a route becomes by each of its events.

use super::Route;
use super::event::RouteEvent;

impl Route {
    pub(super) fn after(mut self, event: &RouteEvent) -> Self {
        use RouteEvent as E;
        self.revision = self.revision.saturating_add(1);
        match event {
            E::RouteCreated(e) => {
                let e = (**e).clone();
                (self.name, self.order, self.terms) = (e.name, e.order, e.terms);
                self.created_by = e.created_by;
                (self.created_at, self.changed_at) = (Some(e.at), None);
            }
            E::RouteChanged(e) => {
                let e = (**e).clone();
                (self.name, self.order, self.terms) = (e.name, e.order, e.terms);
                self.changed_at = Some(e.at);
            }
            E::RouteRemoved(e) => {
                self.removed_at.get_or_insert(e.at);
            }
        }
        self
    }
}
