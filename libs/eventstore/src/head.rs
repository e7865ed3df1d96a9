//! The log's head and its fence, which a process' readers and senders share.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use hatch_domain::Environment as _;
use hatch_telemetry::chain::Chain;
use hatch_telemetry::presence::Presence;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{AsyncMessage, Client, Statement};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::epoch::{self, BusEnd, DatabasePlace, Fence, FenceRow, FenceState, Identity};
use crate::{Backoff, BusSecrets, Database, Position, ServerClock, is_away, postgres};

const HEAD: &str = "SELECT coalesce(max(position), 0) FROM es.events";

/// How often the head is asked for: notifications are hints and may be lost.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How long an answer may take before the connection counts as lost.
const POLL_TIMEOUT: Duration = Duration::from_secs(2);

/// Tells the bus by which secrets it is believed and asks it for its end, for seconds at most; none when
/// it cannot tell, or nothing proves what it tells.
pub type AskBus =
    Arc<dyn Fn(BusSecrets, Position) -> BoxFuture<'static, Option<BusEnd>> + Send + Sync>;

/// What a fence is compared with, beside the server itself.
#[derive(Clone, Default)]
pub struct FenceConfig {
    /// What is configured about the database.
    pub place: DatabasePlace,
    /// Asks the bus, where there is one: a log that lacks the bus's last event has regressed.
    pub bus: Option<AskBus>,
}

/// Follows the log's head and its fence; cheap to clone.
///
/// The head is asked for every 250 ms; while somebody holds [`Hints`] it is known within about a
/// millisecond. While PostgreSQL is away the last known head stays, and the fence is not open.
#[derive(Clone)]
pub struct HeadWatch {
    head: watch::Receiver<Position>,
    fence: Fence,
    wanted: Arc<Wanted>,
    clock: ServerClock,
}

/// While one of these lives, its process hears of every append at once.
///
/// Each process that listens is woken by every commit, on the server and here. So who learns of events
/// in another way, by the [`Feed`](crate::Feed), does without.
pub struct Hints(Arc<Wanted>);

/// Whether hints are wanted.
#[derive(Default)]
struct Wanted {
    holders: AtomicUsize,
    changed: Notify,
}

impl Hints {
    fn new(wanted: &Arc<Wanted>) -> Self {
        if wanted.holders.fetch_add(1, Ordering::Relaxed) == 0 {
            wanted.changed.notify_one();
        }
        Self(Arc::clone(wanted))
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        if self.0.holders.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.changed.notify_one();
        }
    }
}

impl HeadWatch {
    /// As [`start_with`](Self::start_with), with nothing configured.
    #[must_use]
    pub fn start(postgres: Database, shutdown: CancellationToken) -> (Self, JoinHandle<()>) {
        Self::start_with(FenceConfig::default(), postgres, shutdown)
    }

    /// As [`start_by`](Self::start_by), by a clock of its own.
    #[must_use]
    pub fn start_with(
        config: FenceConfig,
        postgres: Database,
        shutdown: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        Self::start_by(ServerClock::default(), config, postgres, shutdown)
    }

    /// Starts the task that owns the connection. It connects again for ever, until `shutdown`. Each look tells `clock`
    /// the time.
    #[must_use]
    pub fn start_by(
        clock: ServerClock,
        config: FenceConfig,
        postgres: Database,
        shutdown: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (head_sender, head) = watch::channel(Position::START);
        let (fence_sender, fence) = watch::channel(FenceState::Unknown);
        let fence = Fence::new(fence, config.place.clone());
        let watcher = Watcher {
            postgres,
            config,
            head: Arc::new(head_sender),
            fence: fence_sender,
            epoch: None,
            said: None,
            wanted: Arc::default(),
            clock,
            presence: Presence::new("PostgreSQL"),
        };
        let (wanted, clock) = (Arc::clone(&watcher.wanted), watcher.clock.clone());
        let task = tokio::spawn(async move {
            // Nothing here needs an orderly end.
            let _ = shutdown.run_until_cancelled(watcher.follow()).await;
        });
        (Self { head, fence, wanted, clock }, task)
    }

    /// The head as last seen; [`Position::START`] before it was.
    #[must_use]
    pub fn current(&self) -> Position {
        *self.head.borrow()
    }

    /// A receiver that is told of every change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Position> {
        self.head.clone()
    }

    /// Lets the head be known at once, as long as what is returned lives.
    #[must_use]
    pub fn hints(&self) -> Hints {
        Hints::new(&self.wanted)
    }

    /// Whether something may be sent.
    #[must_use]
    pub const fn fence(&self) -> &Fence {
        &self.fence
    }

    /// PostgreSQL's time, which each look at the head tells as well.
    #[must_use]
    pub const fn clock(&self) -> &ServerClock {
        &self.clock
    }
}

/// The task behind a [`HeadWatch`].
struct Watcher {
    postgres: Database,
    config: FenceConfig,
    head: Arc<watch::Sender<Position>>,
    fence: watch::Sender<FenceState>,
    /// The epoch in which the head was last seen.
    epoch: Option<i32>,
    /// The reason for a closed fence that was logged last.
    said: Option<String>,
    wanted: Arc<Wanted>,
    clock: ServerClock,
    /// Whether the server is there, for the log.
    presence: Presence,
}

/// A connection, and what was found out on it.
struct HeadSession {
    client: Client,
    fence_row: Statement,
    found: Identity,
    /// Whether the bus was asked: before that the fence does not open.
    asked: bool,
    /// The generation of the bus whose end is in the log.
    compared: Option<i32>,
    /// Tells of a change of the fence.
    poked: Arc<Notify>,
    /// Whether it hears of appends.
    hinted: bool,
    clock: ServerClock,
    _driver: AbortOnDropHandle<()>,
}

type Failure = Box<dyn Error + Send + Sync>;

/// The bus is being asked.
type Asking = Option<BoxFuture<'static, Option<BusEnd>>>;

impl Watcher {
    async fn follow(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let before = *self.head.borrow();
            let Err(error) = self.listen().await;
            self.fence.send_replace(FenceState::Unknown);
            if *self.head.borrow() != before {
                backoff.reset();
            }
            self.tell_away(error.as_ref(), backoff.upcoming());
            backoff.wait().await;
        }
    }

    /// Says once that the server is away, for all who need it.
    fn tell_away(&self, error: &(dyn Error + 'static), retry_in: Duration) {
        if is_away(error) || error.is::<Elapsed>() {
            self.presence.away(&Chain(error).to_string());
            tracing::debug!(error, ?retry_in, "head of the log not watched");
        } else {
            tracing::warn!(error, ?retry_in, "head of the log not watched");
        }
    }

    async fn listen(&mut self) -> Result<Infallible, Failure> {
        let mut session = self.connect().await?;
        let mut asking = self.ask(&session).await?;
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        loop {
            let answered = tokio::select! {
                _ = ticks.tick() => false,
                () = session.poked.notified() => false,
                () = self.wanted.changed.notified() => false,
                end = answer(&mut asking) => {
                    asking = None;
                    session.compare(end).await?;
                    true
                }
            };
            // Before the poll, so that what was appended meanwhile is seen.
            session.listen(self.wanted.holders.load(Ordering::Relaxed) > 0).await?;
            let generation = self.poll(&session).await?;
            self.presence.back();
            let compared = generation.is_none() || generation == session.compared;
            if !compared && !answered && asking.is_none() {
                asking = self.ask(&session).await?;
            }
        }
    }

    /// Asks the bus, where there is one.
    async fn ask(&self, session: &HeadSession) -> Result<Asking, Failure> {
        let Some(ask) = &self.config.bus else { return Ok(None) };
        let secrets = timeout(POLL_TIMEOUT, BusSecrets::read(&session.client)).await??;
        let head = timeout(POLL_TIMEOUT, session.client.query_one(HEAD, &[])).await??;
        Ok(Some(ask(secrets, Position(head.try_get(0)?))))
    }

    async fn connect(&self) -> Result<HeadSession, Failure> {
        let mut postgres = postgres::hardened(&self.postgres);
        // A standby does not know what it will be.
        postgres.application_name("hatch-head").target_session_attrs(TargetSessionAttrs::ReadWrite);
        let (client, mut connection) = postgres::open(&postgres).await?;
        let (notified, poked) = (Arc::clone(&self.head), Arc::new(Notify::new()));
        let poke = Arc::clone(&poked);
        let driver = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut messages = futures::stream::poll_fn(|context| connection.poll_message(context));
            // The client learns of an error as well.
            while let Some(Ok(message)) = messages.next().await {
                let AsyncMessage::Notification(notification) = message else { continue };
                if notification.channel() == epoch::CHANNEL {
                    poke.notify_one();
                } else if let Ok(position) = notification.payload().parse() {
                    raise(&notified, Position(position));
                }
            }
            // The next poll finds the connection closed, at once.
            poke.notify_one();
        }));
        let prepared = async {
            client.batch_execute("LISTEN hatch_fence").await?;
            epoch::complete(&client, &self.config.place).await?;
            let found = Identity::read(&client, &self.config.place).await?;
            Ok::<_, tokio_postgres::Error>((client.prepare(epoch::FENCE_ROW).await?, found))
        };
        let (fence_row, found) = timeout(POLL_TIMEOUT, prepared).await??;
        let asked = self.config.bus.is_none();
        let (compared, hinted, clock) = (None, false, self.clock.clone());
        Ok(HeadSession {
            client,
            fence_row,
            found,
            asked,
            compared,
            poked,
            hinted,
            clock,
            _driver: driver,
        })
    }

    /// Looks at head and fence, and says which generation of the bus is on record for this log.
    async fn poll(&mut self, session: &HeadSession) -> Result<Option<i32>, Failure> {
        let before = *self.head.borrow();
        let mut fence_row = session.fence_row().await?;
        if let Some(detail) = self.regression(before, &fence_row) {
            tracing::error!(detail, "the log has regressed");
            if let Some(epoch) = self.epoch {
                // First of all, so that it is not forgotten if it cannot be put on record now.
                let report = epoch::report_regression(&session.client, epoch, &detail);
                timeout(POLL_TIMEOUT, report).await??;
                self.epoch = Some(fence_row.epoch());
                fence_row = session.fence_row().await?;
            }
            self.head.send_replace(fence_row.head);
        }
        raise(&self.head, fence_row.head);
        self.epoch = Some(fence_row.epoch());
        let generation = fence_row.generation();
        let state = match fence_row.state(&session.found, session.compared) {
            FenceState::Open { .. } if !session.asked => FenceState::Unknown,
            state => state,
        };
        self.tell(state);
        Ok(generation)
    }

    /// What was seen and is not there any more. Not an answer that a notification overtook: the head `before` it
    /// was known when it was asked for.
    fn regression(&self, before: Position, fence_row: &FenceRow) -> Option<String> {
        let (head, epoch) = (fence_row.head, fence_row.epoch());
        match self.epoch {
            Some(seen) if epoch < seen => Some(format!(
                "epoch {seen} was seen, the log is of epoch {epoch} and ends at {head}"
            )),
            _ if head < before => {
                Some(format!("the head was seen at position {before}, the log ends at {head}"))
            }
            _ => None,
        }
    }

    fn tell(&mut self, state: FenceState) {
        let sentence = match &state {
            FenceState::Closed(closed) => Some(closed.to_string()),
            FenceState::Open { .. } => None,
            FenceState::Unknown => self.said.clone(),
        };
        if sentence != self.said {
            match &sentence {
                Some(sentence) => tracing::error!("{sentence}"),
                None => tracing::warn!("the fence is lifted: messages are sent again"),
            }
            self.said = sentence;
        }
        self.fence.send_if_modified(|known| {
            let changed = *known != state;
            *known = state;
            changed
        });
    }
}

impl HeadSession {
    /// Hears of appends from now on, or no longer.
    async fn listen(&mut self, hinted: bool) -> Result<(), Failure> {
        if self.hinted != hinted {
            let sql = if hinted { "LISTEN hatch_head" } else { "UNLISTEN hatch_head" };
            timeout(POLL_TIMEOUT, self.client.batch_execute(sql)).await??;
            self.hinted = hinted;
        }
        Ok(())
    }

    async fn fence_row(&self) -> Result<FenceRow, Failure> {
        let asked = self.clock.uptime();
        let row = timeout(POLL_TIMEOUT, self.client.query_one(&self.fence_row, &[])).await??;
        let fence_row = FenceRow::of(&row)?;
        self.clock.learn(asked, fence_row.now);
        Ok(fence_row)
    }

    /// Compares the bus's end, which was read before this, with the log. What was published was
    /// committed first, so a log that lacks it has lost it.
    async fn compare(&mut self, end: Option<BusEnd>) -> Result<(), Failure> {
        self.asked = true;
        let Some(BusEnd { generation, position, event_id }) = end else { return Ok(()) };
        let fence_row = self.fence_row().await?;
        let contradiction = match event_id {
            Some(event_id) => {
                let asked = epoch::contradiction(&self.client, "the bus", position, event_id);
                timeout(POLL_TIMEOUT, asked).await??
            }
            // A stranger who can write to the bus can make such a stream: it says nothing about the log.
            None if position > fence_row.head => return Ok(()),
            None => None,
        };
        self.compared = contradiction.is_none().then_some(generation);
        if let Some(detail) = contradiction.filter(|_| !fence_row.bus_is_of_earlier_epoch()) {
            let report = epoch::report_regression(&self.client, fence_row.epoch(), &detail);
            timeout(POLL_TIMEOUT, report).await??;
        }
        Ok(())
    }
}

async fn answer(asking: &mut Asking) -> Option<BusEnd> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

fn raise(head: &watch::Sender<Position>, to: Position) {
    head.send_if_modified(|head| {
        let higher = to > *head;
        if higher {
            *head = to;
        }
        higher
    });
}
