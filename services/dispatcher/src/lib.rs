//! The dispatcher: takes what is requested from JetStream, claims each attempt in the log, calls
//! the provider, and records what came of it.
//!
//! One queue for each channel and priority, so that a flood of campaigns never delays a login code.
//! Nothing waits inside NATS: a delivery is acknowledged as soon as its claim is committed, or when
//! it is the log's to bring the message back: parked, too early, or too late. What is due without a delivery, the sweeper finds
//! in the timers, a projection of the log.

mod account;
mod attempt;
mod call;
mod calls;
mod claim;
mod config;
mod consent;
mod due;
mod health;
mod known;
mod look_up;
mod messages;
mod outcome;
mod permits;
mod precondition;
mod present;
mod progress;
mod provider_ids;
mod rates;
mod reported;
mod retry;
mod shortage;
mod stats;
mod sweep;
#[cfg(test)]
mod testing;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use hatch_bus::{Begin, Bus, Delivery, Work};
use hatch_domain::ids::TenantId;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::message::{AGGREGATE, Message};
use hatch_domain::{Channel, Decider, DecodeError, DomainEvent, Priority};
use hatch_due::{Lag, Sweeper, Timers};
use hatch_eventstore::schema::Schema;
use hatch_eventstore::{Connections, HeadWatch, Position, Store, log_unless_away};
use hatch_providers::{Account, AccountList, Accounts, Wanted};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::account::{Carriers, SendingAccount};
use crate::attempt::{Next, PendingMessage};
pub use crate::config::{Config, LEASE_MARGIN};
pub use crate::consent::ConsentPrecondition;
pub use crate::due::{DoubtPolicy, Waits};
pub use crate::health::{Condition, Health, KnownAccounts, Refusal};
use crate::look_up::LookUps;
pub use crate::messages::Messages;
use crate::permits::Permits;
pub use crate::precondition::{Checked, Precondition, Refused};
use crate::present::Present;
pub use crate::progress::{Error as ProgressError, crowded_tenants, progress, waiting};
use crate::progress::{Queue, Taken};
use crate::provider_ids::ProviderIds;
use crate::rates::{Entering, Rates};
pub use crate::rates::{RateStats, in_lines};
pub use crate::reported::{AccountReport, Told, reported_accounts};
pub use crate::retry::RetryPolicy;
pub use crate::shortage::Shortage;
pub use crate::stats::Stats;
pub use crate::waiting::{Waiting, waiting_for_account};

mod embedded {
    refinery::embed_migrations!("../../schema/dispatcher");
}

/// The dispatcher's own tables. It is migrated after the schema of the timers, which were here once, and after the
/// event store's, which makes the role that is granted privileges here.
pub const SCHEMA: Schema = Schema::new("dispatch", embedded::migrations::runner);

/// Deliveries taken from a queue at a time, at most.
const BATCH_MAX: usize = 64;

/// Messages that wait in memory for their next attempt, at most.
const RETRIES_WAITING_MAX: usize = 10_000;

/// What the dispatcher works with.
#[derive(Clone)]
pub struct Dependencies {
    /// The log.
    pub store: Store,
    /// Connections to the database of the timers.
    pub pool: Connections,
    /// Tells how far the log has grown, and whether anything may be sent by it.
    pub head: HeadWatch,
    /// Where requests come from.
    pub bus: Bus,
    /// Through whom messages are sent. When they are replaced, it goes on with the new ones.
    pub accounts: Accounts,
    /// What becomes of attempts in doubt, by the name of the account or else of the provider.
    pub in_doubt: BTreeMap<String, DoubtPolicy>,
    /// What must hold of other streams for a message to be sent, if anything must.
    pub precondition: Option<Arc<dyn Precondition>>,
    /// Counts what it does.
    pub stats: Arc<Stats>,
}

/// One dispatcher, shared by its attempts.
struct Dispatcher {
    dependencies: Dependencies,
    /// Those through whom it sends now. Who has begun something with one of them, goes on with that.
    carriers: watch::Sender<Arc<Carriers>>,
    /// One for each channel and priority.
    queues: Vec<Arc<Queue>>,
    /// What may be under way of what is due, by channel.
    swept: Vec<(Channel, Permits)>,
    /// For claims: it takes none while the fence is closed.
    sending: Store,
    timers: Timers,
    provider_ids: ProviderIds,
    present: Present,
    look_ups: LookUps,
    /// How much room the accounts have.
    rates: Rates,
    /// Those that stand in lines from now on.
    entering: Entering,
    /// Some of them are written.
    entered: Notify,
    config: Config,
    shutdown: CancellationToken,
    attempts: TaskTracker,
    retries_waiting: Arc<Semaphore>,
}

/// Dispatches until `shutdown`, then waits for the attempts under way to be recorded.
///
/// The future is in a box, so that this crate compiles it, and not each crate that awaits it.
pub fn run(
    dependencies: Dependencies,
    config: Config,
    shutdown: CancellationToken,
) -> BoxFuture<'static, ()> {
    let process = dependencies.store.environment().new_id();
    Box::pin(Dispatcher::new(dependencies, config, shutdown).run(process))
}

impl Dispatcher {
    fn new(dependencies: Dependencies, config: Config, shutdown: CancellationToken) -> Arc<Self> {
        let permits = || Permits::new(config.concurrency_max);
        let queues = Channel::ALL.into_iter().flat_map(|channel| {
            Priority::ALL.map(|priority| Arc::new(Queue::new(channel, priority, permits())))
        });
        let process = dependencies.store.environment().new_id();
        let rates = Arc::clone(&dependencies.stats.rates);
        let rates = Rates::new(dependencies.pool.clone(), process, config.tenant_per_day, rates);
        Arc::new(Self {
            rates,
            entering: Entering::default(),
            entered: Notify::new(),
            timers: Timers::of::<Messages>(dependencies.pool.clone()),
            provider_ids: ProviderIds::new(dependencies.pool.clone()),
            present: Present::new(dependencies.head.clock().clone(), dependencies.pool.clone()),
            sending: dependencies.store.for_sending(),
            look_ups: LookUps::default(),
            config,
            carriers: watch::Sender::default(),
            queues: queues.collect(),
            swept: Channel::ALL.map(|channel| (channel, permits())).into(),
            dependencies,
            shutdown,
            attempts: TaskTracker::new(),
            retries_waiting: Arc::new(Semaphore::new(RETRIES_WAITING_MAX)),
        })
    }

    /// Works until it is told to end, and until what is under way then is recorded. `process` is who reports how the
    /// accounts are.
    async fn run(self: Arc<Self>, process: Uuid) {
        let changes = self.dependencies.accounts.changes();
        self.send_by(&self.dependencies.accounts.current());
        let follow = self.shutdown.run_until_cancelled(self.follow(changes));
        let this = &self;
        let drained = self.queues.iter().flat_map(|queue| {
            let named = move |priority| Arc::clone(this).drain(Arc::clone(queue), priority);
            // What was published by an older build is taken, too.
            let once = (queue.priority == Priority::Bulk).then_some(Priority::BULK_ONCE);
            [Some(queue.priority.as_str()), once].into_iter().flatten().map(named)
        });
        let report = Box::pin(progress::report(&self.dependencies.pool, &self.queues));
        let report = self.shutdown.run_until_cancelled(report);
        let sweeper = Arc::new(self.sweeper());
        let sweeps = self.lanes().into_iter().map(|lane| sweeper.clone().run(lane));
        let fold = Box::pin(self.fold());
        // Dropped halfway, a fold is rolled back.
        let fold = self.shutdown.run_until_cancelled(fold);
        let release = self.shutdown.run_until_cancelled(Box::pin(self.release()));
        let rates = self.shutdown.run_until_cancelled(self.rates.run());
        let entering = self.entering.write(&self.timers, &self.entered);
        let entering = self.shutdown.run_until_cancelled(entering);
        let serve = self.shutdown.run_until_cancelled(Box::pin(self.clone().serve_lines()));
        let lines = async { futures::join!(rates, entering, serve) };
        let Dependencies { pool, stats, .. } = &self.dependencies;
        let tell = Box::pin(reported::report(pool, process, &stats.accounts));
        let tell = self.shutdown.run_until_cancelled(tell);
        let (drained, sweeps) = (join_all(drained), join_all(sweeps));
        futures::join!(follow, drained, sweeps, fold, report, release, tell, lines);
        self.attempts.close();
        self.attempts.wait().await;
    }

    /// Sends by the accounts that there are, whenever they are replaced.
    async fn follow(&self, mut changes: watch::Receiver<AccountList>) {
        // Its sender is one of our own dependencies.
        while changes.changed().await.is_ok() {
            let accounts = Arc::clone(&changes.borrow_and_update());
            self.send_by(&accounts);
            tracing::info!("messages are sent by the accounts as they are now");
        }
    }

    /// From now on messages are claimed for these accounts. What is under way by others goes on beside it.
    fn send_by(&self, accounts: &[Arc<Account>]) {
        let Dependencies { in_doubt, stats, .. } = &self.dependencies;
        let before = self.carriers();
        let carriers = Carriers::of(accounts, in_doubt, &self.config, (&before, &stats.accounts));
        for queue in &self.queues {
            queue.permits.share_among(carriers.width(queue.channel));
        }
        for (channel, permits) in &self.swept {
            permits.share_among(carriers.width(*channel));
        }
        self.carriers.send_replace(Arc::new(carriers));
    }

    /// Those through whom it sends now.
    fn carriers(&self) -> Arc<Carriers> {
        Arc::clone(&self.carriers.borrow())
    }
}

impl Dispatcher {
    /// A queue of requests that is made anew begins after the last event folded: the timers bring whatever
    /// came before it and is not attempted.
    fn beginning(&self) -> Begin {
        let timers = self.timers.clone();
        Arc::new(move || {
            let timers = timers.clone();
            Box::pin(async move { Some(timers.checkpoint().await.ok()?.position.0 + 1) })
        })
    }

    fn sweeper(self: &Arc<Self>) -> Sweeper<Self> {
        Sweeper {
            handler: self.clone(),
            store: self.dependencies.store.clone(),
            timers: self.timers.clone(),
            lag: Lag(self.config.timers_lag),
            head: self.dependencies.head.clone(),
            tasks: self.attempts.clone(),
            shutdown: self.shutdown.clone(),
        }
    }

    /// Folds the log into the timers of messages, for ever.
    async fn fold(&self) {
        let (store, head) = (self.dependencies.store.clone(), self.dependencies.head.clone());
        let (timers, lag) = (self.timers.clone(), Lag(self.config.timers_lag));
        let halts = self.dependencies.stats.timers.clone();
        hatch_due::follow::run::<Messages>(store, head, timers, lag, halts).await;
    }

    /// Takes deliveries of one queue, as many as may be under way. `priority` is what they call their own.
    async fn drain(self: Arc<Self>, queue: Arc<Queue>, priority: &'static str) {
        let work = Work {
            aggregate: AGGREGATE.to_owned(),
            event_type: "MessageRequested".to_owned(),
            channel: Some(queue.channel.as_str().to_owned()),
            priority: Some(priority.to_owned()),
            ..Work::default()
        };
        let mut work = self.dependencies.bus.work_queue(work, self.beginning());
        let permits = queue.permits.all.clone();
        let fence = self.dependencies.head.fence();
        let mut carriers = self.carriers.subscribe();
        loop {
            let next = async {
                // While nobody here carries the channel, others may.
                drop(carriers.wait_for(|now| now.width(queue.channel) > 0).await.ok()?);
                fence.trusting().await;
                self.dependencies.stats.shortage.passed().await;
                // While nothing comes, those who try again have all the room.
                drop(permits.acquire().await.ok()?);
                let free = permits.available_permits().clamp(1, BATCH_MAX);
                let nobody_carries = async {
                    drop(carriers.wait_for(|now| now.width(queue.channel) == 0).await);
                };
                let deliveries = tokio::select! {
                    deliveries = work.fetch(free) => deliveries,
                    () = nobody_carries => Vec::new(),
                };
                fence.known().await;
                Some(deliveries)
            };
            let taken = tokio::select! {
                taken = next => taken,
                () = self.shutdown.cancelled() => return,
            };
            let Some(deliveries) = taken else { return };
            // Requests of another log are not sent; its stream ends with its epoch.
            let ours = deliveries.into_iter().filter(|one| fence.trusts(one.generation));
            for delivery in ours {
                let Ok(permit) = permits.clone().acquire_owned().await else { return };
                let taken = Taken { delivery, queue: queue.clone() };
                // In a box: tokio copies a task's future several times, and this one is large.
                let work = Box::pin(self.clone().deliver(taken, permits.clone(), permit));
                self.attempts.spawn(work);
            }
        }
    }

    /// Makes attempts for one delivery until nothing is left to do, or it is better left to others.
    async fn deliver(
        self: Arc<Self>,
        taken: Taken,
        permits: Arc<Semaphore>,
        permit: OwnedSemaphorePermit,
    ) {
        let pending = match self.pending(&taken.delivery).await {
            Ok(pending) => pending,
            Err(error) => {
                let position = taken.delivery.envelope.position;
                log_unless_away!(error, &error, position, error = %error, "a request cannot be read");
                // It would come again for ever, and many would fill the queue. The log has it, and
                // so have the timers of a build that knows it.
                if let PendingError::Decode(_) = error {
                    self.dependencies.stats.undecodable.increment();
                    taken.ack().await;
                }
                return;
            }
        };
        let next = match self.next(pending) {
            Next::Retry { pending, wait } if wait.is_zero() => {
                self.attempt(*pending, Some(taken), None).await
            }
            // Scheduled: nothing waits inside NATS.
            next => {
                taken.ack().await;
                next
            }
        };
        self.pursue(next, permits, permit).await;
    }

    /// Makes further attempts until nothing is left to do, or the next is so far off that the timers
    /// will have it.
    async fn pursue(&self, mut next: Next, permits: Arc<Semaphore>, permit: OwnedSemaphorePermit) {
        let mut permit = Some(permit);
        while let Next::Retry { pending, wait } = next {
            if wait > self.config.timers_lag {
                return;
            }
            if !wait.is_zero() {
                permit = None;
                let Ok(_waiting) = self.retries_waiting.clone().try_acquire_owned() else {
                    return;
                };
                tokio::select! {
                    () = self.dependencies.store.environment().sleep(wait) => {}
                    () = self.shutdown.cancelled() => return,
                }
            }
            if permit.is_none() {
                permit = permits.clone().acquire_owned().await.ok();
            }
            next = self.attempt(*pending, None, None).await;
        }
    }

    /// The message as the delivered event leaves it: nothing is read, except an event too large to
    /// travel.
    async fn pending(&self, delivery: &Delivery) -> Result<PendingMessage, PendingError> {
        let envelope = &delivery.envelope;
        let (event_type, version) = (envelope.event_type.as_str(), envelope.schema_version);
        let event = match &envelope.data {
            Some(data) => <Message as Decider>::Event::decode(event_type, version, data.get())?,
            None => {
                let position = Position(envelope.position);
                let recorded = self.dependencies.store.log().read_at(position).await?;
                recorded.ok_or(PendingError::Missing(position))?.decode()?
            }
        };
        Ok(PendingMessage {
            tenant_id: envelope.tenant_id,
            message_id: envelope.stream_id,
            correlation_id: envelope.correlation_id,
            causation_id: envelope.event_id,
            traceparent: envelope.traceparent.clone(),
            message: Message::default().evolve(&event),
            version: envelope.stream_version,
        })
    }

    /// The account by which a message is sent.
    fn account_for(&self, tenant_id: Uuid, request: &MessageRequested) -> Option<SendingAccount> {
        self.carriers().choose(&wanted(tenant_id, request)).cloned()
    }

    /// The account by which the attempt in doubt was made.
    fn account_in_doubt(&self, tenant_id: Uuid, message: &Message) -> Option<SendingAccount> {
        let (doubt, request) = (message.doubt()?, message.requested()?);
        let key = (doubt.provider, doubt.account);
        self.carriers().that_made(key, &wanted(tenant_id, request)).cloned()
    }
}

/// What an account is wanted for by whom a message is sent.
fn wanted(tenant_id: Uuid, request: &MessageRequested) -> Wanted<'_> {
    Wanted {
        tenant: TenantId(tenant_id),
        channel: request.channel,
        from: &request.from,
        is_test: request.test,
    }
}

/// Why a delivery cannot be worked on. Where the log may tell later, it comes again.
#[derive(Debug, thiserror::Error)]
enum PendingError {
    #[error("this build does not know the event")]
    Decode(#[from] DecodeError),
    #[error("the log cannot be read")]
    Log(#[from] hatch_eventstore::LogError),
    #[error("position {0} is not in the log")]
    Missing(Position),
}
