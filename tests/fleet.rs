//! The roles as processes of their own, several of a kind, on the tests' servers.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use hatch_bus::testing::TestBus;
use hatch_devservers::free_port;
use hatch_eventstore::testing::TestDatabase;
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{ACCOUNT, simulate};
use crate::process::send_signal;
use crate::time::{eventually, eventually_within};

const PATIENCE: Duration = Duration::from_secs(40);

/// What members have in common.
pub(crate) struct Fleet {
    pub(crate) simulator: String,
    pub(crate) http: reqwest::Client,
    settings: Vec<(String, String)>,
    /// Where webhooks come in: each at the first of the API's members that listens.
    front: Front,
    folder: TempDir,
    _simulation: Simulation,
    pub(crate) bus: TestBus,
    pub(crate) database: TestDatabase,
}

/// One process, killed when dropped.
pub(crate) struct Member {
    child: Child,
    pub(crate) url: String,
    roles: &'static str,
    settings: Vec<(String, String)>,
}

/// What runs the simulator until it is dropped.
enum Simulation {
    Here { _token: CancellationToken },
    Apart { _process: Box<Child>, _folder: TempDir },
}

/// One address in front of several.
struct Front {
    url: String,
    ports: Vec<u16>,
    _serving: AbortOnDropHandle<()>,
}

impl Fleet {
    /// Servers and a simulator, and `api` ports for members that take webhooks.
    pub(crate) async fn start(api: usize, settings: &[(&str, &str)]) -> Self {
        let front = Front::start(api).await;
        let (simulator, simulation, _task) = simulate(&front.url).await;
        Self::start_beside(simulator, Simulation::Here { _token: simulation }, front, settings)
            .await
    }

    /// As [`start`](Self::start), with a simulator of its own process and clock.
    pub(crate) async fn start_apart(
        api: usize,
        settings: &[(&str, &str)],
        simulators_clock: &str,
    ) -> Self {
        let front = Front::start(api).await;
        let address = format!("127.0.0.1:{}", free_port().expect("a free port"));
        let folder = tempfile::tempdir().expect("a folder");
        let child = Command::new(env!("CARGO_BIN_EXE_hatch"))
            .arg("simulator")
            .current_dir(folder.path())
            .env("HATCH_SIMULATOR_LISTEN", &address)
            .env("HATCH_PUBLIC_URL", &front.url)
            .env("HATCH_TEST_SIMULATOR_CLOCK", simulators_clock)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        eventually("the simulator listens", async || TcpStream::connect(&address).await.ok()).await;
        let simulation = Simulation::Apart { _process: Box::new(child), _folder: folder };
        Self::start_beside(format!("http://{address}"), simulation, front, settings).await
    }

    async fn start_beside(
        simulator: String,
        simulation: Simulation,
        front: Front,
        settings: &[(&str, &str)],
    ) -> Self {
        let (bus, database) = (TestBus::create().await, crate::harness::database().await);
        let of_bus = bus.settings();
        let common = [
            ("HATCH_DATABASE_URL", database.url()),
            ("HATCH_NATS_URL", of_bus.url.clone()),
            ("HATCH_BUS__PREFIX", of_bus.prefix.clone()),
            ("HATCH_BUS__STREAM_BYTES_MAX", of_bus.stream_bytes_max.to_string()),
            ("HATCH_DEVELOPMENT_SIMULATOR", simulator.clone()),
            ("HATCH_PUBLIC_URL", front.url.clone()),
            // Tests ask as often as they like.
            ("HATCH_RATE_LIMIT__ENABLED", "false".to_owned()),
        ];
        let given = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let settings = common.into_iter().chain(given);
        Self {
            simulator,
            http: hatch::http_client(PATIENCE).expect("a client"),
            settings: settings.map(|(name, value)| (name.to_owned(), value)).collect(),
            front,
            folder: tempfile::tempdir().expect("a folder"),
            _simulation: simulation,
            bus,
            database,
        }
    }

    /// A member of the API, at the given of its ports.
    pub(crate) async fn api(&self, n: usize, roles: &'static str) -> Member {
        self.api_with(n, roles, &[]).await
    }

    /// As [`api`](Self::api), with settings of its own.
    pub(crate) async fn api_with(
        &self,
        n: usize,
        roles: &'static str,
        settings: &[(&str, &str)],
    ) -> Member {
        self.member(self.front.ports[n], roles, settings).await
    }

    /// Another member.
    pub(crate) async fn serve(&self, roles: &'static str) -> Member {
        self.serve_with(roles, &[]).await
    }

    /// As [`serve`](Self::serve), with settings of its own.
    pub(crate) async fn serve_with(
        &self,
        roles: &'static str,
        settings: &[(&str, &str)],
    ) -> Member {
        self.member(free_port().expect("a free port"), roles, settings).await
    }

    async fn member(&self, port: u16, roles: &'static str, settings: &[(&str, &str)]) -> Member {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let listen = format!("127.0.0.1:{port}");
        let mut settings: Vec<_> = settings.iter().map(owned).collect();
        settings.push(owned(&("HATCH_LISTEN", &listen)));
        let child = self.spawn(roles, &settings);
        let mut member = Member { child, url: format!("http://{listen}"), roles, settings };
        self.ready(&mut member).await;
        member
    }

    fn spawn(&self, roles: &str, settings: &[(String, String)]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_hatch"))
            .args(["serve", "--roles", roles])
            .current_dir(self.folder.path())
            .envs(self.settings.iter().chain(settings).map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts")
    }

    /// What a command says, with the settings that members have in common.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hatch"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.settings.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
        let output = command.output().await.expect("it runs");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Starts a member that has ended again, at the same address.
    pub(crate) async fn start_again(&self, member: &mut Member) {
        member.child = self.spawn(member.roles, &member.settings);
        self.ready(member).await;
    }

    async fn ready(&self, member: &mut Member) {
        let what = format!("{} is ready", member.roles);
        eventually_within(PATIENCE, &what, async || {
            let ended = member.child.try_wait().expect("a status");
            assert!(ended.is_none(), "{} has ended: {ended:?}", member.roles);
            member.is_ready(&self.http).await
        })
        .await;
    }

    /// Sends an SMS by `member`; the answer's status, and the message's id if it was accepted.
    pub(crate) async fn send(&self, member: &Member, to: &str, key: &str) -> (StatusCode, String) {
        let request = self.http.post(format!("{}/api/v1/messages", member.url));
        let request = request.header("idempotency-key", key);
        let answer = request.json(&json!({"to": to, "body": key})).send().await.expect("an answer");
        let status = answer.status();
        let body: Value = answer.json().await.expect("JSON");
        (status, body["id"].as_str().unwrap_or_default().to_owned())
    }

    /// As [`send`](Self::send), until it is accepted.
    pub(crate) async fn accepted(&self, member: &Member, to: &str, key: &str) -> String {
        eventually(&format!("{key} is accepted"), async || {
            let (status, id) = self.send(member, to, key).await;
            (status == StatusCode::ACCEPTED).then_some(id)
        })
        .await
    }

    /// Sets how late the provider answers; what it was asked for is done at once.
    pub(crate) async fn slow_down(&self, latency_ms: u64) {
        let url = format!("{}/_sim/accounts/{ACCOUNT}", self.simulator);
        let body = json!({"mode": "up", "latency_ms": latency_ms});
        let answer = self.http.put(url).json(&body).send().await.expect("an answer");
        assert!(answer.status().is_success());
    }

    /// The messages that the provider took.
    pub(crate) async fn record(&self) -> Vec<Value> {
        let answer = self.http.get(format!("{}/_sim/messages", self.simulator)).send().await;
        let lines = answer.expect("an answer").text().await.expect("text");
        lines.lines().map(|line| serde_json::from_str(line).expect("NDJSON")).collect()
    }

    /// How often the provider was called for a message.
    pub(crate) async fn calls_of(&self, id: &str) -> u64 {
        let record = self.record().await;
        let ours = record.iter().filter(|line| line["hatch_message_id"] == id);
        ours.map(|line| line["calls"].as_u64().expect("a number")).sum()
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let session = self.database.connect().await;
        let count = session.query_one(sql, &[]).await.expect("a count").get(0);
        session.close().await;
        count
    }

    /// The types of a message's events, in order.
    pub(crate) async fn events(&self, id: &str) -> Vec<String> {
        let session = self.database.connect().await;
        let sql = "SELECT type FROM es.events WHERE stream_id = $1::text::uuid ORDER BY version";
        let rows = session.query(sql, &[&id]).await.expect("events");
        session.close().await;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until the message's last event is of this type.
    pub(crate) async fn has_event(&self, id: &str, event_type: &str) {
        eventually(&format!("{id} has {event_type}"), async || {
            self.events(id).await.iter().any(|one| one == event_type).then_some(())
        })
        .await;
    }
}

impl Member {
    async fn is_ready(&self, http: &reqwest::Client) -> bool {
        let Ok(answer) = http.get(format!("{}/ready", self.url)).send().await else {
            return false;
        };
        let status = answer.status();
        let Ok(body) = answer.json::<Value>().await else { return false };
        // Tests of clocks set some of them wrong, and nobody publishes on a bus of one's own.
        let alone = self.settings.iter().any(|(name, _)| name == "HATCH_BUS__PREFIX");
        let up = |(name, one): (&String, &Value)| {
            name == "clock" || (alone && name == "nats") || one["status"] == "up"
        };
        let all = body["dependencies"].as_object().is_some_and(|all| all.iter().all(up));
        status == StatusCode::OK && all
    }

    /// Whether it is there, and what it says of one thing that it needs.
    pub(crate) async fn dependency(&self, http: &reqwest::Client, name: &str) -> (String, Value) {
        let answer = http.get(format!("{}/ready", self.url)).send().await.expect("an answer");
        let mut body: Value = answer.json().await.expect("JSON");
        let status = body["status"].as_str().unwrap_or_default().to_owned();
        (status, body["dependencies"][name].take())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send_signal(self.child.id().expect("it runs").into(), signal);
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends in time").expect("a status")
    }

    /// A number that it counts.
    pub(crate) async fn metric(&self, http: &reqwest::Client, name: &str) -> Option<f64> {
        let answer = http.get(format!("{}/metrics", self.url)).send().await.ok()?;
        let text = answer.text().await.ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("{} "));
        value?.parse().ok()
    }
}

impl Front {
    async fn start(members: usize) -> Self {
        let ports: Vec<u16> = (0..members).map(|_| free_port().expect("a free port")).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let behind = ports.clone();
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, behind.clone()));
            }
        });
        Self { url, ports, _serving: AbortOnDropHandle::new(serving) }
    }
}

async fn pass(mut client: TcpStream, ports: Vec<u16>) {
    for port in ports {
        if let Ok(mut member) = TcpStream::connect(("127.0.0.1", port)).await {
            // Whoever ends it, and how: both sides see the end.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut member).await;
            return;
        }
    }
}
