//! What the relay tells about itself.

use std::sync::Arc;

use hatch_eventstore::Position;
use tokio::sync::watch;

/// What a relay is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelayStatus {
    /// Whether it is the one that publishes.
    pub leader: bool,
    /// The last position that it knows to be on the bus; `None` until it has led.
    pub published: Option<Position>,
    /// Why it publishes nothing although it leads.
    pub halted: Option<String>,
}

/// A relay's status, as readiness and metrics read it. Clones share it; reading is cheap.
#[derive(Debug, Clone, Default)]
pub struct StatusHandle(Arc<watch::Sender<RelayStatus>>);

impl StatusHandle {
    /// The status at the moment.
    #[must_use]
    pub fn get(&self) -> RelayStatus {
        self.0.borrow().clone()
    }

    /// Follows the status.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<RelayStatus> {
        self.0.subscribe()
    }

    pub(crate) fn lead(&self) {
        self.change(|status| status.leader = true);
    }

    pub(crate) fn resign(&self) {
        self.change(|status| {
            status.leader = false;
            status.halted = None;
        });
    }

    pub(crate) fn published(&self, position: Position) {
        self.change(|status| {
            status.published = Some(position);
            status.halted = None;
        });
    }

    pub(crate) fn halt(&self, reason: String) {
        self.change(|status| status.halted = Some(reason));
    }

    fn change(&self, change: impl FnOnce(&mut RelayStatus)) {
        self.0.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }
}
