//! Connections to PostgreSQL that notice when the other side is gone, and that believe no server more than
//! its connection string says.
//!
//! Every connection of hatch is made here, by [`open`].

mod ask;
mod database;
mod dial;
mod guard;
mod parameters;
mod refusal;
mod security;
mod stream;
mod verifier;

use std::task::{Context, Poll};
use std::time::Duration;

use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Pool, PoolConfig as DeadpoolConfig, RecyclingMethod, Runtime,
    Timeouts,
};
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, Error};
use tokio_util::task::AbortOnDropHandle;

pub use ask::{Connection, ConnectionCounts, Connections, Held, Unanswered};
pub use database::{BadDatabase, Database};
pub use refusal::ServerRefusal;
use stream::ServerStream;
pub use verifier::Verification;

/// How long the other side may leave sent data unacknowledged, or a silent connection unprobed,
/// before the connection counts as lost. The system's defaults are hours.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// How long connecting may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a pooled connection may take to show that it can be used again.
const RECYCLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Settings of pooled sessions. Every query has its index: plans made while a table was small are
/// kept, and one with a sequential scan would be a trap once it has grown. A query whose connection was
/// given up ends within a second.
const POOL_OPTIONS: &str = "-c statement_timeout=30s -c idle_in_transaction_session_timeout=30s \
     -c lock_timeout=10s -c client_connection_check_interval=1s -c jit=off -c enable_seqscan=off";

/// A pool of connections for reading the log and for the tables of others.
///
/// At most `size_max` connections; asking for one fails after `wait_timeout`. Connecting, and a
/// silent server, have limits of seconds.
///
/// # Panics
/// Never: a pool without a runtime for its timeouts cannot be built, and this one has one.
#[must_use]
pub fn pool(postgres: &Database, size_max: usize, wait_timeout: Duration) -> Connections {
    let mut postgres = hardened(postgres);
    let options = match postgres.get_options() {
        Some(given) => format!("{POOL_OPTIONS} {given}"),
        None => POOL_OPTIONS.to_owned(),
    };
    postgres.options(options);
    // Users begin transactions by `transaction()` alone, whose guard rolls back what a dropped future
    // left open: asking the server for that each time would double the round trips of a read.
    let recycling_method = RecyclingMethod::Fast;
    let config = postgres.config.clone();
    let manager = Manager::from_connect(config, postgres, ManagerConfig { recycling_method });
    let timeouts = Timeouts {
        wait: Some(wait_timeout),
        create: Some(CONNECT_TIMEOUT),
        recycle: Some(RECYCLE_TIMEOUT),
    };
    let pool = Pool::builder(manager)
        .config(DeadpoolConfig { max_size: size_max, timeouts, ..DeadpoolConfig::default() })
        .runtime(Runtime::Tokio1)
        .build()
        .expect("timeouts come with a runtime");
    Connections::new(pool)
}

/// A connection that closes when this is dropped, whatever is still under way on it.
pub struct Connected {
    client: Client,
    driver: AbortOnDropHandle<()>,
    transport: Transport,
}

impl Connected {
    /// The way that it takes.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

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

/// The way that a connection takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transport {
    /// Whether it leads nowhere beyond this machine.
    pub is_local: bool,
    /// Whether it is one of TLS.
    pub is_encrypted: bool,
}

/// What keeps a connection going: it is to be awaited, or polled for messages.
pub struct Driver {
    connection: tokio_postgres::Connection<ServerStream, ServerStream>,
    transport: Transport,
}

impl Driver {
    /// The next message that answers no query; none once the connection has ended.
    pub fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<AsyncMessage, Error>>> {
        self.connection.poll_message(context)
    }
}

impl Future for Driver {
    type Output = Result<(), Error>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        std::pin::Pin::new(&mut self.connection).poll(context)
    }
}

/// Opens a connection, as `postgres` says; what keeps it going is the caller's.
///
/// # Errors
/// What `tokio_postgres` fails of. Where a server is not believed, a [`ServerRefusal`] is in it.
pub async fn open(postgres: &Database) -> Result<(Client, Driver), Error> {
    dial::open(postgres).await
}

/// A connection of one's own, outside of any pool, such as migrations need.
///
/// # Errors
/// As [`open`]; it takes two seconds at most to reach each address, and ten to be let in.
pub async fn connect(postgres: &Database) -> Result<Connected, Error> {
    let (client, driver) = open(&hardened(postgres)).await?;
    let transport = driver.transport;
    let driver = AbortOnDropHandle::new(tokio::spawn(drive(driver)));
    Ok(Connected { client, driver, transport })
}

async fn drive(driver: Driver) {
    // The caller that uses the client gets the error as well, and handles it.
    if let Err(error) = driver.await {
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
    }
}

/// Pools connect to what they were made with: the client's part of it is all that they hand over.
impl Connect for Database {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(async move {
            let (client, driver) = open(self).await?;
            Ok((client, tokio::spawn(drive(driver))))
        })
    }
}

/// `postgres` with limits on how long silence is borne.
pub(crate) fn hardened(postgres: &Database) -> Database {
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
