//! Connections to PostgreSQL that notice when the other side is gone.

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Pool, PoolConfig as DeadpoolConfig, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::task::AbortOnDropHandle;

/// How long the other side may leave sent data unacknowledged, or a silent connection unprobed,
/// before the connection counts as lost. The system's defaults are hours.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// How long connecting may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a pooled connection may take to show that it can be used again.
const RECYCLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Settings of pooled sessions. Every query has its index: plans made while a table was small are
/// kept, and one with a sequential scan would be a trap once it has grown.
const POOL_OPTIONS: &str = "-c statement_timeout=30s -c idle_in_transaction_session_timeout=30s \
     -c lock_timeout=10s -c jit=off -c enable_seqscan=off";

/// A pool of connections for reading the log and for the tables of others.
///
/// At most `size_max` connections; asking for one fails after `wait_timeout`. Connecting, and a
/// silent server, have limits of seconds.
///
/// # Panics
/// Never: a pool without a runtime for its timeouts cannot be built, and this one has one.
#[must_use]
pub fn pool(postgres: &Config, size_max: usize, wait_timeout: Duration) -> Pool {
    let mut postgres = hardened(postgres);
    let options = match postgres.get_options() {
        Some(given) => format!("{POOL_OPTIONS} {given}"),
        None => POOL_OPTIONS.to_owned(),
    };
    postgres.options(options);
    // Users begin transactions by `transaction()` alone, whose guard rolls back what a dropped future
    // left open: asking the server for that each time would double the round trips of a read.
    let recycling_method = RecyclingMethod::Fast;
    let manager = Manager::from_config(postgres, NoTls, ManagerConfig { recycling_method });
    let timeouts = Timeouts {
        wait: Some(wait_timeout),
        create: Some(CONNECT_TIMEOUT),
        recycle: Some(RECYCLE_TIMEOUT),
    };
    Pool::builder(manager)
        .config(DeadpoolConfig { max_size: size_max, timeouts, ..DeadpoolConfig::default() })
        .runtime(Runtime::Tokio1)
        .build()
        .expect("timeouts come with a runtime")
}

/// A connection that closes when this is dropped, whatever is still under way on it.
pub struct Connected {
    client: Client,
    driver: AbortOnDropHandle<()>,
}

impl Connected {
    /// Closes the connection in order: the server has been told when this returns.
    pub async fn close(self) {
        drop(self.client);
        // An error would be a panic of the driver: closed either way.
        let _ = self.driver.await;
    }
}

impl std::ops::Deref for Connected {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl std::ops::DerefMut for Connected {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// A connection of one's own, outside of any pool, such as migrations need.
///
/// # Errors
/// What `tokio_postgres` fails of; it takes two seconds at most for each host.
pub async fn connect(postgres: &Config) -> Result<Connected, tokio_postgres::Error> {
    let (client, connection) = hardened(postgres).connect(NoTls).await?;
    let driver = tokio::spawn(async move {
        // Whoever uses the client gets the error as well, and knows what to do about it.
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
        }
    });
    Ok(Connected { client, driver: AbortOnDropHandle::new(driver) })
}

/// `postgres` with limits on how long silence is borne.
pub(crate) fn hardened(postgres: &Config) -> Config {
    let mut postgres = postgres.clone();
    postgres
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(SILENCE_MAX)
        .keepalives(true)
        .keepalives_idle(SILENCE_MAX)
        .keepalives_interval(SILENCE_MAX / 5)
        .keepalives_retries(3);
    postgres
}
