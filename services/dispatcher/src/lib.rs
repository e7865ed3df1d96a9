//! The dispatcher: takes what is requested from JetStream, claims each attempt in the log, calls
//! the provider, and records what came of it.
//!
//! One queue for each channel and priority, so that a flood of campaigns never delays a login code.
//! Nothing waits inside NATS: a delivery is acknowledged as soon as its claim is committed, or when
//! it is the log's to bring the message back: parked, too early, or too late. What is due without a delivery, the sweeper finds
//! in the timers, a projection of the log.

mod account;
mod attempt;
mod attempts;
mod balance;
mod breaker;
mod call;
mod calls;
mod choose;
mod claim;
mod condition;
mod config;
mod consent;
mod drain;
mod due;
mod fleet;
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
mod slot;
mod sorted;
mod stats;
mod sweep;
#[cfg(test)]
mod testing;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use hatch_bus::{Begin, Bus};
use hatch_directory::Directory;
use hatch_domain::ids::TenantId;
use hatch_domain::message::Message;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::{Channel, Priority};
use hatch_due::{Lag, Sweeper, Timers};
use hatch_eventstore::schema::Schema;
use hatch_eventstore::{Connections, HeadWatch, Store};
use hatch_providers::{Account, AccountList, Accounts, Routes, Wanted};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::account::{Carriers, SendingAccount};
use crate::attempts::Recorder;
use crate::balance::Balance;
pub use crate::balance::{Advice, BalanceMode, BalanceSettings, balance_advice};
pub use crate::breaker::{BreakerRules, BreakerState};
pub use crate::config::{Config, LEASE_MARGIN, TenantCaps};
pub use crate::consent::ConsentPrecondition;
pub use crate::due::{DoubtPolicy, Waits};
pub use crate::health::{Condition, Failing, Health, KnownAccounts, Refusal, Standing};
use crate::look_up::LookUps;
pub use crate::messages::Messages;
use crate::permits::Permits;
pub use crate::precondition::{Checked, Precondition, Refused};
use crate::present::Present;
use crate::progress::Queue;
pub use crate::progress::{Error as ProgressError, crowded_tenants, progress, waiting};
use crate::provider_ids::ProviderIds;
use crate::rates::{Entering, Rates};
pub use crate::rates::{RateStats, in_lines};
pub use crate::reported::{AccountReport, Told, reported_accounts, used_today};
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
    /// By which of them which messages go.
    pub routes: Routes,
    /// What other processes told of them.
    pub directory: Directory,
    /// What becomes of attempts in doubt, by the name of the account or else of the provider.
    pub in_doubt: BTreeMap<String, DoubtPolicy>,
    /// How many messages of a day tenants may have sent.
    pub tenant_caps: TenantCaps,
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
    balance: Balance,
    present: Present,
    look_ups: LookUps,
    recorder: Recorder,
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
        let (caps, rates) =
            (dependencies.tenant_caps.clone(), Arc::clone(&dependencies.stats.rates));
        let rates = Rates::new(dependencies.pool.clone(), process, caps, rates);
        Arc::new(Self {
            rates,
            entering: Entering::default(),
            entered: Notify::new(),
            timers: Timers::of::<Messages>(dependencies.pool.clone()),
            provider_ids: ProviderIds::new(dependencies.pool.clone()),
            balance: Balance::default(),
            present: Present::new(dependencies.head.clock().clone(), dependencies.pool.clone()),
            sending: dependencies.store.for_sending(),
            look_ups: LookUps::default(),
            recorder: Recorder::default(),
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
        let clock = self.dependencies.head.clock();
        let tell = Box::pin(reported::report(pool, (process, clock), &stats.accounts));
        let tell = self.shutdown.run_until_cancelled(tell);
        let fleet = self.shutdown.run_until_cancelled(Box::pin(self.share_breakers()));
        let balance = self.shutdown.run_until_cancelled(Box::pin(self.balance()));
        let (drained, sweeps) = (join_all(drained), join_all(sweeps));
        let keep = Box::pin(self.keep_attempts());
        let own = async { futures::join!(tell, fleet, lines, keep, balance) };
        futures::join!(follow, drained, sweeps, fold, report, release, own);
        self.attempts.close();
        self.attempts.wait().await;
        self.rates.end().await;
        self.keep_last_attempts().await;
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
        self.hear();
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

    /// The account by which the attempt in doubt was made.
    fn account_in_doubt(&self, tenant_id: Uuid, message: &Message) -> Option<SendingAccount> {
        let (doubt, request) = (message.doubt()?, message.requested()?);
        let key = (doubt.provider, doubt.account);
        self.carriers().that_made(key, &wanted(tenant_id, request)).cloned()
    }
}

/// What an account is wanted for by whom a message is sent.
pub(crate) fn wanted(tenant_id: Uuid, request: &MessageRequested) -> Wanted<'_> {
    Wanted {
        tenant: TenantId(tenant_id),
        channel: request.channel,
        from: &request.from,
        is_test: request.test,
    }
}
