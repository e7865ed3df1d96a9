//! Makes a connection: finds the server, agrees on TLS with it, authenticates.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use rand::seq::SliceRandom;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode as Negotiated, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::guard::{Guard, Methods};
use super::security::SslMode;
use super::stream::{AsItIs, Bytes, ServerStream, Tls};
use super::{Database, Driver, ServerRefusal, Transport};

/// How long a server that was reached may take until it lets the client in.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Asks for TLS: its length, and a number that is no version of the protocol.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

const DEFAULT_PORT: u16 = 5432;

/// One of the servers that a connection string names.
struct Server {
    way: Endpoint,
    port: u16,
}

enum Endpoint {
    /// The folder of a socket.
    Unix(PathBuf),
    /// A host, which the certificate is for, and where it is if its name need not be looked up.
    Tcp { host: String, address: Option<IpAddr> },
}

/// What one attempt does about TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Plain,
    TlsIfOffered,
    Tls,
}

/// Why an attempt failed.
enum Failure {
    /// No TLS came about.
    Tls(io::Error),
    /// The server cannot be reached, or may not be answered.
    Io(io::Error),
    /// The server was reached.
    Postgres(Error),
}

impl Failure {
    fn io(kind: ErrorKind, server: &Server, what: impl std::fmt::Display) -> Self {
        Self::Io(io::Error::new(kind, format!("{}: {what}", server.name())))
    }

    /// Whether another attempt, with or without TLS, may fare better.
    fn is_of_this_attempt(&self) -> bool {
        match self {
            Self::Tls(_) => true,
            Self::Io(_) => false,
            Self::Postgres(error) => {
                error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
            }
        }
    }

    /// As the client's error.
    async fn into_error(self, config: &Config) -> Error {
        let reason = match self {
            Self::Tls(reason) | Self::Io(reason) => reason,
            Self::Postgres(error) => return error,
        };
        let guard = Guard::new(Methods::default());
        let broken = ServerStream::new(Bytes::Broken(Some(reason)), guard, String::new());
        match config.connect_raw(broken, AsItIs).await {
            Err(error) => error,
            Ok(_) => unreachable!("nothing can be written to a broken stream"),
        }
    }
}

/// Connects to the first of the servers that lets the client in.
pub(super) async fn open(database: &Database) -> Result<(Client, Driver), Error> {
    let mut config = database.config.clone();
    // The stream comes as it has to be; see `AsItIs`.
    config.ssl_mode(Negotiated::Require).ssl_negotiation(SslNegotiation::Direct);
    let failure = match servers(&config) {
        Err(error) => Failure::Io(error),
        Ok(servers) => match first_of(database, &config, &servers).await {
            Ok(connected) => return Ok(connected),
            Err(failure) => failure,
        },
    };
    Err(failure.into_error(&config).await)
}

async fn first_of(
    database: &Database,
    config: &Config,
    servers: &[Server],
) -> Result<(Client, Driver), Failure> {
    let mut last = Failure::Io(io::Error::new(ErrorKind::InvalidInput, "no host is named"));
    for server in servers {
        match server.connect(database, config).await {
            Ok(connected) => return Ok(connected),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

/// The servers, in the order in which they are tried.
fn servers(config: &Config) -> Result<Vec<Server>, io::Error> {
    let (hosts, addresses, ports) =
        (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let fits = |given: usize| given == 0 || given == count;
    if !fits(hosts.len()) || !fits(addresses.len()) || !(ports.len() == 1 || fits(ports.len())) {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "expected as many values of host, hostaddr and port as there are servers",
        ));
    }
    let server = |n: usize| {
        let address = addresses.get(n).copied();
        let way = match (hosts.get(n), address) {
            (Some(Host::Unix(folder)), None) => Endpoint::Unix(folder.clone()),
            (Some(Host::Tcp(host)), address) => Endpoint::Tcp { host: host.clone(), address },
            (Some(Host::Unix(_)) | None, address) => {
                Endpoint::Tcp { host: address.map(|a| a.to_string()).unwrap_or_default(), address }
            }
        };
        let port = ports.get(n).or_else(|| ports.first()).copied().unwrap_or(DEFAULT_PORT);
        Server { way, port }
    };
    let mut servers: Vec<Server> = (0..count).map(server).collect();
    balance(config, &mut servers);
    Ok(servers)
}

/// Puts what is tried in any order, where load is to be balanced.
#[expect(clippy::disallowed_methods, reason = "which server comes first is nothing to repeat")]
fn balance<T>(config: &Config, tried: &mut [T]) {
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        tried.shuffle(&mut rand::rng());
    }
}

impl Server {
    /// As it is called in errors.
    fn name(&self) -> String {
        match &self.way {
            Endpoint::Unix(folder) => format!("{}:{}", folder.display(), self.port),
            Endpoint::Tcp { host, .. } => format!("{host}:{}", self.port),
        }
    }

    async fn connect(
        &self,
        database: &Database,
        config: &Config,
    ) -> Result<(Client, Driver), Failure> {
        let Endpoint::Tcp { host, address } = &self.way else {
            return self.attempts(database, config, None, &[Attempt::Plain]).await;
        };
        let attempts = match database.security.mode {
            SslMode::Disable => &[Attempt::Plain][..],
            SslMode::Allow => &[Attempt::Plain, Attempt::Tls],
            SslMode::Prefer => &[Attempt::TlsIfOffered, Attempt::Plain],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Attempt::Tls],
        };
        let mut addresses: Vec<SocketAddr> = match address {
            Some(address) => vec![SocketAddr::new(*address, self.port)],
            None => {
                let found = within(config, self, lookup_host((host.as_str(), self.port))).await?;
                found.collect()
            }
        };
        balance(config, &mut addresses);
        let mut last = Failure::io(ErrorKind::NotFound, self, "the name has no address");
        for address in addresses {
            match self.attempts(database, config, Some(address), attempts).await {
                Ok(connected) => return Ok(connected),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// Makes one attempt after the other, as long as another may fare better. The first failure is what
    /// is to be said.
    async fn attempts(
        &self,
        database: &Database,
        config: &Config,
        address: Option<SocketAddr>,
        attempts: &[Attempt],
    ) -> Result<(Client, Driver), Failure> {
        let mut first = None;
        for attempt in attempts {
            let handshake = Box::pin(self.attempt(database, config, address, *attempt));
            let made = timeout(HANDSHAKE_MAX, handshake).await.unwrap_or_else(|_| {
                Err(Failure::io(ErrorKind::TimedOut, self, "no answer in time"))
            });
            let failure = match made {
                Ok(connected) => return Ok(connected),
                Err(failure) => failure,
            };
            let is_last = !failure.is_of_this_attempt();
            first.get_or_insert(failure);
            if is_last {
                break;
            }
        }
        Err(first.unwrap_or_else(|| Failure::io(ErrorKind::Other, self, "no attempt was made")))
    }

    async fn attempt(
        &self,
        database: &Database,
        config: &Config,
        address: Option<SocketAddr>,
        attempt: Attempt,
    ) -> Result<(Client, Driver), Failure> {
        let (bytes, transport) = match (&self.way, address) {
            (Endpoint::Tcp { host, .. }, Some(address)) => {
                let tcp = within(config, self, TcpStream::connect(address)).await?;
                keep_alive(&tcp, config).map_err(Failure::Io)?;
                let bytes = self.secured(database, host, tcp, attempt).await?;
                let transport = Transport {
                    is_local: address.ip().is_loopback(),
                    is_encrypted: matches!(bytes, Bytes::Tls(_)),
                };
                (bytes, transport)
            }
            (Endpoint::Unix(folder), _) => {
                let socket = folder.join(format!(".s.PGSQL.{}", self.port));
                let stream = within(config, self, UnixStream::connect(socket)).await?;
                (Bytes::Unix(stream), Transport { is_local: true, is_encrypted: false })
            }
            (Endpoint::Tcp { .. }, None) => {
                return Err(Failure::io(ErrorKind::NotFound, self, "the name has no address"));
            }
        };
        let guard = Guard::new(database.security.methods);
        let stream = ServerStream::new(bytes, guard, self.name());
        let opened = config.connect_raw(stream, AsItIs).await;
        let (client, connection) = opened.map_err(Failure::Postgres)?;
        let mut driver = Driver { connection, transport };
        if config.get_target_session_attrs() != TargetSessionAttrs::Any {
            self.check_attributes(config, &client, &mut driver).await?;
        }
        Ok((client, driver))
    }

    /// Agrees on TLS with the server.
    async fn secured(
        &self,
        database: &Database,
        host: &str,
        mut tcp: TcpStream,
        attempt: Attempt,
    ) -> Result<Bytes, Failure> {
        if attempt == Attempt::Plain {
            return Ok(Bytes::Tcp(tcp));
        }
        // One byte, not more: what else a meddler sent in clear text is not taken for the server's.
        let mut answer = [0];
        let asked = async {
            tcp.write_all(&SSL_REQUEST).await?;
            tcp.read_exact(&mut answer).await
        };
        asked.await.map_err(|error| Failure::io(error.kind(), self, error))?;
        match answer {
            [b'S'] => self.handshake(database, host, tcp).await.map(Box::new).map(Bytes::Tls),
            [b'N'] if attempt == Attempt::TlsIfOffered => Ok(Bytes::Tcp(tcp)),
            [b'N'] => Err(self.refused(ServerRefusal::new(
                "it offers no TLS: turn ssl on in its postgresql.conf, or set sslmode=disable in \
                 database_url if nobody else can reach the way to it",
            ))),
            _ => {
                Err(self
                    .refused(ServerRefusal::new("what answers does not speak as PostgreSQL does")))
            }
        }
    }

    async fn handshake(
        &self,
        database: &Database,
        host: &str,
        tcp: TcpStream,
    ) -> Result<Tls, Failure> {
        let security = database.security.clone();
        // Files are read.
        let config = tokio::task::spawn_blocking(move || security.client_config()).await;
        let config = config.map_err(|error| Failure::Io(io::Error::other(error)))?;
        let config = config.map_err(|refusal| self.refused(refusal))?;
        let mut tls = MakeRustlsConnect::new(config);
        let Ok(connector) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, host);
        let connected = connector.connect(tcp).await;
        connected.map_err(|error| Failure::Tls(ServerRefusal::of_tls(error, &self.name())))
    }

    fn refused(&self, refusal: ServerRefusal) -> Failure {
        let refusal = refusal.of_server(&self.name());
        Failure::Tls(io::Error::new(ErrorKind::PermissionDenied, refusal))
    }

    /// Refuses a server that is not of the kind that is asked for, such as a standby.
    async fn check_attributes(
        &self,
        config: &Config,
        client: &Client,
        driver: &mut Driver,
    ) -> Result<(), Failure> {
        let mut messages = futures::stream::poll_fn(|context| driver.poll_message(context));
        let mut asked = pin!(client.simple_query("SHOW transaction_read_only"));
        let rows = loop {
            tokio::select! {
                rows = &mut asked => break rows.map_err(Failure::Postgres)?,
                message = messages.next() => match message {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(Failure::Postgres(error)),
                    None => return Err(Failure::io(ErrorKind::BrokenPipe, self, "connection closed")),
                },
            }
        };
        let is_read_only = rows.iter().any(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some("on"),
            _ => false,
        });
        match (config.get_target_session_attrs(), is_read_only) {
            (TargetSessionAttrs::ReadWrite, true) => Err(Failure::io(
                ErrorKind::PermissionDenied,
                self,
                "database does not allow writes",
            )),
            (TargetSessionAttrs::ReadOnly, false) => {
                Err(Failure::io(ErrorKind::PermissionDenied, self, "database is not read only"))
            }
            _ => Ok(()),
        }
    }
}

/// What `reached` gives within the time that connecting may take.
async fn within<T>(
    config: &Config,
    server: &Server,
    reached: impl Future<Output = io::Result<T>>,
) -> Result<T, Failure> {
    let limit = config.get_connect_timeout().copied().unwrap_or(HANDSHAKE_MAX);
    match timeout(limit, reached).await {
        Ok(Ok(reached)) => Ok(reached),
        Ok(Err(error)) => Err(Failure::io(error.kind(), server, error)),
        Err(_) => Err(Failure::io(ErrorKind::TimedOut, server, "connection timed out")),
    }
}

/// Lets a connection whose other side is gone be noticed.
fn keep_alive(tcp: &TcpStream, config: &Config) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(config.get_tcp_user_timeout().copied())?;
    if config.get_keepalives() {
        let mut keep_alive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
        if let Some(interval) = config.get_keepalives_interval() {
            keep_alive = keep_alive.with_interval(interval);
        }
        if let Some(retries) = config.get_keepalives_retries() {
            keep_alive = keep_alive.with_retries(retries);
        }
        socket.set_tcp_keepalive(&keep_alive)?;
    }
    Ok(())
}
