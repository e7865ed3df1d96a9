//! What the leader does: find out where to go on, and publish from there until something fails.

use std::time::{Duration, Instant};

use hatch_bus::{Bus, Envelope, ForeignMessage, Last, Publisher, StreamState};
use hatch_eventstore::{Closed, Position};

use crate::decision::{Decision, LogState, decide};
use crate::session::{LeaderSession, Recorded};
use crate::status::StatusHandle;
use crate::trace::Publishing;
use crate::{Config, Dependencies, Error, keys};

/// Longest pause before all is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often the stream is looked for while all is published: until the next event nothing else would tell that it
/// is gone.
const LOOK_FOR_STREAM: Duration = Duration::from_secs(2);

/// The relay's work while it leads.
pub(crate) struct Leader {
    dependencies: Dependencies,
    config: Config,
    /// It learns the keys by its own session.
    bus: Bus,
    /// The generation that it published last, and the last position that is stored there.
    stored: (i32, i64),
    /// The foreign message that it met last.
    met: Option<ForeignMessage>,
}

impl Leader {
    pub(crate) fn new(dependencies: Dependencies, config: Config) -> Self {
        let bus = dependencies.bus.with_own_keys();
        Self { dependencies, config, bus, stored: (0, 0), met: None }
    }

    pub(crate) fn postgres(&self) -> &hatch_eventstore::Database {
        &self.dependencies.postgres
    }

    pub(crate) fn status(&self) -> &StatusHandle {
        &self.dependencies.status
    }

    pub(crate) fn published(&self) -> Option<Position> {
        self.dependencies.status.get().published
    }

    /// Publishes until an error, which it returns.
    pub(crate) async fn lead(&mut self, session: &LeaderSession) -> Error {
        loop {
            if let Err(error) = self.step(session).await {
                return error;
            }
        }
    }

    async fn step(&mut self, session: &LeaderSession) -> Result<(), Error> {
        self.dependencies.fence.known().await;
        if let Some(closed) = self.closed(session).await? {
            self.halt(closed.to_string()).await;
            return Ok(());
        }
        let (stream, recorded, decision) = self.decide(session).await?;
        match decision {
            Decision::Resume { generation, after } => {
                tracing::info!(generation, after, "publishing goes on");
                self.publish((generation, recorded.epoch), after).await
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
    async fn closed(&self, session: &LeaderSession) -> Result<Option<Closed>, Error> {
        match self.dependencies.fence.closed() {
            Some(closed) => Ok(Some(closed)),
            None => session.closed(&self.dependencies.fence).await,
        }
    }

    /// Reads by what the stream is believed, its end, then the log: the log cannot lag behind what was
    /// published from it.
    async fn decide(
        &mut self,
        session: &LeaderSession,
    ) -> Result<(StreamState, Recorded, Decision), Error> {
        let recorded = session.recorded().await?;
        self.bus.trust(keys(&recorded.secrets));
        let stream = self.bus.stream_state().await?;
        let last = match stream {
            StreamState::Present { last: Last::Event { position, .. }, .. } => {
                self.dependencies.log.read_at(Position(position)).await?
            }
            _ => None,
        };
        let mixed = self.foreign(stream).await?;
        let head = self.dependencies.log.head().await?.0;
        let beyond = match stream {
            StreamState::Present { last: Last::Foreign(_), .. } => self.is_beyond(head).await?,
            _ => false,
        };
        let log = LogState {
            head,
            beyond,
            event_at_last: last.map(|event| event.event_id),
            recorded: recorded.last.map(|last| (last.number, last.first_position)),
            foreign: recorded.last.is_some_and(|last| last.has_foreign),
            stored: self.stored,
            mixed,
            newer_epoch: recorded.is_newer_epoch(),
        };
        Ok((stream, recorded, decide(stream, log)))
    }

    /// Whether the stream holds an event of hatch's own after `head` that the log lacks: only the log can
    /// have brought it there.
    async fn is_beyond(&self, head: i64) -> Result<bool, Error> {
        if self.bus.event_at(head + 1).await?.is_none() {
            return Ok(false);
        }
        Ok(self.dependencies.log.read_at(Position(head + 1)).await?.is_none())
    }

    /// Whether something foreign is at the end of the stream, or among what it may have stored since this
    /// relay knows. It is said once.
    async fn foreign(&mut self, stream: StreamState) -> Result<bool, Error> {
        let StreamState::Present { generation, last_sequence, last, .. } = stream else {
            return Ok(false);
        };
        let found = match last {
            Last::Foreign(why) => Some((last_sequence, why)),
            _ if generation == self.stored.0 => self.bus.first_foreign(self.stored.1).await?,
            _ => None,
        };
        let met = found.map(|(sequence, why)| ForeignMessage { generation, sequence, why });
        if let Some(message) = met.filter(|_| met != self.met) {
            self.bus.met_foreign(message);
            self.met = met;
        }
        Ok(met.is_some())
    }

    /// The stream comes first and the record second: a stream that cannot be created leaves no trace. A
    /// generation that follows another too soon waits, and then all is looked at again.
    async fn begin(
        &self,
        session: &LeaderSession,
        old: StreamState,
        recorded: Recorded,
        first_position: i64,
    ) -> Result<(), Error> {
        let wait = recorded.last.map_or(Duration::ZERO, |last| last.wait);
        if !wait.is_zero() && !recorded.is_newer_epoch() {
            tracing::info!(?wait, "the next generation of the stream waits for its time");
            tokio::time::sleep(wait.min(LOOK_AGAIN)).await;
            return Ok(());
        }
        let generation = recorded.generation() + 1;
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
        self.bus.create_generation(generation, first_position).await?;
        session.record(generation, first_position, recorded.epoch).await
    }

    async fn halt(&self, reason: String) {
        if self.dependencies.status.get().halted.as_ref() != Some(&reason) {
            tracing::error!("nothing is published: {reason}");
            self.dependencies.status.halt(reason);
        }
        tokio::time::sleep(Duration::from_millis(self.config.halt_poll_ms)).await;
    }

    /// Publishes until an error, until the fence is not open or another epoch has begun, or until somebody finds
    /// something foreign.
    async fn publish(&mut self, of: (i32, i32), after: i64) -> Result<(), Error> {
        let generation = of.0;
        let mut publisher = self.bus.publisher(generation, after);
        let published = self.publish_pages(of, &mut publisher).await;
        self.stored = (generation, publisher.acknowledged());
        published
    }

    async fn publish_pages(
        &mut self,
        (generation, epoch): (i32, i32),
        publisher: &mut Publisher,
    ) -> Result<(), Error> {
        let mut publishing = Publishing::default();
        let mut looked = Instant::now();
        while self.dependencies.fence.is_open_in(epoch)
            && !self.dependencies.fence.has_foreign(generation)
        {
            // Before the read: a hint that comes during it is not lost.
            let hinted = *self.dependencies.head.borrow_and_update();
            let sent = Position(publisher.sent());
            let page = self.dependencies.log.read_page(sent, self.config.page_events_max).await?;
            let nothing = page.is_empty();
            for event in page {
                let envelope = Envelope::from(event);
                publishing.sent(&envelope);
                publisher.publish(&envelope).await?;
            }
            self.acknowledged(publisher, &mut publishing);
            if nothing || hinted <= Position(publisher.sent()) {
                self.wait(publisher, &mut publishing).await?;
            }
            let flushed = publisher.acknowledged() == publisher.sent();
            if flushed && looked.elapsed() >= LOOK_FOR_STREAM {
                looked = Instant::now();
                if !self.is_as_left(generation, publisher.acknowledged()).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether the stream is still there and ends with what was stored last.
    async fn is_as_left(&self, generation: i32, stored: i64) -> Result<bool, Error> {
        Ok(match self.bus.stream_state().await? {
            StreamState::Present { generation: found, last_sequence, .. } => {
                (found, last_sequence) == (generation, stored)
            }
            StreamState::Absent => false,
        })
    }

    /// Tells how far the bus has come.
    fn acknowledged(&self, publisher: &Publisher, publishing: &mut Publishing) {
        self.dependencies.status.published(Position(publisher.acknowledged()));
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
                Ok(()) = self.dependencies.head.changed() => return Ok(()),
                stored = publisher.flush(), if !flushed => {
                    stored?;
                    self.acknowledged(publisher, publishing);
                }
                () = &mut poll => return Ok(()),
            }
        }
    }
}
