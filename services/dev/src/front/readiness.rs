//! `/ready` of several processes as one answer.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures::future::join_all;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};

use super::RETRY_AFTER_S;

/// A role gives each of its dependencies two seconds.
const ANSWER_MAX: Duration = Duration::from_secs(3);
const BODY_BYTES_MAX: usize = 16 << 10;

/// What all `roles` say, each by its name and address: a dependency is up where it is for all of them. A role
/// that does not answer is one that is down, without which the others go on; without any nothing does.
pub(super) async fn gather(
    client: &Client<HttpConnector, Body>,
    roles: &[(&'static str, SocketAddr)],
) -> Response {
    let answers = roles.iter().map(|(_, address)| async {
        tokio::time::timeout(ANSWER_MAX, ask(client, *address)).await.ok().flatten()
    });
    let answers = roles.iter().map(|(role, _)| *role).zip(join_all(answers).await);
    let (status, body) = merge(answers);
    let mut response = (status, Json(body)).into_response();
    if status != StatusCode::OK {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    response
}

async fn ask(
    client: &Client<HttpConnector, Body>,
    address: SocketAddr,
) -> Option<(StatusCode, Value)> {
    let response = client.get(format!("http://{address}/ready").parse().ok()?).await.ok()?;
    let status = response.status();
    let body = axum::body::to_bytes(Body::new(response.into_body()), BODY_BYTES_MAX).await.ok()?;
    Some((status, serde_json::from_slice(&body).unwrap_or_default()))
}

fn merge<'a>(
    answers: impl IntoIterator<Item = (&'a str, Option<(StatusCode, Value)>)>,
) -> (StatusCode, Value) {
    let mut worst = StatusCode::OK;
    let mut answered = false;
    let mut dependencies = Map::new();
    for (role, answer) in answers {
        let Some((status, mut body)) = answer else {
            let down = json!({"status": "down", "detail": "the role does not answer"});
            dependencies.insert(role.to_owned(), down);
            continue;
        };
        answered = true;
        worst = worst.max(status);
        for (name, said) in body["dependencies"].as_object_mut().into_iter().flatten() {
            let known = dependencies.entry(name.as_str()).or_insert_with(|| said.clone());
            if known["status"] == "up" {
                *known = said.take();
            }
        }
    }
    if !answered {
        worst = StatusCode::SERVICE_UNAVAILABLE;
    }
    let status = match worst {
        StatusCode::OK if dependencies.values().all(|known| known["status"] == "up") => "ready",
        StatusCode::OK => "degraded",
        _ => "unavailable",
    };
    (worst, json!({"status": status, "dependencies": dependencies}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, dependencies: Value) -> Option<(StatusCode, Value)> {
        let status = StatusCode::from_u16(status).expect("a status");
        Some((status, json!({"dependencies": dependencies})))
    }

    #[test]
    fn a_dependency_is_up_where_it_is_for_all() {
        let (up, down) = (json!({"status": "up"}), json!({"status": "down", "detail": "why"}));
        let answers = [
            ("query", said(200, json!({"nats": up, "postgresql": up}))),
            ("dispatcher", said(200, json!({"nats": down, "twilio": up}))),
            ("relay", said(200, json!({"nats": up}))),
        ];
        let expected = json!({"nats": down, "postgresql": up, "twilio": up});
        let (status, body) = merge(answers);
        assert_eq!((status, &body["status"]), (StatusCode::OK, &"degraded".into()));
        assert_eq!(body["dependencies"], expected);
    }

    #[test]
    fn a_role_that_does_not_answer_is_missed_and_one_that_cannot_work_ends_it() {
        let up = json!({"postgresql": {"status": "up"}});
        let (status, body) = merge([("query", said(200, up.clone()))]);
        assert_eq!((status, &body["status"]), (StatusCode::OK, &"ready".into()));
        let (status, body) = merge([("query", said(200, up.clone())), ("relay", None)]);
        assert_eq!((status, &body["status"]), (StatusCode::OK, &"degraded".into()));
        assert_eq!(body["dependencies"]["relay"]["status"], "down");
        let (status, body) = merge([("query", None), ("relay", None)]);
        assert_eq!(
            (status, &body["status"]),
            (StatusCode::SERVICE_UNAVAILABLE, &"unavailable".into())
        );
        assert_eq!(body["dependencies"]["query"]["detail"], "the role does not answer");
        let down = json!({"postgresql": {"status": "down", "detail": "why"}});
        let (status, body) = merge([("query", said(503, down)), ("relay", said(200, up))]);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["status"], "unavailable");
        assert_eq!(body["dependencies"]["postgresql"]["detail"], "why");
    }
}
