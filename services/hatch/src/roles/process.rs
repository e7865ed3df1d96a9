//! What the roles of a process share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use hatch_api::limits::Limits as RateLimits;
use hatch_api::tokens::Tokens;
use hatch_api::{RequestStats, Trail};
use hatch_bus::Bus;
use hatch_directory::{Directory, Sessions};
use hatch_domain::Environment;
use hatch_eventstore::{
    Appender, AppenderConfig, Connection, Connections, Database, Feed, FeedPublisher, FenceConfig,
    HeadWatch, Log, ServerClock, Store, SystemEnvironment,
};
use hatch_providers::{Accounts, Pools, Routes};
use hatch_readmodel::{PROJECTIONS, Projections, ReadModel};
use hatch_seal::Keyring;
use hatch_telemetry::limit::Limits;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::accounts::accounts_by;
use super::configured::{place, postgres};
use super::joining::LeftOuts;
use crate::reload::Reload;
use crate::schemas::schemas;
use crate::settings::Settings;
use crate::{bus_end, feed, foreign, tokens};

/// Connections to PostgreSQL for reads, in one process.
const POOL_CONNECTIONS_MAX: usize = 16;
/// How long a read waits for a connection.
const POOL_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long PostgreSQL may take to let a process in when it starts, and to say which schema it has.
const START_MAX: Duration = Duration::from_secs(10);

/// Events that the feed keeps for a reader that is slow.
const FEED_EVENTS_MAX: usize = 4_096;

/// Tasks that go on until the process ends. One that ends by itself ends the process.
pub(crate) type Workers = JoinSet<()>;

/// How a role follows the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Follows {
    /// Not at all.
    Nothing,
    /// By its head, and what the bus brings for this role alone.
    Head,
    /// By the feed, which a process reads once for all its roles.
    Feed,
}

/// What the roles of a process share.
pub(crate) struct Process {
    pub(crate) settings: Settings,
    /// The names of those that it runs.
    roles: BTreeSet<&'static str>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) postgres: Database,
    pub(crate) pool: Connections,
    pub(crate) projections: Projections,
    pub(crate) store: Store,
    pub(crate) log: Log,
    pub(crate) bus: Bus,
    pub(crate) head: HeadWatch,
    /// Tenants, keys and accounts of the log.
    pub(crate) directory: Directory,
    /// Who has signed in.
    pub(crate) sessions: Sessions,
    /// Those whose tokens are taken.
    pub(crate) tokens: Tokens,
    /// The provider accounts, as they are now.
    pub(crate) accounts: Accounts,
    /// Which messages go by which of them, as it is now.
    pub(crate) routes: Routes,
    /// The pools of senders, as they are now.
    pub(crate) pools: Pools,
    /// The settings, as they were read last.
    pub(crate) reload: Reload,
    /// What opens the secrets of those.
    pub(crate) keyring: Keyring,
    /// Accounts of the log that are not used.
    pub(crate) left_out: LeftOuts,
    /// What JetStream brings, read once for all roles that follow it.
    pub(crate) feed: Option<Feed>,
    pub(crate) limits: Limits,
    /// How often clients may ask.
    pub(crate) rate_limits: RateLimits,
    /// What is recorded of requests.
    pub(crate) trail: Trail,
    pub(crate) requests: Arc<RequestStats>,
    /// Ends the work of the roles.
    pub(crate) workers: CancellationToken,
}

/// What a process is made of, beside its settings.
#[derive(Clone)]
pub struct Parts {
    /// The read models of the build.
    pub projections: Projections,
    /// The clocks of the machine.
    pub machine: Arc<dyn Environment>,
    /// Tells when the settings were read again.
    pub reload: Option<Reload>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { projections: PROJECTIONS, machine: Arc::new(SystemEnvironment), reload: None }
    }
}

/// The appender of a process, which ends last.
pub(super) struct Appending {
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

pub(super) fn new_id() -> uuid::Uuid {
    SystemEnvironment.new_id()
}

impl Process {
    /// Connects a process of `roles`, by their names, which follow the log as `follows` says, made of `parts`, and
    /// starts what they share.
    pub(super) async fn start(
        settings: &Settings,
        (roles, follows): (BTreeSet<&'static str>, Follows),
        parts: Parts,
        workers: &mut Workers,
    ) -> anyhow::Result<(Arc<Self>, Appending)> {
        let postgres = postgres(settings)?;
        let pool = hatch_eventstore::pool(&postgres, POOL_CONNECTIONS_MAX, POOL_WAIT_MAX);
        check_schema(&pool).await?;
        let log = Log::new(pool.clone());
        let stop = CancellationToken::new();
        let place = place(settings, &postgres);
        let config = AppenderConfig { place: place.clone(), ..AppenderConfig::default() };
        let (appender, task) = Appender::start(config, postgres.clone(), stop.clone());
        let bus = Bus::connect(settings.bus()?).await.context("NATS")?;
        let shutdown = CancellationToken::new();
        let config = FenceConfig { place, bus: Some(bus_end::of(bus.clone())) };
        let Parts { projections, machine, reload } = parts;
        let clock = ServerClock::on(Arc::clone(&machine));
        let (head, _) = HeadWatch::start_by(clock, config, postgres.clone(), shutdown.clone());
        head.clock().ask(&pool).await.context("PostgreSQL's clock")?;
        let (directory, following) = Directory::start(
            pool.clone(),
            log.clone(),
            head.clone(),
            Arc::new(head.clock().clone()),
            shutdown.clone(),
        );
        workers.spawn(following);
        let clock = Arc::new(head.clock().clone());
        let (sessions, looking) = Sessions::start(pool.clone(), clock.clone(), shutdown.clone());
        workers.spawn(looking);
        let (tokens, keeping) = tokens::start(settings, clock.clone(), shutdown.clone())?;
        workers.spawn(keeping);
        let store = Store::new(appender, log.clone(), Arc::new(head.clock().clone()));
        let mut process = Self {
            settings: settings.clone(),
            roles,
            started_at: machine.now(),
            postgres,
            pool,
            projections,
            store,
            log,
            bus,
            head,
            directory,
            sessions,
            tokens,
            accounts: Accounts::new(accounts_by(settings, clock)?),
            routes: Routes::default(),
            pools: Pools::default(),
            reload: reload.unwrap_or_else(|| Reload::never(settings)),
            keyring: settings.keyring()?,
            left_out: LeftOuts::default(),
            feed: None,
            limits: Limits::default(),
            rate_limits: RateLimits::default(),
            trail: Trail::default(),
            requests: Arc::default(),
            workers: shutdown,
        };
        process.feed = process.follow(follows, workers);
        if settings.rate_limit.enabled == Some(true) {
            process.rate_limits = process.limit_rates(workers)?;
        }
        process.trail = process.record(workers)?;
        Ok((Arc::new(process), Appending { stop, task }))
    }

    /// Starts the limits of how often clients may ask, by PostgreSQL's clock, which all processes have in common.
    fn limit_rates(&self, workers: &mut Workers) -> anyhow::Result<RateLimits> {
        let (rules, clock) =
            (self.settings.rate_limit.rules()?, Arc::new(self.head.clock().clone()));
        let (limits, sharing) =
            RateLimits::start(rules, clock, self.pool.clone(), self.workers.clone());
        workers.spawn(sharing);
        Ok(limits)
    }

    /// Starts the record of requests.
    fn record(&self, workers: &mut Workers) -> anyhow::Result<Trail> {
        let rules = self.settings.trail_rules()?;
        let clock = Arc::new(self.head.clock().clone());
        let read_model = ReadModel::of(self.pool.clone(), self.projections);
        let (trail, writing) = Trail::start(rules, clock, read_model, self.workers.clone());
        workers.spawn(writing);
        Ok(trail)
    }

    /// Whether it runs the role of this name.
    pub(crate) fn runs(&self, role: &str) -> bool {
        self.roles.contains(role)
    }

    /// Starts what the roles that follow the log share.
    fn follow(&self, follows: Follows, workers: &mut Workers) -> Option<Feed> {
        if follows == Follows::Nothing {
            return None;
        }
        workers.spawn(foreign::report(self.bus.clone(), self.pool.clone(), self.workers.clone()));
        (follows == Follows::Feed).then(|| {
            let publisher = FeedPublisher::new(FEED_EVENTS_MAX);
            let feed = publisher.feed();
            let (bus, head) = (self.bus.clone(), self.head.clone());
            workers.spawn(feed::run(bus, head, publisher, self.workers.clone()));
            feed
        })
    }
}

async fn check_schema(pool: &Connections) -> anyhow::Result<()> {
    let mut held = pool.hold(START_MAX).await.context("failed to reach PostgreSQL")?;
    let check = async |client: &mut Connection| {
        for schema in schemas() {
            schema.check(client).await.context("run `hatch migrate`")?;
        }
        Ok(())
    };
    held.within(START_MAX, check).await
}
