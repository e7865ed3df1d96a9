//! One projection, kept up with the log.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hatch_eventstore::{
    Backoff, Checkpoint, Connection, Follow, Held, LogError, Position, RecordedEvent, Subscription,
    Unanswered, log_unless_away,
};
use hatch_readmodel::{Definition, Error, Origin, Projection};
use hatch_telemetry::chain::Chain;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::{Config, Dependencies};

/// How often an event is tried before the projection halts at it.
const TRIES_MAX: usize = 3;

/// The pause between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(100);

/// A page of so many events is one of many: more come while it is applied.
const BUSY_EVENTS: usize = 32;

/// The least time from one such page to the next. A page costs much the same however few events it
/// has, and several events of one message in it are one row.
const BUSY_PACE: Duration = Duration::from_millis(30);

/// How long events are gathered that a projection does not read: they only move its checkpoint.
const IDLE_PACE: Duration = Duration::from_millis(200);

/// A projection that no message waits for is filled in the background when it is more events behind than this.
const BEHIND_EVENTS_MAX: i64 = 10_000;

/// How long PostgreSQL may take to say where the projection stands, the wait for a connection included.
const LOOK_MAX: Duration = Duration::from_secs(4);

/// How long it may take to apply a page. One that takes longer is applied in parts.
const APPLY_MAX: Duration = Duration::from_secs(6);

/// The number of parts into which a page is divided after it could not be applied whole.
const PART: usize = 4;

pub(crate) struct Worker {
    definition: &'static Definition,
    dependencies: Dependencies,
    config: Config,
    /// Events that are applied at a time at most.
    part_events_max: usize,
}

/// Why a projection no longer follows the log, beside another projector.
pub(crate) enum Reason {
    /// The database is an older one than before, and its checkpoint went back with the log.
    Restored,
    /// PostgreSQL is away: the same again later.
    Unavailable(Error),
    /// The events are of another server's log than the one that is written to.
    Foreign(Error),
    /// The event at this position cannot be applied, or the log itself is not what was read before.
    Halt(Position, Box<dyn std::error::Error + Send + Sync>),
}

type Stop = hatch_eventstore::Stop<Reason>;

impl Follow for Worker {
    type Reason = Reason;

    async fn follow(&mut self, backoff: &mut Backoff) -> Result<Infallible, Stop> {
        self.project(backoff).await
    }

    async fn position(&self) -> Option<Position> {
        Some(self.checkpoint().await.ok()?.position)
    }

    async fn wait_out(&mut self, reason: Reason, backoff: &mut Backoff) {
        let projection = self.definition.name();
        match reason {
            Reason::Restored => tracing::warn!(projection, "goes on from an older checkpoint"),
            Reason::Unavailable(error) => self.back_off(&error, backoff).await,
            Reason::Foreign(error) => self.read_again(&error, backoff).await,
            Reason::Halt(position, error) => {
                let reason = Chain(error.as_ref()).to_string();
                tracing::error!(projection, position = position.0, reason, "projection halted");
                self.record_halt(position, &reason, backoff).await;
                self.wait_for_rebuild(position).await;
                tracing::info!(projection, "rebuilt beyond the halt, going on");
            }
        }
    }
}

impl Worker {
    pub(crate) const fn new(
        definition: &'static Definition,
        dependencies: Dependencies,
        config: Config,
    ) -> Self {
        let part_events_max = config.page_events_max;
        Self { definition, dependencies, config, part_events_max }
    }

    /// Applies page after page, from the checkpoint as it is.
    async fn project(&mut self, backoff: &mut Backoff) -> Result<Infallible, Stop> {
        let held = self.dependencies.pool.hold(LOOK_MAX).await;
        let mut held = held.map_err(|error| unavailable(error.into()))?;
        let definition = self.definition;
        let look = async |client: &mut Connection| definition.checkpoint(client).await;
        let mut checkpoint = held.within(LOOK_MAX, look).await.map_err(unavailable)?;
        let mut projection = Projection::of(definition);
        self.fill(&mut held, &mut checkpoint, &mut projection).await?;
        let mut subscription = Subscription::new(
            self.dependencies.log.clone(),
            &self.dependencies.head,
            self.dependencies.feed.as_ref(),
            checkpoint.position,
            self.config.page_events_max,
        );
        loop {
            let page = match self.gather(&mut subscription).await {
                Ok(page) => page,
                Err(error) => return Err(self.damaged(&checkpoint, error).await),
            };
            let begun = Instant::now();
            for part in page.chunks(self.part_events_max) {
                checkpoint = self.apply(&mut held, checkpoint, part, &mut projection).await?;
            }
            backoff.reset();
            self.part_events_max = (2 * self.part_events_max).min(self.config.page_events_max);
            // A full page means that the projection is behind: it hurries.
            if (BUSY_EVENTS..self.config.page_events_max).contains(&page.len()) {
                sleep_until(begun + BUSY_PACE).await;
            }
        }
    }

    /// Fills a projection that is far behind and that no message waits for. What cannot be applied is left to be
    /// tried event by event.
    async fn fill(
        &self,
        held: &mut Held,
        checkpoint: &mut Checkpoint,
        projection: &mut Projection,
    ) -> Result<(), Stop> {
        if self.definition.gates_admission() {
            return Ok(());
        }
        let (log, name) = (&self.dependencies.log, self.definition.name());
        loop {
            let target = log.head().await.map_err(|error| unavailable(error.into()))?;
            if target.0 - checkpoint.position.0 <= BEHIND_EVENTS_MAX {
                return Ok(());
            }
            let (from, to) = (checkpoint.position.0, target.0);
            tracing::info!(projection = name, from, to, "filling in the background");
            let filled = projection.fill(held, log, (checkpoint, target), self.part_events_max);
            if let Err(error) = filled.await {
                let error = unless_refused(error)?;
                let error = &error as &dyn std::error::Error;
                tracing::warn!(projection = name, error, "filling ended, going on event by event");
                return Ok(());
            }
        }
    }

    /// The next events. Those that the projection does not read are gathered for a while.
    async fn gather(
        &self,
        subscription: &mut Subscription,
    ) -> Result<Vec<Arc<RecordedEvent>>, LogError> {
        let mut page = subscription.next_batch().await?;
        // A projector that stands by sees the checkpoint move between two looks.
        let look = Duration::from_millis(self.config.standby_poll_ms);
        let until = Instant::now() + IDLE_PACE.min(look / 4);
        let reads = |page: &[Arc<RecordedEvent>]| {
            page.iter().any(|event| self.definition.reads_event(event))
        };
        while !reads(&page) && page.len() < self.config.page_events_max {
            match timeout_at(until, subscription.next_batch()).await {
                Ok(more) => page.extend(more?),
                Err(_) => break,
            }
        }
        Ok(page)
    }

    /// How to go on with a log that is not what was read before.
    async fn damaged(&self, checkpoint: &Checkpoint, error: LogError) -> Stop {
        if matches!(error, LogError::Regressed { .. }) {
            // A session of before a restore is gone: the pool gives one of after it.
            match self.checkpoint().await {
                Ok(now) if now.position < checkpoint.position => {
                    return Stop::For(Reason::Restored);
                }
                Ok(_) => {}
                Err(error) => return unavailable(error),
            }
        }
        halt(checkpoint.position.next(), error)
    }

    /// The checkpoint as it is.
    async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let definition = self.definition;
        let look = async |client: &mut Connection| definition.checkpoint(client).await;
        self.dependencies.pool.within(LOOK_MAX, look).await
    }

    /// Applies `page`, within a limit.
    async fn advance(
        &self,
        held: &mut Held,
        checkpoint: &Checkpoint,
        page: &[Arc<RecordedEvent>],
        projection: &mut Projection,
    ) -> Result<Checkpoint, Error> {
        let apply = async |client: &mut Connection| {
            projection.advance(client, checkpoint, (page, Origin::Log)).await
        };
        held.within(APPLY_MAX, apply).await
    }

    /// Applies `page`; if that is refused, event by event, so that the checkpoint comes to stand right
    /// before the event that is the cause.
    async fn apply(
        &self,
        held: &mut Held,
        mut checkpoint: Checkpoint,
        page: &[Arc<RecordedEvent>],
        projection: &mut Projection,
    ) -> Result<Checkpoint, Stop> {
        let refusal = match self.advance(held, &checkpoint, page, projection).await {
            Ok(advanced) => return Ok(advanced),
            Err(error) => unless_refused(error)?,
        };
        let name = self.definition.name();
        tracing::warn!(
            projection = name,
            error = &refusal as &dyn std::error::Error,
            "page refused"
        );
        for event in page {
            checkpoint = self.apply_one(held, &checkpoint, event, projection).await?;
        }
        Ok(checkpoint)
    }

    async fn apply_one(
        &self,
        held: &mut Held,
        checkpoint: &Checkpoint,
        event: &Arc<RecordedEvent>,
        projection: &mut Projection,
    ) -> Result<Checkpoint, Stop> {
        let page = std::slice::from_ref(event);
        let mut tries = 1;
        loop {
            let refusal = match self.advance(held, checkpoint, page, projection).await {
                Ok(advanced) => return Ok(advanced),
                Err(error) => unless_refused(error)?,
            };
            if tries == TRIES_MAX {
                return Err(halt(event.position, refusal));
            }
            tries += 1;
            sleep(TRY_PAUSE).await;
        }
    }

    /// Waits until the tables have the event at `position` nevertheless.
    async fn wait_for_rebuild(&self, position: Position) {
        loop {
            sleep(Duration::from_millis(self.config.standby_poll_ms)).await;
            if self.checkpoint().await.is_ok_and(|checkpoint| checkpoint.position >= position) {
                return;
            }
        }
    }

    async fn back_off(&mut self, error: &Error, backoff: &mut Backoff) {
        if matches!(error, Error::Unanswered(Unanswered::Silent(_))) {
            self.part_events_max = (self.part_events_max / PART).max(1);
        }
        let (projection, retry_in) = (self.definition.name(), backoff.upcoming());
        log_unless_away!(warn, error, projection, error = %Chain(error), ?retry_in, "projection waits for PostgreSQL");
        backoff.wait().await;
    }

    /// Connections of this process lead to two servers, of which one is the wrong one. All are made anew, and
    /// what follows the checkpoint is read from the log that comes with it.
    async fn read_again(&self, error: &Error, backoff: &mut Backoff) {
        tracing::error!(
            projection = self.definition.name(),
            error = error as &dyn std::error::Error,
            retry_in = ?backoff.upcoming(),
            "two servers tell of the log, and nothing of the other one's is applied: see that only one of \
             them is reached, and that the fence is lifted on the right one"
        );
        self.dependencies.pool.renew();
        backoff.wait().await;
    }

    /// Makes the halt visible; does not give up while PostgreSQL is away.
    async fn record_halt(&mut self, position: Position, reason: &str, backoff: &mut Backoff) {
        loop {
            let definition = self.definition;
            let record = async |client: &mut Connection| {
                definition.record_halt(client, position, reason).await
            };
            match self.dependencies.pool.within(LOOK_MAX, record).await {
                Ok(()) => return,
                Err(error) => self.back_off(&error, backoff).await,
            }
        }
    }
}

/// `error`, if PostgreSQL or this build refuses the events; otherwise why to stop.
fn unless_refused(error: Error) -> Result<Error, Stop> {
    if error.is_fenced() {
        Err(Stop::Fenced)
    } else if error.is_foreign() {
        Err(Stop::For(Reason::Foreign(error)))
    } else if error.is_unavailable() {
        Err(unavailable(error))
    } else {
        Ok(error)
    }
}

const fn unavailable(error: Error) -> Stop {
    Stop::For(Reason::Unavailable(error))
}

fn halt(position: Position, error: impl std::error::Error + Send + Sync + 'static) -> Stop {
    Stop::For(Reason::Halt(position, Box::new(error)))
}
