//! What the leader does: find out where to go on, and publish from there until something fails.

use std::time::Duration;

use hatch_bus::{Last, Publisher, StreamState};
use hatch_eventstore::{Closed, Position};

use crate::decision::{Decision, LogState, decide};
use crate::session::{Recorded, Session};
use crate::status::StatusHandle;
use crate::trace::Publishing;
use crate::{Config, Deps, Error, envelope};

/// The relay's work while it leads.
pub(crate) struct Leader {
    deps: Deps,
    config: Config,
    /// The generation that it published last, and the last position that is stored there.
    stored: (i32, i64),
}

impl Leader {
    pub(crate) fn new(deps: Deps, config: Config) -> Self {
        Self { deps, config, stored: (0, 0) }
    }

    pub(crate) fn postgres(&self) -> &hatch_eventstore::Database {
        &self.deps.postgres
    }

    pub(crate) fn status(&self) -> &StatusHandle {
        &self.deps.status
    }

    pub(crate) fn published(&self) -> Option<Position> {
        self.deps.status.get().published
    }

    /// Publishes until an error, which it returns.
    pub(crate) async fn lead(&mut self, session: &Session) -> Error {
        loop {
            if let Err(error) = self.step(session).await {
                return error;
            }
        }
    }

    async fn step(&mut self, session: &Session) -> Result<(), Error> {
        self.deps.fence.known().await;
        if let Some(closed) = self.closed(session).await? {
            self.halt(closed.to_string()).await;
            return Ok(());
        }
        let (stream, recorded, decision) = self.decide(session).await?;
        match decision {
            Decision::Resume { generation, after } => {
                // It may have been created by a leader that died before it put it on record.
                if let StreamState::Present { first_position, .. } = stream {
                    session.record(generation, first_position, recorded.epoch).await?;
                }
                tracing::info!(generation, after, "publishing goes on");
                self.publish(generation, after).await
            }
            Decision::NewGeneration { first_position } => {
                self.begin(session, stream, recorded, first_position).await
            }
            Decision::Halt(regressed) => {
                // From then on the fence says so, to everybody.
                session.report(recorded.epoch, &regressed.to_string()).await
            }
        }
    }

    /// Why nothing may be published, as the process knows it and as this session finds it.
    async fn closed(&self, session: &Session) -> Result<Option<Closed>, Error> {
        match self.deps.fence.closed() {
            Some(closed) => Ok(Some(closed)),
            None => session.closed(&self.deps.fence).await,
        }
    }

    /// Reads the stream's end, then the log: the log cannot lag behind what was published from it.
    async fn decide(&self, session: &Session) -> Result<(StreamState, Recorded, Decision), Error> {
        let stream = self.deps.bus.stream_state().await?;
        let last = match stream {
            StreamState::Present { last: Last::Event { position, .. }, .. } => {
                self.deps.log.read_at(Position(position)).await?
            }
            _ => None,
        };
        let mixed = match stream {
            StreamState::Present { generation, .. } if generation == self.stored.0 => {
                self.deps.bus.first_foreign(self.stored.1).await?.is_some()
            }
            _ => false,
        };
        let head = self.deps.log.head().await?.0;
        let recorded = session.recorded().await?;
        let log = LogState {
            head,
            event_at_last: last.map(|event| event.event_id),
            published_before: recorded.generation > 0,
            stored: self.stored,
            mixed,
            newer_epoch: recorded.is_newer_epoch(),
        };
        Ok((stream, recorded, decide(stream, log)))
    }

    /// The stream comes first and the record second: a stream that cannot be created leaves no trace.
    async fn begin(
        &self,
        session: &Session,
        old: StreamState,
        recorded: Recorded,
        first_position: i64,
    ) -> Result<(), Error> {
        let there = match old {
            StreamState::Present { generation, .. } => generation,
            StreamState::Absent => 0,
        };
        let generation = there.max(recorded.generation) + 1;
        if generation == 1 {
            tracing::info!(first_position, "the first generation of the stream begins");
        } else {
            tracing::warn!(
                generation,
                first_position,
                ?old,
                "another generation of the stream begins"
            );
        }
        self.deps.bus.create_generation(generation, first_position).await?;
        session.record(generation, first_position, recorded.epoch).await
    }

    async fn halt(&self, reason: String) {
        if self.deps.status.get().halted.as_ref() != Some(&reason) {
            tracing::error!("nothing is published: {reason}");
            self.deps.status.halt(reason);
        }
        tokio::time::sleep(Duration::from_millis(self.config.halt_poll_ms)).await;
    }

    /// Publishes until an error, or until the fence is not open.
    async fn publish(&mut self, generation: i32, after: i64) -> Result<(), Error> {
        let mut publisher = self.deps.bus.publisher(generation, after);
        let published = self.publish_pages(&mut publisher).await;
        self.stored = (generation, publisher.acknowledged());
        published
    }

    async fn publish_pages(&mut self, publisher: &mut Publisher) -> Result<(), Error> {
        let mut publishing = Publishing::default();
        while self.deps.fence.is_open() {
            // Before the read: a hint that comes during it is not lost.
            let hinted = *self.deps.head.borrow_and_update();
            let sent = Position(publisher.sent());
            let page = self.deps.log.read_page(sent, self.config.page_events_max).await?;
            let nothing = page.is_empty();
            for event in page {
                let envelope = envelope::of(event);
                publishing.sent(&envelope);
                publisher.publish(&envelope).await?;
            }
            self.acknowledged(publisher, &mut publishing);
            if nothing || hinted <= Position(publisher.sent()) {
                self.wait(publisher, &mut publishing).await?;
            }
        }
        Ok(())
    }

    /// Tells how far the bus has come.
    fn acknowledged(&self, publisher: &Publisher, publishing: &mut Publishing) {
        self.deps.status.published(Position(publisher.acknowledged()));
        publishing.stored(publisher.acknowledged());
    }

    /// Waits for a hint that the log has grown, or until it is time to look without one.
    async fn wait(
        &mut self,
        publisher: &mut Publisher,
        publishing: &mut Publishing,
    ) -> Result<(), Error> {
        let poll = tokio::time::sleep(Duration::from_millis(self.config.poll_ms));
        tokio::pin!(poll);
        loop {
            let flushed = publisher.acknowledged() == publisher.sent();
            tokio::select! {
                biased;
                Ok(()) = self.deps.head.changed() => return Ok(()),
                stored = publisher.flush(), if !flushed => {
                    stored?;
                    self.acknowledged(publisher, publishing);
                }
                () = &mut poll => return Ok(()),
            }
        }
    }
}
