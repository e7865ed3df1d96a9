//! The roles: each defines itself in a file of its own, and one loop runs them in a process.

mod accounts;
mod command;
mod configured;
mod definition;
mod dispatcher;
mod door;
mod joining;
mod listener;
mod pool_table;
mod process;
mod projector;
mod query;
mod relay;
mod webhook;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use clap::builder::PossibleValue;
use hatch_api::{Bodies, Drain, Ending, Entrance, Requests, Tls};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "dev")]
pub(crate) use self::accounts::account_context;
pub(crate) use self::accounts::{
    SetAccount, accounts, check_accounts, each_account, generic_webhook,
};
pub use self::configured::postgres;
pub(crate) use self::configured::{
    check, default_email_sender, default_sender, keep_rules, own_mailboxes, place, refusals, sites,
    trusted_proxies, word_rules,
};
pub(crate) use self::definition::Instances;
use self::definition::{RoleDefinition, RoleInstance};
pub(crate) use self::door::{FIRST_KEY, refusal};
pub(crate) use self::joining::{Joiner, LeftOut, kept, vault};
pub(crate) use self::listener::{certificate_files, cors};
pub use self::process::Parts;
pub(crate) use self::process::Process;
use self::process::{Follows, Workers};
use crate::settings::Settings;
use crate::telemetry::metrics;
use crate::{files, limits, readiness, reload};

/// A role is a line here and a file beside this one.
macro_rules! roles {
    ($($(#[$doc:meta])* $role:ident: $file:ident,)+) => {
        /// A part of hatch that can run in a process of its own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Role {
            $($(#[$doc])* $role,)+
        }

        impl Role {
            /// Every role.
            pub const ALL: [Self; [$(Self::$role),+].len()] = [$(Self::$role),+];

            const fn definition(self) -> &'static RoleDefinition {
                match self {
                    $(Self::$role => &$file::DEFINITION,)+
                }
            }
        }
    };
}

roles! {
    /// Takes what clients ask for.
    Command: command,
    /// Answers what clients read.
    Query: query,
    /// Takes what providers post.
    Webhook: webhook,
    /// Publishes the log on JetStream.
    Relay: relay,
    /// Writes the read models.
    Projector: projector,
    /// Sends messages.
    Dispatcher: dispatcher,
}

impl Role {
    /// The role's name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.definition().name
    }

    /// Which requests the role answers, if any come to it.
    pub(crate) const fn requests(self) -> Option<Requests> {
        self.definition().requests
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl clap::ValueEnum for Role {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let RoleDefinition { name, about, .. } = self.definition();
        Some(PossibleValue::new(*name).help(*about))
    }
}

/// Runs `roles` until `shutdown`: first the HTTP interface ends, then the workers, then the appender,
/// so that nothing loses what it writes to.
///
/// Every process serves `/health`, `/ready` and `/metrics` on `listener`, whatever its roles.
///
/// `parts` may be others than usual: settings that are read again, the projections of another build, or clocks that
/// somebody sets.
///
/// # Errors
/// A bad setting, a database of another schema, or a role that cannot go on.
pub async fn run_with(
    settings: &Settings,
    roles: &BTreeSet<Role>,
    parts: Parts,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut workers = Workers::new();
    let follows = roles.iter().map(|role| role.definition().follows).max();
    let named = roles.iter().map(|role| role.as_str()).collect();
    let of_roles = (named, follows.unwrap_or(Follows::Nothing));
    let started = Process::start(settings, of_roles, parts, &mut workers).await?;
    let (process, mut appending) = started;
    // Before anything else is said: a process that may not listen there says that alone.
    let address = listener.local_addr()?;
    let looked = shutdown.run_until_cancelled(door::of(&process, address.ip())).await;
    let Some(door) = looked.transpose()? else {
        appending.stop.cancel();
        return appending.task.await.context("the appender");
    };
    joining::start(&process, &shutdown, &mut workers).await?;
    tracing::info!(roles = ?roles, "starting");
    let instances: Vec<_> = Role::ALL
        .into_iter()
        .map(|role| anyhow::Ok((role.as_str(), (role.definition().make)(&process)?)))
        .collect::<Result<_, _>>()?;
    let instances: Instances = instances.into();
    start(&process, &instances, &mut workers)?;
    let tls = listener::tls(&process, &mut workers)?;
    files::log();
    tracing::info!(%address, tls = tls.is_some(), "listening");
    let serving = shutdown.child_token();
    let drain = Drain::new(ending(settings, roles), serving.clone());
    let routes = routes(&process, roles, &instances, (&drain, tls.as_ref()))?;
    let trusted = trusted_proxies(settings)?;
    let sites = sites(settings).with_cors(cors(settings)?);
    let connections = limits::connections(&settings.limits, &process.limits, 1, trusted.clone())
        .explained_by(&sites);
    let entrance = Entrance {
        new_id: process::new_id,
        stats: Arc::clone(&process.requests),
        trusted_proxies: trusted,
        sites,
        bodies: Bodies::new(&process.limits),
        door,
        limits: process.rate_limits.clone(),
        trail: process.trail.clone(),
    };
    let app = hatch_api::app(routes, entrance, &drain);
    let mut api = tokio::spawn(hatch_api::serve_by(listener, (connections, tls), app, drain));
    let ended = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        result = &mut api => result.context("the HTTP interface")?.context("the HTTP interface"),
        result = &mut appending.task => {
            result.context("the appender")?;
            Err(anyhow::anyhow!("the appender ended by itself"))
        }
        Some(result) = workers.join_next() => match result {
            Ok(()) => Err(anyhow::anyhow!("a role ended by itself")),
            Err(error) => Err(error).context("a role"),
        },
    };
    serving.cancel();
    if !api.is_finished() {
        let _ = (&mut api).await;
    }
    process.workers.cancel();
    while workers.join_next().await.is_some() {}
    appending.stop.cancel();
    if !appending.task.is_finished() {
        (&mut appending.task).await.context("the appender")?;
    }
    ended
}

/// Starts what the roles of this process do, and what follows the settings.
fn start(
    process: &Arc<Process>,
    instances: &Instances,
    workers: &mut Workers,
) -> anyhow::Result<()> {
    for instance in running(process, instances) {
        instance.start(process, workers)?;
    }
    workers.spawn(reload::follow(Arc::clone(process)));
    Ok(())
}

/// The roles that this process runs.
fn running<'a>(
    process: &'a Process,
    instances: &'a Instances,
) -> impl Iterator<Item = &'a dyn RoleInstance> {
    let runs = instances.iter().filter(|(role, _)| process.runs(role));
    runs.map(|(_, instance)| &**instance)
}

/// What this process answers: what every process does, and what its roles do.
fn routes(
    process: &Arc<Process>,
    roles: &BTreeSet<Role>,
    instances: &Instances,
    (drain, tls): (&Drain, Option<&Tls>),
) -> anyhow::Result<Router> {
    let mut dependencies = readiness::dependencies(process, drain.clone());
    dependencies.extend(readiness::listener(&process.settings, tls));
    for instance in running(process, instances) {
        dependencies.extend(instance.ready(process)?);
    }
    let (of, all) = (Arc::clone(process), Arc::clone(instances));
    let each = move || running(&of, &all).flat_map(|one| one.ready_each(&of)).collect();
    let mut routes = hatch_api::health::router(dependencies, Box::new(each))
        .merge(metrics::router(Arc::clone(process), Arc::clone(instances)));
    for instance in running(process, instances) {
        routes = routes.merge(instance.routes(process, drain)?);
    }
    if has_api(roles) {
        routes = routes.merge(hatch_api::openapi::router());
    }
    Ok(routes)
}

/// Whether clients or providers come to this process.
fn has_api(roles: &BTreeSet<Role>) -> bool {
    roles.iter().any(|role| role.requests().is_some())
}

/// How the HTTP interface ends; where nobody comes, nobody has to be given notice.
fn ending(settings: &Settings, roles: &BTreeSet<Role>) -> Ending {
    let notice = if has_api(roles) { settings.shutdown.notice_ms } else { 0 };
    Ending {
        notice: Duration::from_millis(notice),
        grace: Duration::from_millis(settings.shutdown.grace_ms),
    }
}
