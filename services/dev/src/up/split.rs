//! The simulator and each role as a process of its own, behind one address.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use hatch_api::Requests;
use hatch_devservers::{Folder, free_port};
use hatch_process::{EXIT_WITH_PARENT, Program, Supervised};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::ready::ready;
use super::{Application, Options, SplitRole, UpLocations, announce};
use crate::front::{Upstreams, serve_proxy};
use crate::simulator::WEBHOOKS;

const SIMULATOR: &str = "simulator";
/// mimalloc's own variable: after so many milliseconds it gives back memory that is free. With its default of 1,000 a
/// busy process gives back what its next batch takes again, and the system clears it anew each time.
const PURGE_DELAY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "5000");
/// Open streams end with the role behind them; this is for a client that does not read.
const PROXY_GRACE: Duration = Duration::from_secs(2);

/// Runs until `stop`.
pub(super) async fn run(
    application: &impl Application,
    options: &Options,
    place: &UpLocations,
    folder: &Arc<Folder>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(place.listen)
        .await
        .with_context(|| format!("failed to listen on {}", place.listen))?;
    let program = &*options.program;
    let family = Family { program, place, folder, environment: application.environment(place) };
    // Those that answer requests stop first.
    let (api, workers): (Vec<SplitRole>, Vec<SplitRole>) =
        options.roles.iter().copied().partition(|role| role.requests.is_some());
    let (api, fronted) = family.start_all(&api)?;
    let upstreams: Vec<_> = fronted
        .iter()
        .filter_map(|(role, address)| role.requests.map(|requests| (requests, *address)))
        .collect();
    let webhooks = upstreams.iter().find(|(requests, _)| *requests == Requests::Webhooks);
    let simulator = family.start_simulator(webhooks.map(|(_, address)| *address))?;
    let (workers, others) = family.start_all(&workers)?;
    let stop_proxy = CancellationToken::new();
    let all = fronted.iter().chain(&others).map(|(role, address)| (role.name, *address));
    let roles: Vec<_> = all.collect();
    let awaited: Vec<_> = upstreams.iter().map(|(_, address)| *address).collect();
    let upstreams = Upstreams { api: upstreams, all: roles.clone() };
    let mut proxy = tokio::spawn(serve_proxy(
        listener,
        upstreams,
        options.connections.clone(),
        options.names.clone(),
        stop_proxy.clone(),
    ));
    let started = async {
        join_all(awaited.into_iter().chain([place.listen]).map(ready)).await;
        announce(&mut std::io::stdout(), place, &roles)?;
        std::future::pending().await
    };
    let children: Vec<_> = api.iter().chain(&workers).collect();
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        outcome = pass_on(&options.hang_ups, &children) => outcome,
        outcome = &mut proxy => outcome.context("the proxy panicked")?.context("the proxy failed"),
        outcome = started => outcome,
    };
    stop_proxy.cancel();
    join_all(api.into_iter().map(Supervised::stop)).await;
    if !proxy.is_finished() && tokio::time::timeout(PROXY_GRACE, &mut proxy).await.is_err() {
        proxy.abort();
    }
    join_all(workers.into_iter().map(Supervised::stop)).await;
    simulator.stop().await;
    outcome
}

/// Has the roles read their settings again, each time that this process is to. It never ends.
async fn pass_on(hang_ups: &Notify, children: &[&Supervised]) -> anyhow::Result<()> {
    loop {
        hang_ups.notified().await;
        for child in children {
            child.hang_up();
        }
    }
}

/// Where each role listens.
type Addresses = Vec<(SplitRole, SocketAddr)>;

/// What the processes have in common.
struct Family<'a> {
    program: &'a Path,
    place: &'a UpLocations,
    folder: &'a Arc<Folder>,
    environment: Vec<(OsString, OsString)>,
}

impl Family<'_> {
    /// Starts `roles`, and says where each listens.
    fn start_all(&self, roles: &[SplitRole]) -> anyhow::Result<(Vec<Supervised>, Addresses)> {
        let mut started = Vec::with_capacity(roles.len());
        let mut addresses = Vec::with_capacity(roles.len());
        for role in roles {
            let (process, address) = self.start(role.name)?;
            started.push(process);
            addresses.push((*role, address));
        }
        Ok((started, addresses))
    }

    /// Starts a role and says where it listens.
    fn start(&self, role: &'static str) -> anyhow::Result<(Supervised, SocketAddr)> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let setting = ("HATCH_LISTEN".into(), listen.to_string().into());
        let process = self.start_process(role, vec!["serve", "--roles", role], vec![setting])?;
        Ok((process, listen))
    }

    /// Starts the simulator, whose callbacks go to `webhooks` where a role takes them.
    fn start_simulator(&self, webhooks: Option<SocketAddr>) -> anyhow::Result<Supervised> {
        let listen = self.place.simulator_listen.to_string();
        let mut settings = vec![("HATCH_SIMULATOR_LISTEN".into(), listen.into())];
        settings.extend(webhooks.map(|address| (WEBHOOKS.into(), address.to_string().into())));
        self.start_process(SIMULATOR, vec![SIMULATOR], settings)
    }

    fn start_process(
        &self,
        name: &'static str,
        arguments: Vec<&'static str>,
        settings: Vec<(OsString, OsString)>,
    ) -> anyhow::Result<Supervised> {
        let mut environment = self.environment.clone();
        environment.extend([
            ("HATCH_DATABASE_URL".into(), self.place.database_url.clone().into()),
            ("HATCH_NATS_URL".into(), self.place.nats_url.clone().into()),
            ("HATCH_DATA_DIR".into(), self.place.folder.clone().into()),
            (EXIT_WITH_PARENT.into(), "1".into()),
        ]);
        let (variable, delay) = PURGE_DELAY;
        if std::env::var_os(variable).is_none() {
            environment.push((variable.into(), delay.into()));
        }
        environment.extend(settings);
        let program = self.program.to_owned();
        let process = Supervised::start(Process { name, program, arguments, environment })?;
        self.folder.follow(name, process.pid())?;
        Ok(process)
    }
}

struct Process {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<&'static str>,
    environment: Vec<(OsString, OsString)>,
}

impl Program for Process {
    fn name(&self) -> &str {
        self.name
    }

    fn command(&self) -> std::io::Result<Command> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped());
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        Ok(command)
    }
}
