//! Posts callbacks: some at once, each until it is taken or given up.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use reqwest::{Client, Proxy, redirect, retry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Config, Error};

/// The wait after the first failure; it doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// A signed webhook request, ready to be posted.
pub(crate) struct Callback {
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// The status, beside those of success, that ends its repeats.
    pub(crate) refusal: Option<u16>,
}

/// Posts callbacks with one pool of connections.
pub(crate) struct Delivery {
    client: Client,
    /// Callbacks under way.
    posts: Semaphore,
    /// Messages with receipts due.
    pending: Arc<Semaphore>,
    attempts_max: u32,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Delivery {
    pub(crate) fn new(config: &Config, shutdown: CancellationToken) -> Result<Self, Error> {
        // Fails only when the process chose its cryptography before; then that is used.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut client = Client::builder().no_proxy();
        if let Some(proxy) = &config.callback_proxy {
            client = client.proxy(Proxy::all(proxy.clone()).map_err(Error::Client)?);
        }
        let client = client
            .timeout(Duration::from_millis(config.callback_timeout_ms))
            .pool_max_idle_per_host(config.callbacks_concurrency_max)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .build()
            .map_err(Error::Client)?;
        Ok(Self {
            client,
            posts: Semaphore::new(config.callbacks_concurrency_max),
            pending: Arc::new(Semaphore::new(config.callbacks_pending_max)),
            attempts_max: config.callback_attempts_max,
            tasks: TaskTracker::new(),
            shutdown,
        })
    }

    /// A place among the messages with receipts due; `None` when there are too many.
    pub(crate) fn reserve(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pending).try_acquire_owned().ok()
    }

    /// Runs the receipts of a message beside everything else. At shutdown it is dropped where it
    /// stands: what was not settled by then is due again at the next start.
    pub(crate) fn run(&self, receipts: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            shutdown.run_until_cancelled(receipts).await;
        });
    }

    /// Waits until nothing runs any more.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Posts once and returns the status of the answer.
    pub(crate) async fn post_once(&self, callback: &Callback) -> Result<u16, reqwest::Error> {
        let _turn = self.posts.acquire().await.expect("the semaphore is never closed");
        let mut request = self.client.post(&callback.url).body(callback.body.clone());
        for (name, value) in &callback.headers {
            request = request.header(*name, value);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        // Read to its end, so that the connection can be used again.
        response.bytes().await?;
        Ok(status)
    }

    /// Posts until the answer is a 2xx, or the attempts are used up.
    pub(crate) async fn post(&self, callback: &Callback) {
        let mut backoff = BACKOFF_MIN;
        for attempt in 1..=self.attempts_max {
            match self.post_once(callback).await {
                Ok(200..=299) => return,
                Ok(status) if callback.refusal == Some(status) => return,
                Ok(status) => tracing::debug!(attempt, status, "a callback was not taken"),
                Err(_) => tracing::debug!(attempt, "a callback found nobody"),
            }
            if attempt < self.attempts_max {
                tokio::time::sleep(backoff).await;
                backoff = BACKOFF_MAX.min(backoff * 2);
            }
        }
        tracing::warn!(attempts = self.attempts_max, "gave up a callback");
    }
}
