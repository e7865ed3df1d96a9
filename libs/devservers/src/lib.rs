//! PostgreSQL and nats-server as child processes, for development and tests.
//!
//! Each server listens on a private port of the loopback address, keeps its data under one folder,
//! is started again on the same port when it dies, and is stopped cleanly. Whatever a killed
//! predecessor left running on the same data is found and stopped first, so that there is never
//! more than one server on it.

mod account;
mod binaries;
mod folder;
mod leftover;
mod log;
mod nats;
mod port;
mod postgres;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod with_servers;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

pub use binaries::{NatsServer, PostgresInstallation};
pub use folder::{Folder, make as make_data_folder};
pub use port::free_port;

use nats::Nats;
use postgres::Postgres;

/// How long a server may take until it answers; crash recovery of a large log is part of it.
const READY_MAX: Duration = Duration::from_secs(60);
/// A server whose port was taken between choosing and binding it is given another, this often.
const START_ATTEMPTS_MAX: u32 = 5;

/// What the servers are for, which is how they are tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A developer's own data: durable as in production.
    Development,
    /// One test run. `fsync` is off: a commit reaches the operating system as in production, so it
    /// survives the kill of any process, and no test can cut the power.
    Tests,
}

/// Which servers to start, and where.
pub struct Options {
    /// Tuning.
    pub purpose: Purpose,
    /// A PostgreSQL that is there already; none is started then.
    pub database_url: Option<String>,
    /// A NATS that is there already; none is started then.
    pub nats_url: Option<String>,
}

/// Without its URLs, which hold passwords.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

/// The running servers of one [`Folder`].
pub struct Embedded {
    postgres: Option<Postgres>,
    nats: Option<Nats>,
    database_url: String,
    nats_url: String,
    /// Its lock must outlive the servers.
    _folder: Arc<Folder>,
}

/// Without its URLs, which hold passwords.
impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Embedded {
    /// Starts what `options` do not name and waits until it answers.
    ///
    /// # Errors
    /// A server is not installed, or did not start in time; the end of its log is in the message.
    pub async fn start(folder: &Arc<Folder>, options: Options) -> anyhow::Result<Self> {
        let home = folder.home();
        let (postgres, nats) = tokio::join!(
            async {
                match options.database_url {
                    Some(_) => Ok(None),
                    None => {
                        Postgres::start(folder, &home.postgres(), options.purpose).await.map(Some)
                    }
                }
            },
            async {
                match options.nats_url {
                    Some(_) => Ok(None),
                    None => Nats::start(folder, &home.nats()).await.map(Some),
                }
            }
        );
        let (postgres, nats) = match (postgres, nats) {
            (Ok(postgres), Ok(nats)) => (postgres, nats),
            (postgres, nats) => {
                // The one that did start is not left behind.
                return Err(stop_both(postgres, nats).await);
            }
        };
        let database_url = options
            .database_url
            .or_else(|| postgres.as_ref().map(Postgres::url))
            .context("no PostgreSQL was given or started")?;
        let nats_url = options
            .nats_url
            .or_else(|| nats.as_ref().map(Nats::url))
            .context("no NATS was given or started")?;
        let embedded = Self { postgres, nats, database_url, nats_url, _folder: Arc::clone(folder) };
        embedded.record(folder)?;
        Ok(embedded)
    }

    /// Stops what an earlier run on this folder left behind, without starting anything.
    ///
    /// # Errors
    /// Something cannot be stopped.
    pub async fn stop_leftovers(folder: &Folder) -> anyhow::Result<()> {
        postgres::stop_leftovers(&folder.home().postgres()).await?;
        nats::stop_leftovers(&folder.home().nats()).await
    }

    /// `postgres://` URL of the application's database, as its owner.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// `nats://` URL with user and password, where the server was started here.
    #[must_use]
    pub fn nats_url(&self) -> &str {
        &self.nats_url
    }

    /// The PostgreSQL that was started, if one was.
    #[must_use]
    pub fn postgres_installation(&self) -> Option<PostgresInstallation> {
        self.postgres.as_ref().map(Postgres::installation).cloned()
    }

    /// The nats-server that was started, if one was.
    #[must_use]
    pub fn nats_server(&self) -> Option<NatsServer> {
        self.nats.as_ref().map(|nats| NatsServer { program: nats.program().to_owned() })
    }

    /// Stops the servers that were started and waits until they have ended.
    pub async fn stop(self) {
        tokio::join!(
            async {
                if let Some(nats) = self.nats {
                    nats.stop().await;
                }
            },
            async {
                if let Some(postgres) = self.postgres {
                    postgres.stop().await;
                }
            }
        );
    }

    /// Writes where the servers are, now and whenever a restart gives one another process id.
    fn record(&self, folder: &Arc<Folder>) -> anyhow::Result<()> {
        folder.record(|servers| {
            servers.database_url.clone_from(&self.database_url);
            servers.nats_url.clone_from(&self.nats_url);
        })?;
        if let Some(postgres) = &self.postgres {
            folder.follow(postgres::PROGRAM, postgres.pid())?;
        }
        if let Some(nats) = &self.nats {
            folder.follow(nats::PROGRAM, nats.pid())?;
        }
        Ok(())
    }
}

async fn stop_both(
    postgres: anyhow::Result<Option<Postgres>>,
    nats: anyhow::Result<Option<Nats>>,
) -> anyhow::Error {
    let mut first = None;
    match postgres {
        Ok(Some(postgres)) => postgres.stop().await,
        Ok(None) => {}
        Err(error) => first = Some(error),
    }
    match nats {
        Ok(Some(nats)) => nats.stop().await,
        Ok(None) => {}
        Err(error) => first = first.or(Some(error)),
    }
    first.unwrap_or_else(|| anyhow::anyhow!("no server failed"))
}

#[cfg(test)]
mod tests;
