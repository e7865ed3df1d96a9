//! The roles, wired to what they need, in one process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hatch_api::admission::{Admission, Intake};
use hatch_api::live::{CatchingUp, Places};
use hatch_api::webhooks::Keeping;
use hatch_api::{Bodies, Drain, Ending, Entrance};
use hatch_bus::Bus;
use hatch_domain::Environment;
use hatch_eventstore::{
    Appender, AppenderConfig, Connection, Connections, Database, Feed, FeedPublisher, FenceConfig,
    HeadWatch, Log, Store, SystemEnvironment,
};
use hatch_providers::sendgrid;
use hatch_readmodel::{PROJECTIONS, Projections, ReadModel, ReadPosition};
use hatch_telemetry::limit::{Limit, Limits};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::configured::{
    default_email_sender, default_sender, dispatcher_config, sending_accounts, webhook_accounts,
};
use crate::settings::Settings;
use crate::telemetry::metrics;
use crate::{admission, bus_end, feed, files, foreign, limits, readiness};

mod configured;

pub use self::configured::postgres;
pub(crate) use self::configured::{
    check, check_accounts, keep_rules, place, refusals, sites, trusted_proxies,
};

/// Connections to PostgreSQL for reads, in one process.
const POOL_CONNECTIONS_MAX: usize = 16;
/// How long a read waits for a connection.
const POOL_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long PostgreSQL may take to let a process in when it starts, and to say which schema it has.
const START_MAX: Duration = Duration::from_secs(10);

/// Events that the feed keeps for a reader that is slow.
const FEED_EVENTS_MAX: usize = 4_096;

/// Clients that follow the live feed of one process at once, at most.
const LIVE_STREAMS_MAX: u64 = 256;

/// Reads that wait for a position in one process at once, at most.
const WAITING_READS_MAX: u64 = 512;

/// A part of hatch that can run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// Takes what clients ask for.
    Command,
    /// Answers what clients read.
    Query,
    /// Takes what providers post.
    Webhook,
    /// Publishes the log on JetStream.
    Relay,
    /// Writes the read models.
    Projector,
    /// Sends messages.
    Dispatcher,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] =
        [Self::Command, Self::Query, Self::Webhook, Self::Relay, Self::Projector, Self::Dispatcher];

    /// The role's name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Query => "query",
            Self::Webhook => "webhook",
            Self::Relay => "relay",
            Self::Projector => "projector",
            Self::Dispatcher => "dispatcher",
        }
    }
}

/// Runs `roles` until `shutdown`: first the HTTP interface ends, then the workers, then the appender,
/// so that nothing loses what it writes to.
///
/// Every process serves `/health`, `/ready` and `/metrics` on `listener`, whatever its roles.
///
/// # Errors
/// A bad setting, a database of another schema, or a role that cannot go on.
pub async fn run(
    settings: &Settings,
    roles: &BTreeSet<Role>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    run_with(settings, roles, PROJECTIONS, listener, shutdown).await
}

/// As [`run`], with the projections of another build.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    settings: &Settings,
    roles: &BTreeSet<Role>,
    projections: Projections,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut process = Process::start(settings, roles, projections).await?;
    let mut workers = JoinSet::new();
    let following = process.follow(roles, &mut workers);
    process.spawn_workers(settings, roles, following.as_ref(), &mut workers)?;
    files::log();
    tracing::info!(address = %listener.local_addr()?, "listening");
    let serving = shutdown.child_token();
    let drain = Drain::new(ending(settings, roles), serving.clone());
    let routes = process.routes(settings, roles, following.as_ref(), &drain)?;
    let requests = Arc::clone(&process.stats.requests);
    let trusted = trusted_proxies(settings)?;
    let connections = limits::connections(&settings.limits, &process.limits, 1, trusted.clone());
    let entrance = Entrance {
        new_id,
        stats: requests,
        trusted_proxies: trusted,
        sites: sites(settings),
        bodies: Bodies::new(&process.limits),
    };
    let app = hatch_api::app(routes, entrance, &drain);
    let mut api = tokio::spawn(hatch_api::serve(listener, connections, app, drain));
    let ended = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        result = &mut api => result.context("the HTTP interface")?.context("the HTTP interface"),
        result = &mut process.appender_task => {
            result.context("the appender")?;
            Err(anyhow::anyhow!("the appender ended by itself"))
        }
        Some(result) = workers.join_next() => match result {
            Ok(Ok(())) => Err(anyhow::anyhow!("a role ended by itself")),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(error).context("a role"),
        },
    };
    serving.cancel();
    if !api.is_finished() {
        let _ = (&mut api).await;
    }
    process.workers.cancel();
    while workers.join_next().await.is_some() {}
    process.appending.cancel();
    if !process.appender_task.is_finished() {
        (&mut process.appender_task).await.context("the appender")?;
    }
    ended
}

/// What the roles of a process share.
struct Process {
    postgres: Database,
    pool: Connections,
    projections: Projections,
    store: Store,
    log: Log,
    bus: Bus,
    head: HeadWatch,
    admission: Admission,
    intake: Intake,
    relay: hatch_relay::StatusHandle,
    stats: Stats,
    limits: Limits,
    keeping: Arc<Keeping>,
    workers: CancellationToken,
    appending: CancellationToken,
    appender_task: tokio::task::JoinHandle<()>,
}

/// How a process follows the log.
struct Following {
    head: HeadWatch,
    /// What JetStream brings, read once for all who follow here.
    feed: Option<Feed>,
}

/// What the roles count.
#[derive(Default)]
struct Stats {
    requests: Arc<hatch_api::RequestStats>,
    webhooks: Arc<hatch_api::webhooks::WebhookStats>,
    dispatcher: Arc<hatch_dispatcher::Stats>,
}

fn new_id() -> uuid::Uuid {
    SystemEnvironment.new_id()
}

impl Process {
    async fn start(
        settings: &Settings,
        roles: &BTreeSet<Role>,
        projections: Projections,
    ) -> anyhow::Result<Self> {
        let postgres = postgres(settings)?;
        let pool = hatch_eventstore::pool(&postgres, POOL_CONNECTIONS_MAX, POOL_WAIT_MAX);
        check_schema(&pool).await?;
        let log = Log::new(pool.clone());
        let appending = CancellationToken::new();
        let place = place(settings, &postgres);
        let config = AppenderConfig { place: place.clone(), ..AppenderConfig::default() };
        let (appender, appender_task) =
            Appender::start(config, postgres.clone(), appending.clone());
        let bus = Bus::connect(settings.bus()?).await.context("NATS")?;
        let workers = CancellationToken::new();
        let config = FenceConfig { place, bus: Some(bus_end::of(bus.clone())) };
        let (head, _) = HeadWatch::start_with(config, postgres.clone(), workers.clone());
        head.clock().ask(&pool).await.context("PostgreSQL's clock")?;
        let store = Store::new(appender, log.clone(), Arc::new(head.clock().clone()));
        tracing::info!(roles = ?roles, "starting");
        let admission = admission::of(&settings.admission)?;
        let intake = Intake::new(admission::rules(&settings.admission)?);
        let relay = hatch_relay::StatusHandle::default();
        let stats = Stats::default();
        let limits = Limits::default();
        let keeping = keeping(settings, roles, &limits)?;
        Ok(Self {
            postgres,
            pool,
            projections,
            store,
            log,
            bus,
            head,
            admission,
            intake,
            relay,
            stats,
            limits,
            keeping,
            workers,
            appending,
            appender_task,
        })
    }

    /// Starts what the readers of the log among the roles share.
    fn follow(
        &self,
        roles: &BTreeSet<Role>,
        workers: &mut JoinSet<anyhow::Result<()>>,
    ) -> Option<Following> {
        let reads = |role| roles.contains(&role);
        let fed = reads(Role::Projector) || reads(Role::Query);
        if !fed && !reads(Role::Relay) && !reads(Role::Dispatcher) {
            return None;
        }
        let head = self.head.clone();
        let (bus, pool, shutdown) = (self.bus.clone(), self.pool.clone(), self.workers.clone());
        workers.spawn(async move {
            foreign::report(bus, pool, shutdown).await;
            Ok(())
        });
        let feed = fed.then(|| {
            let publisher = FeedPublisher::new(FEED_EVENTS_MAX);
            let feed = publisher.feed();
            let (bus, head, shutdown) = (self.bus.clone(), head.clone(), self.workers.clone());
            workers.spawn(async move {
                feed::run(bus, head, publisher, shutdown).await;
                Ok(())
            });
            feed
        });
        Some(Following { head, feed })
    }

    fn routes(
        &self,
        settings: &Settings,
        roles: &BTreeSet<Role>,
        following: Option<&Following>,
        drain: &Drain,
    ) -> anyhow::Result<Router> {
        let fence = self.head.fence().clone();
        let mut dependencies = readiness::dependencies(self.pool.clone(), fence, self.bus.clone());
        dependencies.push(readiness::process(drain.clone()));
        dependencies.push(readiness::clock(self.head.clock().clone()));
        dependencies.push(readiness::appends(self.store.appender().clone()));
        if roles.contains(&Role::Dispatcher) {
            let accounts = sending_accounts(settings)?;
            if accounts.is_empty() {
                tracing::warn!(
                    "no provider account is set: messages are accepted, and none is sent"
                );
            }
            let names: BTreeSet<_> = accounts.iter().map(|account| account.provider).collect();
            dependencies.extend(readiness::providers(names, &self.stats.dispatcher));
            dependencies.push(readiness::resources(&self.stats.dispatcher));
            dependencies.push(readiness::timers(self.pool.clone(), &self.stats.dispatcher));
        }
        let mut routes = hatch_api::health::router(dependencies);
        routes = routes.merge(metrics::router(self.metrics(roles)));
        let read_model = ReadModel::of(self.pool.clone(), self.projections);
        if roles.contains(&Role::Command) {
            let commands = hatch_api::commands::Commands {
                store: self.store.clone(),
                admission: self.admission.clone(),
                default_sms_sender: default_sender(settings)?,
                default_email_sender: default_email_sender(settings)?,
                default_subject: settings.sendgrid.as_ref().map_or_else(
                    || sendgrid::DEFAULT_SUBJECT.to_owned(),
                    |account| account.default_subject.clone(),
                ),
                mail_host: hatch_api::commands::mail_host(&settings.public_url()),
            };
            routes = routes
                .merge(hatch_api::compat::commands(commands.clone()))
                .merge(hatch_api::commands::router(commands));
        }
        if roles.contains(&Role::Query) {
            let queries = hatch_api::queries::Queries {
                read_position: ReadPosition::new(read_model.clone()),
                read_model,
                log: self.log.clone(),
                head: self.head.clone(),
                waiting: self.limits.limit("waiting_reads", WAITING_READS_MAX),
            };
            routes = routes
                .merge(hatch_api::compat::queries(queries.clone()))
                .merge(hatch_api::queries::router(queries));
        }
        if let Some(Following { head, feed }) = following.filter(|_| roles.contains(&Role::Query)) {
            routes = routes.merge(hatch_api::live::router(hatch_api::live::Live {
                log: self.log.clone(),
                head: head.clone(),
                feed: feed.clone(),
                places: Places::new(
                    &self.limits,
                    settings.limits.live_streams_max.unwrap_or(LIVE_STREAMS_MAX),
                ),
                shutdown: drain.closed().clone(),
                turns: CatchingUp::default(),
            }));
        }
        if has_api(roles) {
            routes = routes.merge(hatch_api::openapi::router());
        }
        if roles.contains(&Role::Webhook) {
            routes = routes.merge(hatch_api::webhooks::router(self.webhooks(settings)?));
        }
        Ok(routes)
    }

    fn metrics(&self, roles: &BTreeSet<Role>) -> metrics::Sources {
        let projects = roles.contains(&Role::Projector);
        metrics::Sources {
            started_at: SystemEnvironment.now(),
            requests: Arc::clone(&self.stats.requests),
            webhooks: Arc::clone(&self.stats.webhooks),
            keeping: roles.contains(&Role::Webhook).then(|| Arc::clone(&self.keeping)),
            limits: self.limits.clone(),
            admission: roles.contains(&Role::Command).then(|| self.admission.clone()),
            dispatcher: Arc::clone(&self.stats.dispatcher),
            dispatches: roles.contains(&Role::Dispatcher),
            appender: self.store.appender().clone(),
            pool: self.pool.clone(),
            log: self.log.clone(),
            fence: self.head.fence().clone(),
            clock: self.head.clock().clone(),
            bus: self.bus.clone(),
            relay: roles.contains(&Role::Relay).then(|| self.relay.clone()),
            projections: projects.then(|| ReadModel::of(self.pool.clone(), self.projections)),
        }
    }

    fn webhooks(&self, settings: &Settings) -> anyhow::Result<hatch_api::webhooks::Webhooks> {
        Ok(hatch_api::webhooks::Webhooks {
            store: self.store.clone(),
            read_model: ReadModel::of(self.pool.clone(), self.projections),
            accounts: webhook_accounts(settings)?,
            stats: Arc::clone(&self.stats.webhooks),
            recent: Arc::default(),
            intake: self.intake.clone(),
            readers: hatch_api::webhooks::Readers::new(Arc::clone(&self.stats.webhooks.reading)),
            keeping: Arc::clone(&self.keeping),
        })
    }

    fn spawn_workers(
        &self,
        settings: &Settings,
        roles: &BTreeSet<Role>,
        following: Option<&Following>,
        workers: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        if let Some(following) = following {
            if roles.contains(&Role::Relay) {
                self.spawn_relay(&following.head, workers);
            }
            if roles.contains(&Role::Projector) {
                self.spawn_projector(following, workers);
            }
            if roles.contains(&Role::Dispatcher) {
                self.spawn_dispatcher(settings, following, workers)?;
            }
        }
        if roles.contains(&Role::Command) && settings.admission.enabled {
            self.spawn_admission(settings, workers);
        }
        if roles.contains(&Role::Webhook) {
            let (webhooks, shutdown) = (self.webhooks(settings)?, self.workers.clone());
            workers.spawn(async move {
                hatch_api::webhooks::match_receipts(webhooks, shutdown).await;
                Ok(())
            });
            let (webhooks, shutdown) = (self.webhooks(settings)?, self.workers.clone());
            workers.spawn(async move {
                hatch_api::webhooks::keep_webhooks(webhooks, shutdown).await;
                Ok(())
            });
            if settings.admission.enabled {
                let (intake, pool) = (self.intake.clone(), self.pool.clone());
                let shutdown = self.workers.clone();
                workers.spawn(async move {
                    admission::report(intake, pool, shutdown).await;
                    Ok(())
                });
            }
        }
        Ok(())
    }

    fn spawn_admission(&self, settings: &Settings, workers: &mut JoinSet<anyhow::Result<()>>) {
        let (admission, waiting_max) = (self.admission.clone(), settings.admission.waiting_max);
        let (pool, head, shutdown) = (self.pool.clone(), self.head.clone(), self.workers.clone());
        let projections = self.projections;
        workers.spawn(async move {
            admission::run(admission, waiting_max, projections, pool, head, shutdown).await;
            Ok(())
        });
    }

    fn spawn_relay(&self, head: &HeadWatch, workers: &mut JoinSet<anyhow::Result<()>>) {
        let dependencies = hatch_relay::Deps {
            log: self.log.clone(),
            head: head.subscribe(),
            postgres: self.postgres.clone(),
            bus: self.bus.clone(),
            fence: head.fence().clone(),
            status: self.relay.clone(),
        };
        let (hints, shutdown) = (head.hints(), self.workers.clone());
        workers.spawn(async move {
            // Nobody else tells the relay of new events.
            let _hints = hints;
            hatch_relay::run(dependencies, hatch_relay::Config::default(), shutdown).await;
            Ok(())
        });
    }

    fn spawn_projector(&self, following: &Following, workers: &mut JoinSet<anyhow::Result<()>>) {
        let dependencies = hatch_projector::Deps {
            pool: self.pool.clone(),
            log: self.log.clone(),
            head: following.head.clone(),
            projections: self.projections,
            feed: following.feed.clone(),
        };
        let shutdown = self.workers.clone();
        workers.spawn(async move {
            hatch_projector::run(dependencies, hatch_projector::Config::default(), shutdown).await;
            Ok(())
        });
    }

    fn spawn_dispatcher(
        &self,
        settings: &Settings,
        following: &Following,
        workers: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let config = dispatcher_config(settings)?;
        let dependencies = hatch_dispatcher::Dependencies {
            store: self.store.clone(),
            pool: self.pool.clone(),
            head: following.head.clone(),
            bus: self.bus.clone(),
            accounts: sending_accounts(settings)?,
            precondition: None,
            stats: Arc::clone(&self.stats.dispatcher),
        };
        let shutdown = self.workers.clone();
        workers.spawn(async move {
            hatch_dispatcher::run(dependencies, config, shutdown).await;
            Ok(())
        });
        Ok(())
    }
}

/// What is kept of webhooks. The limit on receipts that wait is shown where webhooks are taken.
fn keeping(
    settings: &Settings,
    roles: &BTreeSet<Role>,
    limits: &Limits,
) -> anyhow::Result<Arc<Keeping>> {
    let rules = keep_rules(settings)?;
    let (name, max) = ("waiting_receipts", rules.waiting_receipts_max);
    let waiting = match roles.contains(&Role::Webhook) {
        true => limits.limit(name, max),
        false => Arc::new(Limit::new(name, max)),
    };
    Ok(Arc::new(Keeping::new(rules, waiting)))
}

/// Whether clients or providers come to this process.
fn has_api(roles: &BTreeSet<Role>) -> bool {
    [Role::Command, Role::Query, Role::Webhook].iter().any(|role| roles.contains(role))
}

/// How the HTTP interface ends; where nobody comes, nobody has to be given notice.
fn ending(settings: &Settings, roles: &BTreeSet<Role>) -> Ending {
    let notice = if has_api(roles) { settings.shutdown.notice_ms } else { 0 };
    Ending {
        notice: Duration::from_millis(notice),
        grace: Duration::from_millis(settings.shutdown.grace_ms),
    }
}

async fn check_schema(pool: &Connections) -> anyhow::Result<()> {
    let mut held = pool.hold(START_MAX).await.context("failed to reach PostgreSQL")?;
    let check = async |client: &mut Connection| {
        for schema in crate::schemas() {
            schema.check(client).await.context("run `hatch migrate`")?;
        }
        Ok(())
    };
    held.within(START_MAX, check).await
}
