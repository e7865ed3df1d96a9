//! Two tiny kinds of streams that have due work: each has its own fold and handler, and neither is in the way of the
//! other.

use std::collections::BTreeSet;
use std::sync::Arc;

use hatch_domain::{Decider, DecodeError, DomainEvent, EventType, Routing};
use hatch_eventstore::{
    Append, Appender, AppenderConfig, Execute, ExpectedVersion, HeadWatch, Loaded, Log, Metadata,
    NewEvent, RecordedEvent, Store, StreamWrite,
};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{DueKind, Halts, Handler, Lag, Lane, Permit, Sweeper, follow, observe};

/// Rings once at its time. Of two kinds, for the timers to tell apart.
#[derive(Debug, Default)]
pub(crate) struct Alarm<const SNOOZE: bool> {
    set: bool,
}

pub(crate) enum Ask {
    Set(DateTime<Utc>),
    Ring,
}

#[derive(Debug)]
pub(crate) enum Said {
    Set(DateTime<Utc>),
    Rung,
}

#[derive(Debug, thiserror::Error)]
#[error("it is not set")]
pub(crate) struct NotSet;

impl<const SNOOZE: bool> Decider for Alarm<SNOOZE> {
    const KIND: &'static str = if SNOOZE { "snooze" } else { "reminder" };

    type Command = Ask;
    type Event = Said;
    type Rejection = NotSet;

    fn decide(&self, command: &Ask) -> Result<Vec<Said>, NotSet> {
        match command {
            Ask::Set(at) => Ok(vec![Said::Set(*at)]),
            Ask::Ring if self.set => Ok(vec![Said::Rung]),
            Ask::Ring => Err(NotSet),
        }
    }

    fn evolve(self, event: &Said) -> Self {
        Self { set: matches!(event, Said::Set(_)) }
    }

    fn routing(&self) -> Routing {
        Routing { aggregate: Self::KIND, ..Routing::default() }
    }
}

impl DomainEvent for Said {
    const TYPES: &'static [EventType] = &[
        EventType { name: "Set", version: 1, unpublished: &[] },
        EventType { name: "Rung", version: 1, unpublished: &[] },
    ];

    fn event_type(&self) -> &'static str {
        match self {
            Self::Set(_) => "Set",
            Self::Rung => "Rung",
        }
    }

    fn schema_version(&self) -> i16 {
        1
    }

    fn encode(&self) -> String {
        match self {
            Self::Set(at) => format!("{}", at.timestamp_micros()),
            Self::Rung => "null".to_owned(),
        }
    }

    fn decode(event_type: &str, schema_version: i16, payload: &str) -> Result<Self, DecodeError> {
        let at = payload.parse().ok().and_then(DateTime::from_timestamp_micros);
        match (event_type, at) {
            ("Set", Some(at)) => Ok(Self::Set(at)),
            ("Rung", _) => Ok(Self::Rung),
            _ => Err(DecodeError::Unknown { event_type: event_type.to_owned(), schema_version }),
        }
    }
}

/// The timers of alarms.
#[derive(Debug)]
pub(crate) struct Alarms<const SNOOZE: bool>;

pub(crate) type Reminders = Alarms<false>;
type Snoozes = Alarms<true>;

impl<const SNOOZE: bool> DueKind for Alarms<SNOOZE> {
    type Stream = Alarm<SNOOZE>;
    type Note = ();

    const CHECKPOINT: (&'static str, i32) = (if SNOOZE { "snoozes" } else { "reminders" }, 1);

    fn due(event: &Said) -> DueTime {
        match event {
            Said::Set(at) => DueTime::At { step: None, at: *at },
            Said::Rung => DueTime::Over,
        }
    }

    fn place(_: &RecordedEvent) -> WorkClass {
        WorkClass { lane: "all", priority: "normal" }
    }
}

/// Rings what is due.
struct Bell<const SNOOZE: bool> {
    store: Store,
    rung: watch::Sender<BTreeSet<Uuid>>,
}

impl<const SNOOZE: bool> Handler for Bell<SNOOZE> {
    type Kind = Alarms<SNOOZE>;

    async fn handle(self: Arc<Self>, timer: DueTimer, stream: Loaded<Alarm<SNOOZE>>, _: Permit) {
        let Loaded { state, version, .. } = stream;
        let (tenant_id, id) = (timer.tenant_id, timer.stream_id);
        let ring = Execute::new(tenant_id, id, &Ask::Ring, Metadata::default());
        if self.store.execute(ring.at(state, version)).await.is_ok() {
            self.rung.send_modify(|rung| {
                rung.insert(id);
            });
        }
    }
}

struct World {
    store: Store,
    pool: hatch_eventstore::Connections,
    head: HeadWatch,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

const LAG: Lag = Lag(Duration::from_millis(40));

impl World {
    fn of(database: &TestDatabase) -> Self {
        let shutdown = CancellationToken::new();
        let pool = hatch_eventstore::pool(&database.config(), 8, Duration::from_secs(5));
        let (appender, _task) =
            Appender::start(AppenderConfig::default(), database.config(), shutdown.clone());
        let store = Store::new(appender, Log::new(pool.clone()), Arc::new(SystemEnvironment));
        let (head, _task) = HeadWatch::start(database.config(), shutdown.clone());
        Self { store, pool, head, shutdown, tasks: TaskTracker::new() }
    }

    /// Folds and sweeps a kind, as a process of its own would.
    fn start<const SNOOZE: bool>(&self) -> Arc<Bell<SNOOZE>> {
        let handler = Arc::new(Bell { store: self.store.clone(), rung: watch::Sender::default() });
        let timers = Timers::of::<Alarms<SNOOZE>>(self.pool.clone());
        let sweeper = Arc::new(Sweeper {
            handler: handler.clone(),
            store: self.store.clone(),
            timers: timers.clone(),
            lag: LAG,
            head: self.head.clone(),
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
        });
        let permits = Arc::new(Semaphore::new(4));
        let lane = Lane::new(vec!["all"], &[&["normal"]], permits, Box::new(|| None));
        self.tasks.spawn(sweeper.run(lane));
        let (store, head) = (self.store.clone(), self.head.clone());
        let fold =
            follow::run::<Alarms<SNOOZE>>(store, head, timers, LAG, Arc::new(Halts::default()));
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move { shutdown.run_until_cancelled(fold).await.is_some() });
        handler
    }

    async fn set<const SNOOZE: bool>(&self, id: Uuid, wait: TimeDelta) {
        let command = Ask::Set(SystemEnvironment.now() + wait);
        let set = Execute::<Alarm<SNOOZE>>::new(TENANT, id, &command, Metadata::default());
        self.store.execute(set).await.expect("accepted");
    }
}

async fn eventually<const SNOOZE: bool>(bell: &Bell<SNOOZE>, expected: &[Uuid]) {
    let mut rung = bell.rung.subscribe();
    let rung = rung.wait_for(|rung| rung.iter().eq(expected));
    assert!(tokio::time::timeout(Duration::from_secs(60), rung).await.is_ok(), "{expected:?}");
}

#[tokio::test]
async fn each_kind_is_rung_once_by_its_own_handler() {
    let database = TestDatabase::create_from(&TEMPLATE).await;
    let world = World::of(&database);
    world.set::<false>(stream(1), TimeDelta::zero()).await;
    world.set::<true>(stream(2), TimeDelta::milliseconds(300)).await;
    let reminders = world.start::<false>();
    eventually(&reminders, &[stream(1)]).await;
    // The second kind comes later, and is folded from the first event on.
    let snoozes = world.start::<true>();
    eventually(&snoozes, &[stream(2)]).await;
    world.set::<false>(stream(3), TimeDelta::milliseconds(100)).await;
    eventually(&reminders, &[stream(1), stream(3)]).await;
    world.shutdown.cancel();
    world.tasks.close();
    world.tasks.wait().await;
    let types: Vec<String> = world
        .store
        .log()
        .read_page(Position::START, 100)
        .await
        .expect("readable")
        .into_iter()
        .map(|event| format!("{} {}", event.aggregate, event.event_type))
        .collect();
    let rung = |kind: &str| types.iter().filter(|said| **said == format!("{kind} Rung")).count();
    assert_eq!((rung("reminder"), rung("snooze")), (2, 1), "{types:?}");
}

#[tokio::test]
async fn what_one_kind_cannot_read_is_no_matter_of_another() {
    let database = TestDatabase::create_from(&TEMPLATE).await;
    let world = World::of(&database);
    let of_the_future = NewEvent {
        event_id: SystemEnvironment.new_id(),
        event_type: "Moved",
        schema_version: 1,
        routing: Routing { aggregate: "reminder", ..Routing::default() },
        metadata: Metadata::default(),
        payload: "{}".to_owned(),
    };
    let write = StreamWrite {
        stream_id: stream(1),
        tenant_id: TENANT,
        expected: ExpectedVersion::NoStream,
        events: vec![of_the_future],
    };
    let append = Append { writes: vec![write], ..Append::default() };
    world.store.appender().append(append).await.expect("appended");
    world.set::<true>(stream(2), TimeDelta::zero()).await;
    let (_reminders, snoozes) = (world.start::<false>(), world.start::<true>());
    eventually(&snoozes, &[stream(2)]).await;
    let session = database.connect().await;
    let marked = async {
        while observe::<Reminders>(&session, Duration::ZERO).await.expect("seen").undecodable == 0 {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), marked).await.is_ok(), "marked");
    let snoozed = observe::<Snoozes>(&session, Duration::ZERO).await.expect("seen");
    assert_eq!((snoozed.undecodable, snoozed.overdue), (0, 0));
    world.shutdown.cancel();
}
