//! A whole hatch in the test's process, with a simulator, a database and a NATS prefix of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use hatch::reload::Reload;
use hatch::roles::{self, Parts, Role};
use hatch::settings::{BusSettings, NatsSettings, Settings};
use hatch_bus::testing::TestBus;

use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use hatch_eventstore::testing::{ScriptedClock, Template, TestDatabase};
use hatch_providers::Secret;
use hatch_readmodel::testing::COUNTS;
use hatch_readmodel::{PROJECTIONS, Projections};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Our number in tests, and a customer's that everything is delivered to.
pub(crate) const SENDER: &str = "+12016661234";
pub(crate) const CUSTOMER: &str = "+18045551234";

/// The account that `up` configures, too.
pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000000";
pub(crate) const AUTH_TOKEN: &str = "dev-twilio-auth-token";

/// The master key of hatch, which everybody knows.
pub(crate) const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Another account that the simulator knows; hatch does where a test sets it, by the name `second`.
pub(crate) const SECOND_ACCOUNT: &str = "AC22222222222222222222222222222222";
pub(crate) const SECOND_TOKEN: &str = "second-twilio-auth-token";

/// How long an answer of hatch's may take on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// A database of hatch.
const TEMPLATE: Template = Template { name: "hatch", schemas: hatch::schemas, sql: "" };

/// A database of a later build, which has one more projection.
const LATER_TEMPLATE: Template = Template {
    name: "later",
    schemas: || hatch::schemas().into_iter().chain([COUNTS.schema()]).collect(),
    sql: "",
};

pub(crate) struct Hatch {
    pub(crate) url: String,
    pub(crate) simulator: String,
    pub(crate) http: reqwest::Client,
    pub(crate) settings: Settings,
    /// What requests say in `Authorization` that do not say it themselves.
    pub(crate) key: Option<String>,
    /// Tells those whose roles are started next when settings were read again.
    pub(crate) reload: Option<Reload>,
    /// Those of the build whose roles are started next.
    pub(crate) projections: Projections,
    running: Vec<Running>,
    simulation: CancellationToken,
    simulating: JoinHandle<()>,
    /// Where the clocks are the test's.
    pub(crate) clock: Option<ScriptedClock>,
    pub(crate) providers_clock: hatch_simulator::Clock,
    // Dropped last: stream and database go when nobody uses them any more.
    pub(crate) bus: TestBus,
    pub(crate) database: TestDatabase,
}

struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// The name of the event in a CloudEvent, whose type is `hatch.<name>.v<version>`.
fn event_type(event: &Value) -> &str {
    event["type"].as_str().and_then(|name| name.split('.').nth(1)).expect("a name")
}

impl Hatch {
    /// All roles and the simulator.
    pub(crate) async fn start() -> Self {
        Self::start_with(&Role::ALL, |_| {}).await
    }

    /// The given roles and the simulator, with settings that `change` has had a say in.
    pub(crate) async fn start_with(roles: &[Role], change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_on(TestBus::create().await, roles, change).await
    }

    /// As [`start_with`](Self::start_with), by clocks that [`advance`](Self::advance) sets forward.
    pub(crate) async fn start_with_clock(
        roles: &[Role],
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let (database, bus) = (database().await, TestBus::create().await);
        let clock = ScriptedClock::of(&database.config()).await;
        Self::start_by(Some(clock), database, bus, roles, change).await
    }

    /// As [`start_with`](Self::start_with), on a bus that the test has a hand in.
    pub(crate) async fn start_on(
        bus: TestBus,
        roles: &[Role],
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::start_in(database().await, bus, roles, change).await
    }

    /// As [`start_on`](Self::start_on), in a database that the test has a hand in, too.
    pub(crate) async fn start_in(
        database: TestDatabase,
        bus: TestBus,
        roles: &[Role],
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::start_by(None, database, bus, roles, change).await
    }

    async fn start_by(
        clock: Option<ScriptedClock>,
        database: TestDatabase,
        bus: TestBus,
        roles: &[Role],
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let providers_clock = hatch_simulator::Clock::default();
        let (simulator, simulation, simulating) = simulate_by(&providers_clock, &url).await;
        let mut settings = settings(&database, &bus, &url, &simulator);
        change(&mut settings);
        let http = hatch::http_client(ANSWER_MAX).expect("an HTTP client");
        // Another way to NATS may lead nowhere.
        let usual = settings.nats_url.as_deref() == Some(bus.settings().url.as_str());
        let mut hatch = Self {
            url,
            simulator,
            http,
            settings,
            key: None,
            reload: None,
            projections: PROJECTIONS,
            running: Vec::new(),
            simulation,
            simulating,
            clock,
            providers_clock,
            bus,
            database,
        };
        hatch.running.push(hatch.run(listener, roles));
        hatch
            .eventually("hatch is ready", async |hatch| {
                let ready = hatch.get("/ready").await;
                let nats = !usual || ready.body["status"] == "ready";
                (ready.status == StatusCode::OK && nats).then_some(())
            })
            .await;
        hatch
    }

    fn run(&self, listener: TcpListener, roles: &[Role]) -> Running {
        let shutdown = CancellationToken::new();
        let roles: BTreeSet<Role> = roles.iter().copied().collect();
        let (settings, token) = (self.settings.clone(), shutdown.clone());
        let (projections, machine) = (self.projections, self.machine());
        let parts = Parts { projections, machine, reload: self.reload.clone() };
        let task = tokio::spawn(async move {
            roles::run_with(&settings, &roles, parts, listener, token).await
        });
        Running { shutdown, task }
    }

    /// Ends all roles as SIGTERM would.
    pub(crate) async fn stop(&mut self) {
        for Running { shutdown, task } in self.running.drain(..) {
            shutdown.cancel();
            task.await.expect("no panic").expect("a clean end");
        }
    }

    /// Starts the given roles again, on the same address.
    pub(crate) async fn start_again(&mut self, roles: &[Role]) {
        let address = self.url.trim_start_matches("http://");
        let listener = TcpListener::bind(address).await.expect("the port is free again");
        self.running.push(self.run(listener, roles));
    }

    /// Starts the given roles beside those that run, as another process would.
    pub(crate) async fn start_more(&mut self, roles: &[Role]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        self.running.push(self.run(listener, roles));
    }

    /// Ends everything; the database goes with the value.
    pub(crate) async fn finish(mut self) {
        self.stop().await;
        self.simulation.cancel();
        self.simulating.await.expect("the simulator ends");
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path, &[], Some(body.to_string())).await
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = self.with_key(request);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send().await.expect("hatch answers")).await
    }

    /// The request with the key that is asked by, where there is one.
    pub(crate) fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.header("authorization", key),
            None => request,
        }
    }

    /// Sends an SMS and returns its id.
    pub(crate) async fn send_sms(&self, to: &str, body: &str) -> String {
        let request = json!({"channel": "sms", "from": SENDER, "to": to, "body": body});
        let answer = self.post("/api/v1/messages", &request).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        answer.text("id").to_owned()
    }

    /// The message, once it has the status.
    pub(crate) async fn message_with_status(&self, id: &str, status: &str) -> Value {
        let what = format!("message {id} is {status}");
        self.eventually(&what, async |hatch| {
            let answer = hatch.get(&format!("/api/v1/messages/{id}")).await;
            (answer.status == StatusCode::OK && answer.body["status"] == status)
                .then_some(answer.body)
        })
        .await
    }

    /// The names of a message's events, oldest first.
    pub(crate) async fn event_types(&self, id: &str) -> Vec<String> {
        let answer = self.get(&format!("/api/v1/messages/{id}/events")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let events = answer.body["data"].as_array().expect("a list");
        events.iter().map(|event| event_type(event).to_owned()).collect()
    }

    /// How many events the log holds.
    pub(crate) async fn log_length(&self) -> i64 {
        self.count("SELECT count(*) FROM es.events").await
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.rows(sql).await[0].get(0)
    }

    pub(crate) async fn rows(&self, sql: &str) -> Vec<tokio_postgres::Row> {
        let session = self.database.connect().await;
        let rows = session.query(sql, &[]).await.expect("rows");
        session.close().await;
        rows
    }

    /// Has a connection to the bus believe, and write, what hatch does.
    pub(crate) async fn trust(&self, bus: &hatch_bus::Bus) {
        let session = self.database.connect().await;
        let secrets = hatch_eventstore::BusSecrets::read(&session).await.expect("secrets");
        session.close().await;
        bus.trust(hatch_relay::keys(&secrets));
    }

    /// Checks that the simulator was asked once for each of `ids` and for nothing else.
    pub(crate) async fn assert_each_sent_once(&self, ids: &[String]) {
        let record = self.record().await;
        let sent = record.iter().map(|line| {
            assert_eq!(line["calls"], 1, "{line}");
            line["hatch_message_id"].as_str().expect("ours")
        });
        let (mut sent, mut expected): (Vec<_>, Vec<_>) = (sent.collect(), ids.iter().collect());
        sent.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sent, expected);
    }

    /// What the simulator accepted.
    pub(crate) async fn record(&self) -> Vec<Value> {
        let answer = self.http.get(format!("{}/_sim/messages", self.simulator)).send().await;
        let text = answer.expect("the simulator answers").text().await.expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("NDJSON")).collect()
    }

    /// Has the simulator deliver an inbound SMS and returns hatch's answer to the webhook.
    pub(crate) async fn simulate_inbound(&self, inbound: &Value) -> u64 {
        let url = format!("{}/_sim/inbound", self.simulator);
        let answer = self.http.post(url).json(inbound).send().await;
        let answer = Answer::read(answer.expect("the simulator answers")).await;
        answer.body["status"].as_u64().unwrap_or_else(|| panic!("no status: {}", answer.body))
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}"));
        value.to_str().expect("text")
    }
}

/// A database of hatch's schema.
pub(crate) async fn database() -> TestDatabase {
    TestDatabase::create_from(&TEMPLATE).await
}

/// The same for a later build.
pub(crate) async fn later_database() -> TestDatabase {
    TestDatabase::create_from(&LATER_TEMPLATE).await
}

/// The same on the server at `url`.
pub(crate) async fn database_at(url: &str) -> TestDatabase {
    TestDatabase::create_at(url, &TEMPLATE).await
}

/// A new id, for what must be unique.
pub(crate) fn unique() -> String {
    SystemEnvironment.new_id().simple().to_string()
}

/// The keys of this process' simulator.
fn keys() -> &'static hatch_simulator::KeyPair {
    static KEYS: std::sync::LazyLock<hatch_simulator::KeyPair> = std::sync::LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let (private, public) =
            (folder.path().join("private.pem"), folder.path().join("public.pem"));
        hatch_simulator::key_pair(&private, &public).expect("keys")
    });
    &KEYS
}

/// What this process' simulator signs mails with.
pub(crate) fn mail_key() -> &'static str {
    &keys().private_pem
}

pub(crate) async fn simulate(url: &str) -> (String, CancellationToken, JoinHandle<()>) {
    simulate_by(&hatch_simulator::Clock::default(), url).await
}

async fn simulate_by(
    clock: &hatch_simulator::Clock,
    url: &str,
) -> (String, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let webhooks = format!("{url}/api/v1/webhooks/twilio/second").parse().ok();
    let second = json!({"account_sid": SECOND_ACCOUNT, "auth_token": SECOND_TOKEN});
    let second = hatch_simulator::Account {
        webhooks,
        ..hatch_simulator::Account::new("twilio", "second", second)
    };
    let sign = |mut account: hatch_simulator::Account| {
        if account.provider == "sendgrid" {
            account.settings.insert("private_key".to_owned(), mail_key().into());
        }
        account
    };
    let config = hatch_simulator::Config {
        public_url: url.parse().expect("a URL"),
        accounts: hatch_simulator::Account::usual().into_iter().map(sign).chain([second]).collect(),
        clock: clock.clone(),
        ..hatch_simulator::Config::default()
    };
    let shutdown = CancellationToken::new();
    let (token, at) = (shutdown.clone(), address.clone());
    let task = tokio::spawn(async move {
        let serve = async |routes, shutdown| {
            let limits = hatch_telemetry::limit::Limits::default();
            let trusted = hatch_api::TrustedProxies::loopback();
            let connections = hatch_api::Connections::new(&limits, 1_000, 1_000, trusted);
            let guard = (hatch_api::Sites::new(&at, None, &[]), "/_sim");
            hatch_api::serve_beside(listener, connections, routes, guard, shutdown).await
        };
        let running = hatch_simulator::run_by(config, serve, token);
        running.await.expect("a clean end");
    });
    (address, shutdown, task)
}

/// Sets `key` of the account `name`.
pub(crate) fn set_of(settings: &mut Settings, name: &str, key: &str, value: Value) {
    let account = settings.accounts.get_mut(name).expect("an account");
    account.of_provider.insert(key.to_owned(), value);
}

fn settings(database: &TestDatabase, bus: &TestBus, url: &str, simulator: &str) -> Settings {
    let address = url.trim_start_matches("http://").parse().expect("an address");
    let mut settings = Settings::load_development(simulator, address).expect("settings");
    let hatch_bus::Settings { url, access, prefix, replicas, stream_bytes_max } =
        bus.settings().clone();
    // Tests know one account of a provider, and say themselves by which others something goes.
    settings.accounts.retain(|name, _| ["twilio", "sendgrid"].contains(&name.as_str()));
    settings.routes.clear();
    // No `up` has made keys here: the account is as the one of `up`.
    let sendgrid = json!({"api_key": "dev-sendgrid-api-key", "base_url": simulator,
        "event_public_keys": [keys().public_pem], "http_timeout_ms": 3_000, "connect_timeout_ms": 1_000});
    let sendgrid = serde_json::from_value(sendgrid).expect("an account");
    settings.accounts.insert("sendgrid".to_owned(), sendgrid);
    settings.database_url = Some(database.url());
    settings.master_key = Some(Secret::new(MASTER_KEY));
    settings.nats_url = Some(url);
    settings.nats = NatsSettings {
        tls_required: access.tls_required,
        ca_file: access.ca_file,
        certificate_file: access.certificate_file,
        key_file: access.key_file,
        credentials_file: access.credentials_file,
        nkey_seed_file: access.nkey_seed_file,
    };
    settings.bus = BusSettings { prefix, replicas, stream_bytes_max };
    settings
}
