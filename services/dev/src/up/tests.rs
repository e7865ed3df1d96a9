//! `up` with stand-ins for what it runs: the sequence, the supervision and the stop are real.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::get;
use hatch_api::{Sites, TrustedProxies};
use hatch_devservers::testing::{DEADLINE, eventually};
use hatch_process::{Servers, is_alive, signal};
use hatch_telemetry::limit::Limits;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::*;

/// A role that says its name and keeps the promises that `up` counts on.
const ROLE: &str = r#"#!/usr/bin/env python3
import http.server, os, sys, threading
name = sys.argv[-1]
if name == "simulator":
    address = os.environ["HATCH_SIMULATOR_LISTEN"]
else:
    address = os.environ["HATCH_LISTEN"]
assert os.environ["HATCH_EXIT_WITH_PARENT"] == "1"
assert os.environ["HATCH_DATABASE_URL"].startswith("postgres://")
assert os.environ["TOLD_BY"] == "the application"

class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = name.encode()
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = answer
    def log_message(self, *_):
        pass

def watch():
    sys.stdin.read()
    os._exit(0)

threading.Thread(target=watch, daemon=True).start()
host, port = address.rsplit(":", 1)
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"#;

struct StandIn;

impl Application for StandIn {
    fn check(&self, _: &UpLocations) -> anyhow::Result<()> {
        Ok(())
    }

    async fn migrate(&self, _: &UpLocations) -> anyhow::Result<()> {
        Ok(())
    }

    async fn serve(
        self: Arc<Self>,
        place: UpLocations,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let app = Router::new().route("/ready", get(async || "ready"));
        let listener = tokio::net::TcpListener::bind(place.listen).await?;
        Ok(axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?)
    }

    async fn simulate(
        self: Arc<Self>,
        _: UpLocations,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    fn environment(&self, _: &UpLocations) -> Vec<(OsString, OsString)> {
        vec![("TOLD_BY".into(), "the application".into())]
    }
}

fn data_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))
        .expect("the mode");
    folder
}

fn options(folder: &Path, split: bool) -> Options {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let program = folder.join("role.py");
    std::fs::write(&program, ROLE).expect("the stand-in");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("the mode");
    Options {
        folder: folder.to_owned(),
        listen: any,
        simulator_listen: any,
        database_url: None,
        nats_url: None,
        deployment: None,
        database_host: None,
        names: Names {
            sites: Sites::new("http://127.0.0.1", None, &[]),
            trusted_proxies: TrustedProxies::default(),
        },
        connections: Connections::new(&Limits::default(), 1_000, 1_000, TrustedProxies::default()),
        roles: [
            ("command", Some(Requests::Writes)),
            ("query", Some(Requests::Reads)),
            ("webhook", Some(Requests::Webhooks)),
            ("relay", None),
            ("projector", None),
            ("dispatcher", None),
        ]
        .map(|(name, requests)| SplitRole { name, requests })
        .into(),
        split,
        program,
        hang_ups: Arc::default(),
    }
}

async fn request(url: &str, method: Method, path: &str) -> Response<Body> {
    let request = Request::builder().method(method).uri(format!("{url}{path}"));
    let request = request.body(Body::empty()).expect("a request");
    let client = Client::builder(TokioExecutor::new()).build_http();
    client.request(request).await.expect("an answer").map(Body::new)
}

async fn text(response: Response<Body>) -> String {
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("a body");
    String::from_utf8(body.to_vec()).expect("text")
}

/// Waits until everything of `up` runs and answers.
async fn started(folder: &Path, processes: usize) -> Servers {
    let servers = eventually("up has started everything", async || {
        let servers = Servers::read(folder).ok().flatten()?;
        (servers.pids.len() == processes && servers.url.is_some()).then_some(servers)
    })
    .await;
    let address = servers.url.as_ref().and_then(|url| url.strip_prefix("http://")).expect("a URL");
    tokio::time::timeout(DEADLINE, super::ready::ready(address.parse().expect("an address")))
        .await
        .expect("ready");
    servers
}

#[tokio::test]
async fn up_serves_until_it_is_stopped_and_then_leaves_nothing_running() {
    let temporary = data_folder();
    let stop = CancellationToken::new();
    let up = run(StandIn, options(temporary.path(), false), &stop);
    let check = async {
        let servers = started(temporary.path(), 2).await;
        let taken = servers.url.as_ref().and_then(|url| url.strip_prefix("http://"));
        let taken: SocketAddr = taken.expect("a URL").parse().expect("an address");
        let refusal = available(taken, "HATCH_LISTEN").await.expect_err("it is taken").to_string();
        assert_eq!(
            refusal,
            format!(
                "port {} is taken by another program: stop it, or choose another address with \
                 HATCH_LISTEN=127.0.0.1:PORT",
                taken.port()
            )
        );
        stop.cancel();
        servers
    };
    let (outcome, servers) = tokio::join!(up, check);
    outcome.expect("a clean stop");
    assert!(!servers.pids.into_values().any(is_alive));
}

#[tokio::test]
async fn split_roles_are_reached_by_one_address_and_restarted_when_they_die() {
    let temporary = data_folder();
    let stop = CancellationToken::new();
    let up = run(StandIn, options(temporary.path(), true), &stop);
    let check = async {
        let servers = started(temporary.path(), 9).await;
        let url = servers.url.clone().expect("a URL");
        for (method, path, role) in [
            (Method::POST, "/api/v1/messages", "command"),
            (Method::GET, "/api/v1/messages", "query"),
            (Method::POST, "/api/v1/webhooks/twilio", "webhook"),
        ] {
            // The stand-in takes a moment to listen.
            let response = eventually("the role answers", async || {
                let response = request(&url, method.clone(), path).await;
                (response.status() == StatusCode::OK).then_some(response)
            });
            assert_eq!(text(response.await).await, role);
        }

        signal(servers.pids["command"], Signal::SIGKILL);
        let away = eventually("the command role is away", async || {
            let response = request(&url, Method::POST, "/api/v1/messages").await;
            (response.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(response)
        })
        .await;
        assert_eq!(away.headers()["content-type"], "application/problem+json");
        assert_eq!(away.headers()["retry-after"], "1");
        assert_eq!(request(&url, Method::GET, "/").await.status(), StatusCode::OK);
        eventually("the command role is back", async || {
            let response = request(&url, Method::POST, "/api/v1/messages").await;
            (response.status() == StatusCode::OK).then_some(())
        })
        .await;
        let now = Servers::read(temporary.path()).expect("a record").expect("a record");
        assert_ne!(now.pids["command"], servers.pids["command"]);
        stop.cancel();
        now
    };
    let (outcome, servers) = tokio::join!(up, check);
    outcome.expect("a clean stop");
    assert!(!servers.pids.into_values().any(is_alive));
}

/// Counts the writes that reach it, as a pipe would see them.
#[derive(Default)]
struct Writes(usize);

impl Write for Writes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_scripts_wait_for_is_written_at_once() {
    let address: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
    let place = UpLocations {
        folder: PathBuf::new(),
        database_url: String::new(),
        nats_url: String::new(),
        listen: address,
        simulator_listen: address,
    };
    let mut output = std::io::LineWriter::new(Writes::default());
    announce(&mut output, &place, &[("relay", address)]).expect("written");
    assert_eq!(output.get_ref().0, 1);
}
