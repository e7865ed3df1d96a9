//! What the log says while PostgreSQL, or an account, is away: that it went, and that it is back. Nothing else has to
//! be read.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hatch_bus::testing::TestBus;
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::harness::{ACCOUNT, CUSTOMER, database, simulate};
use crate::process::{data_folder, send_signal};
use crate::restore::{Cluster, free_port};
use crate::time::{eventually_paced, paced};

const PATIENCE: Duration = Duration::from_secs(60);
const ROLES: &str = "command,query,webhook,relay,projector,dispatcher";

/// How long the server is away, while everybody asks for it.
const AWAY: Duration = Duration::from_secs(3);
const PACE: Duration = Duration::from_millis(50);

/// A `hatch serve` of all roles, whose log is kept.
struct Serve {
    child: Child,
    url: String,
    simulator: String,
    http: reqwest::Client,
    log: PathBuf,
    _folder: TempDir,
    _simulation: CancellationToken,
    _bus: TestBus,
}

impl Serve {
    async fn start(database_url: &str) -> Self {
        let (bus, folder) = (TestBus::create().await, data_folder());
        let log = folder.path().join("serve.log");
        let url = format!("http://127.0.0.1:{}", free_port());
        let (simulator, simulation, _) = simulate(&url).await;
        let child = Command::new(env!("CARGO_BIN_EXE_hatch"))
            .args(["serve", "--roles", ROLES])
            .current_dir(folder.path())
            .env("HATCH_DATABASE_URL", database_url)
            .env("HATCH_NATS_URL", &bus.settings().url)
            .env("HATCH_BUS__PREFIX", &bus.settings().prefix)
            .env("HATCH_BUS__STREAM_BYTES_MAX", bus.settings().stream_bytes_max.to_string())
            .env("HATCH_DEVELOPMENT_SIMULATOR", &simulator)
            .env("HATCH_RATE_LIMIT__ENABLED", "false")
            // Without a backup, messages wait for the account and try it.
            .env("HATCH_ROUTES", r#"[{"channel": "sms", "accounts": ["twilio"]}]"#)
            .env("HATCH_LISTEN", url.trim_start_matches("http://"))
            .env("HATCH_LOG__FILTER", "info")
            .env("HATCH_LOG__FORMAT", "json")
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a file"))
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let http = hatch::http_client(PATIENCE).expect("a client");
        let serve = Self {
            child,
            url,
            simulator,
            http,
            log,
            _folder: folder,
            _simulation: simulation,
            _bus: bus,
        };
        serve.until_ready_is(|status, _| status == StatusCode::OK).await;
        serve
    }

    /// Asks at a pace until `/ready` is answered so.
    async fn until_ready_is(&self, so: impl Fn(StatusCode, &Value) -> bool) {
        eventually_paced(PACE, PATIENCE, "/ready is so", async || {
            let asked = self.http.get(format!("{}/ready", self.url)).send().await;
            let Ok(answer) = asked else { return false };
            let status = answer.status();
            so(status, &answer.json().await.unwrap_or_default())
        })
        .await;
    }

    async fn send(&self) -> StatusCode {
        let sms = json!({"to": CUSTOMER, "body": "Hello"});
        let sent = self.http.post(format!("{}/api/v1/messages", self.url)).json(&sms).send().await;
        sent.expect("an answer").status()
    }

    fn lines(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(&self.log).expect("a log");
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Ends it and returns the lines after the first so many.
    async fn end(mut self, before: usize) -> Vec<Value> {
        send_signal(i64::from(self.child.id().expect("it runs")), Signal::SIGTERM);
        assert!(self.child.wait().await.expect("it ends").success(), "a clean end");
        self.lines().split_off(before)
    }
}

fn of_level<'a>(lines: &'a [Value], level: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["level"] == level).collect()
}

#[tokio::test]
async fn while_postgresql_is_away_the_log_says_so_once_and_once_that_it_is_back() {
    let mut cluster = Cluster::start().await;
    let serve = Serve::start(&cluster.url()).await;
    let before = serve.lines().len();

    let port = cluster.port;
    cluster.end(Signal::SIGINT);
    let gone = Instant::now();
    serve.until_ready_is(|status, _| status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(serve.send().await, StatusCode::SERVICE_UNAVAILABLE);
    let mut pace = paced(PACE);
    while gone.elapsed() < AWAY {
        pace.tick().await;
        for probe in ["ready", "health", "metrics"] {
            let asked = serve.http.get(format!("{}/{probe}", serve.url)).send().await;
            asked.expect("an answer");
        }
    }
    cluster.serve("data", Some(port)).await;
    serve.until_ready_is(|status, _| status == StatusCode::OK).await;

    let lines = serve.end(before).await;
    let errors = of_level(&lines, "ERROR");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0]["dependency"], "PostgreSQL");
    let warnings = of_level(&lines, "WARN");
    assert!(warnings.len() <= 2, "what was under way may say that it was cut off: {warnings:#?}");
    let back: Vec<_> = lines.iter().filter(|line| line["away_ms"].is_number()).collect();
    assert_eq!(back.len(), 1, "{lines:#?}");
    assert!(back[0]["away_ms"].as_u64() >= Some(2_000), "{back:?}");
    let probes = ["/ready", "/health", "/metrics"];
    let of_probes =
        lines.iter().filter(|line| probes.contains(&line["route"].as_str().unwrap_or_default()));
    assert_eq!(of_probes.count(), 0, "{lines:#?}");
}

#[tokio::test]
async fn an_account_that_goes_and_comes_back_is_two_lines_of_the_log() {
    let database = database().await;
    let serve = Serve::start(&database.url()).await;
    let before = serve.lines().len();
    let disturb = async |mode: &str| {
        let url = format!("{}/_sim/accounts/{ACCOUNT}", serve.simulator);
        let disturbed = serve.http.put(url).json(&json!({"mode": mode})).send().await;
        assert_eq!(disturbed.expect("an answer").status(), StatusCode::OK);
    };
    let twilio_is = async |status: &str| {
        let is_so = |_, body: &Value| body["dependencies"]["twilio"]["status"] == status;
        serve.until_ready_is(is_so).await;
    };
    disturb("unauthorized").await;
    for _ in 0..20 {
        assert_eq!(serve.send().await, StatusCode::ACCEPTED);
    }
    twilio_is("down").await;
    disturb("up").await;
    twilio_is("up").await;

    let lines = serve.end(before).await;
    let errors = of_level(&lines, "ERROR");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    let said = |field: &str| errors[0][field].as_str().unwrap_or_default();
    let told = ["provider", "account", "reason", "code"].map(said);
    assert_eq!(told, ["twilio", ACCOUNT, "credentials", "20003"]);
    assert!(said("remedy").contains("set the right ones"), "{errors:?}");
    assert_eq!(of_level(&lines, "WARN"), Vec::<&Value>::new(), "no message failed");
    let back: Vec<_> = lines.iter().filter(|line| line["down_s"].is_number()).collect();
    assert_eq!(back.len(), 1, "{lines:#?}");
}
