//! The connection to NATS.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use hatch_telemetry::presence::Presence;
use tokio::sync::watch;

use crate::trust::{Met, SharedKeys};
use crate::{ConnectionTrouble, Error, Settings, access, version};

/// The longest time for a request to JetStream, such as creating the stream.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// The longest time for storing one event; after that its window counts as lost.
const ACKNOWLEDGE_MAX: Duration = Duration::from_secs(2);

/// Longest pause between two attempts to reconnect.
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// How often a silent server is asked whether it is there. The third time that it has not answered, it
/// counts as gone, and so does one that hangs with its connections open.
const PING: Duration = Duration::from_secs(2);

/// Events that a publisher may have on their way at once.
pub const WINDOW_MAX: usize = 512;

/// A process' connection to NATS. Clones share it.
#[derive(Debug, Clone)]
pub struct Bus {
    settings: Arc<Settings>,
    client: Client,
    /// For publishing: acknowledgements time out soon.
    publishing: Context,
    api: Context,
    /// Counts connections made.
    connections: watch::Receiver<u64>,
    keys: SharedKeys,
    met: Arc<Met>,
    /// Why there is no connection, as far as it is known.
    trouble: watch::Receiver<Option<ConnectionTrouble>>,
}

/// How the bus is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusState {
    /// Connected to a server of this version.
    Connected(String),
    /// Not connected; it keeps trying.
    Disconnected,
    /// Connected to a server that must not be used, for the reason that the sentence says.
    Refused(String),
}

impl Bus {
    /// Starts connecting and returns at once; it retries for ever in the background.
    ///
    /// # Errors
    /// [`Error::Setting`] when a setting cannot be used.
    pub async fn connect(settings: Settings) -> Result<Self, Error> {
        let servers = settings.servers()?;
        let (made, connections) = watch::channel(0);
        let (troubled, trouble) = watch::channel(None);
        let options = options(settings.access.options(&servers), made, troubled);
        let servers: Vec<ServerAddr> = servers.into_iter().map(without_user).collect();
        let client = options.connect(&servers[..]).await.map_err(|error| Error::Setting {
            name: "url",
            reason: format!("expected nats://host:port: {error}"),
        })?;
        let context = |timeout| {
            // A window that was dropped holds its permits until its acknowledgements time out.
            ContextBuilder::new()
                .timeout(timeout)
                .ack_timeout(ACKNOWLEDGE_MAX)
                .max_ack_inflight(4 * WINDOW_MAX)
                .build(client.clone())
        };
        Ok(Self {
            settings: Arc::new(settings),
            publishing: context(ACKNOWLEDGE_MAX),
            api: context(REQUEST_MAX),
            client,
            connections,
            keys: SharedKeys::default(),
            met: Arc::default(),
            trouble,
        })
    }

    /// How the bus is at the moment; cheap.
    #[must_use]
    pub fn state(&self) -> BusState {
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return BusState::Disconnected;
        }
        match self.client.try_server_info() {
            None => BusState::Disconnected,
            Some(info) => match version::check(&info.version) {
                Ok(()) => BusState::Connected(info.version),
                Err(sentence) => BusState::Refused(sentence),
            },
        }
    }

    /// Why there is no connection, as far as it is known.
    #[must_use]
    pub fn trouble(&self) -> Option<ConnectionTrouble> {
        match self.client.connection_state() {
            async_nats::connection::State::Connected => None,
            _ => self.trouble.borrow().clone(),
        }
    }

    /// Waits until it is connected to a server that may be used.
    pub async fn connected(&self) {
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        while self.usable().is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The settings that it was connected with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The same connection for somebody who learns the keys by himself.
    #[must_use]
    pub fn with_own_keys(&self) -> Self {
        Self { keys: SharedKeys::default(), ..self.clone() }
    }

    pub(crate) fn shared_keys(&self) -> &SharedKeys {
        &self.keys
    }

    pub(crate) fn met(&self) -> &Met {
        &self.met
    }

    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.connections.clone()
    }

    /// For requests; an error while there is nobody to ask, so that nothing waits or queues up.
    pub(crate) fn api(&self) -> Result<&Context, Error> {
        self.usable().map(|()| &self.api)
    }

    /// For publishing events.
    pub(crate) fn publishing(&self) -> Result<&Context, Error> {
        self.usable().map(|()| &self.publishing)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    fn usable(&self) -> Result<(), Error> {
        match self.state() {
            BusState::Connected(_) => Ok(()),
            BusState::Disconnected => Err(Error::Disconnected),
            BusState::Refused(sentence) => Err(Error::ServerRefused(sentence)),
        }
    }
}

/// A server as it may be printed: who we are is said in another way.
fn without_user(server: ServerAddr) -> ServerAddr {
    let mut url = server.clone().into_inner();
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return server;
    }
    ServerAddr::from_url(url).unwrap_or(server)
}

fn options(
    options: ConnectOptions,
    made: watch::Sender<u64>,
    troubled: watch::Sender<Option<ConnectionTrouble>>,
) -> ConnectOptions {
    let made = Arc::new(made);
    let presence = Arc::new(Presence::new("NATS"));
    let seen = Arc::clone(&presence);
    options
        .name("hatch")
        .retry_on_initial_connect()
        .ping_interval(PING)
        .reconnect_delay_callback(|attempt| {
            let doubled = 1_u64 << attempt.min(7);
            Duration::from_millis(10 * doubled).min(RECONNECT_MAX)
        })
        // Asked before each round of attempts, it hears what became of the last one.
        .reconnect_to_server_callback(move |servers, _| {
            let failed =
                servers.iter().find_map(|server| Some((server, server.last_error.as_ref()?)));
            tell(
                &troubled,
                &seen,
                failed.map(|(server, error)| access::in_words(&server.addr, error)),
            );
            std::future::ready(None)
        })
        .event_callback(move |event| {
            let (made, presence) = (Arc::clone(&made), Arc::clone(&presence));
            async move {
                match event {
                    Event::Connected => {
                        presence.back();
                        made.send_modify(|count| *count += 1);
                    }
                    // Why it does not come back, the next tries tell.
                    Event::Disconnected => tracing::debug!("NATS: {event}"),
                    Event::SlowConsumer(_) => {
                        tracing::warn!("NATS: {event}, messages were dropped")
                    }
                    // Our own end.
                    Event::Closed => {}
                    event => tracing::warn!("NATS: {event}"),
                }
            }
        })
}

/// Logs why there is no connection, each reason once.
fn tell(
    troubled: &watch::Sender<Option<ConnectionTrouble>>,
    presence: &Presence,
    trouble: Option<ConnectionTrouble>,
) {
    troubled.send_if_modified(|known| {
        let is_new = *known != trouble;
        if let Some(trouble) = trouble.as_ref().filter(|_| is_new)
            && !presence.away(&trouble.to_string())
        {
            tracing::warn!("NATS: {trouble}");
        }
        *known = trouble;
        is_new
    });
}
