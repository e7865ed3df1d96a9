//! Several instances on one database, and what a client is told.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use hatch_directory::SessionHash;
use hatch_domain::actor::Actor;
use hatch_domain::ids::SessionId;
use hatch_domain::scope::Scope;
use hatch_eventstore::testing::{Template, TestDatabase, eventually};
use hatch_eventstore::{SystemEnvironment, pool};
use serde_json::{Value, json};
use tokio_util::sync::DropGuard;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::*;
use crate::auth::{Caller, CallerSession};

const TEMPLATE: Template = Template {
    name: "limits",
    schemas: Vec::new,
    sql: concat!(
        "CREATE SCHEMA access;",
        include_str!("../../../../schema/access/V2__rate_limits.sql")
    ),
};

/// So long that no test sees its end.
const WINDOW_S: u32 = 86_400;

const ROUTE: &str = "GET /things/{id}";

fn rules(requests: u32) -> Rules {
    Rules { requests, window_s: WINDOW_S, ..Rules::default() }
}

/// A process.
struct Instance {
    limits: Limits,
    _running: DropGuard,
}

impl Instance {
    fn start(database: &TestDatabase, rules: Rules) -> Self {
        let (pool, shutdown) =
            (pool(&database.config(), 2, Duration::from_secs(60)), CancellationToken::new());
        let (limits, sharing) =
            Limits::start(rules, Arc::new(SystemEnvironment), pool, shutdown.clone());
        tokio::spawn(sharing);
        Self { limits, _running: shutdown.drop_guard() }
    }

    fn inner(&self) -> &Inner {
        self.limits.0.as_deref().expect("there are limits")
    }

    fn key(&self) -> Key {
        Key { client: Client::named("somebody"), route: self.inner().routes.id(ROUTE) }
    }

    fn policy(&self) -> Policy {
        self.inner().policy(ROUTE, "", None)
    }

    fn take(&self) -> bool {
        self.inner().take(self.key(), self.policy(), 1).is_ok()
    }

    fn used(&self) -> u64 {
        self.inner().table.used(self.key(), self.inner().moment()).unwrap_or_default()
    }
}

/// Limits that no database is behind, as where PostgreSQL is away.
fn alone(rules: Rules) -> Limits {
    let url = "postgres://nobody@127.0.0.1:1/nothing".parse().expect("a URL");
    let pool = pool(&url, 1, Duration::from_secs(1));
    Limits::start(rules, Arc::new(SystemEnvironment), pool, CancellationToken::new()).0
}

#[tokio::test]
async fn three_instances_let_no_more_pass_than_the_limit_and_one_interval() {
    let database = TestDatabase::create_from(&TEMPLATE).await;
    let instances: Vec<_> = (0..3).map(|_| Instance::start(&database, rules(50))).collect();
    // Each learns of what the others let pass.
    for instance in &instances {
        for _ in 0..10 {
            assert!(instance.take());
        }
        eventually("told and asked", async || instance.used() >= 10 && told(&database).await >= 10)
            .await;
    }
    eventually("all is told", async || told(&database).await == 30).await;
    // What one interval lets through: each instance goes by what it knows, which is at least its own.
    let mut passed = 30;
    for instance in &instances {
        let known = instance.used();
        let burst = (0..100).filter(|_| instance.take()).count();
        assert_eq!(u64::try_from(burst).expect("few"), 50 - known);
        passed += burst;
    }
    assert!(passed <= 30 + 3 * 40, "{passed}");
    let all = i64::try_from(passed).expect("few");
    eventually("the bursts are told", async || told(&database).await == all).await;
    // From now on all know, and nothing passes anywhere.
    for instance in &instances {
        assert!(!instance.take());
        eventually("it hears the others", async || !instance.limits.is_alone()).await;
    }
    // So does one that comes later, once it asked.
    let late = Instance::start(&database, rules(50));
    assert!(late.take(), "it knows of nobody yet");
    eventually("it was told", async || late.used() > all.unsigned_abs()).await;
    assert!(!late.take());
}

#[tokio::test]
async fn all_windows_that_are_past_are_deleted_however_many_there_are() {
    let database = TestDatabase::create_from(&TEMPLATE).await;
    let fill = "INSERT INTO access.rate_limits (client, route, window_at, passed)
                SELECT gen_random_uuid(), 'a route', 0, 1 FROM generate_series(1, 50001)";
    let session = database.connect().await;
    session.batch_execute(fill).await.expect("a flood of clients, long ago");
    session.close().await;
    let instance = Instance::start(&database, rules(50));
    assert!(instance.take());
    eventually("only what is counted now is left", async || told(&database).await == 1).await;
}

/// What the fleet let pass.
async fn told(database: &TestDatabase) -> i64 {
    let session = database.connect().await;
    let sum = "SELECT coalesce(sum(passed), 0)::bigint FROM access.rate_limits";
    let row = session.query_one(sum, &[]).await.expect("a sum");
    session.close().await;
    row.get(0)
}

#[tokio::test]
async fn where_nobody_is_heard_the_own_count_decides() {
    let url = "postgres://nobody@127.0.0.1:1/nothing".parse().expect("a URL");
    let (pool, shutdown) = (pool(&url, 1, Duration::from_secs(1)), CancellationToken::new());
    let (limits, sharing) =
        Limits::start(rules(3), Arc::new(SystemEnvironment), pool, shutdown.clone());
    let running = tokio::spawn(sharing);
    let instance = Instance { limits, _running: shutdown.drop_guard() };
    assert_eq!((0..5).filter(|_| instance.take()).count(), 3);
    eventually("it knows that it is alone", async || instance.limits.is_alone()).await;
    assert!(!instance.take(), "what could not be told counts here");
    assert_eq!(instance.limits.refused(), [(ROUTE.to_owned(), 3)]);
    drop(instance);
    running.await.expect("it ends when it is told to");
}

#[test]
fn a_key_goes_before_its_tenant_and_that_before_the_route() {
    let of = |name: &str, limit| BTreeMap::from([(name.to_owned(), limit)]);
    let rules =
        Rules { routes: of("r", 1), tenants: of("t", 2), keys: of("k", 3), ..Rules::default() };
    let limits = Inner {
        current: RwLock::new(Arc::new(rules.clone())),
        rules,
        clock: Arc::new(SystemEnvironment),
        table: Table::default(),
        routes: Routes::default(),
        changed: Notify::new(),
        hurry: Notify::new(),
        alone: AtomicBool::new(false),
        refused: Family::default(),
    };
    for (route, tenant, key, name, limit) in [
        ("r", "t", Some("k"), "key", 3),
        ("r", "t", Some("other"), "tenant", 2),
        ("r", "t", None, "tenant", 2),
        ("r", "other", None, "route", 1),
        ("other", "other", None, "default", 100),
    ] {
        assert_eq!(limits.policy(route, tenant, key), Policy { name, limit }, "{name}");
    }
}

/// Two routes behind the limits, and one that no caller comes to.
fn app(limits: Limits) -> Router {
    async fn batch(quota: Quota, body: String) -> Result<String, Problem> {
        quota.charge(body.len() - 1)?;
        Ok(body)
    }
    Router::new()
        .route("/things/{id}", get(|| async { "a thing" }))
        .route("/batch", post(batch))
        .route("/limits", get(get_limits::handler))
        .route("/open", get(|| async { "open" }))
        .route("/api/v1/session", post(|| async { "signed in" }))
        .layer(from_fn_with_state(limits, layer))
}

/// What the outermost layer does about limits.
async fn layer(State(limits): State<Limits>, mut request: Request, next: Next) -> Response {
    let quota = limits.open(&mut request);
    if !["/open", "/api/v1/session"].contains(&request.uri().path()) {
        let mut caller = Caller::system("test");
        if let Some(subject) = request.uri().path().strip_prefix("/things/of-") {
            let (issuer, subject) = ("staff".to_owned(), subject.to_owned());
            caller.actor = Actor::Token { issuer, subject };
        }
        if let Some(session) = request.uri().path().strip_prefix("/things/by-") {
            let (id, hash) = (SessionId(session.parse().expect("an id")), SessionHash::of(session));
            caller.actor = Actor::User(Uuid::from_u128(1));
            caller.session = Some(CallerSession { id, hash, generation: 1 });
        }
        request.extensions_mut().insert(caller);
    }
    let admitted = match request.uri().path() {
        "/things/unknown" => Err(Problem::wrong_credentials()),
        "/things/forbidden" => Err(Problem::missing_scope(Scope::Admin)),
        _ => Ok(()),
    };
    let mut response = match quota.admit(admitted, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.render(None);
    }
    quota.tell(response.headers_mut());
    response
}

async fn ask(
    app: &Router,
    method: &str,
    path: &str,
    body: &str,
) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::from(body.to_owned())).expect("a request");
    let response = app.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    (head.status, head.headers, String::from_utf8(body.to_vec()).expect("text"))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("text")
}

#[tokio::test]
async fn every_answer_says_what_is_left_and_the_last_one_when_to_come_back() {
    let app = app(alone(rules(2)));
    for (path, left) in [("/things/1", 1), ("/things/2", 0)] {
        let (status, headers, _) = ask(&app, "GET", path, "").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(header(&headers, "x-ratelimit-limit"), "2");
        assert_eq!(header(&headers, "x-ratelimit-remaining"), left.to_string());
        assert_eq!(header(&headers, "ratelimit-policy"), "\"default\";q=2;w=86400");
        let reset = header(&headers, "x-ratelimit-reset");
        assert_eq!(header(&headers, "ratelimit"), format!("\"default\";r={left};t={reset}"));
    }
    let (status, headers, body) = ask(&app, "GET", "/things/3", "").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&headers, "x-ratelimit-remaining"), "0");
    let wait: u32 = header(&headers, "retry-after").parse().expect("seconds");
    assert!((1..=2 * WINDOW_S).contains(&wait), "{wait}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["code"], "quota_exceeded");
    assert_eq!(body["violated-policies"], json!(["default"]));
    let (status, _, _) = ask(&app, "HEAD", "/things/3", "").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "to ask for the head is to ask");
    let (status, headers, _) = ask(&app, "GET", "/open", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(!headers.contains_key("ratelimit"), "nobody in particular asks there");
}

#[tokio::test]
async fn who_is_about_to_sign_in_is_counted_by_his_address() {
    let app = app(alone(rules(2)));
    for (status, left) in [(200, "1"), (200, "0"), (429, "0")] {
        let (answered, headers, _) = ask(&app, "POST", "/api/v1/session", "").await;
        assert_eq!(answered.as_u16(), status);
        assert_eq!(header(&headers, "x-ratelimit-remaining"), left);
    }
}

#[tokio::test]
async fn what_was_counted_once_as_wrong_is_forgiven() {
    let limits = alone(Rules { wrong_credentials: 1, ..rules(2) });
    let address = ClientAddress(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let mut request = Request::default();
    request.extensions_mut().insert(address);
    for (forgiven, code) in [(true, 401), (true, 401), (false, 401), (true, 401), (false, 429)] {
        let quota = limits.open(&mut Request::default());
        if forgiven {
            quota.forgive();
        }
        let wrong = Err(Problem::no_credentials());
        let refused = quota.admit(wrong, &request).expect_err("refused");
        assert_eq!(refused.to_json()["status"], code);
    }
}

#[tokio::test]
async fn who_has_guessed_too_often_is_refused_before_anything_is_looked_for() {
    let limits = alone(Rules { wrong_credentials: 2, ..rules(2) });
    let address = ClientAddress(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    for passes in [true, true, false, false] {
        let quota = limits.open(&mut Request::default());
        assert_eq!(quota.refuse_guesser(address).is_ok(), passes);
        let mut headers = HeaderMap::new();
        quota.tell(&mut headers);
        assert_eq!(headers.contains_key("ratelimit"), !passes);
        let _ = limits.wrong_credentials(address.0);
    }
    let other = ClientAddress(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
    assert!(limits.open(&mut Request::default()).refuse_guesser(other).is_ok());
}

#[tokio::test]
async fn a_batch_costs_its_messages_whole_or_nothing_but_the_request() {
    let app = app(alone(rules(10)));
    let left = |headers: &HeaderMap| header(headers, "x-ratelimit-remaining").to_owned();
    for (messages, status, remaining) in [
        (6, StatusCode::OK, "4"),
        (5, StatusCode::TOO_MANY_REQUESTS, "3"),
        (3, StatusCode::OK, "0"),
        (1, StatusCode::TOO_MANY_REQUESTS, "0"),
    ] {
        let (answered, headers, _) = ask(&app, "POST", "/batch", &"m".repeat(messages)).await;
        assert_eq!((answered, &*left(&headers)), (status, remaining), "{messages}");
    }
}

#[tokio::test]
async fn a_batch_above_the_limit_passes_where_little_is_used_and_counts_whole() {
    let app = app(alone(rules(10)));
    for (messages, status) in [(25, StatusCode::OK), (1, StatusCode::TOO_MANY_REQUESTS)] {
        let (answered, _, _) = ask(&app, "POST", "/batch", &"m".repeat(messages)).await;
        assert_eq!(answered, status, "{messages}");
    }
}

#[tokio::test]
async fn who_is_refused_is_charged_for_it_and_told_so() {
    let app = app(alone(Rules { wrong_credentials: 1, ..rules(2) }));
    for (path, policy, answers) in [
        ("/things/forbidden", "default", [403, 403, 429]),
        ("/things/unknown", WRONG_CREDENTIALS, [401, 429, 429]),
    ] {
        for status in answers {
            let (answered, headers, _) = ask(&app, "GET", path, "").await;
            assert_eq!(answered.as_u16(), status, "{path}");
            assert!(header(&headers, "ratelimit").starts_with(&format!("\"{policy}\"")), "{path}");
        }
    }
}

#[tokio::test]
async fn a_client_is_told_what_is_left_where_it_asked() {
    let app = app(alone(rules(10)));
    for _ in 0..3 {
        ask(&app, "GET", "/things/1", "").await;
    }
    let (_, _, body) = ask(&app, "GET", "/limits", "").await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let data = body["data"].as_array().expect("routes");
    let told: Vec<_> = data.iter().map(|of| json!([of["route"], of["remaining"]])).collect();
    assert_eq!(body["enabled"], true);
    assert_eq!(told, [json!(["GET /limits", 9]), json!([ROUTE, 7])]);
}

#[tokio::test]
async fn each_subject_of_a_token_is_a_client_of_its_own() {
    let app = app(alone(rules(2)));
    for (path, status) in [
        ("/things/of-ann", StatusCode::OK),
        ("/things/of-ann", StatusCode::OK),
        ("/things/of-ann", StatusCode::TOO_MANY_REQUESTS),
        ("/things/of-bob", StatusCode::OK),
        ("/things/1", StatusCode::OK),
    ] {
        let (answered, _, _) = ask(&app, "GET", path, "").await;
        assert_eq!(answered, status, "{path}");
    }
}

#[tokio::test]
async fn each_session_of_a_person_is_a_client_of_its_own() {
    let app = app(alone(rules(2)));
    let [one, other] = [1, 2].map(|n| format!("/things/by-{}", Uuid::from_u128(n)));
    for (path, status) in [
        (&one, StatusCode::OK),
        (&one, StatusCode::OK),
        (&one, StatusCode::TOO_MANY_REQUESTS),
        (&other, StatusCode::OK),
    ] {
        let (answered, _, _) = ask(&app, "GET", path, "").await;
        assert_eq!(answered, status, "{path}");
    }
}

#[tokio::test]
async fn without_limits_nothing_is_said_of_them() {
    let app = app(Limits::default());
    for _ in 0..200 {
        let (status, headers, _) = ask(&app, "GET", "/things/1", "").await;
        assert_eq!(status, StatusCode::OK);
        assert!(!headers.contains_key("x-ratelimit-limit"));
    }
    let (_, _, body) = ask(&app, "GET", "/limits", "").await;
    assert_eq!(body, r#"{"enabled":false,"data":[]}"#);
}

#[tokio::test]
async fn wrong_credentials_are_limited_by_address() {
    let limits = alone(Rules { wrong_credentials: 3, ..rules(100) });
    let at = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    assert_eq!((0..10).filter(|_| limits.wrong_credentials(at(1)).is_ok()).count(), 3);
    assert!(limits.wrong_credentials(at(2)).is_ok());
    let refused = limits.wrong_credentials(at(1)).expect_err("too many").to_json();
    assert_eq!(refused["violated-policies"], json!([WRONG_CREDENTIALS]));
    assert_eq!(limits.refused(), [(WRONG_CREDENTIALS.to_owned(), 8)]);
}
