//! The dispatcher: takes what is requested from JetStream, claims each attempt in the log, calls
//! the provider, and records what came of it.
//!
//! One queue for each channel and priority, so that a flood of campaigns never delays a login code.
//! Nothing waits inside NATS: a delivery is acknowledged as soon as its claim is committed, or when
//! it is the log's to bring the message back: parked, too early, or too late. What is due without a delivery, the sweeper finds
//! in the timers, a projection of the log.

mod account;
mod attempt;
mod calls;
mod consent;
mod due;
mod health;
mod known;
mod look_up;
mod messages;
mod precondition;
mod present;
mod progress;
mod provider_ids;
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
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use hatch_bus::{Begin, Bus, Delivery, Work};
use hatch_domain::ids::TenantId;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::message::{AGGREGATE, Message};
use hatch_domain::{Channel, Decider, DecodeError, DomainEvent, Priority};
use hatch_due::{Lag, Sweeper, Timers};
use hatch_eventstore::schema::Schema;
use hatch_eventstore::{Connections, HeadWatch, Position, Store, log_unless_away};
use hatch_providers::{AccountList, Accounts, Wanted, chosen};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::account::{ChannelGroup, SendingAccount};
use crate::attempt::{Next, PendingMessage};
pub use crate::consent::ConsentPrecondition;
pub use crate::due::{DoubtPolicy, Waits};
pub use crate::health::{Condition, Health, KnownAccounts, Refusal};
use crate::look_up::LookUps;
pub use crate::messages::Messages;
pub use crate::precondition::{Checked, Precondition, Refused};
use crate::present::Present;
pub use crate::progress::{Error as ProgressError, progress, waiting};
use crate::progress::{Queue, Taken};
use crate::provider_ids::ProviderIds;
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

/// Between the end of the call and the end of the lease, for the outcome to be recorded.
pub const LEASE_MARGIN: Duration = Duration::from_secs(1);

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

/// How the dispatcher works.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Attempts under way at a time, for each queue, and for what is due of each account.
    pub concurrency_max: usize,
    /// Attempts under way at a time, for each account.
    pub account_concurrency_max: usize,
    /// From the claim of an attempt until, with no outcome, it is in doubt.
    pub lease: Duration,
    /// How long a provider's answer may take: that of the slowest account, while there is one.
    pub http_timeout: Duration,
    /// Attempts and the waits between them.
    pub retry: RetryPolicy,
    /// Between two trials of an account that its provider refuses: the first wait and the longest.
    pub account_backoff: (Duration, Duration),
    /// How far behind the log's head the timers are folded. A wait that is shorter is waited in
    /// memory.
    pub timers_lag: Duration,
    /// The waits that decide what is due.
    pub waits: Waits,
}

impl Config {
    /// Refuses a lease that leaves no time for a call.
    ///
    /// # Errors
    /// The setting's name and what was expected.
    pub fn check(&self) -> Result<(), String> {
        if self.start_within().is_zero() {
            let least = self.http_timeout + LEASE_MARGIN;
            let (least, lease) = (least.as_millis(), self.lease.as_millis());
            return Err(format!("lease_ms: expected more than {least}, got {lease}"));
        }
        let RetryPolicy { attempts_max, backoff_min_ms, backoff_max_ms } = self.retry;
        if attempts_max == 0 {
            return Err("retry.attempts_max: expected at least 1, got 0".to_owned());
        }
        if backoff_min_ms > backoff_max_ms {
            return Err(format!(
                "retry.backoff_min_ms: expected at most backoff_max_ms, {backoff_max_ms}, got \
                 {backoff_min_ms}"
            ));
        }
        if self.waits.validity.is_zero() {
            return Err("validity_ms: expected at least 1, got 0".to_owned());
        }
        let (first, longest) = self.account_backoff;
        if first.is_zero() || first > longest {
            return Err("account_backoff_ms: expected at least 1 and the second at least as long as the first"
                .to_owned());
        }
        let [first, second] = self.waits.look_ups;
        // Two answers of one moment are one.
        if first >= second {
            return Err("look_ups_ms: expected the first earlier than the second".to_owned());
        }
        Ok(())
    }

    /// The same, for calls of these accounts.
    fn of(mut self, accounts: &[SendingAccount]) -> Self {
        if let Some(longest) = accounts.iter().map(|account| account.http_timeout).max() {
            self.http_timeout = longest;
            self.waits.call = longest + LEASE_MARGIN;
        }
        self
    }

    /// How long after the claim the call may begin, so that it ends within the lease.
    fn start_within(&self) -> Duration {
        self.lease.saturating_sub(self.http_timeout).saturating_sub(LEASE_MARGIN)
    }
}

/// One dispatcher, shared by its attempts.
struct Dispatcher {
    dependencies: Dependencies,
    /// Those through whom it sends, as long as it runs.
    accounts: Vec<SendingAccount>,
    /// The channels, by who of them carries them.
    groups: Vec<ChannelGroup>,
    /// For claims: it takes none while the fence is closed.
    sending: Store,
    timers: Timers,
    provider_ids: ProviderIds,
    present: Present,
    look_ups: LookUps,
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
    Box::pin(dispatch(dependencies, config, shutdown))
}

/// Dispatches by the accounts that there are, and when these are replaced, begins anew by the others: what is under way is
/// recorded before.
async fn dispatch(dependencies: Dependencies, config: Config, shutdown: CancellationToken) {
    let mut changes = dependencies.accounts.changes();
    let process = dependencies.store.environment().new_id();
    loop {
        let accounts: AccountList = Arc::clone(&changes.borrow_and_update());
        let accounts = SendingAccount::all(&accounts, &dependencies.in_doubt, &config);
        let (round, stats) = (shutdown.child_token(), Arc::clone(&dependencies.stats));
        let dispatcher = Dispatcher::new(dependencies.clone(), accounts, config, round.clone());
        let mut running = Box::pin(dispatcher.run(process));
        tokio::select! {
            () = &mut running => {}
            Ok(()) = changes.changed() => {
                round.cancel();
                running.await;
            }
        }
        if shutdown.is_cancelled() {
            return;
        }
        stats.accounts.forget();
        tracing::info!("messages are sent by the accounts as they are now");
    }
}

impl Dispatcher {
    fn new(
        dependencies: Dependencies,
        accounts: Vec<SendingAccount>,
        config: Config,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            timers: Timers::of::<Messages>(dependencies.pool.clone()),
            provider_ids: ProviderIds::new(dependencies.pool.clone()),
            present: Present::new(dependencies.head.clock().clone(), dependencies.pool.clone()),
            sending: dependencies.store.for_sending(),
            look_ups: LookUps::new(&accounts),
            config: config.of(&accounts),
            groups: ChannelGroup::of(&accounts),
            accounts,
            dependencies,
            shutdown,
            attempts: TaskTracker::new(),
            retries_waiting: Arc::new(Semaphore::new(RETRIES_WAITING_MAX)),
        })
    }

    /// Works until it is told to end, and until what is under way then is recorded. `process` is who reports how the
    /// accounts are.
    async fn run(self: Arc<Self>, process: Uuid) {
        let queues = self.queues();
        let drained = queues.iter().map(|queue| self.clone().drain(queue.clone()));
        let report = Box::pin(progress::report(&self.dependencies.pool, &queues));
        let report = self.shutdown.run_until_cancelled(report);
        let sweeper = Arc::new(self.sweeper());
        let sweeps = self.lanes().into_iter().map(|lane| sweeper.clone().run(lane));
        let fold = Box::pin(self.fold());
        // Dropped halfway, a fold is rolled back.
        let fold = self.shutdown.run_until_cancelled(fold);
        let release = self.shutdown.run_until_cancelled(Box::pin(self.release()));
        for account in &self.accounts {
            // It is shown before it is used.
            self.health(account);
        }
        let Dependencies { pool, stats, .. } = &self.dependencies;
        let tell = Box::pin(reported::report(pool, process, &stats.accounts));
        let tell = self.shutdown.run_until_cancelled(tell);
        let (drained, sweeps) = (join_all(drained), join_all(sweeps));
        futures::join!(drained, sweeps, fold, report, release, tell);
        self.attempts.close();
        self.attempts.wait().await;
    }

    /// One for each channel that is carried and each priority. Each account that carries it has its share of the permits.
    fn queues(&self) -> Vec<Arc<Queue>> {
        let queue = |channel, priority, width| {
            let permits = Arc::new(Semaphore::new(self.config.concurrency_max * width));
            Arc::new(Queue::new(channel, priority, permits))
        };
        let carried = Channel::ALL.into_iter().filter_map(|channel| {
            let width = self.group_of(channel)?.width();
            (width > 0).then_some((channel, width))
        });
        let each = carried.flat_map(|(channel, width)| {
            Priority::ALL.map(|priority| queue(channel, priority, width))
        });
        each.collect()
    }

    /// Those who carry a channel, and what else they carry.
    fn group_of(&self, channel: Channel) -> Option<&ChannelGroup> {
        self.groups.iter().find(|group| group.channels.contains(&channel))
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

    /// Takes deliveries of one queue, as many as may be under way.
    async fn drain(self: Arc<Self>, queue: Arc<Queue>) {
        let work = Work {
            aggregate: AGGREGATE.to_owned(),
            event_type: "MessageRequested".to_owned(),
            channel: Some(queue.channel.as_str().to_owned()),
            priority: Some(queue.priority.as_str().to_owned()),
            ..Work::default()
        };
        let mut work = self.dependencies.bus.work_queue(work, self.beginning());
        let permits = queue.permits.clone();
        let fence = self.dependencies.head.fence();
        loop {
            let next = async {
                fence.trusting().await;
                self.dependencies.stats.shortage.passed().await;
                // While nothing comes, those who try again have all the room.
                drop(permits.acquire().await.ok()?);
                let free = permits.available_permits().clamp(1, BATCH_MAX);
                let deliveries = work.fetch(free).await;
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

    /// What is known of an account.
    fn health(&self, account: &SendingAccount) -> Arc<Health> {
        self.dependencies.stats.accounts.of(account.provider, &account.account)
    }

    /// The account by which a message is sent.
    fn account_for(&self, tenant_id: Uuid, request: &MessageRequested) -> Option<&SendingAccount> {
        let wanted = Wanted {
            tenant: TenantId(tenant_id),
            channel: request.channel,
            from: &request.from,
            is_test: request.test,
        };
        chosen(&self.accounts, &wanted)
    }

    /// The account by which the attempt in doubt was made.
    fn account_in_doubt(&self, message: &Message) -> Option<&SendingAccount> {
        let doubt = message.doubt()?;
        let used = |a: &&SendingAccount| a.provider == doubt.provider && a.account == doubt.account;
        self.accounts.iter().find(used)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_look_ups_are_not_at_the_same_time() {
        let apart = |look_ups: [u64; 2]| Config {
            concurrency_max: 1,
            account_concurrency_max: 1,
            lease: Duration::from_secs(60),
            http_timeout: Duration::from_secs(15),
            retry: RetryPolicy::default(),
            account_backoff: (Duration::from_secs(1), Duration::from_secs(30)),
            timers_lag: Duration::from_secs(5),
            waits: Waits {
                delivery_grace: Duration::from_secs(5),
                validity: Duration::from_secs(3_600),
                look_ups: look_ups.map(Duration::from_secs),
                call: Duration::from_secs(16),
                receipt: Duration::from_secs(600),
            },
        };
        assert_eq!(apart([30, 120]).check(), Ok(()));
        for look_ups in [[30, 30], [31, 30], [0, 0]] {
            let refused = apart(look_ups).check().expect_err("no two looks");
            assert!(refused.starts_with("look_ups_ms: "), "{refused}");
        }
    }
}
