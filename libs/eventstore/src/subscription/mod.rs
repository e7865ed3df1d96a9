//! Following the log: every event once, in order, without a gap.

mod follow;

use std::sync::Arc;
use std::time::Instant;

use hatch_telemetry::chain::Chain;
use tokio::sync::{Semaphore, SemaphorePermit, broadcast, watch};

use crate::log::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use crate::{
    Backoff, Feed, HeadWatch, Hints, Log, LogError, Position, RecordedEvent, log_unless_away,
};
use follow::{Follow, Offer, Step};

/// How many of several subscriptions read a page of the log at a time, and how large one is; cheap to clone. The others
/// wait, the first one first.
#[derive(Debug, Clone)]
pub struct ReadPermits {
    places: Arc<Semaphore>,
    page_bytes_max: usize,
}

impl ReadPermits {
    /// Turns for `readers_max` at a time, whose pages end after `page_bytes_max`.
    #[must_use]
    pub fn new(readers_max: usize, page_bytes_max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(readers_max)), page_bytes_max }
    }

    /// The next one. None never comes: nobody closes them.
    async fn next(&self) -> Option<SemaphorePermit<'_>> {
        self.places.acquire().await.ok()
    }
}

/// An ordered, contiguous stream of events from a position on.
///
/// Catching up, it pages the log. Live, it takes the [`Feed`] as long as that is contiguous and
/// keeps up, and repairs everything else from the log: a gap, a stall, no feed at all. So its
/// correctness does not depend on the bus, only its cost does.
pub struct Subscription {
    log: Log,
    watch: HeadWatch,
    head: Option<watch::Receiver<Position>>,
    /// Held while it is not the feed that tells of new events.
    hints: Option<Hints>,
    feed: Option<broadcast::Receiver<Arc<RecordedEvent>>>,
    follow: Follow,
    batch_events_max: usize,
    /// Events that are asked for with the next page. What goes beyond a page's bytes is read for nothing, so it is as many
    /// as the last one had, where that ended by its bytes.
    page_events_max: usize,
    /// Where there are more readers than may read at a time.
    turns: Option<ReadPermits>,
    /// Taken and not yet returned: nothing is lost when `next_batch` is dropped while it waits.
    ready: Vec<Arc<RecordedEvent>>,
    backoff: Backoff,
}

impl Subscription {
    /// Follows the log after `after` in batches of at most `batch_events_max`.
    #[must_use]
    pub fn new(
        log: Log,
        head: &HeadWatch,
        feed: Option<&Feed>,
        after: Position,
        batch_events_max: usize,
    ) -> Self {
        let batch_events_max = batch_events_max.clamp(1, PAGE_EVENTS_MAX);
        Self {
            log,
            watch: head.clone(),
            head: Some(head.subscribe()),
            hints: None,
            feed: feed.and_then(Feed::subscribe),
            follow: Follow::new(after, Instant::now()),
            batch_events_max,
            page_events_max: batch_events_max,
            turns: None,
            ready: Vec::new(),
            backoff: Backoff::default(),
        }
    }

    /// Reads the log when its turn comes.
    #[must_use]
    pub fn in_turn(self, turns: ReadPermits) -> Self {
        Self { turns: Some(turns), page_events_max: 1, ..self }
    }

    /// The next events, at least one; waits until there are. Safe to drop and call again.
    ///
    /// While PostgreSQL is away it waits and tries again, so an error is a reason to halt.
    ///
    /// # Errors
    /// [`LogError`], never [`LogError::Unavailable`].
    pub async fn next_batch(&mut self) -> Result<Vec<Arc<RecordedEvent>>, LogError> {
        while self.ready.is_empty() {
            let head = match &mut self.head {
                Some(head) => *head.borrow_and_update(),
                None => Position::START,
            };
            match self.follow.step(head, self.feed.is_some(), Instant::now()) {
                Step::Page => self.page(head).await?,
                Step::Wait(until) => {
                    self.choose_hints();
                    self.wait(until).await;
                }
            }
        }
        Ok(std::mem::take(&mut self.ready))
    }

    fn choose_hints(&mut self) {
        if self.follow.is_fed() {
            self.hints = None;
        } else if self.hints.is_none() {
            self.hints = Some(self.watch.hints());
        }
    }

    async fn page(&mut self, head: Position) -> Result<(), LogError> {
        let turns = self.turns.clone();
        let turn = match &turns {
            Some(turns) => turns.next().await,
            None => None,
        };
        let bytes_max = turns.as_ref().map_or(PAGE_BYTES_MAX, |turns| turns.page_bytes_max);
        let asked = self.page_events_max;
        let page = self.log.read_page_within(self.follow.last(), asked, bytes_max).await;
        drop(turn);
        match page {
            Ok(page) => {
                self.backoff.reset();
                let last = page.last().map(|event| event.position);
                let bytes: usize = page.iter().map(|event| event.payload.get().len()).sum();
                let ended_early = bytes > bytes_max;
                let full = page.len() >= asked || ended_early;
                let more = if ended_early { page.len() } else { asked * 2 };
                self.page_events_max = more.clamp(1, self.batch_events_max);
                self.follow.paged(last, full, head, Instant::now());
                self.ready = page.into_iter().map(Arc::new).collect();
                Ok(())
            }
            Err(error) if error.is_unavailable() => {
                let retry_in = self.backoff.upcoming();
                log_unless_away!(warn, &error, error = %Chain(&error), ?retry_in, "log not read");
                self.backoff.wait().await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn wait(&mut self, until: Instant) {
        tokio::select! {
            received = receive(&mut self.feed) => match received {
                Ok(event) => self.take(event),
                // What was missed shows as a gap when the next one comes.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => self.feed = None,
            },
            changed = changed(&mut self.head) => if changed.is_err() {
                self.head = None;
            },
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    /// Takes `event`, and what the feed has ready after it.
    fn take(&mut self, event: Arc<RecordedEvent>) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            match self.follow.offered(event.position, Instant::now()) {
                Offer::Take => self.ready.push(event),
                Offer::Skip => {}
                Offer::Gap => return,
            }
            if self.ready.len() < self.batch_events_max {
                next = self.feed.as_mut().and_then(|feed| feed.try_recv().ok());
            }
        }
    }
}

async fn receive(
    feed: &mut Option<broadcast::Receiver<Arc<RecordedEvent>>>,
) -> Result<Arc<RecordedEvent>, broadcast::error::RecvError> {
    match feed {
        Some(feed) => feed.recv().await,
        None => std::future::pending().await,
    }
}

async fn changed(
    head: &mut Option<watch::Receiver<Position>>,
) -> Result<(), watch::error::RecvError> {
    match head {
        Some(head) => head.changed().await,
        None => std::future::pending().await,
    }
}
