//! `GET /health` and `GET /ready`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::one_look::OneLook;
use crate::problem::RETRY_AFTER_SECONDS;

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

/// Finds out how those are whose number changes while the process runs, such as provider accounts: each by its name, and
/// what is wrong with it. Work goes on without them, later.
pub type CheckEach = Box<dyn Fn() -> Vec<(String, Result<(), String>)> + Send + Sync>;

/// All that a process needs.
pub(crate) struct Needed {
    dependencies: Vec<Dependency>,
    each: CheckEach,
    /// Anybody may ask, and each look asks PostgreSQL and NATS.
    looked: OneLook<(StatusCode, Readiness)>,
}

#[derive(Serialize, ToSchema)]
struct Health {
    status: &'static str,
}

#[derive(Clone, Serialize, ToSchema)]
struct Readiness {
    /// Whether work can be done.
    #[schema(value_type = ReadyStatus)]
    status: &'static str,
    #[schema(value_type = std::collections::HashMap<String, DependencyStatus>)]
    dependencies: BTreeMap<String, DependencyStatus>,
}

/// Whether work can be done: `degraded` where some of it waits.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it is there to be listed")]
enum ReadyStatus {
    Ready,
    Degraded,
    Unavailable,
}

/// Whether what is needed answers.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it is there to be listed")]
enum UpOrDown {
    Up,
    Down,
}

#[derive(Clone, Serialize, ToSchema)]
struct DependencyStatus {
    /// Whether it answers.
    #[schema(value_type = UpOrDown)]
    status: &'static str,
    /// What is wrong, where it is down.
    detail: Option<String>,
}

/// `/health` says that the process is alive. `/ready` asks each dependency: 503 without a required
/// one, 200 and `degraded` without another.
pub fn router(dependencies: Vec<Dependency>, each: CheckEach) -> Router {
    let looked = OneLook::default();
    Router::from(routes()).with_state(Arc::new(Needed { dependencies, each, looked }))
}

pub(crate) fn routes() -> OpenApiRouter<Arc<Needed>> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready))
}

/// Whether the process is alive
#[utoipa::path(
    get, path = "/health", operation_id = "health", tag = "operations",
    responses((status = 200, description = "It is.", body = Health))
)]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether it can do its work
///
/// Each thing that it needs by name. `degraded` while one is away without which work goes on, later.
#[utoipa::path(
    get, path = "/ready", operation_id = "ready", tag = "operations",
    responses(
        (status = 200, description = "`ready` or `degraded`.", body = Readiness),
        (status = 503, description = "`unavailable`: PostgreSQL is away or has another schema, or \
                                      the process is shutting down.",
         body = Readiness)
    )
)]
async fn ready(State(needed): State<Arc<Needed>>) -> Response {
    let (status, body) = needed.looked.by(|| needed.look()).await;
    let mut response = (status, Json(body)).into_response();
    if status != StatusCode::OK {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    response
}

impl Needed {
    /// Asks each dependency.
    async fn look(&self) -> (StatusCode, Readiness) {
        let mut worst = ("ready", StatusCode::OK);
        let mut statuses = BTreeMap::new();
        let answers = join_all(self.dependencies.iter().map(|one| (one.check)())).await;
        let named = self.dependencies.iter().map(|one| (one.name.to_owned(), one.required));
        let each = (self.each)().into_iter().map(|(name, answer)| ((name, false), answer));
        for ((name, required), answer) in named.zip(answers).chain(each) {
            let status = match answer {
                Ok(()) => DependencyStatus { status: "up", detail: None },
                Err(detail) => {
                    if required {
                        worst = ("unavailable", StatusCode::SERVICE_UNAVAILABLE);
                    } else if worst.1 == StatusCode::OK {
                        worst.0 = "degraded";
                    }
                    DependencyStatus { status: "down", detail: Some(detail) }
                }
            };
            // An account may be called as something that is needed.
            statuses.entry(name).or_insert(status);
        }
        (worst.1, Readiness { status: worst.0, dependencies: statuses })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;
    use axum::extract::Request;
    use tokio::sync::Semaphore;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn however_many_ask_at_once_dependencies_are_asked_for_all_of_them_together() {
        let (looks, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (counted, held) = (Arc::clone(&looks), Arc::clone(&gate));
        let check: Check = Box::new(move || {
            let (counted, held) = (Arc::clone(&counted), Arc::clone(&held));
            Box::pin(async move {
                counted.fetch_add(1, Ordering::Relaxed);
                held.acquire().await.expect("it stays open").forget();
                Ok(())
            })
        });
        let needed = vec![Dependency { name: "postgresql", required: true, check }];
        let app = router(needed, Box::new(Vec::new));
        let ask = async || {
            let request = Request::builder().uri("/ready").body(Body::empty()).expect("a request");
            app.clone().oneshot(request).await.map(|answer| answer.status())
        };
        let open = async { gate.add_permits(2) };
        let (answers, ()) = tokio::join!(join_all((0..20).map(|_| ask())), open);
        assert!(answers.iter().all(|answer| *answer == Ok(StatusCode::OK)), "{answers:?}");
        assert_eq!(looks.load(Ordering::Relaxed), 2, "the first, and one for all others");
    }
}
