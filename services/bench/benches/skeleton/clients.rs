//! Clients that send their next message when the last one was accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::body::Body;
use axum::http::{Request, StatusCode, Uri, header};
use hdrhistogram::Histogram;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;

const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What they saw.
pub(crate) struct Seen {
    pub(crate) accepted: u64,
    pub(crate) p99: Duration,
}

/// So many send to `address` for so long.
pub(crate) async fn run(address: &str, duration: Duration, clients: usize) -> anyhow::Result<Seen> {
    let uri: Uri = format!("http://{address}/api/v1/messages").parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let http: Client<_, Body> = Client::builder(TokioExecutor::new()).build(connector);
    let next = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + duration;
    let mut sending = JoinSet::new();
    for _ in 0..clients {
        let (http, uri, next) = (http.clone(), uri.clone(), Arc::clone(&next));
        sending.spawn(async move {
            let mut latencies = Histogram::<u64>::new(3)?;
            while Instant::now() < end {
                let begun = Instant::now();
                let n = next.fetch_add(1, Ordering::Relaxed);
                send(&http, &uri, n).await?;
                latencies.record(u64::try_from(begun.elapsed().as_micros())?)?;
            }
            anyhow::Ok(latencies)
        });
    }
    let mut all = Histogram::<u64>::new(3)?;
    for latencies in sending.join_all().await {
        all.add(latencies?)?;
    }
    Ok(Seen { accepted: all.len(), p99: Duration::from_micros(all.value_at_quantile(0.99)) })
}

async fn send(http: &Client<HttpConnector, Body>, uri: &Uri, n: u64) -> anyhow::Result<()> {
    // 20 to 320 characters, every length as likely, as `hatch bench` sends them.
    let length = 20 + usize::try_from(n.wrapping_mul(2_654_435_761) % 301)?;
    let text = "x".repeat(length);
    // Numbers that end in less are the simulator's signs for failures.
    let body = format!(r#"{{"to":"+1804555{}","body":"{text}"}}"#, 1_000 + n % 8_000);
    let request = Request::post(uri.clone())
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", n.to_string())
        .body(Body::from(body))?;
    let response = http.request(request).await.context("it hung up")?;
    anyhow::ensure!(response.status() == StatusCode::ACCEPTED, "{}", response.status());
    axum::body::to_bytes(Body::new(response.into_body()), ANSWER_BYTES_MAX).await?;
    Ok(())
}
