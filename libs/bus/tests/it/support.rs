//! A bus for one test, and a nats-server that a test may kill.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hatch_bus::{Bus, Envelope, Settings, State, StreamState};
use serde_json::value::RawValue;
use tempfile::TempDir;
use uuid::Uuid;

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A connected bus with a prefix of its own on the tests' server.
pub(crate) async fn bus() -> Bus {
    let url = std::env::var("HATCH_TEST_NATS_URL")
        .expect("HATCH_TEST_NATS_URL is not set: run the tests with ./dev test");
    bus_at(&url).await
}

pub(crate) async fn bus_at(url: &str) -> Bus {
    let random = Uuid::now_v7().simple().to_string();
    let settings = Settings {
        url: url.to_owned(),
        prefix: format!("t{}", &random[12..]),
        stream_bytes_max: 16 << 20,
        ..Settings::default()
    };
    let bus = Bus::connect(settings).await.expect("good settings");
    connected(&bus).await;
    bus
}

pub(crate) async fn connected(bus: &Bus) {
    eventually("connected", async || matches!(bus.state(), State::Connected(_)).then_some(()))
        .await;
}

/// Deletes the test's stream by letting an empty generation replace it, and then that.
pub(crate) async fn finish(bus: &Bus) {
    let raw = async_nats::connect(&url(bus)).await.expect("connects");
    let jetstream = async_nats::jetstream::new(raw);
    while let Ok(name) = jetstream.stream_by_subject(format!("{}.>", prefix(bus))).await {
        jetstream.delete_stream(name).await.expect("deletes");
    }
}

pub(crate) fn prefix(bus: &Bus) -> &str {
    &bus.settings().prefix
}

pub(crate) fn url(bus: &Bus) -> String {
    bus.settings().url.clone()
}

/// A plain connection to the same server, for what hatch itself never does.
pub(crate) async fn raw(bus: &Bus) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(url(bus)).await.expect("connects"))
}

/// Polls until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let poll = async {
        loop {
            if let Some(answer) = answer().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Fails the test when it takes too long.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// The event at `position`; its id follows from it.
pub(crate) fn event(position: i64) -> Envelope {
    work(position, "sms", "normal")
}

pub(crate) fn work(position: i64, channel: &str, priority: &str) -> Envelope {
    let id = |kind: u128| Uuid::from_u128((kind << 64) + position.unsigned_abs() as u128);
    Envelope {
        position,
        event_id: id(1),
        tenant_id: Uuid::from_u128(1),
        event_type: "MessageRequested".to_owned(),
        schema_version: 1,
        stream_id: id(2),
        stream_version: 1,
        epoch: 1,
        recorded_at: chrono::DateTime::from_timestamp(1_760_000_000, 0).expect("in range"),
        aggregate: "message".to_owned(),
        conversation_id: None,
        channel: Some(channel.to_owned()),
        priority: Some(priority.to_owned()),
        correlation_id: id(3),
        causation_id: None,
        actor: "test".to_owned(),
        traceparent: None,
        data: Some(RawValue::from_string("{}".to_owned()).expect("JSON")),
    }
}

/// Publishes the events at `positions` to `generation`.
pub(crate) async fn publish(bus: &Bus, generation: i32, positions: std::ops::RangeInclusive<i64>) {
    let mut publisher = bus.publisher(generation, positions.start() - 1);
    for position in positions {
        publisher.publish(&event(position)).await.expect("publishes");
    }
    publisher.flush().await.expect("is stored");
}

pub(crate) async fn last_sequence(bus: &Bus) -> i64 {
    match bus.stream_state().await.expect("answers") {
        StreamState::Present { last_sequence, .. } => last_sequence,
        StreamState::Absent => panic!("no stream"),
    }
}

/// A nats-server of one test, on a port that it keeps over restarts. Killed when dropped.
pub(crate) struct Server {
    child: Option<Child>,
    port: u16,
    data: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let mut server =
            Self { child: None, port: 0, data: TempDir::new().expect("a temporary folder") };
        server.spawn("-1");
        let folder = server.data.path().to_owned();
        server.port = eventually("the server's port", async || port(&folder)).await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("is ours");
            child.wait().expect("is ours");
        }
    }

    pub(crate) fn start_again(&mut self) {
        self.kill();
        self.spawn(&self.port.to_string());
    }

    fn spawn(&mut self, port: &str) {
        let program = std::env::var("HATCH_TEST_NATS_SERVER");
        let program = program.unwrap_or_else(|_| "nats-server".to_owned());
        let folder = self.data.path();
        let child = Command::new(&program)
            .args(["-js", "-a", "127.0.0.1", "-p", port, "-sd"])
            .arg(folder.join("store"))
            .arg("--ports_file_dir")
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!("{program} cannot be started ({error}): run the tests with ./dev test")
        }));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The port that a server wrote into its ports file.
fn port(folder: &Path) -> Option<u16> {
    let files = std::fs::read_dir(folder).ok()?;
    let file = files
        .filter_map(Result::ok)
        .find(|file| file.path().extension().is_some_and(|end| end == "ports"))?;
    let ports: serde_json::Value =
        serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit_once(':')?.1.parse().ok()
}
