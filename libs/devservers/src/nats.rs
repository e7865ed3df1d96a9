//! A private nats-server with JetStream.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hatch_process::{Program, Supervised};
use nix::sys::signal::Signal;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::watch;

use crate::account::{Home, make_folder};
use crate::binaries::NatsServer;
use crate::folder::{Folder, write_secret};
use crate::log::LogFile;
use crate::port::free_port;
use crate::postgres::random_password;
use crate::{READY_MAX, START_ATTEMPTS_MAX, leftover};

pub(crate) const PROGRAM: &str = "nats-server";
/// The only user of the server.
const USER: &str = "hatch";
/// Its password, beside the data.
const CONFIGURATION: &str = "nats.conf";
const POLL: Duration = Duration::from_millis(20);
const GREETING_MAX: Duration = Duration::from_secs(1);

/// A running nats-server.
#[derive(Debug)]
pub(crate) struct Nats {
    process: Supervised,
    program: PathBuf,
    port: u16,
    password: String,
}

impl Nats {
    /// Starts a server that keeps its streams in `data`.
    pub(crate) async fn start(folder: &Folder, data: &Path) -> anyhow::Result<Self> {
        let program = NatsServer::find()?.program;
        // As root, a program in root's own checkout is out of the other account's reach; it runs
        // as root then: it listens on the loopback address alone and has no way to run commands.
        let home = folder.home().for_program(&program);
        stop_leftovers(data).await?;
        if !data.exists() {
            make_folder(data, 0o700)?;
        }
        home.give(data)?;
        // In a file, because every account of the machine sees a command line.
        let (configuration, password) = (home.path().join(CONFIGURATION), random_password()?);
        let text = format!("authorization {{ user: \"{USER}\", password: \"{password}\" }}\n");
        write_secret(&configuration, &text)?;
        home.give(&configuration)?;
        let mut attempt = 1;
        loop {
            let server = Server {
                program: program.clone(),
                home: home.clone(),
                data: data.to_owned(),
                configuration: configuration.clone(),
                log: folder.log("nats"),
                port: free_port()?,
            };
            let (port, name, log) = (server.port, server.server_name(), server.log.clone());
            let process = Supervised::start(server)?;
            match ready(port, &name, process.pid()).await {
                Ok(()) => return Ok(Self { process, program, port, password }),
                Err(error) => {
                    process.stop().await;
                    if attempt == START_ATTEMPTS_MAX {
                        return Err(
                            error.context(format!("failed to start nats-server; {}", log.tail()))
                        );
                    }
                    attempt += 1;
                }
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        let (password, address, port) = (&self.password, Ipv4Addr::LOCALHOST, self.port);
        format!("nats://{USER}:{password}@{address}:{port}")
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    pub(crate) fn pid(&self) -> watch::Receiver<Option<u32>> {
        self.process.pid()
    }

    pub(crate) async fn stop(self) {
        self.process.stop().await;
    }
}

/// Stops what works on `data`.
pub(crate) async fn stop_leftovers(data: &Path) -> anyhow::Result<()> {
    leftover::stop(PROGRAM, data, Signal::SIGTERM).await
}

/// How one nats-server is started.
struct Server {
    program: PathBuf,
    home: Home,
    data: PathBuf,
    configuration: PathBuf,
    log: LogFile,
    port: u16,
}

impl Server {
    /// Tells our server from another one that might sit on the port.
    fn server_name(&self) -> String {
        format!("hatch-{}-{}", std::process::id(), self.port)
    }
}

impl Program for Server {
    fn name(&self) -> &str {
        PROGRAM
    }

    fn command(&self) -> std::io::Result<Command> {
        let log = self.log.open()?;
        let mut command = self.home.command(&self.program);
        command
            .arg("--config")
            .arg(&self.configuration)
            .args(["--addr", &Ipv4Addr::LOCALHOST.to_string()])
            .args(["--port", &self.port.to_string()])
            .args(["--name", &self.server_name()])
            .arg("--jetstream")
            .arg("--store_dir")
            .arg(&self.data)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }
}

/// What a server says first; the rest of it does not matter here.
#[derive(Deserialize)]
struct Greeting {
    server_name: String,
    #[serde(default)]
    jetstream: bool,
}

/// Waits until the server called `name` answers on `port`.
async fn ready(port: u16, name: &str, mut pid: watch::Receiver<Option<u32>>) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < READY_MAX {
        tokio::select! {
            biased;
            _ = pid.changed() => bail!("it ended"),
            greeting = tokio::time::timeout(GREETING_MAX, greeting(port)) => match greeting {
                Ok(Ok(greeting)) if greeting.server_name != name => {
                    bail!("another server listens on port {port}")
                }
                Ok(Ok(greeting)) if greeting.jetstream => return Ok(()),
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }
    bail!("it did not answer within {} s", READY_MAX.as_secs())
}

async fn greeting(port: u16) -> anyhow::Result<Greeting> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    let json = line.strip_prefix("INFO ").context("not a NATS server")?;
    Ok(serde_json::from_str(json)?)
}
