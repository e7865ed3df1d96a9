//! A log, a bus, and relays between them.

use std::time::Duration;

use hatch_bus::testing::{TestBus, eventually, in_time};
use hatch_bus::{Bus, Envelope, StreamState};
use hatch_domain::{Environment, Routing, ids::ConversationId};
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    Append, Appended, Appender, AppenderConfig, ExpectedVersion, Fence, HeadWatch, Log, Metadata,
    NewEvent, Position, StreamWrite, SystemEnvironment, pool,
};
use hatch_relay::{Config, Dependencies, RelayStatus, StatusHandle};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Everything of one test.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) log: Log,
    pub(crate) bus: TestBus,
    appender: Appender,
    pub(crate) head: watch::Receiver<Position>,
    fence: Fence,
}

/// A running relay; stopped, as a crash would, when dropped.
pub(crate) struct Relay {
    pub(crate) status: StatusHandle,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_bus(TestBus::create().await).await
    }

    pub(crate) async fn with_bus(bus: TestBus) -> Self {
        let database = TestDatabase::create().await;
        let log = Log::new(pool(&database.config(), 4, Duration::from_secs(5)));
        let (appender, _task) =
            Appender::start(AppenderConfig::default(), database.config(), CancellationToken::new());
        let (head, _task) = HeadWatch::start(database.config(), CancellationToken::new());
        let fence = head.fence().clone();
        Self { database, log, bus, appender, head: head.subscribe(), fence }
    }

    /// Appends `count` events, one transaction each ten; returns the last position.
    pub(crate) async fn append(&self, count: usize) -> Position {
        let mut last = Position::START;
        for size in (0..count).step_by(10).map(|done| (count - done).min(10)) {
            let write = StreamWrite {
                stream_id: SystemEnvironment.new_id(),
                tenant_id: Uuid::from_u128(1),
                expected: ExpectedVersion::NoStream,
                events: (0..size).map(|_| new_event()).collect(),
            };
            let append = Append { writes: vec![write], ..Append::default() };
            match self.appender.append(append).await.expect("is appended") {
                Appended::Committed { last: position, .. } => last = position,
                Appended::Duplicate { .. } => panic!("has no key"),
            }
        }
        last
    }

    pub(crate) async fn relay(&self) -> Relay {
        let status = StatusHandle::default();
        let dependencies = Dependencies {
            log: self.log.clone(),
            head: self.head.clone(),
            postgres: self.database.config(),
            bus: self.bus.connect_again().await,
            fence: self.fence.clone(),
            status: status.clone(),
        };
        let config =
            Config { poll_ms: 100, standby_poll_ms: 50, halt_poll_ms: 50, ..Config::default() };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(hatch_relay::run(dependencies, config, shutdown.clone()));
        Relay { status, shutdown, task }
    }

    /// Waits until the event at `position` is the stream's last.
    pub(crate) async fn published(&self, position: Position) {
        eventually("published", async || {
            let state = self.bus.stream_state().await.ok()?;
            matches!(state, StreamState::Present { last_sequence, .. } if last_sequence == position.0)
                .then_some(())
        })
        .await;
    }

    /// Waits until the second generation is the current one.
    pub(crate) async fn second_generation(&self) {
        eventually("the next generation", async || {
            let state = self.bus.stream_state().await.ok()?;
            matches!(state, StreamState::Present { generation: 2, .. }).then_some(())
        })
        .await;
    }

    /// Waits until the second generation holds the log after `head`, with what is appended now.
    pub(crate) async fn goes_on_after(&self, head: Position) {
        self.second_generation().await;
        let last = self.append(5).await;
        self.published(last).await;
        self.assert_is_log(head.0 + 1, last).await;
    }

    /// Stores a message that is not hatch's at the end of the stream.
    pub(crate) async fn write_foreign(&self) {
        let subject = format!("{}.events.stray", self.bus.settings().prefix);
        // The answer comes by its connection, which ends with it.
        let jetstream = self.jetstream().await;
        let stored = jetstream.publish(subject, "hello".into()).await.expect("is sent");
        stored.await.expect("is stored");
    }

    /// Has the test's own bus believe, and write, what the relays do.
    pub(crate) async fn trust(&self) {
        let client = self.database.connect().await;
        let secrets = hatch_eventstore::BusSecrets::read(&client).await.expect("is read");
        self.bus.trust(hatch_relay::keys(&secrets));
    }

    /// Checks that the stream's events from `first` to `last` are those of the log.
    pub(crate) async fn assert_is_log(&self, first: i64, last: Position) {
        self.trust().await;
        let mut follow = self.bus.follow(first);
        for position in first..=last.0 {
            let seen = in_time("an event", follow.next()).await;
            let event = self.log.read_at(Position(position)).await.expect("is read");
            let event = event.expect("the log has it");
            assert_eq!((seen.position, seen.event_id), (position, event.event_id));
        }
    }

    /// The generations on record, as (generation, first position, epoch).
    pub(crate) async fn generations(&self) -> Vec<(i32, i64, i32)> {
        let sql = "SELECT generation, first_position, epoch FROM es.bus_generations ORDER BY 1";
        let rows = self.database.connect().await.query(sql, &[]).await.expect("is read");
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }

    pub(crate) async fn jetstream(&self) -> async_nats::jetstream::Context {
        let url = &self.bus.settings().url;
        hatch_bus::testing::jetstream(url).await.expect("connects")
    }

    pub(crate) fn stream_name(&self, generation: i32) -> String {
        format!("{}_EVENTS_{generation}", self.bus.settings().prefix.to_uppercase())
    }
}

impl Relay {
    /// Waits for a status.
    pub(crate) async fn until(
        &self,
        what: &str,
        wanted: impl Fn(&RelayStatus) -> bool,
    ) -> RelayStatus {
        let mut status = self.status.subscribe();
        in_time(what, status.wait_for(wanted)).await.expect("the handle lives").clone()
    }

    pub(crate) async fn leads(&self) {
        self.until("leads", |status| status.leader).await;
    }

    /// Ends it in order.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        in_time("the relay's end", &mut self.task).await.expect("does not panic");
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn new_event() -> NewEvent {
    let event_id = SystemEnvironment.new_id();
    NewEvent {
        event_id,
        event_type: "MessageRequested",
        schema_version: 3,
        routing: Routing {
            aggregate: "message",
            conversation_id: Some(ConversationId(Uuid::from_u128(9))),
            channel: Some("sms"),
            priority: Some("high"),
        },
        metadata: Metadata {
            correlation_id: Uuid::from_u128(5),
            causation_id: Some(Uuid::from_u128(6)),
            actor: "test".to_owned(),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            request_id: None,
        },
        payload: format!(r#"{{ "of": "{event_id}" }}"#),
    }
}

/// An event of the bus that no log has.
pub(crate) fn stray(position: i64) -> Envelope {
    Envelope {
        position,
        event_id: SystemEnvironment.new_id(),
        tenant_id: Uuid::from_u128(1),
        event_type: "MessageRequested".to_owned(),
        schema_version: 1,
        stream_id: SystemEnvironment.new_id(),
        stream_version: 1,
        epoch: 1,
        recorded_at: chrono::DateTime::UNIX_EPOCH,
        aggregate: "message".to_owned(),
        conversation_id: None,
        channel: None,
        priority: None,
        correlation_id: Uuid::from_u128(5),
        causation_id: None,
        actor: "test".to_owned(),
        traceparent: None,
        data: None,
    }
}

pub(crate) async fn publish(bus: &Bus, generation: i32, envelope: &Envelope) {
    let mut publisher = bus.publisher(generation, envelope.position - 1);
    publisher.publish(envelope).await.expect("is sent");
    publisher.flush().await.expect("is stored");
}
