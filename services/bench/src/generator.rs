//! The generator: sends each request when it is due, over at most so many connections.
//!
//! It shares the processors with what it measures, so it is lean: one thread keeps time, bodies are
//! put together from prepared parts, and connections are kept.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::book::{Book, RequestAnswer};
use crate::load::Load;

/// How long a request may take.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// How long after the last one was due requests that found no client are still sent.
const OVERTIME_MAX: Duration = Duration::from_secs(30);
/// Requests that fall due within this time go out together. A wake-up for each would cost more.
const PACE: Duration = Duration::from_micros(250);
/// An answer is some 200 bytes; an error says more.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Sends to one hatch; cheap to clone.
#[derive(Clone)]
pub(crate) struct Generator {
    http: Client<HttpConnector, Body>,
    messages: Uri,
    /// What says who asks, if anything does.
    authorization: Option<HeaderValue>,
    load: Load,
}

/// What clients share during a run.
struct Run {
    generator: Generator,
    book: Arc<Book>,
    /// The number of this run's first request among those of all runs.
    first: u64,
    /// One permit for each request that is due.
    due: Semaphore,
    next: AtomicU64,
}

impl Generator {
    /// Sends `load` to the hatch at `url`, with the key in `key_file` if there is one.
    ///
    /// # Errors
    /// `url` is none of the form `http://HOST:PORT`, or the file cannot be read or has no key.
    pub(crate) fn new(url: &str, key_file: Option<&Path>, load: Load) -> anyhow::Result<Self> {
        let messages: Uri = format!("{url}/api/v1/messages")
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.scheme_str() == Some("http"))
            .with_context(|| format!("--url: expected http://HOST:PORT, got {url:?}"))?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        let authorization = key_file.map(authorization).transpose()?;
        Ok(Self { http, messages, authorization, load })
    }

    /// Sends the requests of the book's plan, the first of which is number `first` of the load, and
    /// notes their answers. Ends when each has been answered or given up.
    ///
    /// # Errors
    /// The clock's thread cannot be started.
    pub(crate) async fn run(&self, book: &Arc<Book>, first: u64) -> anyhow::Result<()> {
        let run = Arc::new(Run {
            generator: self.clone(),
            book: Arc::clone(book),
            first,
            due: Semaphore::new(0),
            next: AtomicU64::new(0),
        });
        let mut clients = JoinSet::new();
        for _ in 0..book.plan().clients {
            clients.spawn(Arc::clone(&run).client());
        }
        let clock = Arc::clone(&run);
        std::thread::Builder::new()
            .name("bench-clock".to_owned())
            .spawn(move || clock.release())
            .context("failed to start a thread")?;
        clients.join_all().await;
        Ok(())
    }

    async fn send(&self, n: u64) -> RequestAnswer {
        match tokio::time::timeout(REQUEST_MAX, self.answer(n)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => RequestAnswer::Failed(error.to_string()),
            Err(_) => RequestAnswer::Failed(format!("no answer within {REQUEST_MAX:?}")),
        }
    }

    async fn answer(&self, n: u64) -> anyhow::Result<RequestAnswer> {
        #[derive(Deserialize)]
        struct Accepted {
            id: Uuid,
        }
        let mut request = Request::post(self.messages.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", self.load.key(n))
            .body(Body::from(Bytes::from(self.load.body(n))))?;
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.clone());
        }
        let response = self.http.request(request).await.context("the connection failed")?;
        let status = response.status();
        // Read to its end, so that the connection can be used again.
        let body = axum::body::to_bytes(Body::new(response.into_body()), ANSWER_BYTES_MAX);
        let body = body.await.context("the answer broke off")?;
        match status {
            StatusCode::ACCEPTED => {}
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                return Ok(RequestAnswer::Refused);
            }
            other => return Ok(RequestAnswer::Failed(format!("answered {}", other.as_u16()))),
        }
        let accepted: Accepted =
            serde_json::from_slice(&body).context("answered 202 without an id")?;
        Ok(RequestAnswer::Accepted(accepted.id))
    }
}

/// The header for the API key in `file`.
fn authorization(file: &Path) -> anyhow::Result<HeaderValue> {
    let shown = file.display();
    let key = std::fs::read_to_string(file).with_context(|| format!("failed to read {shown}"))?;
    let value = format!("Bearer {}", key.trim());
    let mut value = HeaderValue::from_str(&value)
        .with_context(|| format!("--api-key-file: expected one key in {shown}"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Run {
    /// Sends one request after the other, each when it is due or as soon as this client is free.
    async fn client(self: Arc<Self>) {
        let Self { generator, book, .. } = &*self;
        let plan = book.plan();
        let overtime = book.start() + plan.duration + OVERTIME_MAX;
        // The semaphore is never closed.
        while let Ok(permit) = self.due.acquire().await {
            permit.forget();
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= plan.requests() {
                return;
            }
            let answer = if Instant::now() < overtime {
                generator.send(self.first + n).await
            } else {
                RequestAnswer::Failed("never sent: no client was free".to_owned())
            };
            book.answered(n, answer, Instant::now());
        }
    }

    /// Gives a permit for each request when it is due, and in the end one more to each client, which
    /// then finds nothing left.
    fn release(&self) {
        let (plan, start) = (self.book.plan(), self.book.start());
        let permits = |count: u64| self.due.add_permits(usize::try_from(count).unwrap_or_default());
        let mut released = 0;
        while released < plan.requests() {
            let due = plan.due_by(start.elapsed());
            permits(due - released);
            released = due;
            let pause = (start + plan.due(released)).saturating_duration_since(Instant::now());
            std::thread::sleep(pause.max(PACE));
        }
        permits(u64::from(plan.clients));
    }
}
