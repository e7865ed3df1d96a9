//! The HTTP server: routes, shared state, start and stop.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::DATE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::delivery::Delivery;
use crate::disturbance::Disturbances;
use crate::record::{Message, Record};
use crate::registry::{KINDS, Known, Provider, kind};
use crate::{Clock, Config, Error, control};

/// Bodies longer than this are refused.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// So many requests are left without an answer at once.
const UNANSWERED_MAX: usize = 10_000;

/// Connections that do not end by themselves are dropped so long after the shutdown began.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Everything that requests share.
pub(crate) struct Simulator {
    pub(crate) config: Config,
    pub(crate) record: Record,
    pub(crate) disturbances: Disturbances,
    pub(crate) delivery: Delivery,
    pub(crate) providers: Vec<Arc<dyn Provider>>,
    unanswered: Semaphore,
    shutdown: CancellationToken,
}

/// Serves on `listener` until `shutdown` is cancelled.
///
/// # Errors
/// As [`run_by`].
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delays");
        }
    });
    let serve = async |routes: Router, shutdown: CancellationToken| {
        axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await
    };
    run_by(config, serve, shutdown).await
}

/// As [`run`], served by `serve` until the token is cancelled that it is given.
///
/// # Errors
/// [`Error`] when the record cannot be opened, the HTTP client cannot be built or `serve` fails.
pub async fn run_by(
    config: Config,
    serve: impl AsyncFnOnce(Router, CancellationToken) -> std::io::Result<()>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let unknown = config.accounts.iter().find(|account| kind(&account.provider).is_none());
    if let Some(account) = unknown {
        return Err(Error::Provider(account.provider.clone()));
    }
    let (record, due) = Record::open(config.record_path.as_deref(), config.record_messages_max)
        .map_err(Error::Record)?;
    let open = KINDS.iter().map(|kind| kind.open(&config.accounts_at(*kind), &config));
    let providers = open.collect::<Result<Vec<_>, Error>>()?;
    let simulator = Arc::new(Simulator {
        record,
        providers,
        disturbances: Disturbances::default(),
        delivery: Delivery::new(&config, shutdown.clone())?,
        unanswered: Semaphore::new(UNANSWERED_MAX),
        shutdown: shutdown.clone(),
        config,
    });
    for provider in &simulator.providers {
        Arc::clone(provider).start(&simulator);
    }
    for (message, callback) in due {
        match simulator.provider(&message.provider) {
            Some(provider) => Arc::clone(provider).resume(&simulator, message, callback),
            None => tracing::warn!(
                provider = message.provider,
                "receipts are given up: nobody knows it"
            ),
        }
    }
    let clock = simulator.config.clock.clone();
    let date = move |response: Response| std::future::ready(dated(response, &clock));
    let control = control::routes().with_state(Arc::clone(&simulator));
    let routes = simulator
        .providers
        .iter()
        .fold(control, |routes, provider| routes.merge(Arc::clone(provider).routes(&simulator)));
    let router =
        routes.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).layer(middleware::map_response(date));
    let server = serve(router, shutdown.clone());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
        Ok(())
    };
    let served = tokio::select! {
        served = server => served,
        given_up = overdue => given_up,
    };
    shutdown.cancel();
    simulator.delivery.finish().await;
    served.map_err(Error::Serve)
}

/// The answer with the provider's own time, as the server would put it there by the machine's clock.
fn dated(mut response: Response, clock: &Clock) -> Response {
    let date = clock.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::from_str(&date) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

impl Simulator {
    /// The provider of that name.
    pub(crate) fn provider(&self, name: &str) -> Option<&Arc<dyn Provider>> {
        self.providers.iter().find(|provider| provider.name() == name)
    }

    /// The account that somebody calls so, and its provider's name.
    pub(crate) fn account(&self, name: &str) -> Option<(&'static str, Known<'_>)> {
        self.accounts().find(|(_, account)| account.is_called(name))
    }

    /// Every account, and its provider's name.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&'static str, Known<'_>)> {
        self.providers.iter().flat_map(|provider| {
            provider.accounts().into_iter().map(move |account| (provider.name(), account))
        })
    }

    /// Waits until receipt number `step` of a message is due, from 0.
    pub(crate) async fn until_due(&self, message: &Message, step: usize) {
        let delay_ms = self.config.receipt_delay_ms;
        let due = Duration::from_millis(if step == 0 { delay_ms / 2 } else { delay_ms });
        let age = (self.config.clock.now() - message.accepted_at).to_std().unwrap_or_default();
        tokio::time::sleep(due.saturating_sub(age)).await;
    }

    /// Does not answer, until the client goes away or the simulator stops.
    pub(crate) async fn never(&self) -> Response {
        if let Ok(_place) = self.unanswered.try_acquire() {
            self.shutdown.cancelled().await;
        }
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}
