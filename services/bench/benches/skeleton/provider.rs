//! A provider that takes every message, and says at once what became of it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use hatch::output;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use uuid::Uuid;

/// What is sent to it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sending {
    pub(crate) id: Uuid,
    pub(crate) to: String,
    pub(crate) body: String,
    /// Where the receipts go.
    pub(crate) callback: String,
    /// The states that they are to tell, one each, one after the other.
    pub(crate) receipts: Vec<String>,
}

/// The answer to what was sent.
#[derive(Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) id: Uuid,
}

/// What became of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) id: Uuid,
    pub(crate) state: String,
}

/// Serves until it is killed.
pub(crate) async fn run() -> anyhow::Result<()> {
    let http = Arc::new(reqwest::Client::builder().tcp_nodelay(true).build()?);
    let router = Router::new().route("/send", post(take)).with_state(http);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    output::line(listener.local_addr()?)?;
    axum::serve(listener, router).await?;
    Ok(())
}

async fn take(
    State(http): State<Arc<reqwest::Client>>,
    Json(sending): Json<Sending>,
) -> (StatusCode, Json<Taken>) {
    let id = sending.id;
    tokio::spawn(async move {
        for state in sending.receipts {
            let receipt = http.post(&sending.callback).json(&Receipt { id, state }).send().await;
            // Whoever waits for the message notices.
            drop(receipt);
        }
    });
    (StatusCode::CREATED, Json(Taken { id }))
}
