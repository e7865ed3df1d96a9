//! The API for tests that stand beside its endpoints: all routes of clients, as a process answers them, on a database
//! of the test's own. Nothing listens, publishes, projects or sends: what an endpoint does by itself is tested here,
//! and what roles do together is a scenario.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::address::Address;
use hatch_domain::mailbox::Mailbox;
use hatch_domain::{Channel, Environment as _};
use hatch_eventstore::testing::{ScriptedClock, Template, TestDatabase};
use hatch_eventstore::{
    Appender, AppenderConfig, FenceConfig, HeadWatch, Log, ServerClock, Store, SystemEnvironment,
    pool,
};
use hatch_readmodel::{PROJECTIONS, ReadModel, ReadPosition};
use hatch_telemetry::limit::{Limit, Limits};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

use crate::admission::Admission;
use crate::commands::{Commands, Conversations};
use crate::live::{CatchingUp, Live, StreamSlots};
use crate::queries::Queries;
use crate::{Bodies, Drain, Ending, Entrance, Sites, TrustedProxies};

/// Our number in tests, and a customer's.
pub(crate) const SENDER: &str = "+12016661234";
pub(crate) const CUSTOMER: &str = "+18045551234";

/// Our mailbox, and a customer's.
pub(crate) const MAILBOX: &str = "user@usehatchapp.com";
pub(crate) const OTHER_MAILBOX: &str = "contact@gmail.com";

/// How long PostgreSQL may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const TEMPLATE: Template =
    Template { name: "api", schemas: || hatch_readmodel::schemas(PROJECTIONS), sql: "" };

/// The API on a database.
pub(crate) struct Api {
    app: Router,
    clock: ScriptedClock,
    // Before the database, which goes when nobody uses it any more.
    _running: DropGuard,
    database: TestDatabase,
}

impl Api {
    /// The routes of the command and the query role, of health and the document.
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let (config, shutdown) = (database.config(), CancellationToken::new());
        let clock = ScriptedClock::of(&config).await;
        let pool = pool(&config, 8, PATIENCE);
        let server_clock = ServerClock::on(Arc::new(clock.clone()));
        let fence = FenceConfig::default();
        let (head, _) = HeadWatch::start_by(server_clock, fence, config.clone(), shutdown.clone());
        head.clock().ask(&pool).await.expect("PostgreSQL says the time");
        let (appender, _) = Appender::start(AppenderConfig::default(), config, shutdown.clone());
        let log = Log::new(pool.clone());
        let store = Store::new(appender, log.clone(), Arc::new(head.clock().clone()));
        let read_model = ReadModel::of(pool.clone(), PROJECTIONS);
        let queries = Queries {
            read_position: ReadPosition::new(read_model.clone()),
            read_model,
            log: log.clone(),
            head: head.clone(),
            waiting: Arc::new(Limit::new("waiting_reads", 16)),
        };
        let limits = Limits::default();
        let live = Live {
            log,
            head,
            feed: None,
            slots: StreamSlots::new(&limits, 16),
            shutdown: shutdown.clone(),
            turns: CatchingUp::default(),
        };
        let commands = commands(store, &queries);
        let app = app(commands, queries, live, &limits, shutdown.clone());
        Self { app, clock, _running: shutdown.drop_guard(), database }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path, &[], Some(body.to_string())).await
    }

    /// With a body of JSON, if there is one, and no content type that `headers` name.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let typed = headers.iter().any(|(name, _)| *name == "content-type");
        let json = (body.is_some() && !typed).then_some(("content-type", "application/json"));
        let mut request =
            Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        for (name, value) in headers.iter().copied().chain(json) {
            request = request.header(name, value);
        }
        let body = body.map_or_else(Body::empty, Body::from);
        self.send(request.body(body).expect("a request")).await
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        let response = self.app.clone().oneshot(request).await;
        let (head, body) = response.unwrap_or_else(|never| match never {}).into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        let text = String::from_utf8_lossy(&body).into_owned();
        let body = serde_json::from_slice(&body).unwrap_or(Value::String(text));
        Answer { status: head.status, headers: head.headers, body }
    }

    /// The time that is `delta` away.
    pub(crate) fn in_time(&self, delta: TimeDelta) -> DateTime<Utc> {
        self.clock.now() + delta
    }

    /// Sets all clocks forward.
    pub(crate) async fn advance(&self, by: TimeDelta) {
        self.clock.advance(by.to_std().expect("forward")).await;
    }

    /// How many events the log holds.
    pub(crate) async fn log_length(&self) -> i64 {
        let session = self.database.connect().await;
        let counted = session.query_one("SELECT count(*) FROM es.events", &[]).await;
        session.close().await;
        counted.expect("a count").get(0)
    }
}

fn commands(store: Store, queries: &Queries) -> Commands {
    Commands {
        store,
        admission: Admission::unlimited(),
        carried: Channel::ALL.into(),
        conversations: Conversations {
            read_model: queries.read_model.clone(),
            read_position: queries.read_position.clone(),
            waiting: Arc::clone(&queries.waiting),
        },
        default_sms_sender: Address::phone(SENDER).ok(),
        default_email_sender: Address::email(MAILBOX).ok().map(Mailbox::from),
        default_subject: "(no subject)".to_owned(),
        mail_host: "127.0.0.1".to_owned(),
    }
}

fn app(
    commands: Commands,
    queries: Queries,
    live: Live,
    limits: &Limits,
    shutdown: CancellationToken,
) -> Router {
    let routes = crate::health::router(Vec::new())
        .merge(crate::compat::commands(commands.clone()))
        .merge(crate::commands::router(commands))
        .merge(crate::compat::queries(queries.clone()))
        .merge(crate::queries::router(queries))
        .merge(crate::live::router(live))
        .merge(crate::openapi::router());
    let entrance = Entrance {
        new_id: || SystemEnvironment.new_id(),
        stats: Arc::default(),
        trusted_proxies: TrustedProxies::default(),
        sites: Sites::new("http://localhost", None, &[]),
        bodies: Bodies::new(limits),
        limits: crate::limits::Limits::default(),
    };
    let ending = Ending { notice: Duration::ZERO, grace: Duration::ZERO };
    crate::app(routes, entrance, &Drain::new(ending, shutdown))
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}"));
        value.to_str().expect("text")
    }

    /// The fields that are said to be wrong.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().unwrap_or_else(|| panic!("{}", self.body));
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    }
}
