//! A log to write to, and projectors that may be started and stopped.

use std::sync::Arc;
use std::time::Duration;

use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::command::{
    AttemptOutcome, MessageCommand, ReceiptOutcome, RecordOutcome, RecordReceipt, StartAttempt,
};

use hatch_domain::message::{AGGREGATE, Message};
use hatch_domain::{Environment, Routing};
pub(crate) use hatch_eventstore::testing::eventually;
use hatch_eventstore::testing::{Template, TestDatabase};
use hatch_eventstore::{
    Append, Appended, Appender, AppenderConfig, Connections, Execute, ExpectedVersion, Feed,
    HeadWatch, Log, Metadata, NewEvent, Position, Store, StreamWrite, SystemEnvironment,
};
use hatch_projector::{Config, Dependencies};
use hatch_readmodel::testing::with_counts;
use hatch_readmodel::{PROJECTIONS, Projections, ReadModel, ReadPosition, schemas};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const TEMPLATE: Template =
    Template { name: "readmodel", schemas: || schemas(with_counts()), sql: "" };

/// How long a test waits for what has to happen.
const WAIT_MAX: Duration = Duration::from_secs(20);

pub(crate) const TENANT: TenantId = TenantId::DEFAULT;

/// A database with an appender, and what reads it.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) pool: Connections,
    pub(crate) log: Log,
    pub(crate) head: HeadWatch,
    pub(crate) store: Store,
    pub(crate) read_model: ReadModel,
    /// What projectors keep up.
    pub(crate) projections: Projections,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let pool = hatch_eventstore::pool(&database.config(), 12, Duration::from_secs(2));
        let log = Log::new(pool.clone());
        let (appender, _task) =
            Appender::start(AppenderConfig::default(), database.config(), CancellationToken::new());
        let (head, _task) = HeadWatch::start(database.config(), CancellationToken::new());
        let store = Store::new(appender, log.clone(), Arc::new(SystemEnvironment));
        let read_model = ReadModel::new(pool.clone());
        let projections = PROJECTIONS;
        Self { database, pool, log, head, store, read_model, projections }
    }

    /// A head that nobody moves.
    pub(crate) fn blind_head(&self) -> HeadWatch {
        let stopped = CancellationToken::new();
        stopped.cancel();
        HeadWatch::start(self.database.config(), stopped).0
    }

    pub(crate) fn projector(&self) -> Projector {
        self.projector_with(self.head.clone(), None, Config::default())
    }

    pub(crate) fn projector_with(
        &self,
        head: HeadWatch,
        feed: Option<Feed>,
        config: Config,
    ) -> Projector {
        let shutdown = CancellationToken::new();
        let dependencies = Dependencies {
            pool: self.pool.clone(),
            log: self.log.clone(),
            head,
            projections: self.projections,
            feed,
        };
        let running = tokio::spawn(hatch_projector::run(dependencies, config, shutdown.clone()));
        Projector { shutdown, running }
    }

    /// Has the message decide on `command`; returns the position of its last event.
    pub(crate) async fn execute(&self, id: MessageId, command: MessageCommand) -> Position {
        let execute = Execute::<Message>::new(TENANT.0, id.0, &command, Metadata::default());
        let executed = self.store.execute(execute).await.expect("the command is lawful");
        last(executed.appended.expect("it has events"))
    }

    /// Asks for a message to the `n`th customer.
    pub(crate) async fn request(&self, n: u32) -> (MessageId, Position) {
        let id = MessageId(SystemEnvironment.new_id());
        let to = format!("+1804555{n:04}");
        let request = hatch_domain::testing::request_to(&to, SystemEnvironment.now());
        (id, self.execute(id, MessageCommand::Request(request.into())).await)
    }

    /// Asks for a message and sees it through to its delivery.
    pub(crate) async fn deliver(&self, n: u32) -> (MessageId, Position) {
        let (id, _) = self.request(n).await;
        let (token, at) = (Uuid::from_u128(7), SystemEnvironment.now());
        let (provider, account) = ("twilio".to_owned(), "AC1".to_owned());
        let (call_before, lease_until) = (at, at);
        let choice = None;
        let start = StartAttempt { provider, account, choice, token, call_before, lease_until, at };
        self.execute(id, MessageCommand::StartAttempt(start)).await;
        let called = format!("SM{n}");
        let outcome =
            AttemptOutcome::Accepted { provider_message_id: called.clone(), segments: Some(1) };
        let outcome = RecordOutcome { attempt: 1, token, outcome, at };
        self.execute(id, MessageCommand::RecordOutcome(outcome)).await;
        let receipt = RecordReceipt {
            attempt: Some(1),
            provider_message_id: called,
            receipt_id: Uuid::from_u128(9),
            recipient: None,
            outcome: ReceiptOutcome::Delivered,
            at,
        };
        (id, self.execute(id, MessageCommand::RecordReceipt(receipt)).await)
    }

    /// Appends an event of a message that no build knows.
    pub(crate) async fn poison(&self, id: MessageId) -> Position {
        let event = NewEvent {
            event_id: SystemEnvironment.new_id(),
            event_type: "MessageTeleported",
            schema_version: 1,
            routing: Routing { aggregate: AGGREGATE, ..Routing::default() },
            metadata: Metadata::default(),
            payload: "{}".to_owned(),
        };
        let write = StreamWrite {
            stream_id: id.0,
            tenant_id: TENANT.0,
            expected: ExpectedVersion::Exists,
            events: vec![event],
        };
        let append = Append { writes: vec![write], ..Append::default() };
        last(self.store.appender().append(append).await.expect("the log takes anything"))
    }

    pub(crate) async fn reached(&self, position: Position) {
        let wait = ReadPosition::new(self.read_model.clone());
        let reached = wait.wait_for(PROJECTIONS, position, WAIT_MAX).await;
        assert!(reached.expect("the checkpoints can be read"), "{position} is not reached");
    }
}

/// A projector that runs.
pub(crate) struct Projector {
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Projector {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.expect("it ends in order");
    }
}

fn last(appended: Appended) -> Position {
    match appended {
        Appended::Committed { last, .. } | Appended::Duplicate { last, .. } => last,
    }
}
