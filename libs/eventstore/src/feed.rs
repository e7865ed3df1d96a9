//! Events as they come over the bus, decoded once a process and shared among its readers.

use std::sync::Arc;

use tokio::sync::{Notify, broadcast};

use crate::RecordedEvent;

/// Fills a [`Feed`]: the one place of a process that reads the bus has it.
///
/// What it publishes need not be complete, unique or in order: readers take what continues what they
/// have, and repair the rest from the log. But it is the log's own: what the bus carries is published
/// only while the [`Fence`](crate::Fence) trusts its generation. Dropping it ends the feed.
pub struct FeedPublisher {
    events: broadcast::Sender<Arc<RecordedEvent>>,
    joined: Arc<Notify>,
}

/// Where [`Subscription`](crate::Subscription)s take live events from; cheap to clone.
#[derive(Clone)]
pub struct Feed {
    // Weak, so that the feed ends with its publisher.
    events: broadcast::WeakSender<Arc<RecordedEvent>>,
    joined: Arc<Notify>,
}

impl FeedPublisher {
    /// A feed that keeps the last `events_max` events (at least one) for readers that are slow; one
    /// that is slower has a gap.
    #[must_use]
    pub fn new(events_max: usize) -> Self {
        Self { events: broadcast::Sender::new(events_max.max(1)), joined: Arc::default() }
    }

    /// The readers' end.
    #[must_use]
    pub fn feed(&self) -> Feed {
        Feed { events: self.events.downgrade(), joined: Arc::clone(&self.joined) }
    }

    /// Whether anybody reads at the moment: what nobody reads need not be fetched.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// Waits until somebody reads.
    pub async fn wait_for_readers(&self) {
        while !self.is_read() {
            // One who joins between the look and the wait leaves a permit.
            self.joined.notified().await;
        }
    }

    /// Hands an event to whoever reads; never waits.
    pub fn publish(&self, event: Arc<RecordedEvent>) {
        // An error says that there is no reader at the moment.
        let _ = self.events.send(event);
    }
}

impl Feed {
    /// The events that are published from now on; none when the publisher is gone.
    pub(crate) fn subscribe(&self) -> Option<broadcast::Receiver<Arc<RecordedEvent>>> {
        let receiver = self.events.upgrade()?.subscribe();
        self.joined.notify_one();
        Some(receiver)
    }
}
