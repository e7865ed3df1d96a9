//! Appending by group commit: while one transaction commits, the next batch gathers.
//!
//! No timer delays anything: a lone command commits at once, and a busy process commits hundreds of
//! events a transaction. The decision itself is [`plan`]'s, the SQL is [`session`]'s; here is the
//! queue between callers and the one connection, and what is done when a batch fails.

mod batch;
mod columns;
mod failure;
mod holder;
mod plan;
mod session;
mod standstill;
mod statements;
mod stats;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hatch_telemetry::span;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use failure::Failure;
pub use holder::{LockHolder, lock_holder};
use session::{AppendSession, Remembered, Trace};
pub use standstill::Standstill;
use standstill::Tries;
pub use stats::AppenderStats;

use crate::{Append, AppendError, Appended, Backoff, Database, DatabasePlace, Position};

/// Waits between attempts when PostgreSQL cannot be used: from the first, doubling, to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Events of a partition of the log, as `es.create_partition` makes them.
const PARTITION_EVENTS: i64 = 10_000_000;

/// Limits of an [`Appender`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppenderConfig {
    /// Commands that wait or are being committed at most; more are refused as overload.
    pub queue_commands_max: usize,
    /// Bytes of those commands at most, about.
    pub queue_bytes_max: usize,
    /// How long a caller waits for its answer.
    pub append_timeout: Duration,
    /// What is configured about the database: one of another place is fenced.
    pub place: DatabasePlace,
}

impl Default for AppenderConfig {
    fn default() -> Self {
        Self {
            queue_commands_max: 4096,
            queue_bytes_max: 64 * 1024 * 1024,
            append_timeout: Duration::from_secs(4),
            place: DatabasePlace::default(),
        }
    }
}

/// The process' one writer to the log; cheap to clone.
#[derive(Clone)]
pub struct Appender {
    queue: mpsc::Sender<QueuedAppend>,
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    queue_commands_max: usize,
    append_timeout: Duration,
    stats: Arc<AppenderStats>,
    tries: Arc<Tries>,
}

impl Appender {
    /// Starts the task that owns the connection. It connects on its own, and again for ever; on
    /// `shutdown` it commits what is queued and ends.
    #[must_use]
    pub fn start(
        config: AppenderConfig,
        postgres: Database,
        shutdown: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (queue, commands) = mpsc::channel(config.queue_commands_max.max(1));
        let appender = Self {
            queue,
            places: Arc::new(Semaphore::new(config.queue_commands_max)),
            bytes: Arc::new(Semaphore::new(config.queue_bytes_max)),
            queue_commands_max: config.queue_commands_max,
            append_timeout: config.append_timeout,
            stats: Arc::default(),
            tries: Arc::default(),
        };
        let worker = Worker {
            postgres,
            place: config.place,
            commands,
            waiting: VecDeque::new(),
            session: None,
            last: None,
            partition: None,
            backoff: Backoff::new(BACKOFF.0, BACKOFF.1),
            stats: Arc::clone(&appender.stats),
            tries: Arc::clone(&appender.tries),
        };
        (appender, tokio::spawn(worker.run(shutdown)))
    }

    /// Appends `append`, all of it or nothing, and waits until it is committed. Dropped while it
    /// waits, the command may still be appended.
    ///
    /// # Errors
    /// [`AppendError`]; after [`AppendError::Unavailable`] the events may be there or may yet come.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let span = span!("append", events = append.events(), outcome = tracing::field::Empty);
        let answered = self.enqueue(append).instrument(span.clone()).await;
        let outcome = stats::outcome(&answered);
        span.record("outcome", outcome);
        self.stats.appends.of(&outcome).increment();
        answered
    }

    /// What was appended so far, and how.
    #[must_use]
    pub const fn stats(&self) -> &Arc<AppenderStats> {
        &self.stats
    }

    /// Whether there was something to commit for some seconds, and nothing was.
    #[must_use]
    pub fn standstill(&self) -> Option<Standstill> {
        self.tries.standstill()
    }

    /// Commands that wait or are being committed.
    #[must_use]
    pub fn queue_commands(&self) -> usize {
        self.queue_commands_max.saturating_sub(self.places.available_permits())
    }

    async fn enqueue(&self, append: Append) -> Result<Appended, AppendError> {
        append.check()?;
        let bytes = u32::try_from(append.bytes()).unwrap_or(u32::MAX);
        let overloaded = |_| AppendError::Overloaded;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(overloaded)?;
        let room = Arc::clone(&self.bytes).try_acquire_many_owned(bytes).map_err(overloaded)?;
        let (reply, answer) = oneshot::channel();
        let waiting = QueuedAppend { append, reply, _place: place, _room: room };
        self.queue.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AppendError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => AppendError::Unavailable,
        })?;
        match tokio::time::timeout(self.append_timeout, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(AppendError::Unavailable),
        }
    }
}

/// A command in the queue.
struct QueuedAppend {
    append: Append,
    /// Closed when the caller has given up.
    reply: oneshot::Sender<Result<Appended, AppendError>>,
    _place: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl AsRef<Append> for QueuedAppend {
    fn as_ref(&self) -> &Append {
        &self.append
    }
}

/// The task behind an [`Appender`].
struct Worker {
    postgres: Database,
    place: DatabasePlace,
    commands: mpsc::Receiver<QueuedAppend>,
    waiting: VecDeque<QueuedAppend>,
    session: Option<AppendSession>,
    /// What was appended last: a server that lacks it holds an older log.
    last: Option<Remembered>,
    /// The partition that the last batch ended in.
    partition: Option<i64>,
    backoff: Backoff,
    stats: Arc<AppenderStats>,
    tries: Arc<Tries>,
}

/// The answers to a batch, in its order.
type Outcomes = Vec<Result<Appended, AppendError>>;

impl Worker {
    async fn run(mut self, shutdown: CancellationToken) {
        while self.gather(&shutdown).await {
            self.waiting.retain(QueuedAppend::is_wanted);
            let batch = batch::take(&mut self.waiting);
            self.settle(batch).await;
        }
    }

    /// Waits for a command and takes what else is queued; false when there will be no more.
    async fn gather(&mut self, shutdown: &CancellationToken) -> bool {
        if self.waiting.is_empty() {
            let first = tokio::select! {
                biased;
                command = self.commands.recv() => command,
                () = shutdown.cancelled() => {
                    // Nothing more comes in; what is there is still committed.
                    self.commands.close();
                    self.commands.recv().await
                }
            };
            match first {
                Some(command) => self.waiting.push_back(command),
                None => return false,
            }
        }
        while let Ok(command) = self.commands.try_recv() {
            self.waiting.push_back(command);
        }
        true
    }

    /// Sees to it that every command of `batch` gets its answer, or that its caller has gone.
    async fn settle(&mut self, batch: Vec<QueuedAppend>) {
        // A stream that is to begin is as a rule as new as its id.
        let mut todo = vec![(batch, false)];
        while let Some((mut batch, check_existing)) = todo.pop() {
            batch.retain(QueuedAppend::is_wanted);
            if batch.is_empty() {
                continue;
            }
            self.tries.begin();
            let attempted = self.attempt(&batch, check_existing).await;
            match &attempted {
                Ok(_) | Err(Failure::Refused(_) | Failure::StreamExists) => self.tries.end(),
                Err(
                    Failure::NotCommitted(why) | Failure::Miscounted(why) | Failure::InDoubt(why),
                ) => self.tries.fail(why),
            }
            match attempted {
                Ok(outcomes) => {
                    self.backoff.reset();
                    answer(batch, outcomes);
                }
                Err(Failure::Refused(why)) if batch.len() == 1 => {
                    answer(batch, vec![Err(AppendError::Refused(why))]);
                }
                // One of them is to blame: halving finds it, and the others are committed.
                Err(Failure::Refused(_)) => {
                    let second = batch.split_off(batch.len() / 2);
                    todo.extend([(second, check_existing), (batch, check_existing)]);
                }
                Err(Failure::StreamExists) => todo.push((batch, true)),
                Err(Failure::NotCommitted(why)) => {
                    // Without a session there is no server, which the one who watches the head logs.
                    if self.session.is_some() {
                        tracing::warn!(error = why, "append failed, trying again");
                    } else {
                        tracing::debug!(error = why, "append waits for a session");
                    }
                    todo.push((batch, check_existing));
                    self.start_over().await;
                }
                Err(Failure::Miscounted(why) | Failure::InDoubt(why)) => {
                    tracing::error!(error = why, "append ended in a way that it cannot");
                    answer(batch, Vec::new());
                    self.start_over().await;
                }
            }
        }
    }

    /// Decides on `batch` and commits what is accepted. Streams that are to begin are looked up before only
    /// if `check_existing`.
    async fn attempt(
        &mut self,
        batch: &[QueuedAppend],
        check_existing: bool,
    ) -> Result<Outcomes, Failure> {
        let started = Instant::now();
        let appends: Vec<&Append> = batch.iter().map(AsRef::as_ref).collect();
        let session = self.session().await?;
        for side in appends.iter().flat_map(|append| &append.side_rows) {
            session.prepare_side_rows(side.table).await?;
        }
        let mut begun = session.begin(&appends, check_existing).await?;
        let plan = plan::plan(appends.into_iter(), std::mem::take(&mut begun.state));
        if plan.is_empty() {
            session.rollback().await?;
            return Ok(plan.outcomes);
        }
        match session.commit(&plan, &begun).await {
            Ok(()) => {}
            Err(Failure::InDoubt(why)) => {
                tracing::warn!(error = why, "answer to COMMIT lost, looking whether it landed");
                let trace = Trace::of(&plan);
                if !self.landed(batch, &trace).await {
                    return Err(Failure::NotCommitted("COMMIT did not arrive".to_owned()));
                }
            }
            Err(failure) => return Err(failure),
        }
        self.stats.committed(batch.len(), plan.events.len(), started.elapsed());
        if let Some(last) = plan.events.last() {
            let (position, event_id) = (last.position, last.event.event_id);
            self.last = Some(Remembered { position, event_id, epoch: begun.epoch });
            self.reached(position).await;
        }
        Ok(plan.outcomes)
    }

    /// Whether the transaction that left `trace` was committed; asks until there is an answer, or
    /// nobody of `batch` waits for one.
    async fn landed(&mut self, batch: &[QueuedAppend], trace: &Trace) -> bool {
        while batch.iter().any(QueuedAppend::is_wanted) {
            self.start_over().await;
            let found = match self.session().await {
                Ok(session) => session.landed(trace).await,
                Err(failure) => Err(failure),
            };
            match found {
                Ok(landed) => return landed,
                Err(failure) => tracing::warn!(?failure, "still unknown whether COMMIT landed"),
            }
        }
        false
    }

    /// The session, opened if there is none that can be used.
    async fn session(&mut self) -> Result<&mut AppendSession, Failure> {
        let session = match self.session.take().filter(AppendSession::is_open) {
            Some(session) => session,
            None => {
                let session = AppendSession::open(&self.postgres, &self.place).await?;
                if let Some(last) = self.last {
                    session.check_memory(last).await?;
                }
                session
            }
        };
        Ok(self.session.insert(session))
    }

    /// Throws the session away, whatever state it is in, and waits a little.
    async fn start_over(&mut self) {
        self.session = None;
        self.backoff.wait().await;
    }

    /// Makes partitions when the log has entered another one, or when that failed before.
    async fn reached(&mut self, head: Position) {
        let partition = head.0 / PARTITION_EVENTS;
        let entered = self.partition.replace(partition).is_some_and(|before| before != partition);
        if let Some(session) = &mut self.session
            && (entered || session.lacks_partitions())
        {
            session.ensure_partitions().await;
        }
    }
}

impl QueuedAppend {
    /// Whether the caller still waits.
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }
}

/// Gives each command its outcome; one without is told that it is unknown.
fn answer(batch: Vec<QueuedAppend>, outcomes: Outcomes) {
    let outcomes = outcomes.into_iter().chain(std::iter::repeat(Err(AppendError::Unavailable)));
    for (command, outcome) in batch.into_iter().zip(outcomes) {
        // The caller may have given up meanwhile. Then the answer is dropped.
        let _ = command.reply.send(outcome);
    }
}
