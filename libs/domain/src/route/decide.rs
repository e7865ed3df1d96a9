//! What a route decides.

use super::command::{RouteCommand, RouteRejection};
use super::event::{RouteChanged, RouteEvent, RouteRemoved};
use super::{CHANGES_MAX, Route};

impl Route {
    pub(super) fn decide_command(
        &self,
        command: &RouteCommand,
    ) -> Result<Vec<RouteEvent>, RouteRejection> {
        let event = match command {
            // Its id is of it alone: what was removed is not made again.
            RouteCommand::Create(_) if self.created_at.is_some() => {
                return Err(RouteRejection::Exists);
            }
            RouteCommand::Create(created) => (**created).clone().into(),
            RouteCommand::Change { to, revision } => {
                self.require()?;
                if *revision != self.revision {
                    return Err(RouteRejection::Moved);
                }
                if self.is_so(to) {
                    return Ok(Vec::new());
                }
                self.require_room()?;
                (**to).clone().into()
            }
            RouteCommand::Remove { at } => {
                if self.removed_at.is_some() {
                    return Ok(Vec::new());
                }
                self.require()?;
                RouteRemoved { at: *at }.into()
            }
        };
        Ok(vec![event])
    }

    const fn require_room(&self) -> Result<(), RouteRejection> {
        if self.revision < CHANGES_MAX { Ok(()) } else { Err(RouteRejection::TooOften) }
    }

    fn require(&self) -> Result<(), RouteRejection> {
        if self.is_there() { Ok(()) } else { Err(RouteRejection::Unknown) }
    }

    fn is_so(&self, to: &RouteChanged) -> bool {
        let RouteChanged { name, order, terms, at: _ } = to;
        self.name == *name && self.order == *order && self.terms == *terms
    }
}
