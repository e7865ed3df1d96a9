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

use crate::accounts::Accounts;
use crate::delivery::Delivery;
use crate::record::Record;
use crate::sendgrid::{self, SendGrid};
use crate::{Clock, Config, Error, control, twilio};

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
    pub(crate) accounts: Accounts,
    pub(crate) delivery: Delivery,
    pub(crate) sendgrid: SendGrid,
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
    let (record, due) = Record::open(config.record_path.as_deref(), config.record_messages_max)
        .map_err(Error::Record)?;
    let (sendgrid, events) = SendGrid::new(&config)?;
    let simulator = Arc::new(Simulator {
        record,
        sendgrid,
        accounts: Accounts::default(),
        delivery: Delivery::new(&config, shutdown.clone())?,
        unanswered: Semaphore::new(UNANSWERED_MAX),
        shutdown: shutdown.clone(),
        config,
    });
    sendgrid::post_events(&simulator, events);
    for (message, callback) in due {
        match message.provider.as_str() {
            sendgrid::PROVIDER => sendgrid::resume(&simulator, message),
            _ => twilio::resume(&simulator, message, callback),
        }
    }
    let clock = simulator.config.clock.clone();
    let date = move |response: Response| std::future::ready(dated(response, &clock));
    let router = Router::new()
        .merge(control::routes())
        .merge(twilio::routes())
        .merge(sendgrid::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(date))
        .with_state(Arc::clone(&simulator));
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
    /// Does not answer, until the client goes away or the simulator stops.
    pub(crate) async fn never(&self) -> Response {
        if let Ok(_place) = self.unanswered.try_acquire() {
            self.shutdown.cancelled().await;
        }
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}
