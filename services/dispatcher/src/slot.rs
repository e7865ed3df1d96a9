//! A place among those who claim messages of a queue, or of a lane of what is due. It is held for as long as the log takes,
//! and never while a provider is waited for, or an account: so no account has a queue's places for itself.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A place, or where one is to be had.
pub(crate) struct Slot {
    held: Option<OwnedSemaphorePermit>,
    of: Arc<Semaphore>,
}

impl Slot {
    /// The place that `permit` of `of` gives.
    pub(crate) const fn new(permit: OwnedSemaphorePermit, of: Arc<Semaphore>) -> Self {
        Self { held: Some(permit), of }
    }

    /// Leaves it to another.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }

    /// Has one again. Those who wait for it wait for the log alone.
    pub(crate) async fn hold(&mut self) {
        if self.held.is_none() {
            self.held = self.of.clone().acquire_owned().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_that_was_left_is_free_until_it_is_held_again() {
        let of = Arc::new(Semaphore::new(1));
        let permit = of.clone().acquire_owned().await.expect("never closed");
        let mut slot = Slot::new(permit, of.clone());
        assert_eq!(of.available_permits(), 0);
        slot.release();
        assert_eq!(of.available_permits(), 1);
        slot.hold().await;
        slot.hold().await;
        assert_eq!(of.available_permits(), 0);
    }
}
