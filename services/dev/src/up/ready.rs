//! Waiting for a role to say that it is ready.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::StatusCode;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

const POLL: Duration = Duration::from_millis(50);
const ANSWER_MAX: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 16 << 10;
/// A wait this long, and each further one, is mentioned.
const MENTION_EVERY: Duration = Duration::from_secs(10);

/// Waits until `GET /ready` at `address` is 200.
pub(super) async fn ready(address: SocketAddr) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut mentioned = Instant::now();
    loop {
        let answer = tokio::time::timeout(ANSWER_MAX, ask(&client, address)).await;
        let why = match answer {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {} s", ANSWER_MAX.as_secs()),
        };
        if mentioned.elapsed() >= MENTION_EVERY {
            tracing::warn!(%address, why, "not ready yet");
            mentioned = Instant::now();
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Asks once; the error says why it is not ready.
async fn ask(client: &Client<HttpConnector, Body>, address: SocketAddr) -> Result<(), String> {
    let uri = format!("http://{address}/ready").parse().map_err(describe)?;
    let response = client.get(uri).await.map_err(describe)?;
    if response.status() == StatusCode::OK {
        return Ok(());
    }
    let status = response.status();
    let body = axum::body::to_bytes(Body::new(response.into_body()), BODY_BYTES_MAX);
    let body = body.await.map_err(describe)?;
    Err(format!("{status}: {}", String::from_utf8_lossy(&body)))
}

fn describe(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}
