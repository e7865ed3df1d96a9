//! `GET /health` and `GET /ready`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

/// One thing that this process needs.
pub struct Dependency {
    /// Its name in the answer, such as `postgresql`.
    pub name: &'static str,
    /// Whether nothing can be done without it.
    pub required: bool,
    /// Asks whether it is there; an error says what is wrong. Bounded by its maker.
    pub check: Check,
}

/// How a dependency is asked.
pub type Check =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    dependencies: BTreeMap<&'static str, DependencyStatus>,
}

#[derive(Serialize)]
struct DependencyStatus {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// `/health` says that the process is alive. `/ready` asks each dependency: 503 without a required
/// one, 200 and `degraded` without another.
pub fn router(dependencies: Vec<Dependency>) -> Router {
    Router::new()
        .route("/health", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .route("/ready", get(ready))
        .with_state(Arc::new(dependencies))
}

async fn ready(State(dependencies): State<Arc<Vec<Dependency>>>) -> Response {
    let mut worst = ("ready", StatusCode::OK);
    let mut statuses = BTreeMap::new();
    let answers = futures::future::join_all(dependencies.iter().map(|d| (d.check)())).await;
    for (dependency, answer) in dependencies.iter().zip(answers) {
        let status = match answer {
            Ok(()) => DependencyStatus { status: "up", detail: None },
            Err(detail) => {
                if dependency.required {
                    worst = ("unavailable", StatusCode::SERVICE_UNAVAILABLE);
                } else if worst.1 == StatusCode::OK {
                    worst.0 = "degraded";
                }
                DependencyStatus { status: "down", detail: Some(detail) }
            }
        };
        statuses.insert(dependency.name, status);
    }
    let body = Readiness { status: worst.0, dependencies: statuses };
    (worst.1, Json(body)).into_response()
}
